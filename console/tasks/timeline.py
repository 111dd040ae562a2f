"""The `Timeline` of a task: a bar of when it ran, and each event with its instant, oldest first."""

from __future__ import annotations

from datetime import UTC, datetime

from PySide6.QtCore import QRectF, QSize, Qt, QTimer
from PySide6.QtGui import QHideEvent, QPainter, QPaintEvent, QShowEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from console.history.model import TaskDetail, TaskState
from console.tasks.detail_moments import Life, Moment, Span, life_of
from console.tasks.model import TaskStory as Story
from console.widgets.icons import draw_icon
from console.widgets.label import Text
from console.widgets.states import state_look
from console.widgets.text import exact_instant, fine_clock_text
from console.widgets.theme import repaint_on_change, theme
from console.widgets.zone import local_zone

ICON_COLUMN = 28
BAR_HEIGHT = 16
_BAR_COLORS = {
    TaskState.SUCCEEDED: "ch_succeeded",
    TaskState.FAILED: "ch_failed",
    TaskState.RETRYING: "ch_retrying",
    TaskState.STARTED: "st_started",
}


class Timeline(QScrollArea):
    """Shows one story at a time; what goes on grows once a second while it is seen."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Timeline")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._detail: TaskDetail | None = None
        self._life: Life | None = None
        self._rows: list[_MomentRow] = []
        self._whole = Text(role="header")
        self._parts = Text(role="label", tone="muted")
        self._bar = _Bar()
        self._moments = QVBoxLayout()
        self._moments.setSpacing(0)
        self._beat = QTimer(self)
        self._beat.setInterval(1000)
        self._beat.timeout.connect(self._show)
        self._lay_out()

    def _lay_out(self) -> None:
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(12, 10, 12, 12)
        layout.setSpacing(0)
        head = QHBoxLayout()
        head.addWidget(self._whole)
        head.addStretch(1)
        head.addWidget(self._parts)
        layout.addLayout(head)
        layout.addSpacing(6)
        layout.addWidget(self._bar)
        layout.addSpacing(10)
        layout.addLayout(self._moments)
        layout.addStretch(1)
        content.setObjectName("timelineContent")
        self.setWidget(content)
        content.setAutoFillBackground(False)
        self.viewport().setAutoFillBackground(False)

    def show_story(self, story: Story) -> None:
        """Replace what is shown."""
        self._detail = story.detail
        self._show()

    def _show(self) -> None:
        if self._detail is None:
            return
        life = life_of(self._detail, now=datetime.now(UTC), zone=local_zone())
        if self._life is None or len(life.moments) != len(self._life.moments):
            self._make_rows(len(life.moments))
        self._life = life
        self._whole.set_text(life.whole)
        self._parts.set_text(life.parts)
        self._bar.show_spans(life.spans)
        for row, moment in zip(self._rows, life.moments, strict=True):
            row.show_moment(moment)
        self._keep_time()

    def _make_rows(self, count: int) -> None:
        for row in self._rows:
            row.deleteLater()
        self._rows = [_MomentRow(last=number == count - 1) for number in range(count)]
        for row in self._rows:
            self._moments.addWidget(row)

    def _keep_time(self) -> None:
        """The clock runs only for what goes on, and only while somebody looks."""
        wanted = self._life is not None and self._life.live and self.isVisible()
        if wanted and not self._beat.isActive():
            self._beat.start()
        elif not wanted:
            self._beat.stop()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._show()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._keep_time()


class _Bar(QWidget):
    """The whole time as a track, the attempts on it in the colour of how they ended."""

    def __init__(self) -> None:
        super().__init__()
        self._spans: tuple[Span, ...] = ()
        self.setFixedHeight(BAR_HEIGHT)
        repaint_on_change(self)

    def show_spans(self, spans: tuple[Span, ...]) -> None:
        """Replace what is shown."""
        if spans == self._spans:
            return
        self._spans = spans
        said = ", ".join(f"{one.state.value} from {one.start:.0%} to {one.end:.0%}" for one in spans)
        self.setAccessibleName(f"Attempts over time: {said}")
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        look = theme()
        painter.fillRect(self.rect(), look.color("neutral_bg"))
        for one in self._spans:
            color = look.color(_BAR_COLORS.get(one.state, "ch_other"))
            left = min(one.start * self.width(), self.width() - 3.0)
            painter.fillRect(QRectF(left, 0, max(3.0, one.end * self.width() - left), self.height()), color)
        painter.end()


class _MomentRow(QWidget):
    """Icon on a line, word, instant at the right, and what is known of it below."""

    def __init__(self, *, last: bool) -> None:
        super().__init__()
        self._last = last
        self._look = state_look(TaskState.SENT.value)
        self._moment: Moment | None = None
        self._word = Text(role="name")
        self._clock = Text(role="mono-small", tone="muted", selectable=True)
        self._lines: list[Text] = []
        self._below = QVBoxLayout()
        self._below.setSpacing(1)
        head = QHBoxLayout()
        head.addWidget(self._word)
        head.addStretch(1)
        head.addWidget(self._clock)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(ICON_COLUMN, 0, 0, 8)
        layout.setSpacing(1)
        layout.addLayout(head)
        layout.addLayout(self._below)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        repaint_on_change(self)

    def show_moment(self, moment: Moment) -> None:
        """Replace what is shown; only what is other is touched."""
        if moment == self._moment:
            return
        self._moment = moment
        self._look = state_look(moment.state.value)
        zone = local_zone()
        clock = fine_clock_text(moment.when, zone)
        self._word.set_text(moment.state.value)
        self._word.set_tone(self._look.color)
        self._clock.set_text(clock)
        self._clock.setToolTip(exact_instant(moment.when, zone) if moment.when is not None else "")
        for line in self._lines[len(moment.lines) :]:
            line.deleteLater()
        del self._lines[len(moment.lines) :]
        while len(self._lines) < len(moment.lines):
            self._lines.append(Text(role="label", tone="muted", wrap=True, selectable=True))
            self._below.addWidget(self._lines[-1])
        for line, words in zip(self._lines, moment.lines, strict=True):
            line.set_text(words)
        self.setAccessibleName(f"{moment.state.value} {clock} {' '.join(moment.lines)}")
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        look = theme()
        if not self._last:
            painter.fillRect(QRectF(8, 22, 1, self.height() - 22), look.color("border_strong"))
        draw_icon(painter, self._look.icon, look.color(self._look.color), x=1, y=2, size=15)
        painter.end()

    def minimumSizeHint(self) -> QSize:
        return QSize(120, 24)
