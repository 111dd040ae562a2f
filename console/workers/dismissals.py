"""Which offline workers a person no longer wants to see, kept beside the history of the connection.

They are not in the history itself: only the collector writes that. A dismissal holds as long as the history
does, because it names the last heartbeat that the history knows: a newer one makes it void.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Protocol

from console.core.errors import Cause, ConsoleError
from console.core.home import write_atomically

log = logging.getLogger(__name__)

MOST_DISMISSALS = 20_000


class Dismissals(Protocol):
    """Blocking. The last heartbeat of each dismissed worker when it was dismissed."""

    def read(self) -> dict[str, datetime]: ...

    def write(self, dismissed: Mapping[str, datetime]) -> None:
        """Keep these and no others. Raises `ConsoleError`."""
        ...


class FileDismissals:
    """`Dismissals` in a file of JSON. One that cannot be read dismisses nobody."""

    def __init__(self, history_file: Path) -> None:
        self._file = history_file.with_suffix(".dismissed-workers.json")

    def read(self) -> dict[str, datetime]:
        try:
            stored = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            log.warning("The dismissed workers cannot be read: %s", error)
            return {}
        return _valid(stored)

    def write(self, dismissed: Mapping[str, datetime]) -> None:
        newest = sorted(dismissed.items(), key=lambda item: item[1])[-MOST_DISMISSALS:]
        words = {name: instant.isoformat() for name, instant in newest}
        try:
            write_atomically(self._file, json.dumps(words, indent=1) + "\n")
        except OSError as error:
            raise ConsoleError(
                "The dismissed workers cannot be kept",
                detail=f"{self._file}: {error.strerror}.",
                remedy="They are hidden until the console is closed.",
                cause=Cause.OTHER,
            ) from error


def _valid(stored: object) -> dict[str, datetime]:
    found: dict[str, datetime] = {}
    for name, text in stored.items() if isinstance(stored, dict) else ():
        try:
            instant = datetime.fromisoformat(text)
        except (TypeError, ValueError):
            continue
        if instant.tzinfo is not None:
            found[name] = instant
    return found
