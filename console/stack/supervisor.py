"""One service of the stack over time: start, readiness, an unexpected end, restarts with a growing pause.

Stands apart from the stack's service because broker, worker and beat share these rules and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from console.core.clock import Clock
from console.core.errors import ConsoleError
from console.core.happening import Happening
from console.core.spawn import Tasks
from console.stack.diagnosis import diagnose
from console.stack.logs import LogBook
from console.stack.model import Failure, Outcome, RestartPolicy, ServiceName, ServiceState, ServiceStatus
from console.stack.process import KeptProcess, Order, StopPlan
from console.stack.steps import failure_of

log = logging.getLogger(__name__)


class StartFailedError(ConsoleError):
    """A service did not start; `failure` is the whole story."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.title, detail=failure.cause, remedy=failure.remedy, retryable=True)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Recipe:
    """What makes a service this service.

    `order` is asked at each start, after `before`. `ready` returns when the service really is (it may read
    the lines it is fed through `lines`) and gives the line under its name; `stop_plan` ends it when nothing
    runs.
    """

    name: ServiceName
    source: str
    order: Callable[[], Order]
    ready: Callable[[], Awaitable[str]]
    lines: Callable[[Sequence[str]], None]
    stop_plan: StopPlan
    before: Callable[[], Awaitable[object]]
    ready_within_s: float
    diagnose: Callable[[str, Outcome | None, Sequence[str], float | None], Failure] = (
        lambda where, outcome, lines, seconds: diagnose(where, outcome, lines, seconds=seconds)
    )


class Supervisor:
    """Keeps one service. `changed` fires with every new `status`."""

    def __init__(self, recipe: Recipe, *, clock: Clock, book: LogBook, policy: RestartPolicy) -> None:
        self.recipe = recipe
        self.status = ServiceStatus(recipe.name)
        self.changed: Happening[ServiceStatus] = Happening()
        self.processes_changed: Happening[None] = Happening()
        self.failure: Failure | None = None
        self._clock = clock
        self._book = book
        self._policy = policy
        self._process: KeptProcess | None = None
        self._tasks = Tasks(f"stack {recipe.source}")
        self._restart: asyncio.Task[Any] | None = None
        self._exits_s: list[float] = []

    @property
    def pids(self) -> list[int]:
        """The shim and its child, as far as they run."""
        return [] if self._process is None else self._process.pids

    async def start(self) -> None:
        """Start it and wait until it is ready. Raises `StartFailedError`; when cancelled it is ended."""
        await self._drop_restart()
        if self.status.running:
            return
        self._exits_s.clear()
        self._set(restarts=0, outcome=None)
        await self._start()

    async def stop(self, plan: StopPlan | None = None) -> None:
        """End it by `plan` (SIGKILL after its last step) and wait for that."""
        await self._drop_restart()
        process = self._process
        if process is None:
            self._set(state=ServiceState.STOPPED, problem="", usage=None)
            return
        self._set(state=ServiceState.STOPPING)
        process.stop(self.recipe.stop_plan if plan is None else plan)
        await process.wait()
        self._set(state=ServiceState.STOPPED, problem="")

    def hurry(self, plan: StopPlan) -> None:
        """Replace the plan of a stop under way."""
        if self._process is not None and self.status.state is ServiceState.STOPPING:
            self._process.stop(plan)

    def kill(self) -> None:
        """SIGKILL to what runs now."""
        if self._process is not None:
            self._process.kill()

    def note(self, **changes: Any) -> None:
        """Put what others know (usage) into the status."""
        self._set(**changes)

    async def aclose(self) -> None:
        await self._tasks.aclose()

    async def _start(self) -> None:
        self._book.begin(self.recipe.source)
        self.failure = None
        process = KeptProcess(
            on_lines=self._on_lines,
            on_dropped=lambda number: self._book.note_dropped(self.recipe.source, number),
            on_end=lambda outcome: self._on_end(process, outcome),
        )
        self._set(state=ServiceState.STARTING, problem="", pid=None, started=None)
        try:
            await self.recipe.before()
            self._process = process
            detail = await self._bring_up(process)
        except StartFailedError:
            raise
        except asyncio.CancelledError:
            await self._end_quickly(process)
            self._set(state=ServiceState.STOPPED)
            raise
        except ConsoleError as error:
            await self._end_quickly(process)
            self.failure = failure_of(self.recipe.name.value, error)
            self._set(state=ServiceState.FAILED, problem=self.failure.cause)
            raise StartFailedError(self.failure) from error
        except Exception:
            await self._end_quickly(process)
            self._set(state=ServiceState.FAILED, problem="Something went wrong in the console itself")
            raise
        self._set(state=ServiceState.READY, detail=detail)

    async def _bring_up(self, process: KeptProcess) -> str:
        began_s = self._clock.monotonic_s()
        try:
            await process.start(self.recipe.order())
        except OSError as error:
            self._process = None
            raise self._failed(Outcome(error=error.strerror or str(error)), None) from error
        self._set(pid=process.pid, started=self._clock.now())
        self.processes_changed.emit(None)
        detail = await self._until_ready(process, began_s)
        if process.outcome is not None:
            raise self._failed(process.outcome, None)
        return detail

    @staticmethod
    async def _end_quickly(process: KeptProcess) -> None:
        if process.started:
            process.kill()
            await asyncio.shield(process.wait())

    async def _until_ready(self, process: KeptProcess, began_s: float) -> str:
        ready = asyncio.ensure_future(self.recipe.ready())
        ended = asyncio.ensure_future(process.wait())
        try:
            await asyncio.wait(
                (ready, ended), timeout=self.recipe.ready_within_s, return_when=asyncio.FIRST_COMPLETED
            )
            if ended.done():
                raise self._failed(ended.result(), None)
            if not ready.done():
                process.kill()
                await process.wait()
                raise self._failed(None, self._clock.monotonic_s() - began_s)
            return ready.result()
        finally:
            for waiting in (ready, ended):
                waiting.cancel()
            await asyncio.gather(ready, ended, return_exceptions=True)

    def _failed(self, outcome: Outcome | None, seconds: float | None) -> StartFailedError:
        tail = self._book.tail(self.recipe.source)
        failure = self.recipe.diagnose(self.recipe.name.value, outcome, tail, seconds)
        self.failure = failure
        self._set(state=ServiceState.FAILED, problem=failure.cause)
        return StartFailedError(failure)

    def _on_lines(self, lines: list[str]) -> None:
        self._book.add(self.recipe.source, lines)
        self.recipe.lines(lines)

    def _on_end(self, process: KeptProcess, outcome: Outcome) -> None:
        if process is not self._process:
            return
        self._process = None
        self.processes_changed.emit(None)
        was = self.status.state
        self._set(outcome=outcome, pid=None, usage=None, cpu=(), memory=(), started=None)
        if was is ServiceState.READY:
            self._ended_by_itself(outcome)

    def _ended_by_itself(self, outcome: Outcome) -> None:
        now_s = self._clock.monotonic_s()
        self._exits_s = [*self._exits_s[-20:], now_s]
        tail = self._book.tail(self.recipe.source)
        self.failure = replace(
            self.recipe.diagnose(self.recipe.name.value, outcome, tail, None),
            title=f"{self.recipe.name} ended",
        )
        pause_s = self._policy.pause_s(self._exits_s, now_s)
        if pause_s is None:
            problem = f"{_sentence(outcome.words)}, for the {len(self._exits_s)}th time: not started again"
            self._set(state=ServiceState.FAILED, problem=problem)
            return
        self._set(
            state=ServiceState.FAILED, problem=f"{_sentence(outcome.words)}: starts again in {pause_s:g} s"
        )
        self._restart = self._tasks.start(self._start_again(pause_s), name="restart")

    async def _start_again(self, pause_s: float) -> None:
        while True:
            await asyncio.sleep(pause_s)
            self._set(restarts=self.status.restarts + 1)
            try:
                await self._start()
                return
            except StartFailedError as failed:
                now_s = self._clock.monotonic_s()
                self._exits_s.append(now_s)
                again_s = self._policy.pause_s(self._exits_s, now_s)
                if again_s is None:
                    self._set(problem=f"{failed.failure.cause} Tried {len(self._exits_s)} times.")
                    return
                pause_s = again_s
                self._set(problem=f"{failed.failure.cause} Starts again in {pause_s:g} s")

    async def _drop_restart(self) -> None:
        restart, self._restart = self._restart, None
        if restart is not None and restart is not asyncio.current_task():
            restart.cancel()
            await asyncio.gather(restart, return_exceptions=True)

    def _set(self, **changes: Any) -> None:
        status = replace(self.status, **changes)
        if status != self.status:
            self.status = status
            self.changed.emit(status)


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]
