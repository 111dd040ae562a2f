"""A line of the activity log as the page shows it. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from console.core.activity import Outcome


@dataclass(frozen=True, slots=True)
class ActivityLine:
    """One act. `when` and `ended` are aware UTC; `said` is how it ended in words."""

    number: int
    when: datetime
    who: str
    connection: str
    operation: str
    target: str
    reason: str
    outcome: Outcome
    said: str
    ended: datetime | None
