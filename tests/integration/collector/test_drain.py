"""The process that empties a socket: nothing is lost on the way through, whatever becomes of either end."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import psutil
import pytest

from console.collector.event_line import Chunk, Item, Lost, Subscribed
from console.collector.line import Drain, DrainedLine, FullError
from console.collector.redis_line import RedisEventLine
from tests.integration.collector.conftest import life, publish
from tests.valkey import ValkeyServer

HELD = 32 * 1024 * 1024
DEADLINE_S = 10.0


@pytest.fixture
def drain() -> Iterator[Drain]:
    with closing(Drain(HELD)) as drain:
        yield drain


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a TCP connection: the broker's, and the one that is drained."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    with far, near:
        far.settimeout(DEADLINE_S)
        yield far, near


def received(line: DrainedLine, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        data += line.receive_within(DEADLINE_S)
    return bytes(data)


def test_what_is_said_comes_in_its_order_with_its_time(
    drain: Drain, ends: tuple[socket.socket, socket.socket]
) -> None:
    far, near = ends
    line = drain.take(near)
    with pytest.raises(BlockingIOError):
        line.receive()
    before_s = time.monotonic()
    far.sendall(b"first")
    assert received(line, 5) == b"first"
    assert before_s <= line.arrived_s <= time.monotonic()
    assert line.say(b"question", 1.0)
    assert far.recv(100) == b"question"
    far.shutdown(socket.SHUT_WR)
    assert line.receive_within(DEADLINE_S) == b""


def test_the_sender_never_waits_for_who_does_not_receive(
    drain: Drain, ends: tuple[socket.socket, socket.socket]
) -> None:
    far, near = ends
    line = drain.take(near)
    sent = b"".join(struct.pack(">I", number) for number in range(5_000_000))
    far.sendall(sent)
    came_s = time.monotonic()
    assert received(line, len(sent)) == sent
    assert line.arrived_s <= came_s + 1.0
    assert psutil.Process(drain.pid).memory_info().rss < 48 * 2**20


def test_more_than_may_be_held_ends_the_line_after_all_that_was_held(
    drain: Drain, ends: tuple[socket.socket, socket.socket]
) -> None:
    far, near = ends
    line = drain.take(near)
    near.close()  # the drain has its own
    with pytest.raises(OSError, match=r"reset|pipe"):
        far.sendall(bytes(4 * HELD))
    size = 0
    try:
        while True:
            size += len(line.receive_within(DEADLINE_S))
    except FullError:
        assert HELD // 2 < size < 2 * HELD


def test_a_line_that_breaks_says_why(drain: Drain, ends: tuple[socket.socket, socket.socket]) -> None:
    far, near = ends
    line = drain.take(near)
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.close()
    with pytest.raises(OSError, match="reset"):
        line.receive_within(DEADLINE_S)


def test_nothing_of_a_line_that_was_left_is_heard_on_the_next(
    drain: Drain, ends: tuple[socket.socket, socket.socket]
) -> None:
    far, near = ends
    first = drain.take(near)
    far.sendall(b"old" * 1_000_000)
    received(first, 3)
    first.close()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        second = drain.take(ours)
        theirs.sendall(b"new")
        assert received(second, 3) == b"new"


def test_it_stays_when_all_of_a_service_is_told_to_end_and_goes_with_its_owner() -> None:
    drain = Drain(HELD)
    process = psutil.Process(drain.pid)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        line = drain.take(ours)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(drain.pid, number)
        theirs.sendall(b"still there")
        assert received(line, 11) == b"still there"
        drain.close()
        assert not process.is_running()


def test_it_knows_nothing_of_the_password_and_has_no_descriptor_of_ours() -> None:
    read, write = os.pipe()
    os.set_inheritable(write, True)
    with closing(Drain(HELD)) as drain:
        os.close(write)
        assert select.select([read], [], [], DEADLINE_S)[0] == [read]  # its end: nobody else has one
        assert os.read(read, 1) == b""
        words = psutil.Process(drain.pid).cmdline()
        assert words[1:3] == ["-I", "-S"]
    os.close(read)


def drains() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if "drain_process" in " ".join(one.cmdline())]


def until(line: RedisEventLine, items: list[Item], condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, items
        line.wait(0.05)
        items += line.take(1 << 30)


def test_a_process_that_is_killed_is_a_gap_and_another_takes_its_place(broker: ValkeyServer) -> None:
    line = RedisEventLine(broker.address)
    line.prepare()
    line.start()
    items: list[Item] = []
    try:
        until(line, items, lambda: bool(items))
        (child,) = drains()
        child.kill()
        until(line, items, lambda: len(items) >= 3)
        assert [type(one) for one in items] == [Subscribed, Lost, Subscribed]
        assert isinstance(items[1], Lost)
        assert "has ended" in items[1].reason
        publish(broker, life("after"))
        until(line, items, lambda: isinstance(items[-1], Chunk))
    finally:
        line.stop()
    assert drains() == []


def test_a_line_is_left_in_the_middle_of_what_it_said(
    drain: Drain, ends: tuple[socket.socket, socket.socket]
) -> None:
    far, near = ends
    line = drain.take(near)
    far.sendall(bytes(8 * 2**20))
    while not drain._left:  # a part of a piece is here, the rest on its way
        assert line.receive_within(DEADLINE_S)
    line.close()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        other = socket.create_connection(listener.getsockname())
        peer, _ = listener.accept()
    with peer, other:
        pid = drain.pid
        again = drain.take(other)
        peer.sendall(b"after")
        assert received(again, 5) == b"after"
        assert drain.pid == pid
        assert drain.is_alive
