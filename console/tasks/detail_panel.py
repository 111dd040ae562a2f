"""The panel beside the table: one task with its tabs."""

from __future__ import annotations

from datetime import datetime

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QApplication, QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from console.history.model import Attempt, TaskDetail, TaskRow, TaskState
from console.tasks.cells import FAMILY_COLUMNS, family_row
from console.tasks.model import TaskStory, client_words
from console.tasks.timeline import Timeline
from console.widgets.badge import Badge, StateBadge
from console.widgets.button import Button, IconButton
from console.widgets.data_table import DataTable
from console.widgets.empty_state import EmptyState
from console.widgets.json_view import JsonView
from console.widgets.label import Divider, Glyph, Text
from console.widgets.panel import KeyValueGrid, Surface
from console.widgets.states import state_look
from console.widgets.tabs import TabBar
from console.widgets.text import (
    UNKNOWN,
    clock_text,
    duration_text,
    exact_instant,
    fine_clock_text,
    short_task_name,
)
from console.widgets.traceback_view import TracebackView
from console.widgets.zone import local_zone

TABS = ("Summary", "Arguments", "Result", "Traceback", "Timeline", "Family")
WIDTH = 350
EARLIER_SHOWN = 5


class DetailPanel(Surface):
    """Shows a story. `same_error_wanted`: the person asks for failures like this one."""

    same_error_wanted = Signal()
    task_chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.setAccessibleName("Task")
        self.setFixedWidth(WIDTH)
        self._story: TaskStory | None = None
        self._name = Text(role="dialog")
        self._state = StateBadge("Sent")
        self._id = Text(role="mono-small", tone="muted", selectable=True)
        self._copy = IconButton("copy", name="Copy ID", size=20, icon_size=12)
        self._tabs = TabBar(TABS, name="Task detail", gap=8)
        self._pages = QStackedWidget()
        self._summary = KeyValueGrid(key_width=88)
        self._args = JsonView("Positional arguments")
        self._kwargs = JsonView("Keyword arguments")
        self._result = JsonView("Result")
        self._traceback = _TracebackTab()
        self._timeline = Timeline()
        self._family = DataTable("Family", FAMILY_COLUMNS, framed=False)
        self._empty = EmptyState("list-checks", "No task selected", "Select a row to see its story.")
        self._lay_out()
        self._copy.clicked.connect(lambda: QApplication.clipboard().setText(self._id.text()))
        self._tabs.changed.connect(self._on_tab)
        self._traceback.same_error_wanted.connect(self.same_error_wanted)
        self._family.activated_row.connect(self.task_chosen)
        self.show_nothing()

    def _lay_out(self) -> None:
        self._body = QWidget()
        head = QHBoxLayout()
        head.setContentsMargins(12, 10, 12, 0)
        head.addWidget(self._name, 1)
        head.addWidget(self._state)
        ids = QHBoxLayout()
        ids.setContentsMargins(12, 0, 12, 4)
        ids.setSpacing(4)
        ids.addWidget(self._id)
        ids.addWidget(self._copy)
        ids.addStretch(1)
        body = QVBoxLayout(self._body)
        body.setContentsMargins(0, 0, 0, 0)
        body.setSpacing(0)
        body.addLayout(head)
        body.addLayout(ids)
        body.addWidget(self._tabs)
        body.addWidget(self._pages, 1)
        for page in (
            _padded(self._summary, stretch=False),
            _arguments(self._args, self._kwargs),
            _padded(self._result),
            self._traceback,
            self._timeline,
            self._family,
        ):
            self._pages.addWidget(page)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(1, 1, 1, 1)
        layout.addWidget(self._body)
        layout.addWidget(self._empty)

    def show_nothing(
        self, title: str = "No task selected", reason: str = "Select a row to see its story."
    ) -> None:
        """No task is selected, or nothing is known of it."""
        self._story = None
        self._empty.set("list-checks", title, reason)
        self._body.hide()
        self._empty.show()

    def show_story(self, story: TaskStory) -> None:
        """Show a task; the tab stays as it is."""
        self._story = story
        detail = story.detail
        self._empty.hide()
        self._body.show()
        self._name.set_text(short_task_name(detail.row.name or UNKNOWN))
        self._name.setToolTip(detail.row.name or "")
        self._state.set_state(detail.row.state.value)
        self._id.set_text(detail.row.id)
        self._fill_tab(self._tabs.current())

    def _on_tab(self, tab: str) -> None:
        self._pages.setCurrentIndex(TABS.index(tab))
        self._fill_tab(tab)

    def _fill_tab(self, tab: str) -> None:
        """Only the tab that is seen is filled: a story may change four times a second."""
        story = self._story
        if story is None:
            return
        detail = story.detail
        match tab:
            case "Summary":
                zone = local_zone()
                hints = {name: exact_instant(when, zone) for name, when in _instants(detail.row) if when}
                self._summary.set_pairs(_pairs(detail), hints=hints)
            case "Arguments":
                self._args.set_text(detail.args if detail.args is not None else UNKNOWN)
                self._kwargs.set_text(detail.kwargs if detail.kwargs is not None else UNKNOWN)
            case "Result":
                self._result.set_text(_result(detail))
            case "Traceback":
                self._traceback.show_story(story)
            case "Timeline":
                self._timeline.show_story(story)
            case _:
                self._family.set_rows(
                    [family_row(one.row, one.depth, this=one.row.id == detail.row.id) for one in story.family]
                )


class _TracebackTab(QWidget):
    """The error, how many failed the same way, the frames and the earlier attempts."""

    same_error_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._same = Badge("", tone="error")
        self._when = Text(role="label", tone="muted")
        self._group = QWidget()
        self._view = TracebackView(note=self._group)
        self._earlier = QVBoxLayout()
        self._earlier.setContentsMargins(12, 10, 12, 0)
        self._earlier.setSpacing(10)
        self._none = EmptyState("circle-check", "No traceback", "This task has not raised an error.")
        self._copy = Button("Copy traceback", icon="copy")
        self._find = Button("Find same error")
        same = QHBoxLayout(self._group)
        same.setContentsMargins(0, 2, 0, 0)
        same.setSpacing(8)
        same.addWidget(self._same)
        same.addWidget(self._when, 1)
        buttons = QHBoxLayout()
        buttons.setContentsMargins(12, 10, 12, 12)
        buttons.setSpacing(8)
        buttons.addWidget(self._copy)
        buttons.addWidget(self._find)
        buttons.addStretch(1)
        self._content = QWidget()
        layout = QVBoxLayout(self._content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._view, 1)
        layout.addWidget(Divider(color="hairline"))
        layout.addLayout(self._earlier)
        layout.addLayout(buttons)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._content)
        outer.addWidget(self._none)
        self._copy.clicked.connect(lambda: QApplication.clipboard().setText(self._view.text()))
        self._find.clicked.connect(self.same_error_wanted)

    def show_story(self, story: TaskStory) -> None:
        """Replace what is shown."""
        detail = story.detail
        text = detail.traceback or detail.exception
        self._content.setVisible(text is not None)
        self._none.setVisible(text is None)
        if text is None:
            return
        self._view.set_traceback(text)
        group = story.same_error
        self._group.setVisible(group is not None and group.count > 1)
        if group is not None:
            zone = local_zone()
            self._same.set(f"{group.count:,} tasks, same error", tone="error")
            self._when.set_text(f"first {clock_text(group.first, zone)}, last {clock_text(group.last, zone)}")
        self._show_earlier(detail)

    def _show_earlier(self, detail: TaskDetail) -> None:
        while (item := self._earlier.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        over = [one for one in detail.attempts[:-1] if one.state is TaskState.RETRYING]
        if not over:
            return
        self._earlier.addWidget(Text("Earlier attempts", role="header", tone="text2"))
        for attempt in list(reversed(over))[:EARLIER_SHOWN]:
            self._earlier.addWidget(_attempt_line(attempt, detail.exception))


def _attempt_line(attempt: Attempt, exception: str | None) -> QWidget:
    line = QWidget()
    layout = QHBoxLayout(line)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(14)
    ran_s = None
    if attempt.started is not None and attempt.ended is not None:
        ran_s = (attempt.ended - attempt.started).total_seconds()
    error = "same error" if attempt.exception == exception else (attempt.exception or "unknown error")[:60]
    look = state_look(TaskState.RETRYING.value)
    first = QHBoxLayout()
    first.setSpacing(8)
    first.addWidget(Glyph(look.icon, look.color))
    first.addWidget(Text(f"Attempt {attempt.number}", role="label", tone="text2"))
    layout.addLayout(first)
    layout.addWidget(Text(f"{error}, after {duration_text(ran_s)}", role="label", tone="muted"), 1)
    layout.addWidget(Text(clock_text(attempt.ended, local_zone()), role="label", tone="muted"))
    return line


def _pairs(detail: TaskDetail) -> list[tuple[str, str] | tuple[str, str, str]]:
    row, zone = detail.row, local_zone()
    module, _, _ = (row.name or "").rpartition(".")
    return [
        ("Task", short_task_name(row.name or UNKNOWN)),
        ("Module", module or UNKNOWN),
        ("ID", row.id, "mono"),
        ("Worker", row.worker or UNKNOWN),
        ("Worker PID", str(detail.pid) if detail.pid is not None else UNKNOWN),
        ("Queue", row.queue or UNKNOWN),
        ("Routing key", detail.routing_key or UNKNOWN),
        ("Sent by", client_words(detail.client) or UNKNOWN),
        *((name, fine_clock_text(instant, zone)) for name, instant in _instants(row)),
        ("Waited", duration_text(row.waited_s)),
        ("Runtime", duration_text(row.runtime_s)),
        ("Retries", str(row.retries)),
        ("ETA", detail.eta or UNKNOWN),
        ("Expires", detail.expires or UNKNOWN),
        ("Parent", detail.parent_id or UNKNOWN, "mono"),
        ("Root", detail.root_id or UNKNOWN, "mono"),
    ]


def _instants(row: TaskRow) -> tuple[tuple[str, datetime | None], ...]:
    return (("Sent", row.sent), ("Received", row.received), ("Started", row.started), ("Ended", row.ended))


def _result(detail: TaskDetail) -> str:
    if detail.result is not None:
        return detail.result
    if detail.row.state is TaskState.SUCCEEDED:
        return UNKNOWN
    return f"There is no result: the task is {detail.row.state.value.lower()}."


def _padded(widget: QWidget, *, stretch: bool = True) -> QWidget:
    holder = QWidget()
    layout = QVBoxLayout(holder)
    layout.setContentsMargins(12, 10, 12, 12)
    layout.addWidget(widget, 1 if stretch else 0)
    if not stretch:
        layout.addStretch(1)
    return holder


def _arguments(args: JsonView, kwargs: JsonView) -> QWidget:
    holder = QWidget()
    layout = QVBoxLayout(holder)
    layout.setContentsMargins(12, 10, 12, 12)
    layout.setSpacing(6)
    for title, view in (("Positional", args), ("Keyword", kwargs)):
        layout.addWidget(Text(title, role="header", tone="text2"))
        layout.addWidget(view, 1)
    layout.addWidget(
        Text(
            "As the events tell them: a text for people, cut when it is long.",
            role="label",
            tone="muted",
            wrap=True,
        )
    )
    return holder
