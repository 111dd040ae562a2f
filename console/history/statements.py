"""From a query to SQL: which index leads, and what is left to filter on the way.

Words with `*` are resolved against the distinct names first (there are few), so the statement only
compares for equality and an index can lead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from console.history.ids import pack_id, prefix_range
from console.history.marks import CODE_OF
from console.history.model import TaskState
from console.history.query import Cursor, Sort, TaskQuery
from console.history.query_terms import And, Field, IdTerm, NameTerm, Node, Not, StateTerm, TextTerm
from console.history.schema import ROW_COLUMNS, WordKind

NEWEST_SEARCHED = 50_000
MAX_BRANCHES = 24
COLUMNS = ", ".join(ROW_COLUMNS)

SORT_COLUMNS: dict[Sort, str] = {
    Sort.STATE: "state",
    Sort.TASK: "name",
    Sort.ID: "id",
    Sort.WORKER: "worker",
    Sort.QUEUE: "queue",
    Sort.RECEIVED: "at",
    Sort.WAITED: "waited",
    Sort.RUNTIME: "runtime",
    Sort.RETRIES: "retries",
}
SECOND_BY_INSTANT = frozenset({"state", "name", "worker", "queue"})
_WORD_FIELDS = {
    Field.NAME: (WordKind.NAME, "name"),
    Field.WORKER: (WordKind.WORKER, "worker"),
    Field.QUEUE: (WordKind.QUEUE, "queue"),
}
_TEXT_COLUMNS = ("args", "kwargs", "result", "exception")
Words = Callable[[WordKind], Sequence[tuple[int, str]]]


@dataclass(frozen=True, slots=True)
class Term:
    field: Field | None
    value: str
    negated: bool = False


def _terms(expr: Node | None) -> list[Term]:
    """The simple terms of a query that are joined by and; until the planner takes whole trees."""
    found: list[Term] = []
    for part in expr.parts if isinstance(expr, And) else (() if expr is None else (expr,)):
        negated = isinstance(part, Not)
        one = part.part if isinstance(part, Not) else part
        if isinstance(one, NameTerm):
            found += [Term(one.field, value, negated) for value in one.values]
        elif isinstance(one, IdTerm):
            found += [Term(Field.ID, value, negated) for value in one.prefixes]
        elif isinstance(one, TextTerm):
            found.append(Term(None, one.words, negated))
    return found


def _not_states(expr: Node | None) -> set[TaskState]:
    parts = expr.parts if isinstance(expr, And) else (() if expr is None else (expr,))
    return {
        state
        for part in parts
        if isinstance(part, Not) and isinstance(part.part, StateTerm)
        for state in part.part.states
    }


@dataclass(slots=True)
class Condition:
    """A WHERE clause in parts. `branches` are alternatives of one column that an index may lead by."""

    parts: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    branches: dict[str, list[Any]] = field(default_factory=dict)
    nothing: bool = False

    def add(self, part: str, *values: Any) -> None:
        self.parts.append(part)
        self.values.extend(values)


def condition(
    query: TaskQuery, *, words: Words, now: float, highest_rowid: int, states: bool = True
) -> Condition:
    """What `query` asks for; `states=False` leaves the states out (for the counts on the chips)."""
    where = Condition()
    terms = _terms(query.expr)
    if states:
        wanted = (query.states or frozenset(TaskState)) - _not_states(query.expr)
        if not wanted:
            where.nothing = True
        elif len(wanted) < len(TaskState):
            where.branches["state"] = sorted(CODE_OF[state] for state in wanted)
    if query.since_s is not None:
        where.add("at >= ?", now - query.since_s)
    for name, (kind, column) in _WORD_FIELDS.items():
        _words(where, column, [term for term in terms if term.field is name], words(kind))
    _ids(where, [term for term in terms if term.field is Field.ID])
    texts = [term for term in terms if term.field is None]
    for term in texts:
        _text(where, term, words(WordKind.NAME))
    if texts and not all(_is_whole_id(term) for term in texts):
        where.add("rowid > ?", highest_rowid - NEWEST_SEARCHED)
    return where


def page_statement(
    query: TaskQuery, where: Condition, after: Cursor | None, limit: int, *, few_states: bool = False
) -> tuple[str, list[Any]]:
    """The rows of a page: along the index of the sorted column, or one index-led branch per alternative.

    `few_states`: the wanted states have so few tasks that finding those and sorting them is cheapest.
    """
    column = SORT_COLUMNS[query.sort]
    direction, compare = ("DESC", "<") if query.descending else ("ASC", ">")
    # The indexes on words and states go on by instant, so that is the second criterion there.
    second = column in SECOND_BY_INSTANT
    if column in ("name", "worker", "queue"):
        column = f"ifnull((SELECT word FROM words WHERE words.id = tasks.{column}), '')"  # noqa: S608
    key = (column, "at", "rowid") if second else (column, "rowid")
    keys: list[Any] = []
    if after is not None:
        keys = [after.value, after.at, after.rowid] if second else [after.value, after.rowid]
    unled = "+" if few_states and query.sort is not Sort.RECEIVED else ""
    order = f"ORDER BY {unled}{f' {direction}, '.join(key)} {direction} LIMIT {int(limit)}"
    keyset = f" AND ({unled}{', '.join(key)}) {compare} ({', '.join('?' * len(key))})" if keys else ""
    leader = _leader(where) if query.sort is Sort.RECEIVED else None
    if leader is None:
        rest, values = _rest(where, None, led_by_state=bool(unled))
        return f"SELECT {COLUMNS} FROM tasks WHERE {rest or '1'}{keyset} {order}", [*values, *keys]  # noqa: S608
    rest, rest_values = _rest(where, leader)
    branches: list[str] = []
    values = []
    for value in where.branches[leader]:
        clause = f"{leader} = ?{f' AND {rest}' if rest else ''}{keyset}"
        branches.append(f"SELECT * FROM (SELECT {COLUMNS}, at AS key FROM tasks WHERE {clause} {order})")  # noqa: S608
        values += [value, *rest_values, *keys]
    union = " UNION ALL ".join(branches)
    merged = f"SELECT {COLUMNS} FROM ({union}) ORDER BY key {direction}, rowid {direction} LIMIT {int(limit)}"  # noqa: S608
    return merged, values


def count_statement(where: Condition, at_most: int) -> tuple[str, list[Any]]:
    """Tasks by state among the newest `at_most` that fit."""
    rest, values = _rest(where, None)
    newest = f"SELECT state FROM tasks WHERE {rest or '1'} ORDER BY at DESC LIMIT {int(at_most)}"  # noqa: S608
    return f"SELECT state, count(*) FROM ({newest}) GROUP BY state", values  # noqa: S608


def _leader(where: Condition) -> str | None:
    """The column whose index finds the fewest rows, as far as one can tell without statistics."""
    succeeded = CODE_OF[TaskState.SUCCEEDED]
    if "state" in where.branches and succeeded not in where.branches["state"]:
        return "state"
    for column in ("name", "queue", "worker"):
        if 0 < len(where.branches.get(column, ())) <= MAX_BRANCHES:
            return column
    return None


def _rest(where: Condition, leader: str | None, *, led_by_state: bool = False) -> tuple[str, list[Any]]:
    """Everything but the leading column. The unary plus keeps SQLite from choosing another index."""
    parts, values = list(where.parts), list(where.values)
    for column, alternatives in where.branches.items():
        if column != leader:
            plus = "" if led_by_state and column == "state" else "+"
            parts.append(f"{plus}{column} IN ({', '.join('?' * len(alternatives))})")
            values += alternatives
    return " AND ".join(parts), values


def _words(where: Condition, column: str, terms: list[Term], known: Sequence[tuple[int, str]]) -> None:
    wanted = [term.value for term in terms if not term.negated]
    unwanted = [term.value for term in terms if term.negated]
    if not wanted and not unwanted:
        return
    if wanted:
        found = [
            number
            for number, word in known
            if any(matches(word, value) for value in wanted)
            and not any(matches(word, value) for value in unwanted)
        ]
        if not found:
            where.nothing = True
        where.branches[column] = found
        return
    excluded = [number for number, word in known if any(matches(word, value) for value in unwanted)]
    if excluded:
        where.add(f"+{column} NOT IN ({', '.join('?' * len(excluded))})", *excluded)


def matches(word: str, wanted: str) -> bool:
    """Whether a name, worker or queue is meant by `wanted`: whole, by its last part, or with `*`."""
    low, value = word.lower(), wanted.lower()
    if "*" in value:
        return fnmatchcase(low, value.replace("[", "[[]").replace("?", "[?]"))
    return low == value or low.endswith((f".{value}", f"@{value}"))


def _ids(where: Condition, terms: list[Term]) -> None:
    for negated in (False, True):
        parts: list[str] = []
        values: list[Any] = []
        for term in terms:
            if term.negated is not negated:
                continue
            prefix = term.value.rstrip("*")
            parts.append("id = ?")
            values.append(pack_id(prefix))
            between = prefix_range(prefix)
            if between is not None:
                parts.append("id BETWEEN ? AND ?")
                values += between
            if term.value.endswith("*"):
                parts.append("(id >= ? AND id < ?)")
                values += [prefix, f"{prefix}\U0010ffff"]
        if parts:
            where.add(f"{'NOT ' if negated else ''}({' OR '.join(parts)})", *values)


def _is_whole_id(term: Term) -> bool:
    return not term.negated and isinstance(pack_id(term.value.lower()), bytes)


def _text(where: Condition, term: Term, names: Sequence[tuple[int, str]]) -> None:
    if _is_whole_id(term):
        where.add("id = ?", pack_id(term.value.lower()))
        return
    escaped = term.value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    likes = " OR ".join(f"ifnull(texts.{column}, '') LIKE ? ESCAPE '\\'" for column in _TEXT_COLUMNS)
    parts = [f"EXISTS (SELECT 1 FROM texts WHERE texts.rowid = tasks.rowid AND ({likes}))"]  # noqa: S608
    values: list[Any] = [f"%{escaped}%"] * len(_TEXT_COLUMNS)
    named = [number for number, name in names if term.value.lower() in name.lower()]
    if named:
        parts.append(f"+name IN ({', '.join('?' * len(named))})")
        values += named
    parts.append("(typeof(id) = 'text' AND id LIKE ? ESCAPE '\\')")
    values.append(f"%{escaped}%")
    digits = term.value.lower().replace("-", "")
    if digits and all(digit in "0123456789abcdef" for digit in digits):
        parts.append("(typeof(id) = 'blob' AND hex(id) LIKE ?)")
        values.append(f"%{digits}%")
    where.add(f"{'NOT ' if term.negated else ''}({' OR '.join(parts)})", *values)
