"""Lanes: named, bounded threads on which blocking work runs, so that the loop never waits.

A thread cannot be killed, so a gateway's own timeout is the real one; the lane's timeout is longer
and only frees the caller, marks the lane as stuck and says so in the log. The threads are daemons of
our own (an executor of the standard library waits for a stuck thread when the program ends).
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import queue
import threading
import time
from collections.abc import Callable, Hashable
from types import TracebackType
from typing import Any, TypeVar

from console.core.errors import Cause, ConsoleError

log = logging.getLogger(__name__)

T = TypeVar("T")
SLOW_S = 2.0
SUSPENDABLE = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


class Lane:
    """`threads` worker threads with at most `bound` jobs waiting.

    `await lane.run(function, *args)` gives the function's value or raises what it raised;
    `ConsoleError` with `Cause.BUSY` when the lane is full or closed, `Cause.TIMEOUT` after `timeout_s`.
    """

    def __init__(self, name: str, *, threads: int = 1, timeout_s: float = 15.0, bound: int = 64) -> None:
        self.name = name
        self.timeout_s = timeout_s
        self._jobs: queue.Queue[Job | None] = queue.Queue(maxsize=bound)
        self._shared: dict[Hashable, asyncio.Future[Any]] = {}
        self._threads_wanted = threads
        self._threads: list[threading.Thread] = []
        self._stuck = 0
        self._closed = False

    @property
    def stuck(self) -> bool:
        """Whether a job has outlived its timeout and still holds a thread."""
        return self._stuck > 0

    async def run(
        self,
        function: Callable[..., T],
        *args: Any,
        key: Hashable | None = None,
        timeout_s: float | None = None,
    ) -> T:
        """Run `function(*args)` on a thread of this lane; equal `key`s in flight share one answer."""
        if key is not None:
            shared = self._shared.get(key)
            if shared is not None:
                shared_value: T = await asyncio.shield(shared)
                return shared_value
            answer = asyncio.ensure_future(self._run(function, args, timeout_s))
            self._shared[key] = answer
            answer.add_done_callback(lambda done: self._forget(key, done))
            value: T = await asyncio.shield(answer)
            return value
        return await self._run(function, args, timeout_s)

    def _forget(self, key: Hashable, answer: asyncio.Future[Any]) -> None:
        self._shared.pop(key, None)
        _heard(answer)

    async def _run(self, function: Callable[..., T], args: tuple[Any, ...], timeout_s: float | None) -> T:
        if self._closed:
            raise ConsoleError(f"The {self.name} lane is closed", cause=Cause.BUSY)
        loop = asyncio.get_running_loop()
        job = Job(function, args, loop, loop.create_future())
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise ConsoleError(
                f"Too much is waiting for the {self.name} lane",
                remedy="Try again in a moment.",
                cause=Cause.BUSY,
                retryable=True,
            ) from None
        self._start_threads()
        limit_s = self.timeout_s if timeout_s is None else timeout_s
        try:
            # Not wait_for: on Python 3.11 it swallows a cancellation that meets the result.
            async with asyncio.timeout(limit_s):
                value: T = await asyncio.shield(job.future)
        except asyncio.CancelledError:
            if not job.withdraw():
                job.future.add_done_callback(_heard)
            raise
        except TimeoutError:
            if job.future.done():
                # The function's own error, or its answer, which came while the time ran out.
                late: T = job.future.result()
                return late
            if job.withdraw():
                raise ConsoleError(
                    f"The {self.name} lane is busy",
                    detail=f"{job.title} did not begin within {limit_s:.0f} s, and will not.",
                    remedy="Try again in a moment.",
                    cause=Cause.BUSY,
                    retryable=True,
                ) from None
            self._stuck += 1
            job.future.add_done_callback(self._freed)
            log.warning("lane %s: %s did not end in %.0f s", self.name, job.title, limit_s)
            raise ConsoleError(
                f"No answer within {limit_s:.0f} s",
                detail=f"{job.title} has begun and still runs; its outcome is not known.",
                cause=Cause.TIMEOUT,
                retryable=True,
            ) from None
        return value

    def _freed(self, future: asyncio.Future[Any]) -> None:
        self._stuck -= 1
        _heard(future)

    def _start_threads(self) -> None:
        while len(self._threads) < self._threads_wanted:
            number = len(self._threads) + 1
            thread = threading.Thread(target=self._work, name=f"lane-{self.name}-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.run(self.name)

    async def aclose(self, *, wait_s: float = 2.0) -> None:
        """Take no more jobs, end the threads that are free and leave the stuck ones behind."""
        self._closed = True
        for _ in self._threads:
            try:
                self._jobs.put_nowait(None)
            except queue.Full:
                break
        deadline = time.monotonic() + wait_s
        # Threads tell nobody that they end; a look every 10 ms is the simplest that does not block.
        while any(thread.is_alive() for thread in self._threads) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Job:
    """One call on its way through a lane. `withdraw` wins only as long as no thread has begun it."""

    __slots__ = ("_state", "_taking", "args", "function", "future", "loop", "title")

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        future: asyncio.Future[Any],
    ) -> None:
        self.function = function
        self.args = args
        self.loop = loop
        self.future = future
        self.title = getattr(function, "__qualname__", type(function).__name__)
        self._taking = threading.Lock()
        self._state = "waiting"

    def withdraw(self) -> bool:
        """Take the job back. False when it has begun: then nobody can."""
        return self._take("withdrawn")

    def _take(self, state: str) -> bool:
        with self._taking:
            if self._state != "waiting":
                return False
            self._state = state
            return True

    def run(self, lane: str) -> None:
        if not self._take("begun"):
            return
        started_s = time.monotonic()
        value: Any = None
        error: BaseException | None = None
        try:
            value = self.function(*self.args)
        except BaseException as raised:
            error = raised
            if isinstance(error, ConsoleError):
                _let_go(error)
        took_s = time.monotonic() - started_s
        if took_s > SLOW_S:
            log.info("lane %s: %s took %.1f s", lane, self.title, took_s)
        try:
            self.loop.call_soon_threadsafe(self._deliver, value, error)
        except RuntimeError:  # the loop has ended; nobody is left to tell
            log.debug("lane %s: %s ended after the loop", lane, self.title)

    def _deliver(self, value: Any, error: BaseException | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(value)
        else:
            self.future.set_exception(error)


def _heard(future: asyncio.Future[Any]) -> None:
    """Nobody waits for the outcome any more: asyncio must not complain that its failure was never seen."""
    if not future.cancelled():
        future.exception()


def _let_go(error: BaseException) -> None:
    """Empty the frames in which `error` came about, and what caused it.

    A page shows an error for as long as it holds, and with it would hold what the failed call had in its
    hands: a driver's half-made connection with its socket, for one.
    """
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            _clear_frames(one.__traceback__)
            left += [one.__cause__, one.__context__]


def _clear_frames(trace: TracebackType | None) -> None:
    """As `traceback.clear_frames`, but for coroutines: to clear one that waits is to end it.

    An error that was kept and is raised again has their frames in its trace from the time before.
    """
    while trace is not None:
        if not trace.tb_frame.f_code.co_flags & SUSPENDABLE:
            with contextlib.suppress(RuntimeError):  # it still runs
                trace.tb_frame.clear()
        trace = trace.tb_next
