"""The reader of events hears from the window that the line may be dead, and wakes for nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from console.collector.event_line import EventLine, Item, Lost, Subscribed
from console.collector.redis_line import RedisEventLine
from tests.proxy import Proxy
from tests.valkey import ValkeyServer

TIMEOUT_S = 0.5
IDLE_S = 0.5


@pytest.fixture
def proxy(broker: ValkeyServer) -> Iterator[Proxy]:
    with Proxy("127.0.0.1", broker.port) as proxy:
        yield proxy


@pytest.fixture
def line(broker: ValkeyServer, proxy: Proxy) -> Iterator[EventLine]:
    line = RedisEventLine(replace(broker.address, port=proxy.port, timeout_s=TIMEOUT_S))
    line.start()
    next_of(line, Subscribed)
    yield line
    line.stop()


def next_of(line: EventLine, kind: type[Item], within_s: float = 5.0) -> float:
    """Seconds until an item of `kind` comes."""
    began_s = time.monotonic()
    while not any(isinstance(item, kind) for item in line.take(1_000_000)):
        assert time.monotonic() < began_s + within_s, f"no {kind.__name__}"
        line.wait(0.05)
    return time.monotonic() - began_s


def test_a_line_that_is_half_open_is_found_when_somebody_has_reason_to_ask(
    proxy: Proxy, line: EventLine
) -> None:
    proxy.half_open()
    line.check()
    assert next_of(line, Lost) < TIMEOUT_S + 0.3
    next_of(line, Subscribed)


def test_a_line_that_lives_stays(line: EventLine) -> None:
    line.check()
    line.wait(TIMEOUT_S)  # the answer
    deadline_s = time.monotonic() + 2 * TIMEOUT_S
    while time.monotonic() < deadline_s:
        assert not any(isinstance(item, Lost) for item in line.take(1_000_000))
        line.wait(0.1)


def test_a_line_that_was_reset_waits_quietly_again(line: EventLine) -> None:
    line.reset("It could not be read")
    next_of(line, Lost)
    next_of(line, Subscribed)
    computed_s, deadline_s = time.process_time(), time.monotonic() + IDLE_S
    while (left_s := deadline_s - time.monotonic()) > 0:
        line.wait(left_s)
    assert time.process_time() - computed_s < IDLE_S / 4
