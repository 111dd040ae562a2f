"""Small truths about lines that every part of the console must share: who one is, and where one may go."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path

import pytest

from console.broker.address import BrokerAddress, BrokerKind
from console.broker.ping import RedisPing
from console.broker.redis_client import make_redis_client
from console.broker.session import Session
from console.broker.stream import find_primary, find_replicas, open_stream
from console.collector.event_line import Subscribed
from console.collector.redis_line import RedisEventLine
from console.core.clock import SystemClock
from console.core.connection import ConnectionInfo, Environment
from console.core.errors import Cause, ConsoleError
from console.core.redaction import Secret
from tests.valkey import valkey_server


def test_a_user_without_a_password_is_that_user_on_every_line(tmp_path: Path) -> None:
    users = ("guest on nopass ~* &* +@all",)
    with valkey_server(tmp_path / "valkey", users=users) as server:
        address = BrokerAddress("127.0.0.1", server.port, username="guest")
        ping, client, line = RedisPing(address), make_redis_client(address), RedisEventLine(address)
        try:
            assert ping.ping() > 0
            assert client.acl_whoami() in (b"guest", "guest")
            line.start()
            line.wait(5)
            assert [type(item) for item in line.take(1)] == [Subscribed]
            with server.client() as all_seeing:
                users_seen = [one["user"] for one in all_seeing.client_list()]
            assert users_seen.count("guest") == 3
        finally:
            ping.close()
            client.close()
            line.stop()


def test_behind_a_tunnel_nothing_is_dialled_that_it_does_not_lead_to() -> None:
    """A new primary's address may belong to another machine on this side, which would get the password."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as stranger:
        stranger.setblocking(False)
        address = BrokerAddress(
            "127.0.0.1",
            stranger.getsockname()[1],
            password=Secret("for-the-broker-only"),
            routes=((("10.0.0.1", 6379), ("127.0.0.1", 1)),),
        )
        with pytest.raises(ConsoleError, match="not reached through the SSH tunnel") as raised:
            open_stream(address)
        with pytest.raises(BlockingIOError):
            stranger.accept()
    assert raised.value.cause is Cause.UNREACHABLE
    assert raised.value.retryable  # then the tunnels are opened anew


@pytest.mark.parametrize(
    "said",
    [b"*2\r\n:1\r\n:2\r\n", b"*2\r\n$2\r\n\xff\xff\r\n$4\r\n6379\r\n", b"*2\r\n$1\r\na\r\n*0\r\n"],
)
def test_what_is_no_endpoint_from_a_sentinel_is_said_in_words(said: bytes) -> None:
    def answer() -> None:
        for _ in range(2):
            line, _address = listening.accept()
            with line:
                line.recv(1000)
                line.sendall(said)

    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listening:
        sentinel = ("127.0.0.1", listening.getsockname()[1])
        address = BrokerAddress(
            *sentinel, kind=BrokerKind.SENTINEL, sentinels=(sentinel,), master_name="mymaster"
        )
        answering = threading.Thread(target=answer)
        answering.start()
        with pytest.raises(ConsoleError, match="does not speak Redis's protocol"):
            find_primary(address, timeout_s=2.0)
        assert find_replicas(address, timeout_s=2.0) == ()
        answering.join()


class _Tunnel:
    failure: ConsoleError | None = None

    def __init__(self) -> None:
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()


async def test_a_session_ends_its_tunnels_while_its_own_line_is_stuck(tmp_path: Path) -> None:
    tunnel = _Tunnel()
    session = Session(
        info=ConnectionInfo("shop", "Shop", Environment.STAGING),
        address=BrokerAddress("127.0.0.1", 1),
        schedules=None,
        history_file=tmp_path / "history.sqlite3",
        clock=SystemClock(),
        tunnels=(tunnel,),
    )
    # A ping through the tunnel: it ends when the tunnel does.
    with pytest.raises(ConsoleError):
        await session.link.run(tunnel.closed.wait, 30, timeout_s=0.01)
    assert session.link.stuck
    await session.aclose()
    assert tunnel.closed.is_set()
    assert not any(thread.name.startswith("lane-") for thread in threading.enumerate())
