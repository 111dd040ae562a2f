"""Broker, worker and beat of one session of the stack: how each is started, known to be ready, and ended."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from console.core.clock import Clock
from console.core.errors import ConsoleError
from console.core.happening import Happening
from console.core.lanes import Lane
from console.stack.diagnosis import diagnose
from console.stack.gateway import LocalMachine
from console.stack.logs import LineWatch, LogBook
from console.stack.model import (
    Failure,
    Outcome,
    RestartPolicy,
    ServiceName,
    ServiceStatus,
    Usage,
    WorkerOptions,
)
from console.stack.orders import Orders
from console.stack.process import KeptProcess, Order
from console.stack.supervisor import Recipe, Supervisor

POLL_S = 0.05
PING_AGAIN_S = 0.3
_SUCCEEDED = re.compile(r"Task \S+\[([^\]]+)\] succeeded")


class Services:
    """The three services around one broker address. `changed` fires with each new status of any."""

    def __init__(
        self,
        *,
        orders: Orders,
        binary: Path,
        options: Callable[[], WorkerOptions],
        machine: LocalMachine,
        lane: Lane,
        clock: Clock,
        book: LogBook,
        policy: RestartPolicy,
    ) -> None:
        self.orders = orders
        self.changed: Happening[None] = Happening()
        self.processes_changed: Happening[None] = Happening()
        self.worker_lines: Happening[Sequence[str]] = Happening()
        self._binary = binary
        self._options = options
        self._machine = machine
        self._lane = lane
        self._schedules: int | None = None
        self._helpers: list[KeptProcess] = []
        self._worker_ready = LineWatch(r" ready\.$")
        self._beat_ticked = LineWatch(r"beat: First tick done")
        self._succeeded: set[str] | None = None
        self._supervisors = {
            recipe.name: Supervisor(recipe, clock=clock, book=book, policy=policy)
            for recipe in (self._broker(), self._worker(), self._beat())
        }
        for supervisor in self._supervisors.values():
            supervisor.changed.connect(lambda _: self.changed.emit(None))
            supervisor.processes_changed.connect(self.processes_changed.emit)

    def __getitem__(self, name: ServiceName) -> Supervisor:
        return self._supervisors[name]

    @property
    def statuses(self) -> tuple[ServiceStatus, ...]:
        return tuple(self._supervisors[name].status for name in ServiceName)

    @property
    def any_process(self) -> bool:
        return bool(self.all_pids())

    def all_pids(self) -> list[int]:
        """Every process the stack has started itself, shims included."""
        pids = [pid for supervisor in self._supervisors.values() for pid in supervisor.pids]
        for helper in self._helpers:
            pids += helper.pids
        return pids

    def child_pids(self) -> dict[str, int]:
        """The main process of each service that runs, by name."""
        return {status.name.value: status.pid for status in self.statuses if status.pid is not None}

    def add_pids(self, helper: KeptProcess) -> None:
        self._helpers.append(helper)
        self.processes_changed.emit(None)

    def remove_pids(self, helper: KeptProcess) -> None:
        self._helpers.remove(helper)
        self.processes_changed.emit(None)

    def set_schedules(self, schedules: int | None) -> None:
        self._schedules = schedules

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that the worker reads."""
        return self._options().queues

    def watch_tasks(self) -> set[str]:
        """From now on the returned set takes the ids of tasks that the worker's log says succeeded."""
        self._succeeded = set()
        return self._succeeded

    def unwatch_tasks(self) -> None:
        self._succeeded = None

    def take_usage(self, used: Mapping[str, Usage], kept: int) -> None:
        """Put samples into the statuses; a service without one has a gap."""
        for supervisor in self._supervisors.values():
            status = supervisor.status
            if status.pid is None:
                continue
            usage = used.get(status.name.value)
            cpu = None if usage is None else usage.cpu_percent
            memory = None if usage is None else float(usage.memory_bytes)
            supervisor.note(
                usage=usage,
                cpu=(*status.cpu, cpu)[-kept:],
                memory=(*status.memory, memory)[-kept:],
            )

    def kill(self) -> None:
        """SIGKILL to everything that still runs."""
        for supervisor in self._supervisors.values():
            supervisor.kill()
        for helper in self._helpers:
            helper.kill()

    async def aclose(self) -> None:
        for supervisor in self._supervisors.values():
            await supervisor.aclose()

    def _broker(self) -> Recipe:
        port = self.orders.address.port

        def explain(
            where: str, outcome: Outcome | None, lines: Sequence[str], seconds: float | None
        ) -> Failure:
            owner = self._machine.port_owner
            return diagnose(where, outcome, lines, port=port, port_owner=owner, seconds=seconds)

        return Recipe(
            name=ServiceName.BROKER,
            source="broker",
            order=lambda: self.orders.broker(self._binary),
            ready=self._broker_ready,
            lines=lambda _lines: None,
            stop_plan=(("TERM", 4.0),),
            before=_nothing,
            ready_within_s=20.0,
            diagnose=explain,
        )

    async def _broker_ready(self) -> str:
        address = self.orders.address
        while True:
            if await self._lane.run(self._machine.broker_answers, address, key="broker answers"):
                return f"Redis-compatible, {address.host}:{address.port}"
            await asyncio.sleep(POLL_S)

    def _worker(self) -> Recipe:
        def order() -> Order:
            self._worker_ready.reset()
            return self.orders.worker(self._options())

        def lines(lines: Sequence[str]) -> None:
            self._worker_ready.feed(lines)
            self.worker_lines.emit(lines)
            if self._succeeded is not None:
                self._succeeded.update(found[1] for line in lines if (found := _SUCCEEDED.search(line)))

        return Recipe(
            name=ServiceName.WORKER,
            source="worker",
            order=order,
            ready=self._worker_answers,
            lines=lines,
            stop_plan=(("TERM", 8.0), ("QUIT", 2.0)),
            before=_nothing,
            ready_within_s=30.0,
        )

    async def _worker_answers(self) -> str:
        # Its log says when to ask first; at a quiet log level it is asked from time to time.
        options = self._options()
        waited = False
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(PING_AGAIN_S if waited else 3.0):
                    await self._worker_ready.wait()
            waited = True
            try:
                if await self._lane.run(self._machine.worker_answers, self.orders.address, self.orders.node):
                    return options.words
            except ConsoleError:
                await asyncio.sleep(PING_AGAIN_S)

    def _beat(self) -> Recipe:
        def order() -> Order:
            self._beat_ticked.reset()
            return self.orders.beat()

        return Recipe(
            name=ServiceName.BEAT,
            source="beat",
            order=order,
            ready=self._beat_ticks,
            lines=self._beat_ticked.feed,
            stop_plan=(("TERM", 3.0),),
            # A beat that was killed leaves its pid file, and may still be there as a zombie.
            before=lambda: self._lane.run(self._machine.remove_stale_pid_file),
            ready_within_s=30.0,
        )

    async def _beat_ticks(self) -> str:
        await self._beat_ticked.wait()
        schedules = self._schedules
        noun = "schedule" if schedules == 1 else "schedules"
        return f"DatabaseScheduler, {'–' if schedules is None else schedules} {noun}"


async def _nothing() -> None:
    """What most services need before they start."""
