"""The values that stand behind a field in a query: states, lapses, instants, ranges, whole numbers.

Each reader takes the written word and gives what it means, or raises `UnreadableError` with the reason
and the remedy; the parser knows where the word stands and makes a `QueryError` of it.
"""

from __future__ import annotations

import difflib
import re
from datetime import UTC, datetime, time, timedelta, tzinfo

from console.history.model import TaskState
from console.history.query_terms import Field, RangeTerm, TimeTerm

_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_LAPSE = re.compile(r"(?:\d{1,9}(?:\.\d{1,30})?(?:ms|[smhdw]))+")
_LAPSE_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,30})?")
_COMPARED = re.compile(r"(>=|<=|>|<|=)?(.*)", re.DOTALL)
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
LONGEST_S = 1000 * 366 * 86_400.0

STATE_WORDS = {state.value.lower(): state for state in TaskState} | {
    "pending": TaskState.SENT,
    "success": TaskState.SUCCEEDED,
    "failure": TaskState.FAILED,
    "retry": TaskState.RETRYING,
}


class UnreadableError(ValueError):
    """A value that means nothing where it stands."""

    def __init__(self, title: str, remedy: str) -> None:
        super().__init__(title)
        self.title = title
        self.remedy = remedy


def did_you_mean(word: str, known: list[str]) -> str:
    """`Did you mean x? ` when `word` is nearly a known one."""
    near = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.7)
    return f"Did you mean {near[0]}? " if near else ""


def state_of(word: str) -> TaskState:
    state = STATE_WORDS.get(word.lower())
    if state is None:
        states = ", ".join(state.value.lower() for state in TaskState)
        near = did_you_mean(word, list(STATE_WORDS))
        raise UnreadableError(f"{word or 'Nothing'} is not a state", f"{near}States are {states}.")
    return state


def whole_number(word: str) -> int:
    if not re.fullmatch(r"\d{1,15}", word, re.ASCII):
        raise UnreadableError(f"{word} is not a whole number", "Write it as fingerprint:12.")
    return int(word)


def lapse_s(word: str) -> float | None:
    """Seconds of `250ms`, `1.5s`, `1h30m` or a plain number; None when it is none."""
    if _NUMBER.fullmatch(word):
        return float(word)
    if not _LAPSE.fullmatch(word.lower()):
        return None
    found = [(number, unit) for number, unit in _LAPSE_PART.findall(word.lower())]
    seconds = sum(float(number) * _UNIT_S[unit] for number, unit in found)
    return seconds if seconds <= LONGEST_S else None


def range_of(field: Field, word: str) -> RangeTerm:
    """`>2s`, `<=1m`, `1s..5s`; for retries plain numbers, also `=3` and `3`."""
    retries = field is Field.RETRIES
    if ".." in word:
        first, _, second = word.partition("..")
        low, high = _bound(field, first, word), _bound(field, second, word)
        if low > high:
            raise UnreadableError(
                "This range ends before it begins", f"Write it as {field}:{second}..{first}."
            )
        return RangeTerm(field, low, high)
    compared = _COMPARED.fullmatch(word)
    sign, rest = (compared[1], compared[2]) if compared is not None else (None, word)
    bound = _bound(field, rest, word)
    match sign:
        case ">" | ">=":
            return RangeTerm(field, low=bound, low_open=sign == ">")
        case "<" | "<=":
            return RangeTerm(field, high=bound, high_open=sign == "<")
    if retries:
        return RangeTerm(field, bound, bound)
    raise UnreadableError(
        f"{field} needs a comparison", f"Write {field}:>{rest}, {field}:<{rest} or {field}:1s..5s."
    )


def _bound(field: Field, word: str, whole: str) -> float:
    if field is Field.RETRIES:
        if re.fullmatch(r"\d{1,9}", word, re.ASCII):
            return float(word)
        raise UnreadableError(
            f"{whole} is not a number of retries", "Write retries:>0, retries:3 or retries:1..5."
        )
    seconds = lapse_s(word)
    if seconds is None:
        raise UnreadableError(
            f"{whole} is not a length of time",
            f"Write {field}:>2s, {field}:<500ms or {field}:1s..5s; units are ms, s, m, h, d.",
        )
    return seconds


def time_of(field: Field, word: str, *, now: datetime, zone: tzinfo | None) -> TimeTerm:
    """`1h`, `2026-11-22`, `2026-11-22T14:00`, `14:00` (the last time it was); `zone` None is the system's."""
    if not _NUMBER.fullmatch(word):
        ago = lapse_s(word)
        if ago is not None:
            return TimeTerm(field, ago_s=ago)
    try:
        clock = _CLOCK.fullmatch(word)
        if clock is not None:
            at = _last(time(int(clock[1]), int(clock[2]), int(clock[3] or 0)), now=now, zone=zone)
        else:
            # Only dates with dashes: fromisoformat takes 20261122 and 2026-W47 too, which nobody means here.
            if not re.match(r"\d{4}-\d\d-\d\d(?:$|[T ]\d\d:\d\d)", word):
                raise ValueError(word)
            at = datetime.fromisoformat(word.upper())
            at = _placed(at, zone) if at.tzinfo is None else at
        at = at.astimezone(UTC)
        if not 1 < at.year < 9999:
            raise ValueError(word)
    except (ValueError, OverflowError) as error:
        raise UnreadableError(
            f"{word} is neither a span of time nor an instant",
            f"Write {field}:15m, {field}:7d, {field}:14:00 or {field}:2026-11-22T14:00.",
        ) from error
    return TimeTerm(field, at=at)


def _placed(at: datetime, zone: tzinfo | None) -> datetime:
    """A wall-clock time as an instant; a naive `astimezone` reads it in the zone of the system."""
    return at.astimezone() if zone is None else at.replace(tzinfo=zone)


def _last(clock: time, *, now: datetime, zone: tzinfo | None) -> datetime:
    today = now.astimezone(zone).date()
    at = _placed(datetime.combine(today, clock), zone)
    return at if at <= now else _placed(datetime.combine(today - timedelta(days=1), clock), zone)
