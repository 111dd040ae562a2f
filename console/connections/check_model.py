"""What the test of a connection finds out: one step after another, each with its state and its words.

The page shows the steps as they come, the command line prints them; neither knows how they are found out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from console.core.errors import ConsoleError


class StepState(StrEnum):
    WAITING = "Waiting"
    RUNNING = "Running"
    PASSED = "Passed"
    WARNING = "Warning"
    FAILED = "Failed"
    SKIPPED = "Skipped"

    @property
    def ended(self) -> bool:
        return self not in (StepState.WAITING, StepState.RUNNING)


@dataclass(frozen=True, slots=True)
class CheckStep:
    """One step.

    - `says`: one line of what was seen ("port 6380 answers"), or why the step was skipped.
    - `took_s`: seconds, None as long as it has not ended and for one that was skipped.
    - `error`: of one that failed, cause and remedy in words; of a warning, where there is more to say.
    - `command`: what an administrator runs to mend it, without any password; empty for nothing.
    """

    key: str
    title: str
    state: StepState
    says: str = ""
    took_s: float | None = None
    error: ConsoleError | None = None
    command: str = ""


def all_passed(steps: tuple[CheckStep, ...]) -> bool:
    """Whether nothing failed: neither a warning nor a step that was skipped is a failure."""
    return all(step.state.ended and step.state is not StepState.FAILED for step in steps)


def summary(steps: tuple[CheckStep, ...]) -> str:
    """ "7 of 8 passed", skipped ones not counted among those that passed."""
    passed = sum(step.state in (StepState.PASSED, StepState.WARNING) for step in steps)
    return f"{passed} of {len(steps)} passed"


def total_s(steps: tuple[CheckStep, ...]) -> float:
    """How long the steps took in all."""
    return sum(step.took_s or 0.0 for step in steps)


@dataclass(frozen=True, slots=True)
class TablesFound:
    """What a schedules database holds.

    - `beat`: the release whose migrations are there ("2.7 or later"), empty for unknown.
    - `schedules`: how many rows, None when its tables are missing or may not be read.
    - `results`: whether django-celery-results' table is there.
    - `problem`: why it is of no use: tables missing, too old, no right. None when all is well.
    """

    beat: str = ""
    schedules: int | None = None
    results: bool = False
    problem: ConsoleError | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a step found when it did not fail outright; the words of `CheckStep`."""

    says: str
    state: StepState = StepState.PASSED
    error: ConsoleError | None = None
    command: str = ""
