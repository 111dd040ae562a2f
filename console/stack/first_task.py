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

    async def run(self, services: Services, steps: StepBoard) -> None:
        """Everything else is ready even if it does not succeed: that marks the step and raises nothing."""
        problem = ""
        with steps.step(StepName.FIRST_TASK, "Sending send_welcome_email"):
            began_s = self._clock.monotonic_s()
            log_says = services.watch_tasks()
            try:
                task_id = await self._lane.run(self._machine.send_first_task, services.orders.address)
                steps.say(StepName.FIRST_TASK, "send_welcome_email runs")
                problem = await self._wait(task_id, log_says)
            except ConsoleError as error:
                log.warning("The first task: %s", error)
                problem = error.title
            finally:
                services.unwatch_tasks()
            took_s = self._clock.monotonic_s() - began_s
            steps.say(StepName.FIRST_TASK, f"send_welcome_email succeeded in {took_s:.1f} s")
        if problem:
            steps.fail_softly(StepName.FIRST_TASK, problem)

    async def _wait(self, task_id: str, log_says: set[str]) -> str:
        """Why the task was not seen to succeed, in words; "" when it was."""
        began_s = self._clock.monotonic_s()
        while (waited_s := self._clock.monotonic_s() - began_s) < WITHIN_S:
            if self._task_succeeded is None:
                if task_id in log_says:
                    return ""
            elif await self._task_succeeded(task_id):
                return ""
            if waited_s > BACKLOG_S and log_says and task_id not in log_says:
                return "Tasks of an earlier run come first"
            await asyncio.sleep(POLL_S)
        return "Not seen to succeed: the worker's log says more"
