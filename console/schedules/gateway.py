"""What the schedules feature needs of the outside: a database with django-celery-beat's tables, and a broker.

Only the protocols stand here, and the two functions that make the real things: those import Django and
celery (about half a second), so both are called on a lane thread and never at start-up.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from console.schedules.model import Fingerprint, Schedule, ScheduleView, Switched, WorkerSettings

if TYPE_CHECKING:
    from console.broker.database import DatabaseAddress
    from console.broker.session import Session


class ScheduleTables(Protocol):
    """Blocking; every call on one and the same thread. All of them raise `ConsoleError`."""

    def fingerprint(self) -> Fingerprint:
        """What tells, in two short queries, whether anything has changed."""
        ...

    def read(self) -> tuple[Schedule, ...]:
        """All rows, by name."""
        ...

    def set_enabled(self, ids: Sequence[int], *, enabled: bool) -> tuple[Switched, ...]:
        """Enable or disable rows in one transaction with beat's change signal.

        Rows that are so already are left alone. Returns the changed rows as they were.
        """
        ...

    def switch_back(self, switched: Sequence[Switched]) -> tuple[str, ...]:
        """Undo `set_enabled` for the rows that are still as it left them; returns their names."""
        ...

    def why_no_changes(self) -> str:
        """Why the database would refuse `set_enabled` from this user, in words; empty when it would not."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class Timetable(Protocol):
    """Blocking: a reading with words, problems and next runs worked out."""

    def work_out(
        self, schedules: Sequence[Schedule], now: datetime, within_s: float
    ) -> tuple[ScheduleView, ...]:
        """The views as seen from `now` of the first rows, as many as fit into `within_s`, at least one.

        What has not changed comes from memory.
        """
        ...

    def keep_only(self, ids: Collection[int]) -> None:
        """Forget the rows that are gone."""
        ...

    def coming_runs(self, schedule: Schedule, now: datetime, count: int) -> tuple[datetime, ...]: ...


class ScheduleBroker(Protocol):
    """Blocking; raises `ConsoleError`."""

    def worker_settings(self) -> WorkerSettings | None:
        """What one live worker tells of its project (one broadcast); None when none answers."""
        ...

    def run_now(self, schedule: Schedule, *, queue: str | None) -> str:
        """Publish one run with every option of the row; returns the task's id.

        `queue` is where it goes when the row itself names neither a queue nor an exchange.
        """
        ...


def open_tables(database: DatabaseAddress) -> ScheduleTables:
    """The tables in `database`. Imports Django at the first call."""
    from console.schedules.django_setup import set_up_django

    set_up_django()
    from console.schedules.django_tables import DjangoSchedules

    return DjangoSchedules(database)


def open_timetable() -> Timetable:
    """The timetable worked out with Celery's own classes. Imports celery at the first call."""
    from console.schedules.working_out import CeleryTimetable

    return CeleryTimetable()


def open_broker(session: Session) -> ScheduleBroker:
    """The broker of an open connection."""
    from console.schedules.celery_broker import CeleryScheduleBroker

    return CeleryScheduleBroker(session)
