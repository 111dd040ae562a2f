"""The query language of the Tasks page: words and `field:value` terms, parsed with positions.

    state:failed name:*invoice* -worker:celery@web-2 since:1h "connection reset"

Terms must all hold; several terms of one field are alternatives. `-` before a term negates it. Text
without a field is searched in id, name, arguments, result and exception.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum

from console.core.errors import Cause, ConsoleError
from console.history.ids import pack_id
from console.history.marks import CODE_OF
from console.history.model import TaskRow, TaskState

MAX_QUERY = 2000


class Field(StrEnum):
    STATE = "state"
    NAME = "name"
    WORKER = "worker"
    QUEUE = "queue"
    ID = "id"
    SINCE = "since"


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
class Term:
    """`field` None is free text. `value` is as it was written, without quotes."""

    field: Field | None
    value: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place after a row: its sort value, its instant (the second criterion) and its rowid."""

    value: str | float | int | bytes
    at: float
    rowid: int


@dataclass(frozen=True, slots=True)
class TaskQuery:
    """What to show and in which order. `states` are alternatives, empty means all of them."""

    terms: tuple[Term, ...] = ()
    states: frozenset[TaskState] = frozenset()
    not_states: frozenset[TaskState] = frozenset()
    since_s: float | None = None
    sort: Sort = Sort.RECEIVED
    descending: bool = True

    @property
    def searches_text(self) -> bool:
        """Whether free text is part of it: then only the newest tasks are searched."""
        return any(term.field is None for term in self.terms)

    @property
    def filters(self) -> bool:
        """Whether anything besides the states narrows it down."""
        return bool(self.terms) or self.since_s is not None

    def sorted_by(self, sort: Sort, *, descending: bool) -> TaskQuery:
        return replace(self, sort=sort, descending=descending)

    def with_states(self, states: frozenset[TaskState]) -> TaskQuery:
        return replace(self, states=states)

    def cursor(self, row: TaskRow) -> Cursor:
        """The place after `row` in this order."""
        return Cursor(sort_value(self.sort, row), _at(row), row.rowid)


class QueryError(ConsoleError):
    """A query that cannot be read. `position` counts characters from 0, `word` is what stands there."""

    def __init__(self, title: str, *, position: int, word: str, remedy: str) -> None:
        super().__init__(
            title, detail=f"At character {position + 1}: {word}", remedy=remedy, cause=Cause.INVALID
        )
        self.position = position
        self.word = word


_PIECE = re.compile(r'(?P<minus>-)?(?:(?P<field>[A-Za-z_]+):)?(?P<value>"(?:[^"\\]|\\.)*"|[^\s"]\S*)?')
_SPAN = re.compile(r"(?P<number>\d{1,6})(?P<unit>[smhdw])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_STATE_WORDS = {state.value.lower(): state for state in TaskState} | {
    "pending": TaskState.SENT,
    "success": TaskState.SUCCEEDED,
    "failure": TaskState.FAILED,
    "retry": TaskState.RETRYING,
}


def parse_query(text: str) -> TaskQuery:
    """The query that `text` says. Raises `QueryError` that names position and word."""
    if len(text) > MAX_QUERY:
        raise QueryError("The query is too long", position=MAX_QUERY, word="…", remedy="Shorten it.")
    terms: list[Term] = []
    states: set[TaskState] = set()
    not_states: set[TaskState] = set()
    since_s: float | None = None
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        found = _PIECE.match(text, position)
        piece = text[position : found.end()] if found is not None else ""
        if found is None or not piece or (text[position] == '"' and found["value"] is None):
            raise QueryError(
                "A quote is not closed", position=position, word=text[position:], remedy='Add a " at the end.'
            )
        field, value, negated = _parts(found, piece, position)
        if field is Field.STATE:
            (not_states if negated else states).update(_states(value, position, piece))
        elif field is Field.SINCE:
            since_s = _span(value, negated, position, piece)
        else:
            terms.append(Term(field, value, negated))
        position = found.end()
    return TaskQuery(tuple(terms), frozenset(states), frozenset(not_states), since_s)


def _parts(found: re.Match[str], piece: str, position: int) -> tuple[Field | None, str, bool]:
    raw = found["value"] or ""
    value = re.sub(r"\\(.)", r"\1", raw[1:-1]) if raw.startswith('"') else raw
    negated = found["minus"] is not None
    name = found["field"]
    if name is None:
        # A lone minus, or text such as "-", is text.
        return None, value or piece, negated and bool(value)
    if name.lower() not in set(Field):
        raise QueryError(
            f"There is no field {name}",
            position=position + negated,
            word=name,
            remedy=f"Known are {', '.join(Field)}. Quote text that has a colon in it.",
        )
    if not value:
        raise QueryError(
            f"{name}: has no value", position=position, word=piece, remedy=f"Write it as {name}:something."
        )
    return Field(name.lower()), value, negated


def _states(value: str, position: int, piece: str) -> set[TaskState]:
    found: set[TaskState] = set()
    for word in value.split(","):
        state = _STATE_WORDS.get(word.lower())
        if state is None:
            raise QueryError(
                f"{word or 'Nothing'} is not a state",
                position=position + piece.find(value) + value.find(word),
                word=word,
                remedy=f"States are {', '.join(state.value.lower() for state in TaskState)}.",
            )
        found.add(state)
    return found


def _span(value: str, negated: bool, position: int, piece: str) -> float:
    match = _SPAN.fullmatch(value.lower())
    if match is None or negated:
        raise QueryError(
            "This is not a span of time",
            position=position + max(piece.find(value), 0),
            word=value,
            remedy="Write since:15m, since:1h or since:7d.",
        )
    return float(int(match["number"]) * _UNIT_S[match["unit"]])


def text_with_states(text: str, states: frozenset[TaskState]) -> str:
    """`text` with its `state:` terms replaced by those of `states`, in front; the rest stays as it is."""
    kept: list[str] = []
    position = 0
    while position < len(text):
        found = _PIECE.match(text, position)
        if text[position].isspace() or found is None or found.end() == position:
            position += 1
            continue
        if found["minus"] or (found["field"] or "").lower() != Field.STATE:
            kept.append(found.group())
        position = found.end()
    words = ",".join(state.value.lower() for state in TaskState if state in states)
    return " ".join([f"state:{words}", *kept] if words else kept)


def quoted(value: str) -> str:
    """`value` as it must be written in a query to mean itself."""
    if value and not re.search(r'[\s"\\:]', value) and not value.startswith("-"):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


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
