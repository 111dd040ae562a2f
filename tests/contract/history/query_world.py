"""A small history in which values repeat, are unknown and tie; what a query means there, by brute force."""

from __future__ import annotations

import random
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from console.history.errors import fingerprint
from console.history.ids import pack_id
from console.history.marks import CODE_OF
from console.history.model import TaskDetail, TaskState
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
from console.history.reader import HistoryReader
from console.history.schema import WordKind
from console.history.writer import Batch, HistoryWriter

NOW = 1_790_000_000.0
TASKS = 160
GONE = (81, 89)  # numbers of rows that were removed
NAMES = ("shop.tasks.send_invoice", "shop.tasks.charge", "reports.build", "mail.send")
WORKERS = ("celery@web-1", "celery@web-2", "celery@mail")
QUEUES = ("default", "mail")
ERRORS = ("TimeoutError('Connection to 10.0.0.5 timed out')", "KeyError('order')", "ValueError('no mail')")


class World:
    """The history, everything in it, and the numbers of its kinds of errors. No dataclass: a failing
    example shows its arguments, and this one would be pages of text.
    """

    def __init__(self, reader: HistoryReader, everything: list[TaskDetail], errors: dict[str, int]) -> None:
        self.reader = reader
        self.everything = everything
        self.errors = errors


def fill(path: Path) -> None:
    """A history in which values repeat, are unknown, and tie."""
    rng = random.Random(7)
    words: dict[tuple[int, str], int] = {}

    def number(kind: WordKind, word: str | None) -> int:
        return words.setdefault((int(kind), word), len(words) + 1) if word else 0

    batch = Batch(change=1, alive=NOW)
    totals = dict.fromkeys(TaskState, 0)
    for rowid in (*range(1, GONE[0]), *range(GONE[1] + 1, TASKS + GONE[1] - GONE[0] + 2)):
        state = rng.choice(list(TaskState))
        totals[state] += 1
        at = NOW - rng.randrange(40) * 60.0 if rng.random() < 0.97 else 0.0
        task_id = (
            f"custom-{rowid}" if rng.random() < 0.1 else f"{rng.choice('0a1')}{rng.getrandbits(124):031x}"
        )
        if not task_id.startswith("custom"):
            task_id = f"{task_id[:8]}-{task_id[8:12]}-{task_id[12:16]}-{task_id[16:20]}-{task_id[20:]}"
        failed = state is TaskState.FAILED
        args = rng.choice([None, "()", f"({rowid % 12}, 'jo@example.org')", "('Order-17', ['mail', 3])"])
        # Nearly all have the word "lang", as nearly all tasks of a site have some.
        kwargs = rng.choices(
            [
                None,
                "{}",
                "{'lang': 'en'}",
                f"{{'lang': 'de', 'order': {rowid % 5}, 'user': {{'plan': 'pro', 'n': {rowid % 3}}}}}",
            ],
            weights=(1, 1, 30, 30),
        )[0]
        result = rng.choice(["'ok'", "{'order': 1}"]) if state is TaskState.SUCCEEDED else None
        exception = rng.choice(ERRORS) if failed else None
        batch.inserts.append(
            (rowid, pack_id(task_id), CODE_OF[state], number(WordKind.NAME, rng.choice([*NAMES, None])),
             number(WordKind.WORKER, rng.choice([*WORKERS, None])),
             number(WordKind.QUEUE, rng.choice([*QUEUES, None])),
             at, at, at, at, 0.0, rng.choice([-1.0, 0.0, 1.5, 61.0]), rng.choice([-1.0, 0.25, 2.0, 5.0]),
             rng.choice([0, 0, 0, 1, 3]), 1, number(WordKind.ERROR, fingerprint(exception or "")))
        )  # fmt: skip
        batch.texts.append((rowid, 0, args, kwargs, result, exception, *[None] * 7, None, b"\x90"))
        if args or kwargs:
            batch.call.append((rowid, args, kwargs))
        if result or exception:
            batch.outcome.append((rowid, result, exception))
    batch.counts, batch.words = totals, [(n, kind, word) for (kind, word), n in words.items()]
    writer = HistoryWriter(path)
    writer.commit(batch)
    writer.close(alive=NOW)


# Brute force, written without a look at how the plan does it.


def tokens(text: str | None) -> list[str]:
    return re.findall(r"[a-z0-9]+", (text or "").lower())


def has_phrase(text: str | None, term: TextTerm) -> bool:
    own, wanted = tokens(text), tokens(term.words)
    for start in range(len(own) - len(wanted) + 1):
        part = own[start : start + len(wanted)]
        last = part[-1] == wanted[-1] if term.exact else part[-1].startswith(wanted[-1])
        if part[:-1] == wanted[:-1] and last:
            return True
    return False


def id_begins(task_id: str, prefix: str) -> bool:
    if task_id.startswith("custom"):
        return task_id.startswith(prefix)
    digits = prefix.replace("-", "").lower()
    return bool(digits) and task_id.replace("-", "").startswith(digits)


def text_fits(detail: TaskDetail, term: TextTerm) -> bool:
    match term.field:
        case Field.ARGS:
            return has_phrase(detail.args, term) or has_phrase(detail.kwargs, term)
        case Field.RESULT:
            return has_phrase(detail.result, term)
        case Field.ERROR:
            return has_phrase(detail.exception, term)
    texts = (detail.row.name, detail.args, detail.kwargs, detail.result, detail.exception)
    as_id = id_begins(detail.row.id, term.words) and len(term.words.replace("-", "")) >= 4
    return as_id or any(has_phrase(text, term) for text in texts)


def argument_fits(detail: TaskDetail, term: ArgumentTerm) -> bool:
    value: Any = eval(detail.args or "()") if term.path[0].isdigit() else eval(detail.kwargs or "{}")  # noqa: S307
    for key in term.path:
        try:
            value = value[int(key)] if key.isdigit() else value[key]
        except (KeyError, IndexError, TypeError):
            return False
    plain = not isinstance(value, dict | list | tuple)
    return plain and fnmatchcase(str(value).lower(), term.value.lower())


def fits(node: Node | None, detail: TaskDetail, errors: dict[str, int]) -> bool:  # noqa: C901 - a line per kind
    row = detail.row
    match node:
        case None:
            return True
        case And(parts):
            return all(fits(part, detail, errors) for part in parts)
        case Or(parts):
            return any(fits(part, detail, errors) for part in parts)
        case Not(part):
            return not fits(part, detail, errors)
        case StateTerm(states):
            return row.state in states
        case NameTerm(field, values):
            word = {Field.NAME: row.name, Field.WORKER: row.worker, Field.QUEUE: row.queue}[field]
            return word is not None and any(
                fnmatchcase(word, value) or re.fullmatch(rf".*[.@]{re.escape(value)}", word)
                for value in values
            )
        case IdTerm(prefixes):
            return any(id_begins(row.id, prefix) for prefix in prefixes)
        case FingerprintTerm(numbers):
            return errors.get(fingerprint(detail.exception or "")) in numbers
        case TextTerm():
            return text_fits(detail, node)
        case ArgumentTerm():
            return argument_fits(detail, node)
        case RangeTerm(field, low, high, low_open, high_open):
            measure = {Field.RUNTIME: row.runtime_s, Field.WAITED: row.waited_s, Field.RETRIES: row.retries}[
                field
            ]
            if measure is None:
                return False
            above = low is None or (measure > low if low_open else measure >= low)
            return above and (high is None or (measure < high if high_open else measure <= high))
        case TimeTerm(field, ago_s, at):
            instant = at.timestamp() if at else NOW - (ago_s or 0.0)
            if row.received is None:
                return False
            own = row.received.timestamp()
            return own >= instant if field is Field.SINCE else own < instant
