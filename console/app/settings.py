"""What the window remembers between runs: its looks, the bounds of the history. What is lost is usual."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from console.app.history_bounds import GIB, bounds_in
from console.core.home import write_atomically
from console.history.bounds import STANDARD_RETENTION, Retention
from console.widgets.theme import theme
from console.window.main_window import NAV, MainWindow

log = logging.getLogger(__name__)
Scheme = Literal["system", "light", "dark"]


@dataclass
class Settings:
    file: Path
    scheme: Scheme = "system"
    page: str = "stack"
    geometry: str = ""
    compact: bool = False
    retention: Retention = STANDARD_RETENTION

    notify: tuple[str, ...] | None = None
    """Kinds of attention that are told on the desktop; None: the usual ones."""
    notify_everywhere: bool = False

    @classmethod
    def read(cls, file: Path) -> Settings:
        settings = cls(file)
        try:
            stored = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return settings
        except (OSError, ValueError) as error:
            log.warning("The settings cannot be read: %s", error)
            return settings
        if isinstance(stored, dict):
            if stored.get("scheme") in ("system", "light", "dark"):
                settings.scheme = cast(Scheme, stored["scheme"])
            if stored.get("page") in {item.noun for item in NAV}:
                settings.page = stored["page"]
            settings.geometry = str(stored.get("geometry", ""))
            settings.compact = stored.get("compact") is True
            if isinstance(stored.get("notify"), list):
                settings.notify = tuple(name for name in stored["notify"] if isinstance(name, str))
            settings.notify_everywhere = stored.get("notify_everywhere") is True
            settings.retention = bounds_in(stored)
        return settings

    def restore(self, window: MainWindow) -> None:
        if self.geometry:
            with contextlib.suppress(ValueError):  # somebody edited the file
                window.restoreGeometry(base64.b64decode(self.geometry))
        window.sidebar.show_scheme(self.scheme)
        theme().set_compact(self.compact)

    def keep(self, window: MainWindow) -> None:
        """Remember how the window stands. Blocking, short; failing is not worth a word to a person."""
        self.geometry = base64.b64encode(window.saveGeometry().data()).decode("ascii")
        self.page = window.noun or self.page
        self.compact = theme().compact
        values = {
            "scheme": self.scheme,
            "page": self.page,
            "geometry": self.geometry,
            "compact": self.compact,
            "history_days": self.retention.days,
            "history_gib": self.retention.max_bytes / GIB,
            "notify": None if self.notify is None else list(self.notify),
            "notify_everywhere": self.notify_everywhere,
        }
        try:
            write_atomically(self.file, json.dumps(values, indent=2) + "\n")
        except OSError as error:
            log.warning("The settings cannot be kept: %s", error)
