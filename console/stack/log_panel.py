"""The log of the stack: by service and level, searched, followed, saved."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from PySide6.QtCore import QDir, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QButtonGroup, QFileDialog

from console.stack.model import LogEntry
from console.widgets.button import Button, Chip, IconButton
from console.widgets.fields import SearchField, Select
from console.widgets.label import Divider
from console.widgets.log_view import LogLine, LogView
from console.widgets.panel import Panel

ALL = "All"
_LEVELS: Mapping[str, tuple[str, ...] | None] = {
    "all": None,
    "info": ("INFO", "WARN", "ERROR"),
    "warnings": ("WARN", "ERROR"),
    "errors": ("ERROR",),
}
_TASK_NAME = re.compile(r"\b(?:[A-Za-z_]\w*\.)+tasks\.(?=\w+)")


class LogPanel(Panel):
    """`save_chosen` carries the file to write the log to."""

    save_chosen = Signal(Path)

    def __init__(self, sources: Sequence[str]) -> None:
        super().__init__("Log")
        self.set_head_height(40)
        self._view = LogView("Log of the local stack")
        self._source = ALL
        self._level = "all"
        self._chips: dict[str, Chip] = {}
        group = QButtonGroup(self)
        for source in (ALL, *sources):
            chip = Chip(source, height=24)
            chip.clicked.connect(lambda _checked=False, source=source: self.show_source(source))
            group.addButton(chip)
            self._chips[source] = chip
            self.add_head(chip)
        self._chips[ALL].setChecked(True)
        line = Divider(vertical=True)
        line.setFixedHeight(16)
        self.add_head(line)
        self._levels = Select(
            [
                ("all", "All levels"),
                ("info", "Info and up"),
                ("warnings", "Warnings and up"),
                ("errors", "Errors"),
            ],
            name="Level",
            height=24,
            small=True,
        )
        self._levels.changed.connect(self._set_level)
        self.add_head(self._levels)
        self._errors = Chip("Errors", icon="circle-x", tone="st_failed", count=0, height=24)
        self._errors.clicked.connect(lambda: self._set_level("errors" if self._errors.isChecked() else "all"))
        self.add_head(self._errors)
        self._add_right()
        self._view.counts_changed.connect(self._show_counts)
        self._view.follow_changed.connect(self._follow.setChecked)
        self._view.matches_changed.connect(self._show_matches)
        self.set_content(self._view)

    def _add_right(self) -> None:
        self.search = SearchField("Search log")
        self.search.setFixedWidth(200)
        self.search.edited.connect(self._view.search)
        self.search.submitted.connect(lambda _text: self._view.find_next())
        self.add_head_right(self.search)
        self._follow = Button("Follow", icon="arrow-down-to-line")
        self._follow.setCheckable(True)
        self._follow.setChecked(True)
        self._follow.clicked.connect(self._view.set_follow)
        self.add_head_right(self._follow)
        save = IconButton("download", name="Save log", bordered=True)
        save.clicked.connect(self._choose_file)
        self.add_head_right(save)
        find = QShortcut(QKeySequence.StandardKey.Find, self)
        find.activated.connect(self.search.setFocus)

    def add_entries(self, entries: Sequence[LogEntry]) -> None:
        """Add lines at the end."""
        self._view.append([_line(entry) for entry in entries])

    def show_source(self, source: str) -> None:
        """Show the log of one service ("Worker"), or `ALL`."""
        self._source = source
        self._chips[source].setChecked(True)
        self._filter()

    def focus_log(self) -> None:
        self._view.setFocus()

    def _set_level(self, level: str) -> None:
        self._level = level
        self._levels.set_current(level)
        self._errors.setChecked(level == "errors")
        self._filter()

    def _filter(self) -> None:
        sources = None if self._source == ALL else (self._source.lower(),)
        self._view.set_filter(sources=sources, levels=_LEVELS[self._level])

    def _show_counts(self, counts: Mapping[str, int]) -> None:
        self._errors.set_count(counts.get("ERROR", 0) + counts.get("CRITICAL", 0))

    def _show_matches(self, count: int, index: int) -> None:
        searched = bool(self.search.text())
        place = f"{index + 1} of {count:,}" if index >= 0 else f"{count:,} found"
        self.search.set_hint(place if searched else "")

    def _choose_file(self) -> None:
        dialog = QFileDialog(self, "Save log", str(Path(QDir.homePath()) / "local-stack.log"))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.fileSelected.connect(lambda name: self.save_chosen.emit(Path(name)))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()


def _line(entry: LogEntry) -> LogLine:
    # A task's name without its module, as on every page; the file has the whole line.
    text = _TASK_NAME.sub("", entry.text) if "tasks." in entry.text else entry.text
    return LogLine(entry.time, entry.source, entry.level, text, entry.continuation)
