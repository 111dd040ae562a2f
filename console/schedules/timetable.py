"""When a schedule runs next, worked out with Celery's own schedule classes, and its words.

Imports celery, so only gateways import this, on a lane thread. Everything in it is a pure function of the
row and of now: the rules are those of django-celery-beat's `ModelEntry` (2.9) and `celery.schedules`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any, assert_never
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from celery import schedules as celery_schedules
from celery.utils.time import remaining
from django_celery_beat.tzcrontab import TzAwareCrontab

from console.schedules.model import (
    BEAT_SYNC_S,
    Clocked,
    Crontab,
    Interval,
    NextRun,
    NextState,
    Problem,
    Schedule,
    Solar,
    Timing,
    arguments_problem,
    interval_words,
    structure_problem,
)

LONGEST_CRONTAB_IN_WORDS = 80
KEPT = 20_000


class NotWorkedOutError(Exception):
    """The moment cannot be worked out on this machine; says why."""


def problem_of(schedule: Schedule) -> Problem | None:
    """Why beat cannot run this row, judged by django-celery-beat's rules and by Celery's own parser."""
    problem = structure_problem(schedule) or arguments_problem(schedule)
    if problem is None and isinstance(schedule.timing, Crontab):
        compiled = _compiled(schedule.timing)
        if isinstance(compiled, Problem):
            return compiled
    return problem


def next_run(schedule: Schedule, now: datetime) -> NextRun:
    """When beat will start the row next, seen from `now` (aware)."""
    return next_run_of(schedule, problem_of(schedule), now)


def next_run_of(schedule: Schedule, problem: Problem | None, now: datetime) -> NextRun:
    """`next_run` for who knows the row's problem already."""
    if not schedule.enabled:
        return NextRun(NextState.OFF)
    if problem is not None:
        return NextRun(NextState.NEVER, why=problem.reason)
    if schedule.expires is not None and schedule.expires <= now:
        return NextRun(NextState.NEVER, why="It has expired: beat disables it at its next look")
    if schedule.one_off and schedule.total_run_count > 0:
        return NextRun(NextState.NEVER, why="One-off and done: beat disables it at its next look")
    try:
        due = _first_due(schedule, now)
        found = _seen_from(schedule, due, now)
    except NotWorkedOutError as error:
        return NextRun(NextState.UNKNOWN, why=str(error))
    except (ValueError, RuntimeError, OverflowError) as error:
        return NextRun(NextState.NEVER, why=f"Celery finds no next run: {error}")
    if schedule.expires is not None and found.at is not None and found.at >= schedule.expires:
        return NextRun(NextState.NEVER, why="It expires before its next run")
    return found


def coming_runs(schedule: Schedule, now: datetime, count: int) -> tuple[datetime, ...]:
    """The next `count` runs (aware UTC), fewer when it ends.

    A disabled row is taken as enabled now, the way this console enables it: without catching up.
    """
    if problem_of(schedule) is not None or schedule.timing is None:
        return ()
    try:
        if schedule.enabled:
            first = next_run(schedule, now).at
        elif isinstance(schedule.timing, Clocked):
            first = schedule.timing.at
        elif schedule.start_time is not None and schedule.start_time > now:
            first = _start_due(schedule, schedule.start_time)
        else:
            first = _after(schedule.timing, now)
        if first is None:
            return ()
        runs = list(islice(_series(schedule, first), count))
    except (NotWorkedOutError, ValueError, RuntimeError, OverflowError):
        return ()
    return tuple(run for run in runs if schedule.expires is None or run < schedule.expires)


def _series(schedule: Schedule, first: datetime) -> Iterator[datetime]:
    timing = schedule.timing
    yield first
    if schedule.one_off or timing is None or isinstance(timing, Clocked):
        return
    while True:
        first = _after(timing, first)
        yield first


def words(timing: Timing | None) -> str:
    """The timing as a sentence: "every 60 seconds", "At 02:30, every day"."""
    if timing is None:
        return "No schedule"
    match timing:
        case Interval():
            return interval_words(timing)
        case Crontab():
            return _crontab_words(timing)
        case Solar(event=event, latitude=latitude, longitude=longitude):
            return f"at {event.replace('_', ' ')} ({latitude:g}, {longitude:g})"
        case Clocked(at=at):
            return "once" if at is None else f"once, at {at:%Y-%m-%d %H:%M:%S} UTC"
        case _:
            assert_never(timing)


def _first_due(schedule: Schedule, now: datetime) -> datetime:
    """The moment at which `ModelEntry.is_due` turns true; may be past."""
    timing = schedule.timing
    if schedule.start_time is not None and now < schedule.start_time:
        return _start_due(schedule, schedule.start_time)
    if isinstance(timing, Clocked):
        if timing.at is None:
            raise NotWorkedOutError("Its time is not set")
        return timing.at
    if timing is None:
        raise NotWorkedOutError("No schedule is set")
    if schedule.last_run_at is None and schedule.start_time is not None:
        # `ModelEntry` puts the last run thirty years back here, so that the row is due from its start on.
        return _start_due(schedule, schedule.start_time)
    return _after(timing, schedule.last_run_at or schedule.date_changed or now)


def _start_due(schedule: Schedule, start_time: datetime) -> datetime:
    if isinstance(schedule.timing, Crontab):
        return _after(schedule.timing, start_time)
    return start_time


def _seen_from(schedule: Schedule, due: datetime, now: datetime) -> NextRun:
    if due > now:
        return NextRun(NextState.PLANNED, due)
    repeats = not schedule.one_off and not isinstance(schedule.timing, Clocked)
    lately = now - due <= timedelta(seconds=BEAT_SYNC_S + 5)
    if lately and repeats and schedule.timing is not None:
        return NextRun(NextState.ABOUT, _first_after(schedule.timing, due, now))
    return NextRun(NextState.OVERDUE, due)


def _first_after(timing: Timing, due: datetime, now: datetime) -> datetime:
    if isinstance(timing, Interval):
        every = timedelta(**{timing.period: timing.every})
        return due + (math.floor((now - due) / every) + 1) * every
    return _after(timing, now)


def _after(timing: Timing, last: datetime) -> datetime:
    """The run that follows a run at `last`, aware UTC."""
    compiled = _compiled(timing)
    if isinstance(compiled, Problem):
        raise NotWorkedOutError(compiled.reason)
    match timing:
        case Interval():
            return _utc(last + remaining(last, compiled.run_every, last))
        case Crontab():
            start, ends_in, _seen = compiled.remaining_delta(last)
            return _utc(start + ends_in)
        case Solar():
            # Celery gives it as a distance from its own now; to the second, so that two looks agree.
            return _utc(_now() + compiled.remaining_estimate(last)).replace(microsecond=0)
        case Clocked(at=at):
            if at is None:
                raise NotWorkedOutError("Its time is not set")
            return at
        case _:
            assert_never(timing)


def _utc(moment: Any) -> datetime:
    utc: datetime = moment.astimezone(UTC)
    return utc


@lru_cache(maxsize=KEPT)
def _compiled(timing: Timing) -> Any:
    """Celery's schedule object for `timing`, or the `Problem` Celery has with it."""
    match timing:
        case Interval(every=every, period=period):
            return celery_schedules.schedule(timedelta(**{period: every}), nowfun=_now)
        case Crontab():
            return _compiled_crontab(timing)
        case Solar():
            return _compiled_solar(timing)
        case Clocked():
            return None
        case _:
            assert_never(timing)


def _compiled_crontab(timing: Crontab) -> Any:
    try:
        zone = ZoneInfo(timing.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return Problem(
            f"The time zone {timing.timezone!r} is unknown: beat cannot read its schedules at all",
            "Choose a zone such as Europe/Berlin.",
        )
    try:
        crontab = TzAwareCrontab(
            minute=timing.minute,
            hour=timing.hour,
            day_of_week=timing.day_of_week,
            day_of_month=timing.day_of_month,
            month_of_year=timing.month_of_year,
            tz=zone,
        )
        crontab.remaining_delta(datetime.now(UTC))
    except ValueError as error:
        return Problem(
            f"Celery refuses the crontab, beat skips it without a word: {error}", "Mend the crontab."
        )
    except Exception as error:  # celery's ParseException, or a loop that never matches
        return Problem(f"Celery refuses the crontab, beat stops with an error: {error}", "Mend the crontab.")
    return crontab


def _compiled_solar(timing: Solar) -> Any:
    try:
        return celery_schedules.solar(timing.event, timing.latitude, timing.longitude, nowfun=_now)
    except ValueError as error:
        return Problem(f"Celery refuses the solar event: {error}", "Choose another event.")
    except Exception as error:  # ImproperlyConfigured: the ephem package is not installed here
        raise NotWorkedOutError("Solar times need the package ephem, which is not installed here") from error


def _now() -> datetime:
    return datetime.now(UTC)


@lru_cache(maxsize=KEPT)
def _crontab_words(crontab: Crontab) -> str:
    fields = (crontab.minute, crontab.hour, crontab.day_of_month, crontab.month_of_year, crontab.day_of_week)
    line = " ".join(field.replace(" ", "") or "*" for field in fields)
    if len(line) > LONGEST_CRONTAB_IN_WORDS or isinstance(_compiled(crontab), Problem):
        return line
    from cron_descriptor import Options, get_description  # type: ignore[import-untyped]

    options = Options()
    options.use_24hour_time_format = True
    try:
        said = str(get_description(line, options))
    except Exception:  # its parser knows less than Celery's: the line itself is always true
        return line
    daily = fields[2:] == ("*", "*", "*") and fields[1].isdecimal()
    return f"{said}, every day" if daily else said
