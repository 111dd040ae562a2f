"""The port of the activity log: who did what, where, why, and how it ended.

The log itself (a table) is a feature; the runner of operations needs only this.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Outcome(StrEnum):
    """STARTED that never became another is an operation that the console did not live to finish."""

    STARTED = "Started"
    DONE = "Done"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class ActivityEntry:
    """`when` is the aware UTC instant before the act."""

    when: datetime
    who: str
    connection: str
    operation: str
    target: str
    reason: str = ""


class ActivityLog(Protocol):
    """Append-only; both calls return only when the entry is on disk."""

    async def begin(self, entry: ActivityEntry) -> int:
        """Record that an act begins; the number names it. Raises `ConsoleError`."""
        ...

    async def finish(self, number: int, outcome: Outcome, said: str) -> None:
        """Record how act `number` ended. Raises `ConsoleError`."""
        ...
