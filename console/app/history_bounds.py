"""How much of the history is kept, as the settings say it. Without Qt: `record` asks as well."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from console.history.bounds import STANDARD_RETENTION, Retention

GIB = 1024**3
MOST_DAYS = 3650
LEAST_GIB, MOST_GIB = 0.1, 1024.0


def bounds_in(values: Mapping[str, Any]) -> Retention:
    """`history_days` and `history_gib` of stored settings; what is missing or senseless is the default."""
    days, gib = values.get("history_days"), values.get("history_gib")
    return Retention(
        days=days if type(days) is int and 1 <= days <= MOST_DAYS else STANDARD_RETENTION.days,
        max_bytes=(
            int(gib * GIB)
            if isinstance(gib, int | float) and LEAST_GIB <= gib <= MOST_GIB
            else STANDARD_RETENTION.max_bytes
        ),
    )


def bounds_of(settings_file: Path) -> Retention:
    """The bounds in a file of settings; the defaults when there is none that can be read."""
    try:
        values = json.loads(settings_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return STANDARD_RETENTION
    return bounds_in(values) if isinstance(values, dict) else STANDARD_RETENTION
