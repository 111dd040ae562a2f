"""The query of the Tasks page: which tasks, in which order, and the place after a row of it.

    state:failed name:*invoice* -worker:web-2 since:1h (error:timeout or runtime:>2s) "connection reset"

Every term must hold unless `or` stands between; `-` means not; commas part alternatives. The language
is told in packaging/manual/tasks-query.md; `query_parser` reads it, `query_terms` are its words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from enum import StrEnum

from console.history.ids import pack_id
from console.history.marks import CODE_OF
from console.history.model import TaskRow, TaskState
from console.history.query_parser import Parser, QueryError
from console.history.query_terms import Node, StateTerm, TimeTerm, all_of, in_quotes, quoted, terms_of

__all__ = [
    "Cursor",
    "QueryError",
    "Sort",
    "TaskQuery",
    "in_quotes",
    "parse_query",
    "quoted",
    "text_with_states",
]


class Sort(StrEnum):
    """What a page can be sorted by; the values are the keys of the table's columns."""

    STATE = "state"
    TASK = "task"
    ID = "id"
    WORKER = "worker"
    QUEUE = "queue"
    RECEIVED = "received"
    WAITED = "waited"
    RUNTIME = "runtime"
    RETRIES = "retries"


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place after a row: its sort value, its instant (the second criterion) and its rowid."""

    value: str | float | int | bytes
    at: float
    rowid: int


@dataclass(frozen=True, slots=True)
class TaskQuery:
    """What to show and in which order; `text` is how it was written.

    `states` are those of the `state:` term that stands for the whole (the chips), empty means all of
    them; `expr` is everything else, None means every task.
    """

    expr: Node | None = None
    states: frozenset[TaskState] = frozenset()
    sort: Sort = Sort.RECEIVED
    descending: bool = True
    text: str = ""

    @property
    def filters(self) -> bool:
        """Whether anything besides the states narrows it down."""
        return self.expr is not None

    @property
    def since_s(self) -> float | None:
        """The shortest span of time in it, in seconds: what fits moves on with the clock. None: none."""
        spans = [term.ago_s for term in terms_of(self.expr) if isinstance(term, TimeTerm)]
        return min((span for span in spans if span is not None), default=None)

    def sorted_by(self, sort: Sort, *, descending: bool) -> TaskQuery:
        return replace(self, sort=sort, descending=descending)

    def with_states(self, states: frozenset[TaskState]) -> TaskQuery:
        """The same with other states; `text` is left as it was."""
        return replace(self, states=states)

    def cursor(self, row: TaskRow) -> Cursor:
        """The place after `row` in this order."""
        return Cursor(sort_value(self.sort, row), _at(row), row.rowid)


def parse_query(text: str, *, zone: tzinfo | None = None, now: datetime | None = None) -> TaskQuery:
    """The query that `text` says. Raises `QueryError`, which marks the wrong word.

    `zone` is that of instants without one (None: the system's), `now` the aware instant from which
    `since:14:00` looks back for the last time that it was two o'clock.
    """
    rest: list[Node] = []
    states: frozenset[TaskState] = frozenset()
    for placed in Parser(text, zone=zone, now=now).parse():
        if not isinstance(placed.node, StateTerm):
            rest.append(placed.node)
            continue
        both = placed.node.states & states if states else placed.node.states
        if not both:
            words = ",".join(
                state.value.lower() for state in TaskState if state in states | placed.node.states
            )
            raise QueryError(
                "No task is in two states at once",
                position=placed.start,
                word=text[placed.start : placed.end],
                remedy=f"Write state:{words} for either.",
            )
        states = both
    return TaskQuery(all_of(rest) if rest else None, states, text=text)


def text_with_states(text: str, states: frozenset[TaskState]) -> str:
    """`text` with the `state:` terms that stand for the whole replaced by `states`, in front.

    A text that cannot be read keeps all but words that begin with `state:`.
    """
    words = ",".join(state.value.lower() for state in TaskState if state in states)
    try:
        placed = Parser(text).parse()
    except QueryError:
        kept = re.sub(r"(?:^|(?<=\s))state:\S*\s*", "", text).strip()
    else:
        kept = " ".join(text[one.start : one.end] for one in placed if not isinstance(one.node, StateTerm))
        if words and placed and placed[0].bare_or:
            kept = f"({kept})"
    return " ".join(part for part in (f"state:{words}" if words else "", kept) if part)


def _at(row: TaskRow) -> float:
    at = row.received or row.sent or row.started or row.ended
    return at.timestamp() if at is not None else 0.0


def sort_value(sort: Sort, row: TaskRow) -> str | float | int | bytes:
    """What the database compares when it sorts by `sort`."""
    match sort:
        case Sort.STATE:
            return CODE_OF[row.state]
        case Sort.TASK:
            return row.name or ""
        case Sort.ID:
            return pack_id(row.id)
        case Sort.WORKER:
            return row.worker or ""
        case Sort.QUEUE:
            return row.queue or ""
        case Sort.RECEIVED:
            return _at(row)
        case Sort.WAITED:
            return -1.0 if row.waited_s is None else row.waited_s
        case Sort.RUNTIME:
            return -1.0 if row.runtime_s is None else row.runtime_s
        case Sort.RETRIES:
            return row.retries
