"""What a query says, as a tree: terms joined by and, or and not; and how a tree is written again.

Everything here is a value without behaviour. Who parses stands in `query_parser`, who answers in
`plan`; printing a tree and parsing it gives the same tree, so that a tree can be kept as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import assert_never

from console.history.model import TaskState


class Field(StrEnum):
    """The words that may stand before a colon, in the order in which they are offered."""

    STATE = "state"
    NAME = "name"
    WORKER = "worker"
    QUEUE = "queue"
    ID = "id"
    ARGS = "args"
    RESULT = "result"
    ERROR = "error"
    FINGERPRINT = "fingerprint"
    RUNTIME = "runtime"
    WAITED = "waited"
    RETRIES = "retries"
    SINCE = "since"
    BEFORE = "before"


@dataclass(frozen=True, slots=True)
class StateTerm:
    """In one of these states."""

    states: frozenset[TaskState]


@dataclass(frozen=True, slots=True)
class NameTerm:
    """Task name, worker or queue is one of these: whole, by its last part, or with `*`."""

    field: Field
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IdTerm:
    """The id begins with one of these."""

    prefixes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FingerprintTerm:
    """The failure is one of these kinds (numbers of `ErrorGroup.error_id`)."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TextTerm:
    """These words one after another; `field` is ARGS, RESULT, ERROR or None for anywhere.

    `exact`: it was quoted, so its last word is whole; else the last word is the beginning of one.
    """

    words: str
    field: Field | None = None
    exact: bool = False


@dataclass(frozen=True, slots=True)
class ArgumentTerm:
    """The argument at `path` (names, or numbers for positions) is `value`; `*` stands for anything."""

    path: tuple[str, ...]
    value: str


@dataclass(frozen=True, slots=True)
class RangeTerm:
    """RUNTIME or WAITED in seconds, or RETRIES, between two bounds; None is unbounded."""

    field: Field
    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False


@dataclass(frozen=True, slots=True)
class TimeTerm:
    """SINCE or BEFORE an instant: so many seconds ago, or an aware one."""

    field: Field
    ago_s: float | None = None
    at: datetime | None = None


Term = StateTerm | NameTerm | IdTerm | FingerprintTerm | TextTerm | ArgumentTerm | RangeTerm | TimeTerm


@dataclass(frozen=True, slots=True)
class Not:
    part: Node


@dataclass(frozen=True, slots=True)
class And:
    """All of at least two."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of at least two."""

    parts: tuple[Node, ...]


Node = Term | Not | And | Or

OPERATORS = frozenset({"and", "or"})
_PLAIN = re.compile(r'[^\s"\\:(),\-][^\s"\\:(),]*')
_PLAIN_KEY = re.compile(r"[^\s\"\\:(),.]+")


def quoted(value: str) -> str:
    """`value` as it must be written in a query to mean itself."""
    if _PLAIN.fullmatch(value) and value.lower() not in OPERATORS:
        return value
    return in_quotes(value)


def in_quotes(value: str) -> str:
    """`value` between quotes: as text, exactly these words."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def all_of(parts: list[Node]) -> Node:
    """`parts` joined by and, without an `And` in an `And`."""
    flat = [one for part in parts for one in (part.parts if isinstance(part, And) else (part,))]
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def any_of(parts: list[Node]) -> Node:
    """`parts` joined by or, without an `Or` in an `Or`."""
    flat = [one for part in parts for one in (part.parts if isinstance(part, Or) else (part,))]
    return flat[0] if len(flat) == 1 else Or(tuple(flat))


def terms_of(node: Node | None) -> Iterator[Term]:
    """Every term of a tree, from left to right."""
    waiting = [node] if node is not None else []
    while waiting:
        one = waiting.pop()
        if isinstance(one, Not):
            waiting.append(one.part)
        elif isinstance(one, And | Or):
            waiting.extend(reversed(one.parts))
        else:
            yield one


def text_of(node: Node) -> str:
    """`node` written as a query."""
    if isinstance(node, And):
        return " ".join(_part(part) for part in node.parts)
    if isinstance(node, Or):
        return " or ".join(_part(part) for part in node.parts)
    if isinstance(node, Not):
        return f"-{_inner(node.part)}"
    return _text_of_term(node)


def _part(node: Node) -> str:
    return text_of(node) if isinstance(node, Not) else _inner(node)


def _inner(node: Node) -> str:
    return text_of(node) if isinstance(node, Term) else f"({text_of(node)})"


def _text_of_term(term: Term) -> str:
    match term:
        case StateTerm(states):
            return f"state:{','.join(state.value.lower() for state in TaskState if state in states)}"
        case NameTerm(field, values):
            return f"{field}:{','.join(quoted(value) for value in values)}"
        case IdTerm(prefixes):
            return f"id:{','.join(quoted(prefix) for prefix in prefixes)}"
        case FingerprintTerm(numbers):
            return f"fingerprint:{','.join(str(number) for number in numbers)}"
        case TextTerm(words, field, exact):
            return f"{'' if field is None else f'{field}:'}{in_quotes(words) if exact else words}"
        case ArgumentTerm(path, value):
            keys = ".".join(key if _PLAIN_KEY.fullmatch(key) else in_quotes(key) for key in path)
            return f"args.{keys}:{quoted(value)}"
        case RangeTerm():
            return f"{term.field}:{_range(term)}"
        case TimeTerm(field, ago_s, at):
            if at is not None:
                return f"{field}:{at.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"
            return f"{field}:{_number(ago_s or 0.0)}s"
        case _:
            assert_never(term)


def _range(term: RangeTerm) -> str:
    unit = "" if term.field is Field.RETRIES else "s"
    low = None if term.low is None else f"{_number(term.low)}{unit}"
    high = None if term.high is None else f"{_number(term.high)}{unit}"
    if low is None:
        return f"{'<' if term.high_open else '<='}{high}"
    if high is None:
        return f"{'>' if term.low_open else '>='}{low}"
    return f"{low}..{high}"


def _number(value: float) -> str:
    """Every digit and no exponent."""
    text = format(Decimal(repr(value)), "f")
    return text.removesuffix(".0")
