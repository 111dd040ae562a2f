"""The last step of a start: a task is sent, and seen to succeed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from console.core.clock import Clock
from console.core.errors import ConsoleError
from console.core.lanes import Lane
from console.stack.gateway import LocalMachine
from console.stack.model import StepName
from console.stack.services import Services
from console.stack.steps import StepBoard

log = logging.getLogger(__name__)

WITHIN_S = 12.0
POLL_S = 0.1
BACKLOG_S = 2.0

TaskSucceeded = Callable[[str], Awaitable[bool]]
"""Whether the history has seen the task with this id succeed."""


class FirstTask:
    """Sends `send_welcome_email` and waits for its success, as `task_succeeded` or the worker's log tells."""

    def __init__(
        self, *, machine: LocalMachine, lane: Lane, clock: Clock, task_succeeded: TaskSucceeded | None
    ) -> None:
        self._machine = machine
        self._lane = lane
        self._clock = clock
        self._task_succeeded = task_succeeded

    async def run(self, services: Services, steps: StepBoard) -> str:
        """Everything else is ready even if it does not succeed: that marks the step and raises nothing.

        Returns what comes before it when an earlier run has left a backlog, in words; else "".
        """
        problem = ahead = ""
        with steps.step(StepName.FIRST_TASK, "Sending send_welcome_email"):
            began_s = self._clock.monotonic_s()
            log_says = services.watch_tasks()
            try:
                task_id = await self._lane.run(self._machine.send_first_task, services.orders.address)
                steps.say(StepName.FIRST_TASK, "send_welcome_email runs")
                if not await self._succeeds(task_id, log_says, BACKLOG_S):
                    ahead = await self._what_comes_before(task_id, services)
                    if not ahead and not await self._succeeds(task_id, log_says, WITHIN_S - BACKLOG_S):
                        problem = "Not seen to succeed: the worker's log says more"
            except ConsoleError as error:
                log.warning("The first task: %s", error)
                problem = error.title
            finally:
                services.unwatch_tasks()
            took_s = self._clock.monotonic_s() - began_s
            steps.say(StepName.FIRST_TASK, ahead or f"send_welcome_email succeeded in {took_s:.1f} s")
        if problem:
            steps.fail_softly(StepName.FIRST_TASK, problem)
        return ahead

    async def _succeeds(self, task_id: str, log_says: set[str], within_s: float) -> bool:
        began_s = self._clock.monotonic_s()
        while self._clock.monotonic_s() - began_s < within_s:
            if self._task_succeeded is None:
                if task_id in log_says:
                    return True
            elif await self._task_succeeded(task_id):
                return True
            await asyncio.sleep(POLL_S)
        return False

    async def _what_comes_before(self, task_id: str, services: Services) -> str:
        """The tasks that are in front of it, in words; "" when none are."""
        orders = services.orders
        tasks = await self._lane.run(
            self._machine.tasks_before, orders.address, orders.node, task_id, services.queues
        )
        if tasks <= 0:
            return ""
        noun = "task" if tasks == 1 else "tasks"
        comes = "comes" if tasks == 1 else "come"
        return f"{tasks:,} {noun} of an earlier run {comes} first"
