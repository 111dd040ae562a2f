"""How names, numbers and times are written. Pure functions, no Qt, used by every page.

An unknown value is always the dash `UNKNOWN`, never 0.
"""

from collections.abc import Collection
from datetime import datetime, tzinfo
from typing import Final

UNKNOWN: Final = "–"  # an en dash on purpose
ELLIPSIS: Final = "…"

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def middle_elide_id(identifier: str, *, head: int = 6, tail: int = 4) -> str:
    """An id cut in the middle: "95986266-356c-…-719e2b8b86d7" becomes "959862…86d7"."""
    if len(identifier) <= head + tail + 1:
        return identifier
    return f"{identifier[:head]}{ELLIPSIS}{identifier[-tail:]}"


def middle_elide(text: str, limit: int) -> str:
    """A text cut in the middle to at most `limit` characters; the front keeps the odd one."""
    if len(text) <= limit:
        return text
    if limit <= 1:
        return ELLIPSIS[:limit]
    keep = limit - 1
    front = (keep + 1) // 2
    back = keep - front
    return text[:front] + ELLIPSIS + (text[-back:] if back else "")


def short_task_name(name: str, ambiguous: Collection[str] = ()) -> str:
    """A task's name without its module, unless that short form is one of the `ambiguous` ones."""
    short = name.rpartition(".")[2] or name
    return name if short in ambiguous else short


def ambiguous_task_names(names: Collection[str]) -> frozenset[str]:
    """The short forms that more than one of these full names would share."""
    seen: dict[str, str] = {}
    twice: set[str] = set()
    for name in names:
        short = name.rpartition(".")[2] or name
        if seen.setdefault(short, name) != name:
            twice.add(short)
    return frozenset(twice)


def short_worker_name(name: str) -> str:
    """A worker's name without the usual "celery@"."""
    return name.removeprefix("celery@")


def escaped(text: str) -> str:
    """A text that stands for itself in rich text."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def number_text(value: float | None) -> str:
    """A whole number with thousands separated: 18412 becomes "18,412"."""
    return UNKNOWN if value is None else f"{round(value):,}"


def short_number(value: int | None) -> str:
    """A count in at most five characters, cut and not rounded: 31249 becomes "31.2k", 1200000 "1.2M"."""
    if value is None or value < 10_000:
        return number_text(value)
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if value >= size:
            whole, tenths = value // size, value * 10 // size % 10
            return f"{whole}{unit}" if whole >= 100 or not tenths else f"{whole}.{tenths}{unit}"
    raise AssertionError("unreachable")


def duration_text(seconds: float | None) -> str:
    """A length of time in the units a person would say: "280 ms", "4.1 s", "46 min", "12 min 4 s", "3 d 4 h".

    Below ten minutes... seconds are kept up to one hour; longer times keep two units. A negative length,
    which comes from clocks that differ, is shown as "0 ms".
    """
    if seconds is None or seconds != seconds:  # not a number
        return UNKNOWN
    seconds = max(0.0, seconds)
    if seconds < 0.9995:
        return f"{round(seconds * 1000)} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for name, size, below, below_size in (
        ("d", 86_400, "h", 3_600),
        ("h", 3_600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= size:
            first, rest = divmod(whole, size)
            second = rest // below_size
            return f"{first} {name} {second} {below}" if second else f"{first} {name}"
    return f"{whole} s"


def bytes_text(count: float | None) -> str:
    """An amount of memory or disk in decimal units: "212 MB", "1.4 GB"."""
    if count is None:
        return UNKNOWN
    value = float(max(0.0, count))
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            digits = 1 if unit == "GB" or (value < 9.95 and unit != "B") else 0
            return f"{value:.{digits}f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def rate_text(per_second: float | None) -> str:
    """A rate: 7.8 becomes "7.8/s"; from a hundred on without the tenth."""
    if per_second is None:
        return UNKNOWN
    return f"{per_second:,.0f}/s" if per_second >= 99.95 else f"{max(0.0, per_second):.1f}/s"


def percent_text(percent: float | None) -> str:
    """A share in percent: 18.4 becomes "18.4 %"; from a hundred on without the tenth."""
    if percent is None:
        return UNKNOWN
    return f"{percent:,.0f} %" if percent >= 99.95 else f"{percent:.1f} %"


def clock_text(
    instant: datetime | None, tz: tzinfo, *, now: datetime | None = None, seconds: bool = True
) -> str:
    """An instant in the person's zone: "14:31:40", or "22 Oct 14:31" when it is not of today.

    `instant` and `now` must be aware. Without `now` it is the present.
    """
    if instant is None:
        return UNKNOWN
    local = instant.astimezone(tz)
    today = (now if now is not None else datetime.now(tz)).astimezone(tz)
    if local.date() == today.date():
        return local.strftime("%H:%M:%S" if seconds else "%H:%M")
    day = f"{local.day} {_MONTHS[local.month - 1]}"
    if local.year != today.year:
        return f"{day} {local.year}"
    return f"{day} {local:%H:%M}"


def fine_clock_text(instant: datetime | None, tz: tzinfo, *, now: datetime | None = None) -> str:
    """An instant to the millisecond: "14:31:40.114", with the day before it when it is not of today."""
    if instant is None:
        return UNKNOWN
    local = instant.astimezone(tz)
    today = (now if now is not None else datetime.now(tz)).astimezone(tz)
    clock = f"{local:%H:%M:%S}.{local.microsecond // 1000:03d}"
    if local.date() == today.date():
        return clock
    year = "" if local.year == today.year else f" {local.year}"
    return f"{local.day} {_MONTHS[local.month - 1]}{year} {clock}"


def ago_text(seconds: float | None) -> str:
    """How long ago in one unit: "48 s ago", "2 min ago", "now" below one second."""
    if seconds is None:
        return UNKNOWN
    if seconds < 1:
        return "now"
    for name, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {name} ago"
    return f"{int(seconds)} s ago"


def exact_instant(instant: datetime | None, tz: tzinfo) -> str:
    """The exact instant for a tooltip: "2026-10-22 14:31:40.114 IST (UTC+05:30)"."""
    if instant is None:
        return UNKNOWN
    local = instant.astimezone(tz)
    offset = local.strftime("%z")
    name = local.tzname() or ""
    zone = f"UTC{offset[:3]}:{offset[3:5]}"
    clock = f"{local:%Y-%m-%d %H:%M:%S}.{local.microsecond // 1000:03d}"
    return f"{clock} {zone}" if not name or name[0] in "+-" else f"{clock} {name} ({zone})"
