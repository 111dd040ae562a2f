"""The tasks that the worker runs: how many, and their countdown while a stop waits for them.

Stands apart from the service because it has a question, a log to read and a state of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from console.core.clock import Clock
from console.core.errors import ConsoleError
from console.core.lanes import Lane
from console.stack.gateway import LocalMachine
from console.stack.model import ServiceName, Waiting
from console.stack.services import Services

_ENDED = re.compile(r"Task \S+\[([^\]]+)\] (?:succeeded|raised|retry|failed|rejected|ignored)")


class RunningTasks:
    """`waiting` is set while a stop waits; `changed` is called after each change of it."""

    def __init__(
        self, *, machine: LocalMachine, lane: Lane, clock: Clock, changed: Callable[[], None]
    ) -> None:
        self.waiting: Waiting | None = None
        self._machine = machine
        self._lane = lane
        self._clock = clock
        self._changed = changed
        self._ids: set[str] = set()

    async def count(self, services: Services | None) -> int | None:
        """How many tasks the worker runs now; 0 when it does not run, None when it does not say."""
        if services is None or not services[ServiceName.WORKER].status.running:
            return 0
        try:
            ids = await self._lane.run(
                self._machine.active_tasks, services.orders.address, services.orders.node, key="active"
            )
        except ConsoleError:
            return None
        self._ids = set(ids or ())
        return None if ids is None else len(ids)

    @contextmanager
    def waited_for(self, tasks: int | None) -> Iterator[None]:
        """Inside it a stop waits for the tasks that were counted last."""
        self.waiting = Waiting(tasks, self._clock.monotonic_s())
        self._changed()
        try:
            yield
        finally:
            self.waiting = None
            self._ids = set()

    def read(self, lines: Sequence[str]) -> None:
        """Count down by what the worker's log says."""
        if self.waiting is None or self.waiting.tasks is None:
            return
        for line in lines:
            found = _ENDED.search(line)
            if found is not None:
                self._ids.discard(found[1])
        if len(self._ids) != self.waiting.tasks:
            self.waiting = replace(self.waiting, tasks=len(self._ids))
            self._changed()
