"""`History…`: how long tasks are kept and how large the history may become, for all connections."""

from __future__ import annotations

import math
from pathlib import Path

from PySide6.QtWidgets import QWidget

from console.app.history_bounds import GIB, LEAST_GIB, MOST_DAYS, MOST_GIB
from console.history.bounds import Retention
from console.widgets.dialog import ConsoleDialog
from console.widgets.fields import Field, TextField
from console.widgets.label import Text
from console.widgets.text import bytes_text


class HistoryDialog(ConsoleDialog):
    """`chosen` is what was saved; None when nothing was. `used_bytes`: what histories take now."""

    def __init__(self, parent: QWidget, bounds: Retention, *, used_bytes: int) -> None:
        super().__init__(
            parent, "History", subtitle="Of each connection; the oldest tasks go first", width=440
        )
        self.chosen: Retention | None = None
        self._days = TextField(name="Keep tasks for (days)")
        self._days.setText(str(bounds.days))
        self._gib = TextField(name="At most (GiB)")
        self._gib.setText(f"{bounds.max_bytes / GIB:g}")
        self._days_field = Field("Keep tasks for (days)", self._days, hint=f"From 1 to {MOST_DAYS:,}")
        self._gib_field = Field(
            "At most (GiB)", self._gib, hint="A million tasks take about 0.7 GiB. The space is given back."
        )
        self.body.addWidget(self._days_field)
        self.body.addWidget(self._gib_field)
        self.body.addWidget(
            Text(f"All histories together take {bytes_text(used_bytes)} now.", role="label", tone="muted")
        )
        self.add_button("Save", kind="primary").clicked.connect(self._save)
        self.set_first_focus(self._days)

    def _save(self) -> None:
        days, gib = self._days.text().strip(), _number(self._gib.text())
        good_days = days.isdecimal() and 1 <= int(days[:6]) <= MOST_DAYS
        good_gib = gib is not None and LEAST_GIB <= gib <= MOST_GIB
        self._days_field.set_error("" if good_days else f"A whole number from 1 to {MOST_DAYS:,}")
        self._gib_field.set_error("" if good_gib else f"A number from {LEAST_GIB:g} to {MOST_GIB:,.0f}")
        if good_days and gib is not None and good_gib:
            self.chosen = Retention(days=int(days), max_bytes=int(gib * GIB))
            self.accept()


def _number(text: str) -> float | None:
    try:
        number = float(text.strip().replace(",", "."))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def histories_size(folder: Path) -> int:
    """What the histories in `folder` take, in bytes. Blocking, short."""
    return sum(file.stat().st_size for file in folder.glob("*.sqlite3*") if file.is_file())
