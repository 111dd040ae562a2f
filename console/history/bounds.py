"""How much of a history is kept. Apart, with the standard library only: it is read before the first paint."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retention:
    """How long tasks are kept (days), and how large the history may become (bytes; the file, not its log)."""

    days: int = 14
    max_bytes: int = 2 * 1024**3


STANDARD_RETENTION = Retention()
