"""Lanes: values, errors, shared answers, bounds, and a job that outlives its timeout."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import AsyncIterator

import pytest

from console.core.errors import Cause, ConsoleError
from console.core.lanes import Lane


@pytest.fixture
async def lane() -> AsyncIterator[Lane]:
    lane = Lane("test", bound=2, timeout_s=5.0)
    yield lane
    await lane.aclose()


async def test_a_job_runs_on_the_lanes_thread_and_gives_its_value(lane: Lane) -> None:
    assert await lane.run(lambda: threading.current_thread().name) == "lane-test-1"


async def test_what_a_job_raises_arrives(lane: Lane) -> None:
    with pytest.raises(ZeroDivisionError):
        await lane.run(lambda: 1 // 0)


async def test_equal_keys_in_flight_share_one_answer(lane: Lane) -> None:
    calls: list[int] = []
    gate = threading.Event()

    def job() -> int:
        gate.wait(5)
        calls.append(1)
        return len(calls)

    both = asyncio.gather(lane.run(job, key="depths"), lane.run(job, key="depths"))
    await asyncio.sleep(0)
    gate.set()
    assert list(await both) == [1, 1]
    assert await lane.run(job, key="depths") == 2


async def test_a_caller_that_gives_up_does_not_take_the_shared_answer_along(lane: Lane) -> None:
    gate = threading.Event()
    first = asyncio.ensure_future(lane.run(lambda: gate.wait(5), key="one"))
    second = asyncio.ensure_future(lane.run(lambda: gate.wait(5), key="one"))
    await asyncio.sleep(0)
    first.cancel()
    gate.set()
    assert await second is True


async def test_a_full_lane_refuses_at_once(lane: Lane) -> None:
    gate = threading.Event()
    jobs = [asyncio.ensure_future(lane.run(gate.wait, 5)) for _ in range(3)]
    await asyncio.sleep(0.05)
    more = [asyncio.ensure_future(lane.run(gate.wait, 5)) for _ in range(3)]
    done, _pending = await asyncio.wait(more, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
    error = next(iter(done)).exception()
    assert isinstance(error, ConsoleError)
    assert error.cause is Cause.BUSY
    gate.set()
    await asyncio.gather(*jobs, *more, return_exceptions=True)


async def test_a_job_that_outlives_its_timeout_is_stuck_until_it_ends(lane: Lane) -> None:
    gate = threading.Event()
    with pytest.raises(ConsoleError) as caught:
        await lane.run(gate.wait, 5, timeout_s=0.05)
    assert caught.value.cause is Cause.TIMEOUT
    assert lane.stuck
    gate.set()
    assert await lane.run(lambda: 7) == 7
    assert not lane.stuck


async def test_a_closed_lane_takes_nothing() -> None:
    lane = Lane("closed")
    await lane.aclose()
    with pytest.raises(ConsoleError):
        await lane.run(lambda: 1)


async def test_a_job_that_was_reported_as_not_begun_never_runs() -> None:
    lane = Lane("test")
    gate = threading.Event()
    ran: list[int] = []
    holding = asyncio.ensure_future(lane.run(gate.wait, 5))
    await asyncio.sleep(0.05)
    with pytest.raises(ConsoleError) as caught:
        await lane.run(ran.append, 1, timeout_s=0.05)
    assert caught.value.cause is Cause.BUSY
    assert not lane.stuck
    cancelled = asyncio.ensure_future(lane.run(ran.append, 2))
    await asyncio.sleep(0.02)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    gate.set()
    await holding
    assert await lane.run(lambda: 3) == 3
    assert ran == []
    await lane.aclose()


async def test_a_failure_that_nobody_waits_for_is_no_bug(lane: Lane) -> None:
    """Who disconnects gives up what runs; that it fails afterwards is nobody's crash report."""
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
    begun, may_end = threading.Event(), threading.Event()

    def fail() -> None:
        begun.set()
        may_end.wait(5)
        raise ConsoleError("Too late")

    caller = asyncio.ensure_future(lane.run(fail))
    await asyncio.to_thread(begun.wait, 5)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    may_end.set()
    await lane.run(lambda: None)
    gc.collect()
    assert told == []


async def test_an_error_keeps_nothing_of_the_failed_call_alive(lane: Lane) -> None:
    """A page shows it for hours: a driver's half-made connection in its frames would stay open as long."""

    class Driver:
        pass

    made: list[weakref.ref[Driver]] = []

    def connect() -> None:
        driver = Driver()
        made.append(weakref.ref(driver))
        try:
            raise OSError("no answer")
        except OSError as error:
            raise ConsoleError("The database does not answer") from error

    with pytest.raises(ConsoleError) as caught:
        await lane.run(connect)
    assert caught.value.__cause__ is not None
    assert made[0]() is None


async def test_an_answer_that_came_while_the_time_ran_out_counts() -> None:
    lane = Lane("late", threads=1)
    waiting = asyncio.ensure_future(lane.run(lambda: 7, timeout_s=0.05))
    await asyncio.sleep(0)
    time.sleep(0.2)  # the loop stands still: answer and end of the time are both due when it goes on
    assert await waiting == 7
    await lane.aclose()
