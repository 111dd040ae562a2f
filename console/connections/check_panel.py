"""The panel with the test of a connection: its steps as they run, and what to do about the one that fails."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QScrollArea,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from console.broker.tunnel_errors import UnknownHostKey
from console.connections.check_model import CheckStep, StepState, all_passed, summary, total_s
from console.connections.view_model import ConnectionsViewModel
from console.widgets.badge import Badge
from console.widgets.button import Button
from console.widgets.empty_state import EmptyState
from console.widgets.icons import draw_icon
from console.widgets.label import Glyph, Text
from console.widgets.panel import Panel, Surface
from console.widgets.spinner import Spinner
from console.widgets.text import duration_text
from console.widgets.theme import repaint_on_change, theme

_TITLE_WIDTH = 120
_LOOKS = {
    StepState.WAITING: ("circle-dashed", "faint"),
    StepState.PASSED: ("circle-check", "ok"),
    StepState.WARNING: ("triangle-alert", "warning"),
    StepState.FAILED: ("circle-x", "error"),
    StepState.SKIPPED: ("circle-minus", "faint"),
}
_GROUNDS = {StepState.FAILED: "error_bg", StepState.WARNING: "warning_bg"}


class CheckPanel(Panel):
    """Shows the test of the chosen connection."""

    def __init__(self, view_model: ConnectionsViewModel) -> None:
        super().__init__("Test")
        self._view_model = view_model
        self._badge = Badge("")
        self.add_head(self._badge)
        self._age = Text(role="label", tone="warning")
        self.add_head(self._age)
        self._spinner = Spinner()
        self._took = Text(role="label", tone="muted")
        self._stop = Button("Stop", small=True)
        self._stop.clicked.connect(view_model.stop_test)
        for widget in (self._spinner, self._took, self._stop):
            self.add_head_right(widget)
        self._steps: dict[str, _StepRow] = {}
        inside = QWidget()
        self._rows = QVBoxLayout(inside)
        self._rows.setContentsMargins(0, 4, 0, 4)
        self._rows.setSpacing(0)
        self._rows.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setAccessibleName("Steps of the test")
        scroll.setWidget(inside)
        scroll.viewport().setAutoFillBackground(False)
        inside.setAutoFillBackground(False)
        self._body = QStackedWidget()
        self._body.addWidget(scroll)
        self._empty = EmptyState("plug", "Not tested yet")
        self._empty.action_clicked.connect(view_model.test)
        self._body.addWidget(self._empty)
        self.set_content(self._body)
        footer = QWidget()
        line = QHBoxLayout(footer)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(8)
        line.addWidget(Glyph("info", "muted"))
        words = Text("The test only reads. It may be saved as it is.", role="label", tone="muted")
        words.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        line.addWidget(words, 1)
        self.set_footer(footer, height=37)
        view_model.check_changed.connect(self.show_check)
        view_model.editing_changed.connect(self.show_check)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)

    def show_check(self) -> None:
        """Show the steps by now."""
        check = self._view_model.check
        shown = check is not None
        running = shown and check is not None and check.running
        self._spinner.setVisible(running)
        self._stop.setVisible(running)
        self._badge.setVisible(shown and not running)
        self._took.setVisible(shown and not running)
        self._age.setVisible(shown and not running and self._view_model.check_is_old)
        if check is None:
            self._show_empty()
            return
        self._body.setCurrentIndex(0)
        self._show_steps(check.steps)
        passed = all_passed(check.steps) and not check.stopped
        self._badge.set(
            "Stopped" if check.stopped else summary(check.steps),
            tone="neutral" if check.stopped else "ok" if passed else "error",
            icon=None if check.stopped else "circle-check" if passed else "circle-x",
        )
        self._age.set_text("Changed since")
        self._took.set_text(f"{duration_text(total_s(check.steps))} in all")

    def _show_empty(self) -> None:
        refusal = self._view_model.test_refusal
        self._empty.set(
            "plug",
            "Not tested yet",
            refusal
            or "Tests step by step what is filled in, saved or not: the way there, the login, the rights.",
            action=None if refusal else "Test",
        )
        self._body.setCurrentIndex(1)

    def _show_steps(self, steps: tuple[CheckStep, ...]) -> None:
        if list(self._steps) != [step.key for step in steps]:
            for row in self._steps.values():
                self._rows.removeWidget(row)
                row.hide()
                row.deleteLater()
            self._steps = {step.key: _StepRow() for step in steps}
            for number, row in enumerate(self._steps.values()):
                row.trust_wanted.connect(self._view_model.trust_key)
                self._rows.insertWidget(number, row)
        for step in steps:
            self._steps[step.key].show_step(step)


class _StepRow(QWidget):
    """One step; the one that failed stands on its own ground with what to do."""

    trust_wanted = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._step: CheckStep | None = None
        self._spinner = Spinner()
        self._spinner.hide()
        self._icon = _StepIcon()
        self._title = Text(role="name")
        self._title.setFixedWidth(_TITLE_WIDTH)
        self._says = _Cut()
        self._took = Text(role="body", tone="muted")
        line = QHBoxLayout()
        line.setContentsMargins(14, 0, 14, 0)
        line.setSpacing(8)
        line.addWidget(self._icon)
        line.addWidget(self._spinner)
        line.addSpacing(2)
        line.addWidget(self._title)
        line.addWidget(self._says, 1)
        line.addWidget(self._took)
        head = QWidget()
        head.setFixedHeight(34)
        head.setLayout(line)
        self._more = QWidget()
        more = QVBoxLayout(self._more)
        more.setContentsMargins(40, 0, 14, 12)
        more.setSpacing(8)
        self._words = Text(role="label", wrap=True, selectable=True)
        more.addWidget(self._words)
        self._command = _Command()
        more.addWidget(self._command)
        self._trust = Button("Trust this key", icon="shield", small=True)
        self._trust.clicked.connect(lambda: self.trust_wanted.emit(self._step))
        more.addWidget(self._trust, 0, Qt.AlignmentFlag.AlignLeft)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(head)
        column.addWidget(self._more)
        repaint_on_change(self)

    def show_step(self, step: CheckStep) -> None:
        if step == self._step:
            return
        self._step = step
        failed = step.state is StepState.FAILED
        quiet = step.state in (StepState.WAITING, StepState.SKIPPED)
        self._spinner.setVisible(step.state is StepState.RUNNING)
        self._icon.setVisible(step.state is not StepState.RUNNING)
        self._icon.show_state(step.state)
        self._title.set_text(
            theme().metrics("name").elidedText(step.title, Qt.TextElideMode.ElideRight, _TITLE_WIDTH)
        )
        self._title.set_tone("error" if failed else "muted" if quiet else "text")
        error = step.error
        says = step.says or (error.title if error is not None else "")
        self._says.show_words(says, tone="text" if failed else "muted")
        self._took.set_text("" if step.took_s is None else duration_text(step.took_s))
        words: list[str] = []
        if error is not None:
            title = "" if error.title == says else f"{error.title.rstrip('.')}."
            words = [part for part in (title, error.detail, error.remedy) if part]
        self._words.set_text(" ".join(words))
        self._words.setVisible(bool(words))
        self._command.show_command(step.command)
        self._trust.setVisible(isinstance(error, UnknownHostKey))
        self._more.setVisible(bool(words or step.command))
        self.setAccessibleName(" ".join(part for part in (step.title, step.state.value, says) if part))
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        ground = _GROUNDS.get(self._step.state) if self._step is not None else None
        if ground is not None:
            painter = QPainter(self)
            painter.fillRect(self.rect(), theme().color(ground))
            painter.end()


class _StepIcon(QWidget):
    def __init__(self) -> None:
        super().__init__()
        self._look = _LOOKS[StepState.WAITING]
        self.setFixedSize(16, 16)
        repaint_on_change(self)

    def show_state(self, state: StepState) -> None:
        self._look = _LOOKS.get(state, self._look)
        self.setAccessibleName(state.value)
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        draw_icon(painter, self._look[0], self._look[1], x=0, y=0, size=16)
        painter.end()


class _Cut(Text):
    """One line, cut at its end where there is no room; the whole is its tooltip."""

    def __init__(self) -> None:
        super().__init__()
        self._whole = ""
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def show_words(self, words: str, *, tone: str) -> None:
        self._whole = words
        self.set_tone(tone)
        self._cut()

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize:
            self._cut()
        return super().event(event)

    def _cut(self) -> None:
        cut = theme().metrics("body").elidedText(self._whole, Qt.TextElideMode.ElideRight, self.width())
        self.set_text(cut if self.width() > 0 else self._whole)
        self.setToolTip(self._whole if cut != self._whole else "")
        self.setAccessibleName(self._whole)


class _Command(Surface):
    """A command to be copied for an administrator."""

    def __init__(self) -> None:
        super().__init__(border="error_border")
        self._text = Text(role="mono-small", wrap=True, selectable=True)
        self._copy = Button("Copy", icon="copy", kind="flat", small=True)
        self._copy.setAccessibleName("Copy the command")
        self._copy.clicked.connect(lambda: QApplication.clipboard().setText(self._text.text()))
        line = QHBoxLayout(self)
        line.setContentsMargins(11, 2, 3, 2)
        line.setSpacing(6)
        line.addWidget(self._text, 1)
        line.addWidget(self._copy, 0, Qt.AlignmentFlag.AlignTop)

    def show_command(self, command: str) -> None:
        self._text.set_text(command)
        self.setVisible(bool(command))
