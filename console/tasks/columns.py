"""The columns that the table `Tasks` can have: which there are, and which are shown at first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from console.history.query import Sort


@dataclass(frozen=True, slots=True)
class TaskColumn:
    """`from_detail`: it is not in what a list reads; that is read only while the column is shown."""

    key: str
    title: str
    from_detail: bool = False
    at_first: bool = False

    @property
    def sortable(self) -> bool:
        return self.key in _SORTS


_SORTS = frozenset(sort.value for sort in Sort)

COLUMNS = (
    TaskColumn("state", "State", at_first=True),
    TaskColumn("task", "Task", at_first=True),
    TaskColumn("id", "ID", at_first=True),
    TaskColumn("worker", "Worker", at_first=True),
    TaskColumn("queue", "Queue", at_first=True),
    TaskColumn("received", "Received", at_first=True),
    TaskColumn("waited", "Waited", at_first=True),
    TaskColumn("runtime", "Runtime", at_first=True),
    TaskColumn("retries", "Retries", at_first=True),
    TaskColumn("sent", "Sent"),
    TaskColumn("started", "Started"),
    TaskColumn("ended", "Ended"),
    TaskColumn("args", "Args", from_detail=True),
    TaskColumn("kwargs", "Kwargs", from_detail=True),
    TaskColumn("result", "Result", from_detail=True),
    TaskColumn("error", "Error", from_detail=True),
    TaskColumn("root", "Root", from_detail=True),
    TaskColumn("parent", "Parent", from_detail=True),
    TaskColumn("pid", "PID", from_detail=True),
    TaskColumn("reason", "Reason", from_detail=True),
)
COLUMN = {column.key: column for column in COLUMNS}
AT_FIRST = tuple(column.key for column in COLUMNS if column.at_first)
USUAL_PANEL_PX = 350
FIXED = "state"
"""The column that is always there: a row without its state would say nothing."""


def known_columns(keys: Iterable[str]) -> tuple[str, ...]:
    """Those of `keys` that there are, each once, with the state; the first ones when none is left."""
    kept = tuple(dict.fromkeys(key for key in keys if key in COLUMN))
    if not kept:
        return AT_FIRST
    return kept if FIXED in kept else (FIXED, *kept)


def toggled(columns: tuple[str, ...], key: str, wanted: bool) -> tuple[str, ...]:
    """`columns` with one more at its usual place, or one less."""
    if wanted == (key in columns):
        return columns
    if not wanted:
        return columns if key == FIXED else tuple(one for one in columns if one != key)
    order = [column.key for column in COLUMNS]
    before = [one for one in columns if order.index(one) < order.index(key)]
    at = columns.index(before[-1]) + 1 if before else 0
    return (*columns[:at], key, *columns[at:])


def moved(columns: tuple[str, ...], key: str, by: int) -> tuple[str, ...]:
    """`columns` with one of them some places to the right (left when negative), as far as there is room."""
    rest = [one for one in columns if one != key]
    at = min(max(columns.index(key) + by, 0), len(rest))
    return (*rest[:at], key, *rest[at:])


@dataclass(frozen=True, slots=True)
class TableLayout:
    """How the table stands: its columns in order, the widths a person gave (pixels), and how it is sorted;
    and the panel beside it: its width (pixels) and whether it is shown at all.
    """

    columns: tuple[str, ...] = AT_FIRST
    widths: Mapping[str, int] = field(default_factory=dict)
    sort: str = Sort.RECEIVED.value
    descending: bool = True
    panel_px: int = USUAL_PANEL_PX
    panel_shown: bool = True

    @property
    def needs_detail(self) -> bool:
        """Whether a column is shown that a list does not read."""
        return any(COLUMN[key].from_detail for key in self.columns)
