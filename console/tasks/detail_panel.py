"""The panel beside the table: one task with its tabs."""

from __future__ import annotations

from functools import cached_property

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QApplication, QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from console.broker.results import BackendResult
from console.core.errors import ConsoleError
from console.tasks.arguments_tab import ArgumentsTab
from console.tasks.detail_traceback import TracebackTab
from console.tasks.family_tab import FamilyTab
from console.tasks.model import TaskStory
from console.tasks.result_tab import ResultTab
from console.tasks.summary_tab import SummaryTab
from console.tasks.timeline import Timeline
from console.widgets.badge import StateBadge
from console.widgets.button import IconButton
from console.widgets.empty_state import EmptyState
from console.widgets.label import Text
from console.widgets.panel import Surface
from console.widgets.tabs import TabBar
from console.widgets.text import UNKNOWN, short_task_name

TABS = ("Summary", "Arguments", "Result", "Traceback", "Timeline", "Family")
LEAST_WIDTH = 350
"""So wide is the row of tabs."""


class DetailPanel(Surface):
    """Shows a story.

    - `same_error_wanted`: the person asks for failures like this one.
    - `task_chosen`: another task, by its id.
    - `navigate_wanted`: another page by its noun, with a query.
    - `result_wanted`: ask the result backend for this task; answer with `show_result`.
    """

    same_error_wanted = Signal()
    task_chosen = Signal(str)
    navigate_wanted = Signal(str, str)
    result_wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.setAccessibleName("Task")
        self.setMinimumWidth(LEAST_WIDTH)
        self._story: TaskStory | None = None
        self._name = Text(role="dialog")
        self._state = StateBadge("Sent")
        self._id = Text(role="mono-small", tone="muted", selectable=True)
        self._copy = IconButton("copy", name="Copy ID", size=20, icon_size=12)
        self._tabs = TabBar(TABS, name="Task detail", gap=8)
        self._pages = QStackedWidget()
        self._summary = SummaryTab()
        self._refusal: str | None = None
        self._empty = EmptyState("list-checks", "No task selected", "Select a row to see its story.")
        self._lay_out()
        self._connect()
        self.show_nothing()

    def _connect(self) -> None:
        self._copy.clicked.connect(lambda: QApplication.clipboard().setText(self._id.text()))
        self._tabs.changed.connect(self._on_tab)
        self._summary.navigate_wanted.connect(self.navigate_wanted)
        self._summary.task_chosen.connect(self.task_chosen)

    # The other tabs are made when they are first looked at: all at once would hold the window at its start.

    @cached_property
    def _arguments(self) -> ArgumentsTab:
        tab = ArgumentsTab()
        self._pages.addWidget(tab)
        return tab

    @cached_property
    def _result(self) -> ResultTab:
        tab = ResultTab()
        tab.result_wanted.connect(self.result_wanted)
        tab.task_chosen.connect(self.task_chosen)
        tab.set_refusal(self._refusal)
        self._pages.addWidget(tab)
        return tab

    @cached_property
    def _traceback(self) -> TracebackTab:
        tab = TracebackTab()
        tab.same_error_wanted.connect(self.same_error_wanted)
        self._pages.addWidget(tab)
        return tab

    @cached_property
    def _timeline(self) -> Timeline:
        tab = Timeline()
        self._pages.addWidget(tab)
        return tab

    @cached_property
    def _family(self) -> FamilyTab:
        tab = FamilyTab()
        tab.task_chosen.connect(self.task_chosen)
        self._pages.addWidget(tab)
        return tab

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
        self._pages.addWidget(self._summary)
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

    def set_unjudged(self, words: str) -> None:
        """Why it cannot be said what became of a task of which nothing is heard; "" when there is no need."""
        self._summary.set_note(words)

    def set_result_refusal(self, reason: str | None) -> None:
        """Why the result backend cannot be asked; None when it can."""
        self._refusal = reason
        if "_result" in vars(self):
            self._result.set_refusal(reason)

    def show_result(self, task_id: str, found: BackendResult | ConsoleError | None) -> None:
        """What the result backend said of a task; None: it is unknown there."""
        self._result.show_result(task_id, found)

    def _on_tab(self, tab: str) -> None:
        self._pages.setCurrentWidget(self._page(tab))
        self._fill_tab(tab)

    def _page(self, tab: str) -> QWidget:
        match tab:
            case "Summary":
                return self._summary
            case "Arguments":
                return self._arguments
            case "Result":
                return self._result
            case "Traceback":
                return self._traceback
            case "Timeline":
                return self._timeline
            case _:
                return self._family

    def _fill_tab(self, tab: str) -> None:
        """Only the tab that is seen is filled: a story may change four times a second."""
        story = self._story
        if story is None:
            return
        detail = story.detail
        match tab:
            case "Summary":
                self._summary.show_detail(detail)
            case "Arguments":
                self._arguments.show_detail(detail)
            case "Result":
                self._result.show_detail(detail)
            case "Traceback":
                self._traceback.show_story(story)
            case "Timeline":
                self._timeline.show_story(story)
            case _:
                self._family.show_story(story)
