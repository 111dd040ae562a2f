"""The tab `Result`: what the event told of the result, and what the result backend holds, read on demand."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from console.broker.results import BackendResult
from console.core.errors import ConsoleError
from console.history.model import TaskDetail, TaskState
from console.tasks.arguments_exactness import TYPED
from console.tasks.arguments_tab import ValueSection
from console.widgets.button import Button, LinkButton
from console.widgets.flow import FlowLayout
from console.widgets.label import Divider, Text
from console.widgets.panel import KeyValueGrid
from console.widgets.text import UNKNOWN, exact_instant, fine_clock_text, middle_elide_id
from console.widgets.traceback_view import TracebackView
from console.widgets.zone import local_zone

CHILDREN_SHOWN = 12
UNKNOWN_TO_BACKEND = (
    "Unknown to the backend (PENDING): it has not ended, its result has expired, or it stores none."
)
# Celery's words (celery/states.py) in those of the console.
_STATES = {
    "PENDING": "Sent",
    "RECEIVED": "Received",
    "STARTED": "Started",
    "SUCCESS": "Succeeded",
    "FAILURE": "Failed",
    "RETRY": "Retrying",
    "REVOKED": "Revoked",
    "REJECTED": "Rejected",
}


class ResultTab(QWidget):
    """`result_wanted`: ask the backend for this task; `task_chosen`: show a task that it has sent."""

    result_wanted = Signal(str)
    task_chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._task_id = ""
        self._refusal: str | None = None
        self._answered = False
        self._event = ValueSection("From the event", "Result")
        self._open = Button("Open in result backend", icon="database")
        self._said = Text(role="label", tone="muted", wrap=True)
        self._stored = _Stored()
        self._stored.task_chosen.connect(self.task_chosen)
        buttons = QHBoxLayout()
        buttons.addWidget(self._open)
        buttons.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 10, 12, 12)
        layout.setSpacing(10)
        layout.addWidget(self._event)
        layout.addWidget(Divider(color="hairline"))
        layout.addLayout(buttons)
        layout.addWidget(self._said)
        layout.addWidget(self._stored, 1)
        layout.addStretch(1)
        self._open.clicked.connect(self._on_open)
        self._forget()

    def show_detail(self, detail: TaskDetail) -> None:
        """Replace what is shown; what the backend said stays while it is the same task."""
        if detail.row.id != self._task_id:
            self._task_id = detail.row.id
            self._forget()
        if detail.result is not None:
            self._event.show_event_text(detail.result)
        elif detail.row.state is TaskState.SUCCEEDED:
            self._event.show_words("The event told no result.")
        else:
            self._event.show_words(f"There is no result: the task is {detail.row.state.value.lower()}.")

    def set_refusal(self, reason: str | None) -> None:
        """Why the backend cannot be asked; None when it can."""
        self._refusal = reason
        self._open.setEnabled(reason is None)
        self._open.setToolTip(reason or "")
        if not self._answered:
            self._say_first()

    def show_result(self, task_id: str, found: BackendResult | ConsoleError | None) -> None:
        """What the backend said of a task; None: it is unknown there. Another task's answer is dropped."""
        if task_id != self._task_id:
            return
        self._answered = True
        if isinstance(found, BackendResult):
            self._say("")
            self._stored.show_result(found)
            self._stored.show()
            return
        self._stored.hide()
        self._say(UNKNOWN_TO_BACKEND if found is None else str(found))

    def _on_open(self) -> None:
        self._say("Reading…")
        self.result_wanted.emit(self._task_id)

    def _forget(self) -> None:
        self._answered = False
        self._stored.hide()
        self._say_first()

    def _say_first(self) -> None:
        """Before anything was asked."""
        self._say(f"{self._refusal}." if self._refusal else "")

    def _say(self, words: str) -> None:
        self._said.set_text(words)
        self._said.setVisible(bool(words))


class _Stored(QWidget):
    """What is stored: state, when, value or traceback, and the tasks it sent."""

    task_chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._facts = KeyValueGrid(key_width=88)
        self._value = ValueSection("Stored result", "Stored result")
        self._traceback = TracebackView("Stored traceback")
        self._traceback.setMinimumHeight(120)
        self._children_title = Text(role="header", tone="text2")
        self._children = QWidget()
        self._flow = FlowLayout(self._children)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(10)
        layout.addWidget(self._facts)
        layout.addWidget(self._value, 1)
        layout.addWidget(self._traceback, 2)
        layout.addWidget(self._children_title)
        layout.addWidget(self._children)

    def show_result(self, found: BackendResult) -> None:
        """Replace what is shown."""
        zone = local_zone()
        facts: list[tuple[str, str] | tuple[str, str, str]] = [
            ("State", _STATES.get(found.state, found.state) or UNKNOWN),
            ("Done", fine_clock_text(found.date_done, zone)),
            ("Worker", found.worker or UNKNOWN),
        ]
        if found.group_id:
            facts.append(("Group", found.group_id, "mono"))
        if found.problem:
            facts.append(("Not shown", f"{found.problem}."))
        done = exact_instant(found.date_done, zone) if found.date_done is not None else ""
        self._facts.set_pairs(facts, hints={"Done": done})
        if found.result_text is not None:
            self._value.show_json(found.result_text, TYPED)
        self._value.setVisible(found.result_text is not None)
        failure = found.traceback or found.exception
        self._traceback.setVisible(failure is not None)
        if failure is not None:
            self._traceback.set_traceback(failure)
        self._show_children(found.children)

    def _show_children(self, children: tuple[str, ...]) -> None:
        while (item := self._flow.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        count = len(children)
        more = f", the first {CHILDREN_SHOWN} are shown" if count > CHILDREN_SHOWN else ""
        self._children_title.set_text(f"Sent {count:,} {'task' if count == 1 else 'tasks'}{more}")
        self._children_title.setVisible(bool(children))
        self._children.setVisible(bool(children))
        for child in children[:CHILDREN_SHOWN]:
            link = LinkButton(middle_elide_id(child), role="mono-small")
            link.setToolTip(child)
            link.setAccessibleName(f"Task {child}")
            link.clicked.connect(partial(self.task_chosen.emit, child))
            self._flow.addWidget(link)
