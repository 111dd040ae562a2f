"""A query with its words looked up: what SQL can test on a row's columns, and what only its texts tell.

Names, workers and queues become numbers, so that statements compare integers; free text becomes a phrase
in one of the full-text tables, beside the names and ids that have it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import translate
from typing import Any, assert_never

from console.history.ids import pack_id, prefix_range
from console.history.marks import CODE_OF
from console.history.plan_texts import Phrase, Texts, argument_test, words_of
from console.history.query_terms import (
    And,
    ArgumentTerm,
    Field,
    FingerprintTerm,
    IdTerm,
    NameTerm,
    Node,
    Not,
    Or,
    RangeTerm,
    StateTerm,
    TextTerm,
    TimeTerm,
)
from console.history.schema import WordKind

Words = Callable[[WordKind], Sequence[tuple[int, str]]]
COMPARED_ONE_BY_ONE = 4
FREE_ID = re.compile(r"[0-9a-fA-F-]{4,36}")
_KINDS = {
    Field.NAME: (WordKind.NAME, "name"),
    Field.WORKER: (WordKind.WORKER, "worker"),
    Field.QUEUE: (WordKind.QUEUE, "queue"),
}
_LAST = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Fixed:
    """True or false of every row."""

    holds: bool


@dataclass(frozen=True, slots=True)
class Column:
    """A test of one column. `leads` are conditions by which the column's index finds just these rows."""

    column: str
    sql: str
    values: tuple[Any, ...] = ()
    leads: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    numbers: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class InText:
    """A test of the texts. `match` finds candidates in the full-text `table`; None: nothing leads there.

    `whole` finds rows that surely fit, perhaps not all of them: it is quicker to ask for than a beginning.
    `wider` finds more candidates, in less time where they are few.
    """

    table: str
    match: str | None
    fits: Callable[[Texts], bool]
    whole: str | None = None
    wider: str | None = None


@dataclass(frozen=True, slots=True)
class Both:
    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Either:
    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Unless:
    part: Tree


Tree = Fixed | Column | InText | Both | Either | Unless
Sql = tuple[str, tuple[Any, ...]]


def both(parts: list[Tree]) -> Tree:
    flat = [one for part in parts for one in (part.parts if isinstance(part, Both) else (part,))]
    if any(isinstance(one, Fixed) and not one.holds for one in flat):
        return Fixed(holds=False)
    flat = [one for one in flat if not isinstance(one, Fixed)]
    if not flat:
        return Fixed(holds=True)
    return flat[0] if len(flat) == 1 else Both(tuple(flat))


def either(parts: list[Tree]) -> Tree:
    flat = [one for part in parts for one in (part.parts if isinstance(part, Either) else (part,))]
    if any(isinstance(one, Fixed) and one.holds for one in flat):
        return Fixed(holds=True)
    flat = [one for one in flat if not isinstance(one, Fixed)]
    if not flat:
        return Fixed(holds=False)
    return flat[0] if len(flat) == 1 else Either(tuple(flat))


def conjuncts(tree: Tree) -> tuple[Tree, ...]:
    """What must all hold."""
    return tree.parts if isinstance(tree, Both) else (tree,)


def leaves(tree: Tree) -> Iterator[Column | InText]:
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Both | Either):
            waiting += reversed(one.parts)
        elif isinstance(one, Unless):
            waiting.append(one.part)
        elif not isinstance(one, Fixed):
            yield one


def has_text(tree: Tree) -> bool:
    return any(isinstance(one, InText) for one in leaves(tree))


def resolved(node: Node | None, *, words: Words, now: float) -> Tree:  # noqa: C901 - a line per kind
    """`node` for a history that has `words`, at the instant `now` (epoch)."""
    match node:
        case None:
            return Fixed(holds=True)
        case And(parts):
            return both([resolved(part, words=words, now=now) for part in parts])
        case Or(parts):
            return either([resolved(part, words=words, now=now) for part in parts])
        case Not(StateTerm(states)):
            return _numbers("state", [code for state, code in CODE_OF.items() if state not in states])
        case Not(part):
            inner = resolved(part, words=words, now=now)
            if isinstance(inner, Fixed):
                return Fixed(holds=not inner.holds)
            return inner.part if isinstance(inner, Unless) else Unless(inner)
        case StateTerm(states):
            return _numbers("state", sorted(CODE_OF[state] for state in states))
        case NameTerm(field, values):
            kind, column = _KINDS[field]
            fits = [word_test(value) for value in values]
            return _numbers(column, [n for n, word in words(kind) if any(fit(word) for fit in fits)])
        case IdTerm(prefixes):
            return either([_id(prefix) for prefix in prefixes])
        case FingerprintTerm(numbers):
            return _numbers("error", sorted(number for number in numbers if number > 0))
        case TextTerm():
            return _text(node, words)
        case ArgumentTerm():
            return _argument(node)
        case RangeTerm():
            return _range(node)
        case TimeTerm():
            return _time(node, now)
        case _:
            assert_never(node)


def word_test(wanted: str) -> Callable[[str], bool]:
    """Whether a name, worker or queue is meant by `wanted`: whole, by its last part, or with `*`."""
    value = wanted.lower()
    if "*" in value:
        fits = re.compile(translate(value.replace("[", "[[]").replace("?", "[?]"))).match
        return lambda word: fits(word.lower()) is not None
    ends = (f".{value}", f"@{value}")
    return lambda word: word.lower() == value or word.lower().endswith(ends)


def _numbers(column: str, numbers: list[int]) -> Tree:
    if not numbers:
        return Fixed(holds=False)
    if len(numbers) <= COMPARED_ONE_BY_ONE:
        sql = " OR ".join(f"{column} = {number}" for number in numbers)
        sql = f"({sql})" if len(numbers) > 1 else sql
    else:
        sql = f"{column} IN ({', '.join(map(str, numbers))})"
    others = [code for code in CODE_OF.values() if code not in numbers] if column == "state" else []
    if others and len(others) < len(numbers):
        sql = f"({' AND '.join(f'state != {other}' for other in others)})"
    some = f"{column} IN ({', '.join(map(str, numbers))})"
    lead = f"{column} > 0 AND {some}" if column == "error" else some
    return Column(column, sql, leads=((lead, ()),), numbers=frozenset(numbers))


def _id(prefix: str) -> Tree:
    """Ids that are UUIDs are found by their digits, others by their characters."""
    leads: list[Sql] = []
    between = prefix_range(prefix)
    if between is not None:
        leads.append(("id BETWEEN ? AND ?", between))
    packed = pack_id(prefix.lower())
    if isinstance(packed, bytes):
        leads = [("id = ?", (packed,)), ("id = ?", (prefix,))]
    else:
        leads.append(("id >= ? AND id < ?", (prefix, prefix + _LAST)))
    sql = f"({' OR '.join(f'({lead})' for lead, _ in leads)})"
    return Column("id", sql, tuple(value for _, values in leads for value in values), tuple(leads))


def _text(term: TextTerm, words: Words) -> Tree:
    phrase = Phrase(words_of(term.words), begins=not term.exact)
    if not phrase.words:
        return Fixed(holds=False)
    fits = phrase.fits

    def in_call(texts: Texts) -> bool:
        return fits(texts[0]) or fits(texts[1])

    def in_outcome(texts: Texts) -> bool:
        return fits(texts[2]) or fits(texts[3])

    match term.field:
        case Field.ARGS:
            return InText("call", phrase.match, in_call, phrase.whole)
        case Field.RESULT:
            match, whole = f"result : {phrase.match}", f"result : {phrase.whole}"
            return InText("outcome", match, lambda texts: fits(texts[2]), whole)
        case Field.ERROR:
            match, whole = f"exception : {phrase.match}", f"exception : {phrase.whole}"
            return InText("outcome", match, lambda texts: fits(texts[3]), whole)
    parts: list[Tree] = [_numbers("name", [number for number, name in words(WordKind.NAME) if fits(name)])]
    if FREE_ID.fullmatch(term.words) or len(term.words) >= 4:
        parts.append(_free_id(term.words))
    parts.append(InText("call", phrase.match, in_call, phrase.whole))
    parts.append(InText("outcome", phrase.match, in_outcome, phrase.whole))
    return either(parts)


def _free_id(word: str) -> Tree:
    """Free text as the beginning of an id; of a UUID only when it has at least four digits."""
    if FREE_ID.fullmatch(word) and len(word.replace("-", "")) >= 4:
        return _id(word)
    lead = ("id >= ? AND id < ?", (word, word + _LAST))
    return Column("id", f"({lead[0]})", lead[1], (lead,))


def _argument(term: ArgumentTerm) -> Tree:
    """The value behind its key is a phrase in the index, which finds candidates; the display text decides."""
    known, star, _ = term.value.partition("*")
    readable = "\\" not in known and known.isascii()
    value_words = words_of(known) if readable else []
    words = value_words if term.path[-1].isdigit() else [*words_of(term.path[-1]), *value_words]
    begins = bool(star) and readable and known[-1:].isalnum()
    phrase = Phrase(words, begins=begins)
    column = "args" if term.path[0].isdigit() else "kwargs"
    fits = argument_test(term.path, term.value, phrase.fits if words else bool)
    wider = Phrase(value_words, begins=begins) if value_words and words != value_words else None
    return InText(
        "call",
        f"{column} : {phrase.match}" if words else None,
        fits,
        wider=f"{column} : {wider.match}" if wider is not None else None,
    )


def _range(term: RangeTerm) -> Tree:
    column = str(term.field)
    parts: list[str] = []
    values: list[float] = []
    if term.low is not None:
        parts.append(f"{column} {'>' if term.low_open else '>='} ?")
        values.append(term.low)
    else:
        parts.append(f"{column} >= 0")  # unknown is less than nothing
    if term.high is not None:
        parts.append(f"{column} {'<' if term.high_open else '<='} ?")
        values.append(term.high)
    sql = " AND ".join(parts)
    return Column(column, f"({sql})", tuple(values), ((sql, tuple(values)),))


def _time(term: TimeTerm, now: float) -> Tree:
    instant = max(term.at.timestamp() if term.at is not None else now - (term.ago_s or 0.0), 1.0)
    sql = "at >= ?" if term.field is Field.SINCE else "at > 0 AND at < ?"  # unknown is not long ago
    return Column("at", f"({sql})", (instant,), ((sql, (instant,)),))


def implied(tree: Tree) -> Sql | None:
    """What SQL can say of every row that fits; None: nothing."""
    match tree:
        case Fixed(holds):
            return None if holds else ("0", ())
        case Column(_, sql, values):
            return sql, values
        case InText():
            return None
        case Both(parts):
            found = [implied(part) for part in sorted(parts, key=_cost)]
            return _joined([one for one in found if one is not None], "AND")
        case Either(parts):
            found = [implied(part) for part in parts]
            return None if None in found else _joined([one for one in found if one is not None], "OR")
        case Unless(part):
            inner = implying(part)
            return None if inner is None else (f"NOT ({inner[0]})", inner[1])
        case _:
            assert_never(tree)


def _cost(tree: Tree) -> int:
    """What is quick to test comes first: SQLite tests in the order of writing."""
    if isinstance(tree, Unless):
        return _cost(tree.part)
    if not isinstance(tree, Column):
        return 3
    if tree.column == "state" or len(tree.numbers) == 1:
        return 0
    return 2 if len(tree.numbers) > COMPARED_ONE_BY_ONE else 1


def implying(tree: Tree) -> Sql | None:
    """What of a row, as SQL sees it, is enough for it to fit; None: nothing is."""
    match tree:
        case Fixed(holds):
            return ("1", ()) if holds else None
        case Column(_, sql, values):
            return sql, values
        case InText():
            return None
        case Both(parts):
            found = [implying(part) for part in parts]
            return None if None in found else _joined([one for one in found if one is not None], "AND")
        case Either(parts):
            return _joined([one for one in map(implying, parts) if one is not None], "OR")
        case Unless(part):
            inner = implied(part)
            return None if inner is None else (f"NOT ({inner[0]})", inner[1])
        case _:
            assert_never(tree)


def _joined(parts: list[Sql], operator: str) -> Sql | None:
    if not parts:
        return None
    sql = f" {operator} ".join(sql for sql, _ in parts)
    return (f"({sql})" if len(parts) > 1 else sql), tuple(value for _, values in parts for value in values)


RowTest = Callable[[Sequence[Any], Texts], bool]


def row_test(tree: Tree, places: dict[Column, int]) -> RowTest:
    """Whether a row fits: of the truths of its columns, each at its place, and its texts."""
    match tree:
        case Fixed(holds):
            return lambda _truths, _texts: holds
        case Column():
            place = places[tree]
            return lambda truths, _texts: bool(truths[place])
        case InText():
            told = tree.fits
            return lambda _truths, texts: told(texts)
        case Both(parts):
            tests = [row_test(part, places) for part in parts]
            return lambda truths, texts: all(test(truths, texts) for test in tests)
        case Either(parts):
            tests = [row_test(part, places) for part in parts]
            return lambda truths, texts: any(test(truths, texts) for test in tests)
        case Unless(part):
            inner = row_test(part, places)
            return lambda truths, texts: not inner(truths, texts)
        case _:
            assert_never(tree)
