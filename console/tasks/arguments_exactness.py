"""How far a text of arguments or of a result can be believed to be the value.

Events carry Celery's text for people (celery/utils/saferepr.py). Read as Python it is often another value
than the task had, without any error: cut strings still read, bytes come out as hex, a backslash eats what
follows. So a text counts as exact only when nothing in it can be one of these and writing its value gives it
again.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

LONGEST = 20_000
DEEPEST = 3


# Where a value may begin; an "ab'" at the end of a string is none.
_BYTES = re.compile(r"(?:^|[\[({,:\s])[bB]['\"]")


class Exactness(StrEnum):
    """The words of the badge."""

    EXACT = "exact"
    TYPED = "typed"
    DISPLAY = "display only"


@dataclass(frozen=True, slots=True)
class Judgement:
    """`reason` says in a sentence why it is not exact; "" when it is."""

    exactness: Exactness
    reason: str = ""


EXACT = Judgement(Exactness.EXACT)
TYPED = Judgement(
    Exactness.TYPED, "As the result backend stores it: the real values, but a tuple has become a list."
)


def judge(text: str) -> Judgement:
    """How exact a text of an event is. Pure; nothing is evaluated beyond literals of a few levels."""
    reason = _doubt(text)
    if reason:
        return Judgement(Exactness.DISPLAY, reason)
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return Judgement(
            Exactness.DISPLAY, "It holds an object, of which the event tells only how it prints."
        )
    if plain_repr(value) != text:
        return Judgement(Exactness.DISPLAY, "Read as a value it would not print as the same text.")
    return EXACT


def _doubt(text: str) -> str:
    """What in the text makes any reading of it unsafe; "" when nothing does."""
    if "..." in text:
        return "Cut by Celery: it was too long or nested too deeply for an event."
    if "\\" in text:
        return "It holds a backslash, which Celery does not write in a way that can be read back."
    if _BYTES.search(text) is not None:
        return "It may hold bytes, which Celery writes as letters or as hex."
    if "\n" in text or "\r" in text:
        return "It holds a line break inside a text, which Celery does not mark."
    if len(text) > LONGEST:
        return "It is too long to be proved exact."
    if _depth(text) > DEEPEST:
        return "It is nested more deeply than Celery writes in full."
    return ""


def _depth(text: str) -> int:
    """Brackets open at once, those inside of strings too: more than there are, never less."""
    depth = deepest = 0
    for letter in text:
        if letter in "[({":
            depth += 1
            deepest = max(deepest, depth)
        elif letter in "])}" and depth:
            depth -= 1
    return deepest


def plain_repr(value: Any) -> str | None:
    """What saferepr writes, uncut, for plain types; None for any other. A test holds it against Celery's."""
    if value is None or isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, str):
        return "'{}'".format(value.replace("'", "\\'"))
    if isinstance(value, list | tuple):
        parts = [plain_repr(one) for one in value]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        if isinstance(value, list):
            return f"[{', '.join(known)}]"
        return f"({known[0]},)" if len(known) == 1 else f"({', '.join(known)})"
    if isinstance(value, dict):
        pairs = [(plain_repr(key), plain_repr(one)) for key, one in value.items()]
        if any(key is None or one is None for key, one in pairs):
            return None
        return "{" + ", ".join(f"{key}: {one}" for key, one in pairs) + "}"
    return None
