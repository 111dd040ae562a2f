"""What a schedule is: a row of django-celery-beat as plain values, and the rules that need no library.

A row is kept as the database holds it (arguments as text, the zone as a name), because rows that beat
cannot run must be shown too, not only those that parse. Standard library only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum

BACKEND_CLEANUP = "celery.backend_cleanup"
BEAT_NOTICES_WITHIN_S = 5.0
BEAT_SYNC_S = 180.0
"""Beat writes "last run" to the database at the latest this long after the run (`Scheduler.sync_every`)."""
PERIODS = ("days", "hours", "minutes", "seconds", "microseconds")


class Kind(StrEnum):
    """In the order in which django-celery-beat picks one when a row has several."""

    INTERVAL = "interval"
    CRONTAB = "crontab"
    SOLAR = "solar"
    CLOCKED = "clocked"


@dataclass(frozen=True, slots=True)
class Interval:
    """Every `every` `period`s ("seconds", "days"...)."""

    every: int
    period: str


@dataclass(frozen=True, slots=True)
class Crontab:
    """The five fields as text, evaluated in `timezone` (a zone's name)."""

    minute: str
    hour: str
    day_of_month: str
    month_of_year: str
    day_of_week: str
    timezone: str


@dataclass(frozen=True, slots=True)
class Solar:
    event: str
    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class Clocked:
    at: datetime | None


Timing = Interval | Crontab | Solar | Clocked


@dataclass(frozen=True, slots=True)
class Schedule:
    """One row of `django_celery_beat_periodictask` with its timing; instants are aware UTC.

    `kinds` are all timings that are set (exactly one in a sound row), `timing` the one beat uses,
    `shared_by` how many rows use the same timing row, this one included.
    """

    id: int
    name: str
    task: str
    enabled: bool
    timing: Timing | None
    kinds: tuple[Kind, ...]
    shared_by: int
    args: str
    kwargs: str
    headers: str
    queue: str | None
    exchange: str | None
    routing_key: str | None
    priority: int | None
    expires: datetime | None
    expire_seconds: int | None
    one_off: bool
    start_time: datetime | None
    last_run_at: datetime | None
    total_run_count: int
    date_changed: datetime | None
    description: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Why beat cannot run a row, what beat does instead, and what would mend it."""

    reason: str
    mend: str


class NextState(Enum):
    """How sure the next run is.

    PLANNED: worked out from the last run in the database. ABOUT: the planned moment has just passed and
    beat may not have written its last run yet, so the one after it is shown. OVERDUE: it passed longer ago
    than beat needs to write; `at` is the missed moment. OFF: disabled. NEVER: it will not run (`why`).
    UNKNOWN: cannot be worked out here (`why`).
    """

    PLANNED = "planned"
    ABOUT = "about"
    OVERDUE = "overdue"
    OFF = "off"
    NEVER = "never"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class NextRun:
    state: NextState
    at: datetime | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """Enabled or disabled through this console at `when`."""

    enabled: bool
    when: datetime


@dataclass(frozen=True, slots=True)
class ScheduleView:
    """A schedule with what was worked out for it: words, next run, what is wrong with it."""

    schedule: Schedule
    words: str
    next_run: NextRun
    problem: Problem | None
    managed_by_code: bool = False
    change: Change | None = None


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Equal fingerprints: nothing a page shows has changed, neither by people nor by beat."""

    last_update: datetime | None
    newest_change: datetime | None
    rows: int
    runs: int
    enabled: int


@dataclass(frozen=True, slots=True)
class Switched:
    """A row as it was before this console enabled or disabled it; what undoing needs."""

    id: int
    name: str
    was_enabled: bool
    last_run_at: datetime | None
    total_run_count: int


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker told of its project: where tasks go that name no queue, and which schedules are code."""

    default_queue: str
    routes: tuple[tuple[str, str], ...] = ()
    code_schedules: frozenset[str] = frozenset()


def arguments_problem(schedule: Schedule) -> Problem | None:
    """What is wrong with arguments, keyword arguments or headers, judged as beat reads them."""
    args, args_broken = _json(schedule.args or "[]")
    kwargs, kwargs_broken = _json(schedule.kwargs or "{}")
    headers, headers_broken = _json(schedule.headers or "{}")
    if args_broken or kwargs_broken:
        which = "arguments" if args_broken else "keyword arguments"
        return Problem(f"The {which} are not JSON: beat disables the row", f"Write the {which} as JSON.")
    if not isinstance(args, list):
        return Problem("The arguments are not a list: every run fails", 'Write a list such as ["a", 1].')
    if not isinstance(kwargs, dict):
        return Problem(
            "The keyword arguments are not an object: every run fails", 'Write an object such as {"a": 1}.'
        )
    if headers_broken:
        return Problem(
            "The headers are not JSON: beat skips the row without a word", "Write {} or an object."
        )
    if not isinstance(headers, dict):
        return Problem("The headers are not an object: beat stops with an error", "Write {} or an object.")
    return None


def _json(text: str) -> tuple[object, bool]:
    try:
        return json.loads(text), False
    except (ValueError, RecursionError):
        return None, True


def structure_problem(schedule: Schedule) -> Problem | None:
    """What is wrong with the row itself: no timing or several, settings that exclude each other."""
    if not schedule.kinds or schedule.timing is None:
        return Problem("No schedule is set: beat stops with an error", "Give it one schedule.")
    if len(schedule.kinds) > 1:
        named = " and ".join(schedule.kinds)
        return Problem(
            f"Several schedules are set ({named}): beat fails when it notes the run", "Keep one of them."
        )
    if schedule.expires is not None and schedule.expire_seconds is not None:
        return Problem(
            "Both an expiry time and expiry seconds are set: beat fails when it notes the run",
            "Keep one of them.",
        )
    timing = schedule.timing
    if isinstance(timing, Clocked) and not schedule.one_off:
        return Problem(
            "A clocked schedule must be one-off: beat fails when it notes the run", "Make it one-off."
        )
    if isinstance(timing, Interval):
        if timing.period not in PERIODS:
            return Problem(
                f"The period {timing.period!r} is unknown: beat stops with an error", "Use seconds."
            )
        if timing.every < 1:
            return Problem(f"An interval of {timing.every} {timing.period} has no length", "Use 1 or more.")
    return None


def interval_words(interval: Interval) -> str:
    """ "every 60 seconds", "every hour"."""
    if interval.every == 1:
        return f"every {interval.period.removesuffix('s')}"
    return f"every {interval.every:,} {interval.period}"


def change_text(view: ScheduleView, now: datetime) -> str:
    """What is known of beat having taken a change made here: only what was seen is said."""
    change = view.change
    if change is None:
        return ""
    ran = view.schedule.last_run_at is not None and view.schedule.last_run_at > change.when
    waited = now - change.when > timedelta(seconds=2 * BEAT_NOTICES_WITHIN_S)
    if change.enabled:
        if ran:
            return "Enabled here; beat has run it since."
        return "Enabled here. Beat takes a change within 5 s; it shows with the next run."
    if ran and waited and view.schedule.last_run_at is not None:
        late = view.schedule.last_run_at - change.when > timedelta(seconds=2 * BEAT_NOTICES_WITHIN_S)
        if late:
            return "Disabled here, but beat has run it since: it has not taken the change."
    if waited:
        return "Disabled here; no run has been noted since."
    return "Disabled here. Beat takes a change within 5 s."


def matches(view: ScheduleView, search: str) -> bool:
    """Whether every word of `search` occurs in name, task, queue, schedule words or description."""
    schedule = view.schedule
    text = " ".join(
        (schedule.name, schedule.task, schedule.queue or "", view.words, schedule.description)
    ).casefold()
    return all(word in text for word in search.casefold().split())
