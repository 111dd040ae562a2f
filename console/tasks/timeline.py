"""The `Timeline` of a task: a bar of when it ran, and each event with its instant, oldest first."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from console.history.model import TaskState
from console.tasks.model import Moment, Span, moments, spans, whole_s
from console.tasks.model import TaskStory as Story
from console.widgets.icons import draw_icon
from console.widgets.label import Text
from console.widgets.states import state_look
from console.widgets.text import duration_text, exact_instant
from console.widgets.theme import repaint_on_change, theme
from console.widgets.zone import local_zone

ICON_COLUMN = 28
BAR_HEIGHT = 16
_BAR_COLORS = {
    TaskState.SUCCEEDED: "ch_succeeded",
    TaskState.FAILED: "ch_failed",
    TaskState.RETRYING: "ch_retrying",
}


class Timeline(QScrollArea):
    """Shows one story at a time."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Timeline")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self._shown: tuple[Moment, ...] = ()

    def show_story(self, story: Story) -> None:
        """Replace what is shown."""
        told = moments(story.detail)
        if told == self._shown:
            return
        self._shown = told
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(12, 10, 12, 12)
        layout.setSpacing(0)
        row = story.detail.row
        head = QHBoxLayout()
        whole = whole_s(story.detail)
        head.addWidget(Text(f"{duration_text(whole)} in all" if whole is not None else "", role="header"))
        head.addStretch(1)
        ran = f"ran {duration_text(row.runtime_s)}" if row.runtime_s is not None else ""
        waited = f"waited {duration_text(row.waited_s)}" if row.waited_s is not None else ""
        head.addWidget(Text(", ".join(part for part in (waited, ran) if part), role="label", tone="muted"))
        layout.addLayout(head)
        layout.addSpacing(6)
        layout.addWidget(_Bar(spans(story.detail)))
        layout.addSpacing(10)
        for number, moment in enumerate(told):
            layout.addWidget(_MomentRow(moment, last=number == len(told) - 1))
        layout.addStretch(1)
        content.setObjectName("timelineContent")
        self.setWidget(content)
        content.setAutoFillBackground(False)
        self.viewport().setAutoFillBackground(False)


class _Bar(QWidget):
    """The whole time as a track, the tries on it in the colour of how they ended."""

    def __init__(self, stretches: tuple[Span, ...]) -> None:
        super().__init__()
        self._stretches = stretches
        self.setFixedHeight(BAR_HEIGHT)
        said = ", ".join(f"{one.state.value} after {one.end:.0%}" for one in stretches)
        self.setAccessibleName(f"Tries over time: {said}" if said else "Tries over time")
        repaint_on_change(self)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        look = theme()
        painter.fillRect(self.rect(), look.color("neutral_bg"))
        for one in self._stretches:
            color = look.color(_BAR_COLORS.get(one.state, "ch_other"))
            left = one.start * self.width()
            painter.fillRect(QRectF(left, 0, max(3.0, one.end * self.width() - left), self.height()), color)
        painter.end()


class _MomentRow(QWidget):
    """Icon on a line, word, instant at the right, and what is known of it below."""

    def __init__(self, moment: Moment, *, last: bool) -> None:
        super().__init__()
        self._moment = moment
        self._last = last
        self._look = state_look(moment.state.value)
        zone = local_zone()
        clock = "–"
        if moment.when is not None:
            local = moment.when.astimezone(zone)
            clock = f"{local:%H:%M:%S}.{local.microsecond // 1000:03d}"
        lines = [*moment.lines]
        if moment.lapse_s is not None:
            verb = "waited" if moment.state is TaskState.RECEIVED else "after"
            lines.insert(1 if verb == "waited" and lines else 0, f"{verb} {duration_text(moment.lapse_s)}")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(ICON_COLUMN, 0, 0, 8)
        layout.setSpacing(1)
        head = QHBoxLayout()
        head.addWidget(Text(moment.state.value, role="name", tone=self._look.color))
        head.addStretch(1)
        instant = Text(clock, role="mono-small", tone="muted")
        instant.setToolTip(exact_instant(moment.when, zone))
        head.addWidget(instant)
        layout.addLayout(head)
        for line in lines:
            layout.addWidget(Text(line, role="label", tone="muted", wrap=True))
        self.setAccessibleName(f"{moment.state.value} {clock} {' '.join(lines)}")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        repaint_on_change(self)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        look = theme()
        if not self._last:
            painter.fillRect(QRectF(8, 22, 1, self.height() - 22), look.color("border_strong"))
        draw_icon(painter, self._look.icon, look.color(self._look.color), x=1, y=2, size=15)
        painter.end()

    def minimumSizeHint(self) -> QSize:
        return QSize(120, 24)
