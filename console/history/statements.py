"""The SQL of pages: which index an order walks along, what that index knows, and where a page goes on.

Every order is total: the sorted column, the instant, the number of the row. So the place after a row is
`(column, at, rowid) < (?, ?, ?)`, and each row is on exactly one page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from console.history.query import Cursor, Sort
from console.history.schema import ROW_COLUMNS, WordKind

COLUMNS = ", ".join(ROW_COLUMNS)
_EVERYWHERE = frozenset({"at", "state", "name", "worker", "queue"})
COVERED: dict[str, frozenset[str]] = {
    "tasks_at": _EVERYWHERE,
    "tasks_runtime": _EVERYWHERE | {"runtime"},
    "tasks_waited": _EVERYWHERE | {"waited"},
    "tasks_retries": _EVERYWHERE | {"retries"},
    "tasks_state": frozenset({"state", "at"}),
    "tasks_name": frozenset({"name", "at"}),
    "tasks_worker": frozenset({"worker", "at"}),
    "tasks_queue": frozenset({"queue", "at"}),
    "tasks_error": frozenset({"error", "at"}),
    "tasks_id": frozenset({"id"}),
}
WIDE_INDEXES = ("tasks_at", "tasks_runtime", "tasks_waited", "tasks_retries")


@dataclass(frozen=True, slots=True)
class Order:
    """How a sort is walked: along `index`, by `keys`; `words` where the words are gone through instead."""

    index: str
    keys: tuple[str, ...]
    words: WordKind | None = None

    @property
    def sorted_keys(self) -> tuple[str, ...]:
        """The keys by which rows found otherwise are sorted into the same order."""
        if self.words is None:
            return self.keys
        word = f"ifnull((SELECT word FROM words WHERE words.id = tasks.{self.keys[0]}), '')"  # noqa: S608
        return (word, *self.keys[1:])


ORDERS: dict[Sort, Order] = {
    Sort.RECEIVED: Order("tasks_at", ("at", "rowid")),
    Sort.STATE: Order("tasks_state", ("state", "at", "rowid")),
    Sort.TASK: Order("tasks_name", ("name", "at", "rowid"), WordKind.NAME),
    Sort.ID: Order("tasks_id", ("id", "rowid")),
    Sort.WORKER: Order("tasks_worker", ("worker", "at", "rowid"), WordKind.WORKER),
    Sort.QUEUE: Order("tasks_queue", ("queue", "at", "rowid"), WordKind.QUEUE),
    Sort.WAITED: Order("tasks_waited", ("waited", "at", "rowid")),
    Sort.RUNTIME: Order("tasks_runtime", ("runtime", "at", "rowid")),
    Sort.RETRIES: Order("tasks_retries", ("retries", "at", "rowid")),
}


def ordered(keys: tuple[str, ...], *, descending: bool) -> str:
    """`ORDER BY` the keys."""
    direction = "DESC" if descending else "ASC"
    return f"ORDER BY {', '.join(f'{key} {direction}' for key in keys)}"


def beyond(keys: tuple[str, ...], after: Cursor | None, *, descending: bool) -> tuple[str, tuple[Any, ...]]:
    """The condition of rows after a place; `1` from the beginning."""
    if after is None:
        return "1", ()
    place: dict[int, tuple[Any, ...]] = {
        3: (after.value, after.at, after.rowid),
        2: (after.value, after.rowid),
    }
    compare = "<" if descending else ">"
    return f"({', '.join(keys)}) {compare} ({', '.join('?' * len(keys))})", place[len(keys)]


def covering(columns: frozenset[str]) -> str | None:
    """The index that knows all of `columns`, so that no row has to be looked up; None: none does."""
    return next((index for index in WIDE_INDEXES if columns <= COVERED[index]), None)
