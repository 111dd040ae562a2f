"""The tests' proxy fails in the ways it says, at any time, and leaves nothing behind."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.proxy import Proxy
from tests.valkey import free_port

PATIENCE_S = 5.0


class Echo:
    """A server that sends back what it gets."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                thread = threading.Thread(target=self._serve, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while piece := connection.recv(65536):
                connection.sendall(piece)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy("127.0.0.1", echo.port) as one:
        yield one


def _connect(proxy: Proxy, *, timeout_s: float = PATIENCE_S) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout_s)


def _asks(connection: socket.socket, word: bytes = b"hello") -> bytes:
    connection.sendall(word)
    return connection.recv(1000)


def _wait_for(proxy: Proxy, connections: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while proxy.connections != connections:
        assert time.monotonic() < deadline, f"{proxy.connections} connections"
        time.sleep(0.005)


def test_everything_passes_both_ways_and_the_end_too(proxy: Proxy) -> None:
    sent = random.Random(1).randbytes(3_000_000)
    received = bytearray()
    with _connect(proxy) as connection:

        def write() -> None:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)

        writer = threading.Thread(target=write)
        writer.start()
        while piece := connection.recv(65536):
            received += piece
        writer.join()
    assert received == sent
    _wait_for(proxy, 0)


def test_cut_and_reset_close_what_stands(proxy: Proxy) -> None:
    with _connect(proxy) as connection:
        assert _asks(connection) == b"hello"
        assert proxy.connections == 1
        proxy.cut()
        assert proxy.connections == 0
        assert connection.recv(10) == b""
    with _connect(proxy) as connection:
        assert _asks(connection) == b"hello"
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            connection.recv(10)
    assert proxy.accepted == 2


def test_half_open_holds_the_old_and_lets_the_new_through(proxy: Proxy) -> None:
    with _connect(proxy, timeout_s=0.1) as old, _connect(proxy) as new:
        assert _asks(old) == b"hello"
        proxy.half_open()
        with pytest.raises(TimeoutError):
            _asks(old)
        with _connect(proxy) as later:
            assert _asks(later) == b"hello"
            proxy.heal()
            # Closed with data unread, so by a reset.
            with pytest.raises(ConnectionResetError):
                old.recv(10)
            assert new.recv(10) == b""
            assert _asks(later) == b"hello"
    _wait_for(proxy, 0)


def test_delay_keeps_the_order(proxy: Proxy) -> None:
    with _connect(proxy) as connection:
        assert _asks(connection) == b"hello"
        proxy.delay(0.1)
        started = time.monotonic()
        connection.sendall(b"a")
        assert connection.recv(1) == b"a"
        assert time.monotonic() - started >= 0.2
        connection.sendall(b"b")
        proxy.heal()
        connection.sendall(b"c")
        assert connection.recv(1) + connection.recv(1) == b"bc"


def test_refuse_and_silence_end_by_healing(proxy: Proxy) -> None:
    proxy.refuse()
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            _connect(proxy)
    proxy.accept_silently()
    with _connect(proxy, timeout_s=0.1) as connection:
        with pytest.raises(TimeoutError):
            _asks(connection)
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            connection.recv(10)
    with _connect(proxy) as connection:
        assert _asks(connection) == b"hello"


def test_a_server_that_refuses_closes_the_client() -> None:
    with Proxy("127.0.0.1", free_port()) as proxy, _connect(proxy) as connection:
        assert connection.recv(10) == b""
        _wait_for(proxy, 0)


def test_a_target_may_change(echo: Echo) -> None:
    with Proxy("127.0.0.1", free_port()) as proxy:
        proxy.target = ("127.0.0.1", echo.port)
        with _connect(proxy) as connection:
            assert _asks(connection) == b"hello"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
def test_three_hundred_failures_under_load_leave_nothing(echo: Echo) -> None:
    chance = random.Random(3)
    descriptors = len(os.listdir("/proc/self/fd"))
    threads = threading.active_count()
    over = threading.Event()
    answers: list[int] = []

    def load(proxy: Proxy) -> None:
        while not over.is_set():
            with suppress(OSError), _connect(proxy, timeout_s=0.05) as connection:
                while not over.is_set() and _asks(connection):
                    answers.append(1)

    with Proxy("127.0.0.1", echo.port) as proxy:
        clients = [threading.Thread(target=load, args=(proxy,)) for _ in range(4)]
        for client in clients:
            client.start()
        failures = (
            proxy.cut,
            proxy.reset,
            proxy.half_open,
            proxy.refuse,
            proxy.accept_silently,
            lambda: proxy.delay(0.01),
        )
        try:
            for _ in range(300):
                chance.choice(failures)()
                if chance.random() < 0.6:
                    proxy.heal()
            proxy.heal()
            before = len(answers)
            deadline = time.monotonic() + PATIENCE_S
            while len(answers) < before + 100:
                assert time.monotonic() < deadline
                time.sleep(0.005)
        finally:
            over.set()
            for client in clients:
                client.join(PATIENCE_S)
        _wait_for(proxy, 0)
    deadline = time.monotonic() + PATIENCE_S
    # The echo server's threads end when their connections do.
    while threading.active_count() > threads or len(os.listdir("/proc/self/fd")) > descriptors:
        assert time.monotonic() < deadline
        time.sleep(0.005)
