"""`Terminate…`: which signal the process gets, each with what it does."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from console.history.model import TaskRow
from console.tasks.operations import SIGNAL_WORDS, KillSignal
from console.widgets.dialog import ConsoleDialog
from console.widgets.fields import RadioButton
from console.widgets.label import Text
from console.widgets.text import UNKNOWN, middle_elide_id, short_task_name

WIDTH = 520
INDENT = 26


class TerminateDialog(ConsoleDialog):
    """`chosen` carries the signal; what confirms it comes after."""

    chosen = Signal(KillSignal)

    def __init__(self, parent: QWidget, rows: Sequence[TaskRow]) -> None:
        super().__init__(parent, "Terminate", subtitle=_whom(rows), width=WIDTH)
        self._signals: dict[KillSignal, RadioButton] = {}
        self.body.addWidget(Text("The process that runs it gets this signal:", role="label", tone="text2"))
        for signal in KillSignal:
            self.body.addLayout(self._choice(signal))
        self._signals[KillSignal.TERM].setChecked(True)
        go_on = self.add_button("Terminate…", kind="danger")
        go_on.clicked.connect(self._on_chosen)
        self.set_first_focus(self._signals[KillSignal.TERM])

    @property
    def signal(self) -> KillSignal:
        """The signal that is chosen now."""
        return next(signal for signal, button in self._signals.items() if button.isChecked())

    def choose(self, signal: KillSignal) -> None:
        """Choose a signal."""
        self._signals[signal].setChecked(True)

    def _choice(self, signal: KillSignal) -> QVBoxLayout:
        button = RadioButton(signal.value)
        button.setAccessibleDescription(SIGNAL_WORDS[signal])
        self._signals[signal] = button
        words = Text(SIGNAL_WORDS[signal], role="label", tone="muted", wrap=True)
        words.setContentsMargins(INDENT, 0, 0, 4)
        column = QVBoxLayout()
        column.setSpacing(0)
        column.addWidget(button)
        column.addWidget(words)
        return column

    def _on_chosen(self) -> None:
        self.chosen.emit(self.signal)
        self.accept()


def _whom(rows: Sequence[TaskRow]) -> str:
    if len(rows) == 1:
        return f"{short_task_name(rows[0].name or UNKNOWN)} {middle_elide_id(rows[0].id)}"
    return f"{len(rows):,} tasks"
