"""What may be written next in a query: fields, states, names, workers, queues, lengths of time.

Works on texts that cannot be read yet, which is what a person who is typing has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from console.history.model import Names, TaskState
from console.history.query_parser import ALIASES
from console.history.query_terms import Field, quoted

AT_MOST = 12
_TERM = re.compile(
    r'-?\(*(?:[A-Za-z_]+(?:\.(?:"[^"]*"?|[^\s:."(),]*))*:)?(?:"(?:[^"\\]|\\.)*"?|[^\s"(]+|\()*'
)
_HEAD = re.compile(r"(?P<before>[-(]*)(?P<field>[A-Za-z_]+):(?P<values>.*)", re.DOTALL)

DETAILS: dict[Field, str] = {
    Field.STATE: "sent, started, failed…",
    Field.NAME: "name of the task, * for anything",
    Field.WORKER: "worker, * for anything",
    Field.QUEUE: "queue, * for anything",
    Field.ID: "beginning of the id",
    Field.ARGS: "text in the arguments; args.key:value for one of them",
    Field.RESULT: "text in the result",
    Field.ERROR: "text in the exception",
    Field.FINGERPRINT: "number of a group of errors",
    Field.RUNTIME: ">2s, <500ms, 1s..5s",
    Field.WAITED: ">1m, <1s, 1s..5s",
    Field.RETRIES: ">0, 3, 1..5",
    Field.SINCE: "1h, 14:00, 2026-11-22T14:00",
    Field.BEFORE: "1h, 14:00, 2026-11-22",
}
_SPANS = (
    ("5m", "5 minutes"),
    ("15m", "15 minutes"),
    ("1h", "1 hour"),
    ("6h", "6 hours"),
    ("24h", "24 hours"),
    ("7d", "7 days"),
)
_LAPSES = (
    (">100ms", "longer than 100 ms"),
    (">1s", "longer than 1 s"),
    (">10s", "longer than 10 s"),
    (">1m", "longer than 1 min"),
    ("<1s", "shorter than 1 s"),
    ("1s..10s", "from 1 s to 10 s"),
)
_RETRIES = (
    (">0", "retried"),
    ("0", "never retried"),
    (">2", "more than twice"),
    ("1..3", "once to three times"),
)


@dataclass(frozen=True, slots=True)
class Completion:
    """`insert` replaces the piece under the cursor, `label` is shown, `detail` explains."""

    insert: str
    label: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Completions:
    """What may stand for the characters from `start` to `end`."""

    start: int
    end: int
    items: tuple[Completion, ...] = ()


def complete(text: str, cursor: int, names: Names) -> Completions:
    """What fits the piece of `text` in which the cursor (a position in characters) stands."""
    cursor = max(0, min(cursor, len(text)))
    start, end = _piece(text, cursor)
    typed = text[start:cursor]
    found = _HEAD.fullmatch(typed)
    field = _field(found["field"]) if found is not None else None
    if found is None or field is None:
        before = len(typed) - len(typed.lstrip("-("))
        return Completions(start + before, end, tuple(_beginnings(typed[before:], names)[:AT_MOST]))
    values = found["values"]
    last = values.rpartition(",")[2] if not values.startswith('"') else values
    begun = cursor - len(last)
    already = {one.lower() for one in values.split(",")[:-1]}
    offered = [one for one in _values(field, last.strip('"'), names) if one.insert.lower() not in already]
    comma = text.find(",", cursor, end)
    return Completions(begun, end if comma < 0 else comma, tuple(offered[:AT_MOST]))


def _piece(text: str, cursor: int) -> tuple[int, int]:
    """The term around the cursor; an empty one between two spaces."""
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        found = _TERM.match(text, position)
        end = max(found.end() if found is not None else position, position + 1)
        if position <= cursor <= end:
            return position, end
        if end > cursor:
            break
        position = end
    return cursor, cursor


def _field(word: str) -> Field | None:
    low = word.lower()
    return ALIASES.get(low) or (Field(low) if low in set(Field) else None)


def _beginnings(typed: str, names: Names) -> list[Completion]:
    """Fields that begin like it, then task names that have it in them."""
    low = typed.lower()
    fields = [
        Completion(f"{field}:", f"{field}:", DETAILS[field]) for field in Field if field.startswith(low)
    ]
    if not low:
        return fields
    found = [Completion("or", "or", "one or the other")] if "or".startswith(low) else []
    tasks = [Completion(f"name:{quoted(name)}", name, "task name") for name in _fitting(low, names.tasks)]
    return [*fields, *found, *tasks]


def _values(field: Field, typed: str, names: Names) -> list[Completion]:
    low = typed.lower()
    match field:
        case Field.STATE:
            states = [state.value for state in TaskState if state.value.lower().startswith(low)]
            return [Completion(state.lower(), state) for state in states]
        case Field.NAME:
            return _words(low, names.tasks)
        case Field.WORKER:
            return _words(low, names.workers)
        case Field.QUEUE:
            return _words(low, names.queues)
        case Field.RUNTIME | Field.WAITED:
            return _pairs(low, _LAPSES)
        case Field.RETRIES:
            return _pairs(low, _RETRIES)
        case Field.SINCE | Field.BEFORE:
            return _pairs(low, _SPANS)
        case _:
            return []


def _words(low: str, words: tuple[str, ...]) -> list[Completion]:
    return [Completion(quoted(word), word) for word in _fitting(low.replace("*", ""), words)]


def _fitting(low: str, words: tuple[str, ...]) -> list[str]:
    """Those that have `low` in them: at the beginning of the whole, of a part, and then anywhere."""
    starts: list[str] = []
    parts: list[str] = []
    inside: list[str] = []
    for word, lowered in _in_order(words):
        place = lowered.find(low)
        if place < 0:
            continue
        if place == 0:
            starts.append(word)
            if len(starts) == AT_MOST:
                break
        elif len(parts) < AT_MOST and not (lowered[place - 1].isalnum() and lowered[place].isalnum()):
            parts.append(word)
        elif len(inside) < AT_MOST:
            inside.append(word)
    return [*starts, *parts, *inside][:AT_MOST]


@lru_cache(maxsize=8)
def _in_order(words: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Sorted, each with itself in small letters: there may be a hundred thousand, looked through per key."""
    return tuple((word, word.lower()) for word in sorted(words))


def _pairs(low: str, pairs: tuple[tuple[str, str], ...]) -> list[Completion]:
    return [Completion(value, value, detail) for value, detail in pairs if value.startswith(low)]
