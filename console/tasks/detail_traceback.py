"""The tab `Traceback`: the error of an attempt, how many failed the same way, its frames, other attempts."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QApplication, QHBoxLayout, QVBoxLayout, QWidget

from console.history.model import Attempt, ErrorGroup, TaskDetail
from console.tasks.model import TaskStory
from console.widgets.badge import Badge
from console.widgets.button import Button, LinkButton
from console.widgets.empty_state import EmptyState
from console.widgets.label import Divider, Glyph, Text
from console.widgets.states import state_look
from console.widgets.text import clock_text, duration_text
from console.widgets.traceback_view import TracebackView
from console.widgets.zone import local_zone

OTHERS_SHOWN = 5
LONGEST_ERROR = 60


class TracebackTab(QWidget):
    """Shows the last attempt that raised, or the one that a person chooses below."""

    same_error_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._story: TaskStory | None = None
        self._chosen: int | None = None
        self._told: object = None
        self._attempt = Text(role="label", tone="text2")
        self._same = Badge("", tone="error")
        self._when = Text(role="label", tone="muted")
        self._group = QWidget()
        self._note = QWidget()
        self._view = TracebackView(note=self._note)
        self._others = QVBoxLayout()
        self._none = EmptyState("circle-check", "No traceback", "This task has not raised an error.")
        self._copy = Button("Copy traceback", icon="copy")
        self._find = Button("Find same error")
        self._content = QWidget()
        self._lay_out()
        self._copy.clicked.connect(lambda: QApplication.clipboard().setText(self._view.text()))
        self._find.clicked.connect(self.same_error_wanted)

    def _lay_out(self) -> None:
        same = QHBoxLayout(self._group)
        same.setContentsMargins(0, 2, 0, 0)
        same.setSpacing(8)
        same.addWidget(self._same)
        same.addWidget(self._when, 1)
        note = QVBoxLayout(self._note)
        note.setContentsMargins(0, 0, 0, 0)
        note.setSpacing(4)
        note.addWidget(self._attempt)
        note.addWidget(self._group)
        self._others.setContentsMargins(12, 10, 12, 0)
        self._others.setSpacing(6)
        buttons = QHBoxLayout()
        buttons.setContentsMargins(12, 10, 12, 12)
        buttons.setSpacing(8)
        buttons.addWidget(self._copy)
        buttons.addWidget(self._find)
        buttons.addStretch(1)
        layout = QVBoxLayout(self._content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._view, 1)
        layout.addWidget(Divider(color="hairline"))
        layout.addLayout(self._others)
        layout.addLayout(buttons)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._content)
        outer.addWidget(self._none)

    def show_story(self, story: TaskStory) -> None:
        """Replace what is shown; a chosen attempt stays chosen while it is the same task."""
        before = self._story
        if before is None or before.detail.row.id != story.detail.row.id:
            self._chosen = None
        self._story = story
        self._show()

    def choose_attempt(self, number: int) -> None:
        """Show another attempt's error."""
        self._chosen = number
        self._show()

    def _show(self) -> None:
        story = self._story
        if story is None:
            return
        detail = story.detail
        raised = [one for one in detail.attempts if one.exception or one.traceback]
        shown = next((one for one in raised if one.number == self._chosen), raised[-1] if raised else None)
        text = detail.traceback or detail.exception
        if shown is not None:
            text = shown.traceback or shown.exception or text
        self._content.setVisible(text is not None)
        self._none.setVisible(text is None)
        if text is None:
            return
        self._view.set_traceback(text)
        self._attempt.set_text(_attempt_words(shown, detail))
        self._attempt.setVisible(bool(self._attempt.text()))
        self._show_group(story.same_error)
        self._show_others(shown, raised)

    def _show_group(self, group: ErrorGroup | None) -> None:
        self._group.setVisible(group is not None and group.count > 1)
        if group is not None:
            zone = local_zone()
            self._same.set(f"{group.count:,} tasks, same error", tone="error")
            self._when.set_text(f"first {clock_text(group.first, zone)}, last {clock_text(group.last, zone)}")

    def _show_others(self, shown: Attempt | None, raised: list[Attempt]) -> None:
        others = [one for one in reversed(raised) if one is not shown]
        told = (shown, tuple(others))
        if told == self._told:
            return  # else the focus of a button here would be lost four times a second
        self._told = told
        while (item := self._others.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        if shown is None or not others:
            return
        earlier = all(one.number < shown.number for one in others)
        title = "Earlier attempts" if earlier else "Other attempts"
        if len(others) > OTHERS_SHOWN:
            title = f"{title}, {OTHERS_SHOWN} of {len(others)}"
        self._others.addWidget(Text(title, role="header", tone="text2"))
        for attempt in others[:OTHERS_SHOWN]:
            self._others.addWidget(self._line(attempt, shown))

    def _line(self, attempt: Attempt, shown: Attempt) -> QWidget:
        line = QWidget()
        layout = QHBoxLayout(line)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        look = state_look(attempt.state.value)
        link = LinkButton(f"Attempt {attempt.number}", role="label")
        link.setToolTip("Show its traceback")
        link.clicked.connect(partial(self.choose_attempt, attempt.number))
        error = "same error" if attempt.exception == shown.exception else attempt.exception or "unknown error"
        words = f"{error[:LONGEST_ERROR]}, after {duration_text(_ran_s(attempt))}"
        layout.addWidget(Glyph(look.icon, look.color))
        layout.addWidget(link)
        layout.addSpacing(4)
        layout.addWidget(Text(words, role="label", tone="muted"), 1)
        layout.addWidget(Text(clock_text(attempt.ended, local_zone()), role="label", tone="muted"))
        return line


def _attempt_words(shown: Attempt | None, detail: TaskDetail) -> str:
    """Which attempt it is of, where there are several or another one ended well."""
    if shown is None or len(detail.attempts) < 2:
        return ""
    return f"Attempt {shown.number} of {len(detail.attempts)}, {shown.state.value}"


def _ran_s(attempt: Attempt) -> float | None:
    if attempt.started is None or attempt.ended is None or attempt.ended < attempt.started:
        return None
    return (attempt.ended - attempt.started).total_seconds()
