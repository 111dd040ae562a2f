"""The person's time zone, looked up once: pages show every instant in it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo


@cache
def local_zone() -> ZoneInfo:
    """The machine's zone; UTC where it names none."""
    # Here, because no time is shown before the first paint.
    from zoneinfo import ZoneInfo

    import tzlocal

    try:
        zone = tzlocal.get_localzone()
    except Exception:  # a machine with a broken zone setting still shows times
        return ZoneInfo("UTC")
    return zone if isinstance(zone, ZoneInfo) else ZoneInfo("UTC")


@cache
def local_zone_name() -> str:
    """Its name for people, such as Asia/Kolkata."""
    return local_zone().key.removeprefix("Etc/")
