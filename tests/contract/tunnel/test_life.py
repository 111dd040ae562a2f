"""The life of a tunnel: the SSH server dies, comes back, falls silent, is not hammered; nothing leaks."""

from __future__ import annotations

import gc
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from console.broker.tunnel import SshTunnel
from console.core.errors import Cause, ConsoleError
from tests.contract.tunnel.conftest import MakeTunnel, tunnel_threads
from tests.contract.tunnel.sshd import Sshd
from tests.valkey import ValkeyServer

DEADLINE_S = 20.0
ONCE = Retry(NoBackoff(), 0)


def until(happened: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not happened():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.01)


def answers(local: tuple[str, int], broker: ValkeyServer) -> bool:
    try:
        with redis.Redis(*local, password=broker.password, socket_timeout=5, retry=ONCE) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def test_the_local_port_survives_the_servers_death(
    broker: ValkeyServer, sshd: Sshd, tunnel: MakeTunnel
) -> None:
    one = tunnel(sshd)
    one.open()
    local = one.forward(("127.0.0.1", broker.port))
    with socket.create_connection(local, 5) as line:
        line.sendall(b"PING\r\n")
        assert line.recv(100).startswith(b"-NOAUTH")
        sshd.kill()
        assert line.recv(1) == b""  # a client that waits is told at once
    until(lambda: not one.alive, "the loss is noticed")
    assert not answers(local, broker)
    assert [one.failure and one.failure.title] == ["No SSH server listens there"]
    sshd.start()
    until(lambda: answers(local, broker), "the same port works again")
    assert [one.alive, one.failure] == [True, None]
    assert one.forward(("127.0.0.1", broker.port)) == local


def test_clients_that_come_while_the_server_is_away_share_few_attempts(
    sshd: Sshd, tunnel: MakeTunnel
) -> None:
    attempts = 0
    one = tunnel(sshd)
    one.open()
    local = one.forward(("127.0.0.1", 1))
    sshd.kill()
    until(lambda: not one.alive, "the loss is noticed")
    with socket.create_server(("127.0.0.1", sshd.port)) as listener:
        ended = threading.Event()

        def turn_away() -> None:
            nonlocal attempts
            listener.settimeout(0.1)
            while not ended.is_set():
                try:
                    listener.accept()[0].close()
                    attempts += 1
                except TimeoutError:
                    pass

        thread = threading.Thread(target=turn_away)
        thread.start()

        def knock(_: int) -> bytes:
            with socket.create_connection(local, 10) as line:
                return line.recv(1)

        started_s = time.monotonic()
        with ThreadPoolExecutor(20) as pool:
            assert list(pool.map(knock, range(300))) == [b""] * 300
        took_s = time.monotonic() - started_s
        # A person who asks is not made to wait.
        before = attempts
        with pytest.raises(ConsoleError, match="closed the connection"):
            one.open()
        assert attempts == before + 1
        ended.set()
        thread.join()
    assert 1 <= before <= 2 + took_s / 0.5


def test_a_silent_connection_is_noticed_and_replaced(
    broker: ValkeyServer, sshd: Sshd, tunnel: MakeTunnel
) -> None:
    one = tunnel(sshd, keepalive_s=0.2)
    one.open()
    local = one.forward(("127.0.0.1", broker.port))
    assert answers(local, broker)
    stopped = sshd.children()
    for process in stopped:
        process.suspend()
    try:
        until(lambda: not one.alive, "the silence is noticed")
        until(lambda: answers(local, broker), "the listener of the server still takes new connections")
    finally:
        for process in stopped:
            if process.is_running():
                process.resume()


def test_a_silent_server_keeps_neither_a_client_nor_a_check_nor_the_end(
    broker: ValkeyServer, sshd: Sshd, tunnel: MakeTunnel
) -> None:
    one = tunnel(sshd, timeout_s=0.5)
    one.open()
    local = one.forward(("127.0.0.1", broker.port))
    stopped = sshd.children()
    for process in stopped:
        process.suspend()
    try:
        started_s = time.monotonic()
        with pytest.raises(ConsoleError) as caught:
            one.check(("127.0.0.1", broker.port))
        assert caught.value.cause is Cause.TIMEOUT
        with socket.create_connection(local, 5) as line:
            assert line.recv(1) == b""
        one.close()
        assert time.monotonic() - started_s < 3.0
    finally:
        for process in stopped:
            if process.is_running():
                process.resume()


def test_close_ends_an_open_that_waits(sshd: Sshd, tunnel: MakeTunnel) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = tunnel(sshd, port=listener.getsockname()[1], timeout_s=60)
        said: list[ConsoleError] = []

        def open_it() -> None:
            try:
                one.open()
            except ConsoleError as error:
                said.append(error)

        thread = threading.Thread(target=open_it)
        thread.start()
        line, _ = listener.accept()
        with line:
            one.close()
            thread.join(5)
    assert [error.title for error in said] == ["The SSH tunnel is not open"]


def test_clients_are_cut_off_by_close(broker: ValkeyServer, sshd: Sshd, tunnel: MakeTunnel) -> None:
    one = tunnel(sshd)
    one.open()
    local = one.forward(("127.0.0.1", broker.port))
    lines = [socket.create_connection(local, 5) for _ in range(5)]
    for line in lines:
        line.sendall(b"PING\r\n")
        assert line.recv(100)
    one.close()
    for line in lines:
        assert line.recv(1) == b""
        line.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(local, 5)
    until(lambda: sshd.children() == [], "the server's side of the connection has ended")


def cycle(one: SshTunnel, broker: ValkeyServer) -> None:
    one.open()
    assert answers(one.forward(("127.0.0.1", broker.port)), broker)
    one.close()


def test_twenty_cycles_leak_nothing(broker: ValkeyServer, sshd: Sshd, tunnel: MakeTunnel) -> None:
    me = psutil.Process()
    one = tunnel(sshd)
    for _ in range(3):
        cycle(one, broker)
    gc.collect()
    threads, files, objects = threading.active_count(), me.num_fds(), len(gc.get_objects())
    for _ in range(20):
        cycle(one, broker)
    assert tunnel_threads() == []
    assert threading.active_count() == threads
    assert me.num_fds() == files
    gc.collect()
    assert len(gc.get_objects()) - objects < 1000


def test_a_tunnel_that_was_forgotten_does_not_hold_up_the_end(sshd: Sshd, tunnel: MakeTunnel) -> None:
    one = tunnel(sshd)
    one.open()
    mine = [thread for thread in threading.enumerate() if thread.name.startswith("tunnel-")]
    assert [thread.daemon for thread in mine] == [True]


def test_asyncssh_is_not_loaded_before_a_tunnel_opens() -> None:
    program = (
        "import sys, console.broker.tunnel, console.broker.tunnel_hosts; print('asyncssh' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_an_outage_is_told_once(sshd: Sshd, tunnel: MakeTunnel, caplog: pytest.LogCaptureFixture) -> None:
    one = tunnel(sshd)
    one.open()
    local = one.forward(("127.0.0.1", 1))
    with caplog.at_level(logging.INFO):
        for _ in range(10):
            with socket.create_connection(local, 5) as line:
                assert line.recv(1) == b""
    assert len([record for record in caplog.records if record.name == "console.broker.tunnel"]) == 1


def test_an_ipv6_server(start_sshd: Callable[..., Sshd], tunnel: MakeTunnel) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    server = start_sshd("ListenAddress ::1")
    known = server.known_hosts_line.replace("127.0.0.1", "::1")
    one = tunnel(server, host="::1", known=known)
    one.open()
    one.check(("::1", server.port))
