"""What one visit to the history brings for the list of tasks. Blocking; runs on the history's lane."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from console.history.model import ErrorGroup, Gap, TaskDetail, TaskRow
from console.history.query import Sort, TaskQuery
from console.history.reader import HistoryReader

PAGE_ROWS = 200
WINDOW_ROWS = 3_000
"""So many rows are held; further down, those at the other end are let go."""
GAP_SHOWN_S = 900.0
GROUPS = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to read.

    `held` are the rows in view that must stay, empty to read the first page. `top` is the first row of the
    list as it was read last: what stands before it now is new. `change` is the history's number then.
    """

    query: TaskQuery
    held: tuple[TaskRow, ...] = ()
    top: TaskRow | None = None
    change: int = -1
    details: Mapping[str, TaskDetail] | None = None
    groups: bool = False
    keep: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read. `fresh`: the rows are the first page; else those that were held, as they are now.

    `details` is None when no column needs them.
    """

    rows: tuple[TaskRow, ...]
    fresh: bool
    more: bool
    pending: int
    gaps: tuple[Gap, ...]
    change: int
    took_ms: float
    details: Mapping[str, TaskDetail] | None = None
    groups: tuple[ErrorGroup, ...] | None = None


def read(reader: HistoryReader, wanted: Wanted) -> Reading:
    """The first page, or what changed among the rows that are held."""
    query, held = wanted.query, wanted.held
    began_s = time.perf_counter()
    now_change = reader.change()
    fresh = not held
    rows: tuple[TaskRow, ...] = ()
    more = False
    if fresh:
        rows = tuple(reader.page(query, None, PAGE_ROWS))
        more = len(rows) == PAGE_ROWS
    else:
        rows = _as_they_are_now(reader, held, wanted.change)
    pending = _pending(reader, query, wanted.top) if held else 0
    took_ms = (time.perf_counter() - began_s) * 1000
    return Reading(
        rows=rows,
        fresh=fresh,
        more=more,
        pending=pending,
        gaps=tuple(reader.gaps(since_s=GAP_SHOWN_S)),
        change=now_change,
        took_ms=took_ms,
        details=details_of(reader, rows, wanted.details),
        groups=tuple(reader.error_groups(query, limit=GROUPS)) if wanted.groups else None,
    )


def read_top(reader: HistoryReader, wanted: Wanted) -> Reading:
    """As `read` for the first page, but when a row of `keep` would fall out of it, the rows that are held
    stay as they are and the new ones wait: what a person has selected does not go away under them.
    """
    reading = read(reader, replace(wanted, held=(), top=None))
    ids = {row.id for row in reading.rows}
    if not any(row.id in wanted.keep and row.id not in ids for row in wanted.held):
        return reading
    held = read(reader, replace(wanted, groups=False))
    return replace(held, groups=reading.groups)


def page_after(reader: HistoryReader, query: TaskQuery, last: TaskRow) -> list[TaskRow]:
    """The page behind `last`."""
    return reader.page(query, query.cursor(last), PAGE_ROWS)


def page_before(reader: HistoryReader, query: TaskQuery, first: TaskRow) -> list[TaskRow]:
    """The page in front of `first`, in the order of the query."""
    turned = query.sorted_by(query.sort, descending=not query.descending)
    return reader.page(turned, turned.cursor(first), PAGE_ROWS)[::-1]


def details_of(
    reader: HistoryReader, rows: Iterable[TaskRow], known: Mapping[str, TaskDetail] | None
) -> Mapping[str, TaskDetail] | None:
    """What a list does not read of `rows`; what is `known` of rows that have not changed is kept."""
    if known is None:
        return None
    found: dict[str, TaskDetail] = {}
    for row in rows:
        detail = known.get(row.id)
        if detail is None or detail.row.change != row.change:
            detail = reader.detail(row.id)
        if detail is not None:
            found[row.id] = detail
    return found


def _as_they_are_now(reader: HistoryReader, held: tuple[TaskRow, ...], change: int) -> tuple[TaskRow, ...]:
    changed = {row.id: row for row in reader.changed_since(change, [row.id for row in held])}
    return tuple([changed.get(row.id, row) for row in held]) if changed else held


def _pending(reader: HistoryReader, query: TaskQuery, top: TaskRow | None) -> int:
    if top is None or query.sort is not Sort.RECEIVED or not query.descending:
        return 0
    return reader.newer(query, top)
