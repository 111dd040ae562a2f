"""What the Local stack page shows while the stack runs: services, facts, log.

Stands apart from the page because it is made later: a person sees the start panel first, and no turn of the
loop shall make both.
"""

from __future__ import annotations

import platform

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from console.stack.log_panel import LogPanel
from console.stack.model import ServiceName, StackSnapshot
from console.stack.services_panel import FactsLine, ServicesTable
from console.stack.view_model import StackViewModel


class RunningView(QWidget):
    """The table and the line of facts at once; the log with `make_log`."""

    options_pressed = Signal()

    def __init__(self, view_model: StackViewModel) -> None:
        super().__init__()
        self._view_model = view_model
        self._log: LogPanel | None = None
        self.table = ServicesTable(view_model)
        self.table.log_pressed.connect(self.show_log)
        self._facts = FactsLine(".".join(platform.python_version_tuple()[:2]))
        self._facts.options_pressed.connect(self.options_pressed)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(10)
        box.addWidget(self.table)
        box.addWidget(self._facts)
        box.addStretch(0)

    def make_log(self) -> None:
        """Add the log with what it holds so far."""
        log = self._log = LogPanel([name.value for name in ServiceName])
        log.save_chosen.connect(self._view_model.save_log)
        log.add_entries(self._view_model.log_entries())
        self._view_model.log_added.connect(log.add_entries)
        box = self.layout()
        if isinstance(box, QVBoxLayout):
            box.addWidget(log, 1)

    def show_log(self, source: str) -> None:
        """Show the log of one service ("Worker") or of all."""
        if self._log is not None:
            self._log.show_source(source)
            self._log.focus_log()

    def show_snapshot(self, snapshot: StackSnapshot) -> None:
        self._facts.set_zone(self._view_model.zone)
        self.table.show_services(snapshot.services, self._view_model.now())
