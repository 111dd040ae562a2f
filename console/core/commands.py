"""What the command palette and the menu offer: a text and something to run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """`enabled` is asked when the palette opens; `shortcut` is only shown."""

    text: str
    run: Callable[[], None]
    shortcut: str = ""
    enabled: Callable[[], bool] = lambda: True
