"""The six steps of a start as a person watches them: what, how far, how long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from console.core.clock import Clock
from console.core.errors import ConsoleError
from console.stack.model import Failure, StepName, StepState, StepStatus, WorkerOptions


class StepBoard:
    """The steps in order; `changed` is called after every change."""

    def __init__(self, clock: Clock, changed: Callable[[], None]) -> None:
        self._clock = clock
        self._changed = changed
        self.steps: tuple[StepStatus, ...] = ()

    def reset(self, options: WorkerOptions, schedules: int | None) -> None:
        """All steps wait, with what they are going to do."""
        known = "schedules" if schedules is None else f"{schedules} schedules"
        texts = {
            StepName.BROKER: "an embedded Redis-compatible server on this machine",
            StepName.DATABASE: "SQLite with every table the project needs",
            StepName.DEMO_DATA: "users, orders and counters",
            StepName.WORKER: options.short_words,
            StepName.BEAT: f"{known} from the database",
            StepName.FIRST_TASK: "send_welcome_email runs and succeeds",
        }
        self.steps = tuple(StepStatus(name, texts[name]) for name in StepName)
        self._changed()

    @contextmanager
    def step(self, name: StepName, text: str) -> Iterator[None]:
        """Inside it the step runs; a `ConsoleError` or a cancellation that leaves it marks it."""
        self._set(name, state=StepState.STARTING, text=text, since_s=self._clock.monotonic_s(), seconds=None)
        try:
            yield
        except ConsoleError as error:
            self._end(name, StepState.FAILED, error.detail or error.title)
            raise
        except asyncio.CancelledError:
            self._set(name, state=StepState.WAITING, since_s=None)
            raise
        self._end(name, StepState.READY)

    def say(self, name: StepName, text: str) -> None:
        self._set(name, text=text)

    def _end(self, name: StepName, state: StepState, text: str | None = None) -> None:
        step = self._step(name)
        seconds = None if step.since_s is None else self._clock.monotonic_s() - step.since_s
        self._set(name, state=state, seconds=seconds, text=step.text if text is None else text)

    def fail_softly(self, name: StepName, text: str) -> None:
        """Mark a step that everything else can do without."""
        self._end(name, StepState.FAILED, text)

    def _step(self, name: StepName) -> StepStatus:
        return next(step for step in self.steps if step.name is name)

    def _set(self, name: StepName, **changes: Any) -> None:
        self.steps = tuple(replace(step, **changes) if step.name is name else step for step in self.steps)
        self._changed()


def failure_of(where: str, error: ConsoleError, lines: tuple[str, ...] = ()) -> Failure:
    """A gateway's error as the failure of a step."""
    return Failure(
        where, f"{where} did not start", f"{error.title}. {error.detail}".strip(), error.remedy, lines
    )
