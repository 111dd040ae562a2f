"""What goes through a tunnel: both ways, much of it, from many, and ends of data."""

from __future__ import annotations

import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import redis

from console.broker.tunnel import Target
from tests.contract.tunnel.conftest import MakeTunnel, tunnel_threads
from tests.contract.tunnel.sshd import Sshd
from tests.valkey import ValkeyServer

MB = 1024 * 1024


def client_of(broker: ValkeyServer, local: Target) -> redis.Redis:
    return redis.Redis(*local, password=broker.password, socket_timeout=20)


def test_a_broker_answers_through_the_tunnel(broker: ValkeyServer, sshd: Sshd, tunnel: MakeTunnel) -> None:
    one = tunnel(sshd)
    one.open()
    assert one.alive
    one.check(("127.0.0.1", broker.port))
    local = one.forward(("127.0.0.1", broker.port))
    assert local[0] == "127.0.0.1"
    assert local[1] != broker.port
    assert one.forward(("127.0.0.1", broker.port)) == local
    assert one.forward(("localhost", broker.port)) != local
    value = os.urandom(5 * MB)
    with client_of(broker, local) as client:
        client.set("large", value)
        assert client.get("large") == value
    with broker.client() as direct:
        assert direct.strlen("large") == 5 * MB
    assert len(tunnel_threads()) == 1


def test_fifty_clients_at_once(broker: ValkeyServer, sshd: Sshd, tunnel: MakeTunnel) -> None:
    one = tunnel(sshd)
    one.open()
    local = one.forward(("127.0.0.1", broker.port))
    together = threading.Barrier(50, timeout=30)

    def work(number: int) -> bool:
        value = os.urandom(50_000)
        with client_of(broker, local) as client:
            client.ping()
            together.wait()
            client.set(f"key-{number}", value)
            return bool(client.get(f"key-{number}") == value)

    with ThreadPoolExecutor(50) as pool:
        assert list(pool.map(work, range(50))) == [True] * 50


def test_a_target_that_answers_only_after_the_end_of_the_request(sshd: Sshd, tunnel: MakeTunnel) -> None:
    """Half-close: the client's end of data reaches the target, whose answer still comes back."""
    request, answer = os.urandom(3 * MB), os.urandom(3 * MB)
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            line, _ = listener.accept()
            with line:
                got.append(read_to_the_end(line))
                line.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        one = tunnel(sshd)
        one.open()
        with socket.create_connection(one.forward(("127.0.0.1", listener.getsockname()[1])), 10) as line:
            line.sendall(request)
            line.shutdown(socket.SHUT_WR)
            assert read_to_the_end(line) == answer
        thread.join(10)
    assert got == [request]


def test_a_target_that_hangs_up_ends_the_silent_client(sshd: Sshd, tunnel: MakeTunnel) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = tunnel(sshd)
        one.open()
        with socket.create_connection(one.forward(("127.0.0.1", listener.getsockname()[1])), 10) as line:
            line.sendall(b"x")
            far, _ = listener.accept()
            assert far.recv(1) == b"x"
            far.sendall(b"bye")
            far.close()
            assert read_to_the_end(line) == b"bye"


def test_a_client_that_goes_away_ends_the_line_to_the_target(sshd: Sshd, tunnel: MakeTunnel) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = tunnel(sshd)
        one.open()
        line = socket.create_connection(one.forward(("127.0.0.1", listener.getsockname()[1])), 10)
        line.sendall(b"x")
        far, _ = listener.accept()
        with far:
            far.settimeout(10)
            assert far.recv(1) == b"x"
            line.close()
            assert far.recv(1) == b""


def test_a_slow_reader_holds_the_sender_back(sshd: Sshd, tunnel: MakeTunnel) -> None:
    """Back pressure: what nobody reads is not collected in the console's memory."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = tunnel(sshd)
        one.open()
        with socket.create_connection(one.forward(("127.0.0.1", listener.getsockname()[1])), 10) as line:
            far, _ = listener.accept()
            with far:
                far.settimeout(1.0)
                sent = 0
                block = bytes(MB)
                try:
                    while sent < 200 * MB:
                        sent += far.send(block)
                except TimeoutError:
                    pass
                assert sent < 64 * MB
                received = 0
                while received < sent:
                    received += len(line.recv(MB))


def read_to_the_end(line: socket.socket) -> bytes:
    line.settimeout(10)
    parts = []
    while part := line.recv(MB):
        parts.append(part)
    return b"".join(parts)
