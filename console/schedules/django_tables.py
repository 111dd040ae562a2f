"""django-celery-beat's tables through Django's ORM, on a database alias of this connection's own.

Import only after `set_up_django`. Used on exactly one thread, because Django's connections belong to their
thread. Writes touch only the columns they change, by `update()` and never by `save()`, which would rewrite
the whole row and forget the last run, and move beat's change signal forward on the same database in the
same transaction.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import DatabaseError, connections, transaction
from django.db.models import CharField, Count, F, Max, Q, Sum
from django.db.models.functions import Cast
from django_celery_beat.models import PeriodicTask, PeriodicTasks

from console.broker.database import DatabaseAddress
from console.core.errors import ConsoleError
from console.schedules.connect_errors import connect
from console.schedules.database_errors import database_errors
from console.schedules.database_rights import why_no_changes
from console.schedules.django_setup import database_settings, sqlite_file
from console.schedules.line_guard import line_bounded
from console.schedules.model import (
    Clocked,
    Crontab,
    Fingerprint,
    Interval,
    Kind,
    Schedule,
    Solar,
    Switched,
    Timing,
)

_OWN = (
    *("id", "name", "task", "enabled", "args", "kwargs", "headers", "queue", "exchange", "routing_key"),
    *("priority", "expires", "expire_seconds", "one_off", "start_time", "last_run_at", "total_run_count"),
    *("date_changed", "description"),
)
_KEYS = ("interval_id", "crontab_id", "solar_id", "clocked_id")
_TIMINGS = (
    *("interval__every", "interval__period", "crontab__minute", "crontab__hour", "crontab__day_of_month"),
    *("crontab__month_of_year", "crontab__day_of_week", "zone", "solar__event", "solar__latitude"),
    *("solar__longitude", "clocked__clocked_time"),
)
_NOW = {
    "sqlite": "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')",
    "postgresql": "SELECT clock_timestamp()",
    "mysql": "SELECT UTC_TIMESTAMP(6)",
}
_numbers = itertools.count(1)


class DjangoSchedules:
    """The tables in `database`; the database is first touched by the first call."""

    def __init__(self, database: DatabaseAddress) -> None:
        self._database = database
        self._alias = f"schedules-{next(_numbers)}"
        filled = connections.configure_settings({"default": {}, self._alias: database_settings(database)})
        connections.settings[self._alias] = filled[self._alias]
        self._file = sqlite_file(database)
        self._opened = _identity(self._file)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Library errors as ours; after one, or when the file was replaced, the next call connects anew."""
        connection = connections[self._alias]
        seen = _identity(self._file)
        if seen != self._opened:
            connection.close()
            self._opened = seen
        try:
            self._connect()
            with line_bounded(connection.connection), database_errors(self._database):
                yield
        except ConsoleError:
            self._hang_up()
            raise

    def _connect(self) -> None:
        connection = connections[self._alias]
        if connection.connection is not None:
            return
        # An address, a certificate's file: what was right for the last line may not be for this one.
        connection.settings_dict.update(database_settings(self._database))
        connect(connection, self._database)

    def _hang_up(self) -> None:
        """Close the line, however broken it is."""
        connection = connections[self._alias]
        try:
            connection.close()
        except DatabaseError:
            connection.connection = None

    def fingerprint(self) -> Fingerprint:
        with self._errors():
            counted = PeriodicTask.objects.using(self._alias).aggregate(
                rows=Count("id"),
                runs=Sum("total_run_count"),
                newest=Max("date_changed"),
                enabled=Count("id", filter=Q(enabled=True)),
            )
            signal = PeriodicTasks.objects.using(self._alias).filter(ident=1)
            last_update = signal.values_list("last_update", flat=True).first()
        return Fingerprint(
            last_update=last_update,
            newest_change=counted["newest"],
            rows=counted["rows"],
            runs=int(counted["runs"] or 0),
            enabled=counted["enabled"],
        )

    def read(self) -> tuple[Schedule, ...]:
        with self._errors():
            # The zone as text: the field itself refuses to load an unknown zone, and with it every row.
            rows = list(
                PeriodicTask.objects.using(self._alias)
                .annotate(zone=Cast(F("crontab__timezone"), CharField()))
                .order_by("name")
                .values_list(*_OWN, *_KEYS, *_TIMINGS)
            )
            return _schedules(rows)

    def set_enabled(self, ids: Sequence[int], *, enabled: bool) -> tuple[Switched, ...]:
        with self._errors(), transaction.atomic(using=self._alias):
            rows = PeriodicTask.objects.using(self._alias)
            changing = rows.filter(pk__in=ids, enabled=not enabled)
            if connections[self._alias].features.has_select_for_update:
                changing = changing.select_for_update()
            before = tuple(
                Switched(*row)
                for row in changing.values_list("id", "name", "enabled", "last_run_at", "total_run_count")
            )
            if not before:
                return ()
            now = self._database_now()
            keys = [row.id for row in before]
            if enabled:
                self._enable(keys, now)
            else:
                rows.filter(pk__in=keys).update(enabled=False, date_changed=now)
            self._signal(now)
        return before

    def why_no_changes(self) -> str:
        with self._errors():
            return why_no_changes(connections[self._alias], self._file)

    def _enable(self, keys: Sequence[int], now: datetime) -> None:
        """Enable so that nothing missed is caught up: beat counts from now.

        Without a last run beat counts from `date_changed`; but with a start time it would be due at once,
        so a row whose start time has passed is given now as its last run (django-celery-beat 2.9,
        `ModelEntry.__init__`).
        """
        rows = PeriodicTask.objects.using(self._alias).filter(pk__in=keys)
        started = rows.filter(start_time__lte=now)
        started.update(enabled=True, date_changed=now, last_run_at=now)
        rows.exclude(start_time__lte=now, start_time__isnull=False).update(
            enabled=True, date_changed=now, last_run_at=None
        )

    def switch_back(self, switched: Sequence[Switched]) -> tuple[str, ...]:
        with self._errors(), transaction.atomic(using=self._alias):
            rows = PeriodicTask.objects.using(self._alias)
            now = self._database_now()
            done: list[str] = []
            for row in switched:
                same = rows.filter(pk=row.id, name=row.name, enabled=not row.was_enabled)
                if not same.exists():
                    continue
                if row.was_enabled:
                    self._enable([row.id], now)
                else:
                    same.update(enabled=False, date_changed=now)
                    rows.filter(pk=row.id, total_run_count=row.total_run_count).update(
                        last_run_at=row.last_run_at
                    )
                done.append(row.name)
            if done:
                self._signal(now)
        return tuple(done)

    def _signal(self, now: datetime) -> None:
        """Move beat's change signal forward: later than before even when a clock has jumped back."""
        signals = PeriodicTasks.objects.using(self._alias)
        if connections[self._alias].features.has_select_for_update:
            signals = signals.select_for_update()
        last = signals.filter(ident=1).values_list("last_update", flat=True).first()
        if last is None:
            PeriodicTasks.objects.using(self._alias).create(ident=1, last_update=now)
            return
        moved = max(now, last + timedelta(microseconds=1))
        PeriodicTasks.objects.using(self._alias).filter(ident=1).update(last_update=moved)

    def _database_now(self) -> datetime:
        """The database's clock: beat may run on a machine whose clock differs from ours."""
        connection = connections[self._alias]
        with connection.cursor() as cursor:
            cursor.execute(_NOW[connection.vendor])
            (value,) = cursor.fetchone()
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

    def close(self) -> None:
        self._hang_up()
        del connections[self._alias]
        connections.settings.pop(self._alias, None)


def _identity(file: Path | None) -> tuple[int, int] | None:
    try:
        found = None if file is None else file.stat()
    except OSError:
        return None
    return None if found is None else (found.st_dev, found.st_ino)


def _schedules(rows: Sequence[tuple[Any, ...]]) -> tuple[Schedule, ...]:
    first_key, first_timing = len(_OWN), len(_OWN) + len(_KEYS)
    used: dict[tuple[int, int], int] = {}
    for row in rows:
        for place, key in enumerate(row[first_key:first_timing]):
            if key is not None:
                used[place, key] = used.get((place, key), 0) + 1
    kept: dict[tuple[Any, ...], Timing | None] = {}
    return tuple(
        _schedule(row[:first_key], row[first_key:first_timing], row[first_timing:], used, kept)
        for row in rows
    )


def _schedule(
    own: tuple[Any, ...],
    keys: tuple[Any, ...],
    timings: tuple[Any, ...],
    used: dict[tuple[int, int], int],
    kept: dict[tuple[Any, ...], Timing | None],
) -> Schedule:
    kinds = tuple(kind for kind, key in zip(Kind, keys, strict=True) if key is not None)
    if keys not in kept:
        kept[keys] = _timing(kinds[0], timings) if kinds else None
    shared_by = max((used[place, key] for place, key in enumerate(keys) if key is not None), default=0)
    (
        number, name, task, enabled, args, kwargs, headers, queue, exchange, routing_key, priority, expires,
        expire_seconds, one_off, start_time, last_run_at, total_run_count, date_changed, description,
    ) = own  # fmt: skip
    return Schedule(
        id=number,
        name=name,
        task=task,
        enabled=enabled,
        timing=kept[keys],
        kinds=kinds,
        shared_by=shared_by,
        args=args or "",
        kwargs=kwargs or "",
        headers=headers or "",
        queue=queue or None,
        exchange=exchange or None,
        routing_key=routing_key or None,
        priority=priority,
        expires=expires,
        expire_seconds=expire_seconds,
        one_off=one_off,
        start_time=start_time,
        last_run_at=last_run_at,
        total_run_count=total_run_count,
        date_changed=date_changed,
        description=description or "",
    )


def _timing(kind: Kind, columns: tuple[Any, ...]) -> Timing:
    every, period, minute, hour, dom, month, dow, zone, event, latitude, longitude, at = columns
    match kind:
        case Kind.INTERVAL:
            return Interval(every, period)
        case Kind.CRONTAB:
            return Crontab(minute, hour, dom, month, dow, zone or "UTC")
        case Kind.SOLAR:
            return Solar(event, float(latitude), float(longitude))
        case Kind.CLOCKED:
            return Clocked(at)
