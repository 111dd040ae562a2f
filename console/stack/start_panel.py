"""The stack before it runs: what will happen, how far it is, or which step failed and why."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRectF, Qt, QTimer, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from console.stack.model import StackSnapshot, StackState, StepState, StepStatus
from console.stack.view_model import StackViewModel
from console.widgets.button import Button, LinkButton
from console.widgets.fields import TextArea
from console.widgets.icons import draw_icon, logo_pixmap
from console.widgets.label import Divider, Text
from console.widgets.paint import draw_box
from console.widgets.panel import Surface
from console.widgets.spinner import Spinner
from console.widgets.states import state_look
from console.widgets.text import UNKNOWN
from console.widgets.theme import repaint_on_change, theme

WIDTH = 560
ROW_HEIGHT = 40
_TICK_MS = 100


class _Logo(Surface):
    """The product's mark in a quiet box."""

    def __init__(self) -> None:
        super().__init__(fill="sunken")
        self.setFixedSize(64, 64)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        painter = QPainter(self)
        painter.drawPixmap(16, 16, logo_pixmap(size=32, ratio=self.devicePixelRatioF()))
        painter.end()


class _StepIcon(QWidget):
    """The state of a step as an icon; what runs turns."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedSize(16, 16)
        self._icon = "circle-dashed"
        self._color = "muted"
        self._spinner = Spinner(size=16)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._spinner)
        self._spinner.hide()
        repaint_on_change(self)

    def show_state(self, state: StepState) -> None:
        look = state_look(state.value)
        self._icon, self._color = look.icon, look.color
        self._spinner.setVisible(state is StepState.STARTING)
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        if self._spinner.isVisible():
            return
        painter = QPainter(self)
        draw_icon(painter, self._icon, self._color, x=0, y=0, size=16)
        painter.end()


class _StepRow(QWidget):
    """One step: number or icon, name, what it does or did, state, seconds."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.setFixedHeight(ROW_HEIGHT)
        self._tinted = False
        self._number = Text(str(number), role="header", tone="muted")
        self._number.setFixedWidth(16)
        self._number.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._icon = _StepIcon()
        self._name = Text(role="name")
        self._name.setFixedWidth(100)
        self._text = Text(tone="muted")
        self._text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._state = Text(role="name")
        self._seconds = Text(tone="muted")
        self._seconds.setFixedWidth(56)
        self._seconds.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(16, 0, 16, 0)
        layout.setSpacing(0)
        layout.addWidget(self._number)
        layout.addWidget(self._icon)
        layout.addSpacing(12)
        layout.addWidget(self._name)
        layout.addWidget(self._text, 1)
        layout.addSpacing(8)
        layout.addWidget(self._state)
        layout.addWidget(self._seconds)
        repaint_on_change(self)

    def show_step(self, step: StepStatus, *, plan: bool, now_s: float) -> None:
        """`plan`: nothing has begun, so that it shows a number and no state."""
        waiting = step.state is StepState.WAITING
        self._number.setVisible(plan)
        self._icon.setVisible(not plan)
        self._icon.show_state(step.state)
        self._name.set_text(step.name.value)
        self._name.set_tone("text" if plan or not waiting else "muted")
        self._text.set_text(step.text)
        self._text.setToolTip(step.text if len(step.text) > 44 else "")
        self._state.setVisible(not plan and not waiting)
        self._state.set_text("" if waiting else step.state.value)
        self._state.set_tone(state_look(step.state.value).color)
        self._seconds.setVisible(not plan)
        self._seconds.set_text(_seconds(step, now_s))
        self._tinted = step.state is StepState.STARTING
        state = "" if plan else f", {step.state.value}"
        self.setAccessibleName(f"{step.name.value}: {step.text}{state}")
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        if self._tinted:
            painter = QPainter(self)
            painter.fillRect(self.rect(), theme().color("own_code"))
            painter.end()


def _seconds(step: StepStatus, now_s: float) -> str:
    if step.seconds is not None:
        return f"{step.seconds:.1f} s"
    if step.since_s is not None:
        return f"{max(0.0, now_s - step.since_s):.1f} s"
    return UNKNOWN


class _Progress(QWidget):
    """A bar of 4 px."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(4)
        self._share = 0.0
        repaint_on_change(self)

    def set_share(self, share: float) -> None:
        self._share = share
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme()
        painter = QPainter(self)
        rect = QRectF(self.rect())
        draw_box(painter, rect, fill=look.color("neutral_bg"), radius=2)
        if self._share > 0:
            rect.setWidth(rect.width() * self._share)
            draw_box(painter, rect, fill=look.color("accent"), radius=2)
        painter.end()


class StartPanel(Surface):
    """The first run, a start under way, and a start that failed."""

    connect_pressed = Signal()
    files_pressed = Signal()

    def __init__(self, view_model: StackViewModel) -> None:
        super().__init__()
        self._view_model = view_model
        self._logo = _Logo()
        self._title = Text(role="hero")
        self._subtitle = Text(tone="muted", wrap=True)
        for text in (self._title, self._subtitle):
            text.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.start_button = Button("Start local stack", icon="play", kind="primary", big=True)
        self.start_button.clicked.connect(view_model.start)
        self.cancel_button = Button("Cancel", big=True)
        self.cancel_button.clicked.connect(view_model.cancel)
        self.stop_button = Button("Stop local stack", icon="square", kind="danger-outline", big=True)
        self.stop_button.clicked.connect(view_model.stop)
        self._caption = Text("What happens", role="caption", tone="muted")
        self._elapsed = Text(role="label", tone="muted")
        self._progress = _Progress()
        self._rows: list[_StepRow] = []
        self._steps: Sequence[StepStatus] = ()
        self._started_s: float | None = None
        self._lines = TextArea(name="Last log lines", mono=True)
        self._lines.setReadOnly(True)
        self._lines.setFixedHeight(112)
        self._timer = QTimer(self)
        self._timer.setInterval(_TICK_MS)
        self._timer.timeout.connect(self._tick)
        self._lay_out()

    def _lay_out(self) -> None:
        center = Qt.AlignmentFlag.AlignHCenter
        column = QWidget()
        column.setFixedWidth(WIDTH)
        inner = QVBoxLayout(column)
        inner.setContentsMargins(0, 12, 0, 12)
        inner.setSpacing(0)
        inner.addWidget(self._logo, 0, center)
        inner.addSpacing(18)
        inner.addWidget(self._title)
        inner.addSpacing(6)
        inner.addWidget(self._subtitle)
        inner.addSpacing(16)
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        buttons.addStretch(1)
        for button, width in ((self.start_button, 234), (self.cancel_button, 90), (self.stop_button, 160)):
            button.setMinimumWidth(width)
            buttons.addWidget(button)
        buttons.addStretch(1)
        inner.addLayout(buttons)
        inner.addSpacing(20)
        caption = QHBoxLayout()
        caption.addWidget(self._caption, 1)
        caption.addWidget(self._elapsed)
        inner.addLayout(caption)
        inner.addSpacing(6)
        inner.addWidget(self._progress)
        inner.addSpacing(8)
        self._list = Surface()
        self._list_layout = QVBoxLayout(self._list)
        self._list_layout.setContentsMargins(1, 1, 1, 1)
        self._list_layout.setSpacing(0)
        inner.addWidget(self._list)
        inner.addSpacing(12)
        inner.addWidget(self._lines)
        inner.addWidget(self._make_links(), 0, center)
        centred = QWidget()
        middle = QVBoxLayout(centred)
        middle.setContentsMargins(0, 0, 0, 0)
        middle.addStretch(1)
        middle.addWidget(column, 0, center)
        middle.addStretch(1)
        # A low window scrolls rather than grows.
        scroll = QScrollArea()
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setWidgetResizable(True)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setWidget(centred)
        centred.setAutoFillBackground(False)
        scroll.viewport().setAutoFillBackground(False)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(1, 1, 1, 1)
        outer.addWidget(scroll)

    def _make_links(self) -> QWidget:
        self._links = QWidget()
        layout = QHBoxLayout(self._links)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(16)
        connect = LinkButton("Connect to a broker…")
        connect.clicked.connect(self.connect_pressed)
        files = LinkButton("Show what will be written")
        files.clicked.connect(self.files_pressed)
        layout.addWidget(connect)
        line = Divider(vertical=True)
        line.setFixedHeight(12)
        layout.addWidget(line)
        layout.addWidget(files)
        return self._links

    def show_snapshot(self, snapshot: StackSnapshot, *, now_s: float) -> None:
        """Become what the stack is."""
        state = snapshot.state
        starting = state is StackState.STARTING
        failed = state is StackState.FAILED
        plan = not starting and not failed
        self._show_words(snapshot)
        self.start_button.set_text("Starting…" if starting else "Retry" if failed else "Start local stack")
        self.start_button.set_icon_name("loader" if starting else "rotate-cw" if failed else "play")
        self.start_button.set_kind("normal" if starting else "primary")
        self.start_button.setEnabled(self._view_model.can_start)
        self.cancel_button.setVisible(starting)
        self.stop_button.setVisible(failed and self._view_model.can_stop)
        self._progress.setVisible(starting)
        self._elapsed.setVisible(starting)
        self._links.setVisible(plan)
        lines = snapshot.failure.lines if failed and snapshot.failure is not None else ()
        self._lines.setVisible(bool(lines))
        if lines and self._lines.toPlainText() != "\n".join(lines):
            self._lines.setPlainText("\n".join(lines))
            self._lines.verticalScrollBar().setValue(self._lines.verticalScrollBar().maximum())
        self._show_steps(snapshot.steps, plan=plan, now_s=now_s)
        done = sum(step.state is StepState.READY for step in snapshot.steps)
        count = len(snapshot.steps)
        self._caption.set_text("What happens" if plan else f"{done} of {count} done")
        self._progress.set_share(done / count if count else 0.0)
        self._started_s = snapshot.started_s
        self._steps = snapshot.steps
        if starting and not self._timer.isActive() and self.isVisible():
            self._timer.start()
        elif not starting:
            self._timer.stop()
        self._show_elapsed(now_s)

    def _show_words(self, snapshot: StackSnapshot) -> None:
        failure = snapshot.failure
        if snapshot.state is StackState.STARTING:
            self._title.set_text("Starting your local stack")
            self._subtitle.set_text("Everything runs on this machine and stops with the console.")
        elif snapshot.state is StackState.FAILED and failure is not None:
            self._title.set_text(failure.title)
            self._subtitle.set_text(f"{failure.cause}\n{failure.remedy}".strip())
        elif snapshot.state is StackState.STOPPING:
            self._title.set_text("Stopping your local stack")
            self._subtitle.set_text("Its data stays for the next start.")
        else:
            self._title.set_text("See Celery work in about five seconds")
            self._subtitle.set_text(
                "A broker, a worker and beat on this machine, with a small Django\n"
                "project. Nothing to install, and all of it stops with the console."
            )

    def _show_steps(self, steps: Sequence[StepStatus], *, plan: bool, now_s: float) -> None:
        while len(self._rows) < len(steps):
            if self._rows:
                self._list_layout.addWidget(Divider(color="hairline"))
            row = _StepRow(len(self._rows) + 1)
            self._rows.append(row)
            self._list_layout.addWidget(row)
        for row, step in zip(self._rows, steps, strict=True):
            row.show_step(step, plan=plan, now_s=now_s)

    def _show_elapsed(self, now_s: float) -> None:
        if self._started_s is not None:
            self._elapsed.set_text(f"{max(0.0, now_s - self._started_s):.1f} s")

    def _tick(self) -> None:
        now_s = self._view_model.now_s()
        self._show_elapsed(now_s)
        self._show_steps(self._steps, plan=False, now_s=now_s)
