"""From the text of a query to its tree: one walk from left to right that knows where every word stands.

    query := all ("or" all)*        all := part (["and"] part)*        part := ["-"] (term | "(" query ")")

Raises `QueryError`, which marks exactly the word that is wrong and says what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import TypeVar

from console.core.errors import Cause, ConsoleError
from console.history.query_terms import (
    OPERATORS,
    ArgumentTerm,
    Field,
    FingerprintTerm,
    IdTerm,
    NameTerm,
    Node,
    Not,
    StateTerm,
    TextTerm,
    all_of,
    any_of,
)
from console.history.query_values import (
    UnreadableError,
    did_you_mean,
    range_of,
    state_of,
    time_of,
    whole_number,
)

T = TypeVar("T")
MAX_QUERY = 2000
MAX_NESTING = 64
ALIASES = {"task": Field.NAME, "kwargs": Field.ARGS, "exception": Field.ERROR}
KNOWN = [*Field, *ALIASES]

_FIELD = re.compile(r'(?P<name>[A-Za-z_]+)(?P<path>(?:\.(?:"(?:[^"\\]|\\.)*"|[^\s:."(),\\]+))*):')
_KEY = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s:."(),\\]+')
_QUOTE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_SEARCHABLE = re.compile(r"[^\W_]")


class QueryError(ConsoleError):
    """A query that cannot be read: `word` is what is wrong, it stands at `position` (from 0)."""

    def __init__(
        self, title: str, *, position: int, word: str, remedy: str, length: int | None = None
    ) -> None:
        super().__init__(
            title, detail=f"At character {position + 1}: {word}", remedy=remedy, cause=Cause.INVALID
        )
        self.position = position
        self.length = len(word) if length is None else length
        self.word = word


@dataclass(frozen=True, slots=True)
class Placed:
    """A part of the outermost `and`, and where it is written; `bare_or`: an or without parentheses."""

    node: Node
    start: int
    end: int
    bare_or: bool = False


@dataclass(frozen=True, slots=True)
class Value:
    """One of the values behind a field, without its quotes."""

    text: str
    was_quoted: bool
    start: int
    end: int


class Parser:
    """Reads `text` once. `parts` are those of the outermost and; there is one when an or is outermost."""

    def __init__(self, text: str, *, zone: tzinfo | None = None, now: datetime | None = None) -> None:
        self._text = text
        self._zone = zone
        self._now = datetime.now(UTC) if now is None else now
        self._at = 0
        self._depth = 0

    def parse(self) -> list[Placed]:
        """The parts that must all hold. Raises `QueryError`."""
        if len(self._text) > MAX_QUERY:
            raise QueryError(
                f"The query is longer than {MAX_QUERY:,} characters",
                position=MAX_QUERY,
                word=self._text[MAX_QUERY : MAX_QUERY + 20],
                length=len(self._text) - MAX_QUERY,
                remedy="Shorten it.",
            )
        self._skip()
        if self._at == len(self._text):
            return []
        start = self._at
        branches = self._branches()
        if self._at < len(self._text):
            raise self._error("This parenthesis closes nothing", self._at, ")", 'Remove it, or write ")".')
        if len(branches) == 1:
            return branches[0]
        whole = any_of([all_of([placed.node for placed in branch]) for branch in branches])
        return [Placed(whole, start, len(self._text.rstrip()), bare_or=True)]

    def _branches(self) -> list[list[Placed]]:
        """Up to the end of the text or a closing parenthesis: what stands between the ors."""
        branches: list[list[Placed]] = [[]]
        operator: tuple[int, str] | None = None
        while self._skip() < len(self._text) and self._text[self._at] != ")":
            word = self._operator()
            if word is not None:
                start = self._at
                if operator is not None or not branches[-1]:
                    raise self._error(
                        f"{word} has nothing before it",
                        start,
                        word,
                        f'Remove it, or search for it as "{word}".',
                    )
                operator = (start, word)
                self._at += len(word)
                if word.lower() == "or":
                    branches.append([])
                continue
            start = self._at
            branches[-1].append(Placed(self._part(), start, self._at))
            operator = None
        if operator is not None:
            start, word = operator
            raise self._error(
                f"{word} has nothing after it", start, word, f'Remove it, or search for it as "{word}".'
            )
        return branches

    def _operator(self) -> str | None:
        for word in OPERATORS:
            found = self._text[self._at : self._at + len(word)]
            after = self._text[self._at + len(word) : self._at + len(word) + 1]
            if found.lower() == word and (not after or after.isspace() or after in "()"):
                return found
        return None

    def _part(self) -> Node:
        text, start = self._text, self._at
        if text[start] == "-" and text[start + 1 : start + 2] != "-":
            self._at += 1
            after = text[self._at : self._at + 1]
            if not after or after.isspace() or after == ")":
                raise self._error(
                    "There is nothing after the -", start, "-", "Write what is not wanted after it."
                )
            return Not(self._group() if after == "(" else self._term())
        return self._group() if text[start] == "(" else self._term()

    def _group(self) -> Node:
        start = self._at
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise self._error(
                f"There are more than {MAX_NESTING} parentheses in one another", start, "(", "Use fewer."
            )
        self._at += 1
        branches = self._branches()
        if self._at == len(self._text):
            raise self._error("This parenthesis is not closed", start, "(", "Add a ) at the end.")
        self._at += 1
        self._depth -= 1
        if branches == [[]]:
            raise self._error("There is nothing between the parentheses", start, "()", "Write a term there.")
        return any_of([all_of([placed.node for placed in branch]) for branch in branches])

    def _term(self) -> Node:
        start = self._at
        found = _FIELD.match(self._text, start)
        if found is not None:
            field = self._field(found)
            if field is not None:
                self._at = found.end()
                values = self._values(found.group())
                path = tuple(_plain(key) for key in _KEY.findall(found["path"]))
                return self._node(field, path, values)
        if self._text[start] == '"':
            value = self._in_quotes()
            return self._text_term(value, None)
        word = self._raw(commas=True)
        return self._text_term(Value(word, was_quoted=False, start=start, end=self._at), None)

    def _field(self, found: re.Match[str]) -> Field | None:
        """The field before a colon; None when the whole is text, as `http://x`, `KeyError:`, `key:12`."""
        name, path = found["name"], found["path"]
        field = ALIASES.get(name.lower()) or (Field(name.lower()) if name.lower() in set(Field) else None)
        if field is not None and (not path or field is Field.ARGS):
            return field
        if path and field is None:
            return None  # django.db:x
        rest = self._text[found.end() :]
        if field is None:
            near = did_you_mean(name, list(KNOWN)) if name.islower() else ""
            colon_in_text = not rest or rest[0].isspace() or rest.startswith(("//", ":", "\\", ")"))
            if not near and (colon_in_text or not name.islower() or rest[0].isdigit()):
                return None
            raise self._error(
                f"There is no field {name}",
                found.start(),
                name,
                f"{near}Fields are {', '.join(Field)}. To search for text with a colon, put it in quotes; "
                f"for an argument write args.{name}:…",
            )
        raise self._error(
            f"{name} has no parts", found.start(), f"{name}{path}", f"Write {name}:… or args{path}:…"
        )

    def _values(self, written: str) -> list[Value]:
        """One or more values with commas between them; the text stands behind the colon."""
        values: list[Value] = []
        while True:
            start = self._at
            if self._text[start : start + 1] == '"':
                values.append(self._in_quotes())
            else:
                word = self._raw(commas=False)
                values.append(Value(word, was_quoted=False, start=start, end=self._at))
            if not values[-1].text:
                before = start - len(written) if len(values) == 1 else start - 1
                word = written if len(values) == 1 else ","
                field = written.rstrip(":")
                raise self._error(f"{field}: has no value", before, word, f"Write it as {field}:something.")
            if self._text[self._at : self._at + 1] != ",":
                return values
            self._at += 1

    def _in_quotes(self) -> Value:
        start = self._at
        found = _QUOTE.match(self._text, start)
        if found is None:
            raise self._error("A quote is not closed", start, self._text[start:], 'Add a " at the end.')
        self._at = found.end()
        return Value(_ESCAPE.sub(r"\1", found[1]), was_quoted=True, start=start, end=self._at)

    def _raw(self, *, commas: bool) -> str:
        """Up to a space, a comma unless `commas` belong to it, or a parenthesis that it did not open."""
        start, opened = self._at, 0
        while self._at < len(self._text):
            one = self._text[self._at]
            if one.isspace() or (one == "," and not commas):
                break
            if one == ")" and not opened:
                break
            opened += (one == "(") - (one == ")")
            self._at += 1
        return self._text[start : self._at]

    def _node(self, field: Field, path: tuple[str, ...], values: list[Value]) -> Node:
        match field:
            case Field.STATE:
                return StateTerm(frozenset(self._each(values, state_of)))
            case Field.NAME | Field.WORKER | Field.QUEUE:
                return NameTerm(field, tuple(value.text for value in values))
            case Field.ID:
                return IdTerm(tuple(self._each(values, _prefix)))
            case Field.FINGERPRINT:
                return FingerprintTerm(tuple(self._each(values, whole_number)))
            case Field.ARGS if path:
                return any_of([ArgumentTerm(path, value.text) for value in values])
            case Field.ARGS | Field.RESULT | Field.ERROR:
                return any_of([self._text_term(value, field) for value in values])
            case Field.RUNTIME | Field.WAITED | Field.RETRIES:
                return any_of(self._each(values, lambda word: range_of(field, word)))
            case _:
                if len(values) > 1:
                    raise self._error(
                        f"{field} takes one value", values[1].start, values[1].text, "Remove the other ones."
                    )
                return self._each(values, lambda word: time_of(field, word, now=self._now, zone=self._zone))[
                    0
                ]

    def _each(self, values: list[Value], read: Callable[[str], T]) -> list[T]:
        found: list[T] = []
        for value in values:
            try:
                found.append(read(value.text))
            except UnreadableError as error:
                word = self._text[value.start : value.end]
                raise self._error(error.title, value.start, word, error.remedy) from error
        return found

    def _text_term(self, value: Value, field: Field | None) -> TextTerm:
        if not _SEARCHABLE.search(value.text):
            word = self._text[value.start : value.end]
            raise self._error(
                "There is no letter or digit to search for",
                value.start,
                word,
                "Search for a word or a number.",
            )
        return TextTerm(value.text, field, value.was_quoted)

    def _skip(self) -> int:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1
        return self._at

    def _error(self, title: str, position: int, word: str, remedy: str) -> QueryError:
        return QueryError(title, position=position, word=word, remedy=remedy)


def _plain(key: str) -> str:
    return _ESCAPE.sub(r"\1", key[1:-1]) if key.startswith('"') else key


def _prefix(word: str) -> str:
    if not word.rstrip("*"):
        raise UnreadableError("id: has no value", "Write it as id:1ce91560.")
    return word.rstrip("*")
