"""The tab `Summary`: what is known of a task in pairs; other tasks, workers and queues are links."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QApplication,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from console.history.model import TaskDetail, TaskRow
from console.tasks.detail_moments import instant_of
from console.tasks.model import client_words
from console.widgets.button import IconButton, LinkButton
from console.widgets.label import Text
from console.widgets.panel import KeyValueGrid
from console.widgets.text import (
    UNKNOWN,
    duration_text,
    exact_instant,
    fine_clock_text,
    middle_elide_id,
    short_task_name,
)
from console.widgets.zone import local_zone

KEY_WIDTH = 88
LINKS = ("Worker", "Queue", "Parent", "Root")


class SummaryTab(QScrollArea):
    """`task_chosen`: another task by its id; `navigate_wanted`: a page by its noun, with a query."""

    task_chosen = Signal(str)
    navigate_wanted = Signal(str, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._note = Text(role="label", tone="muted", wrap=True)
        self._note.hide()
        self._what = KeyValueGrid(key_width=KEY_WIDTH)
        self._links = {name: _Link(name) for name in LINKS}
        self._rest = KeyValueGrid(key_width=KEY_WIDTH)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(12, 10, 12, 12)
        layout.setSpacing(6)
        layout.addWidget(self._what)
        layout.addWidget(self._note)
        layout.addWidget(self._grid_of_links())
        layout.addWidget(self._rest)
        layout.addStretch(1)
        content.setObjectName("summaryContent")
        self.setWidget(content)
        content.setAutoFillBackground(False)
        self.viewport().setAutoFillBackground(False)
        for name, link in self._links.items():
            link.pressed.connect(partial(self._on_link, name))

    def _grid_of_links(self) -> QWidget:
        holder = QWidget()
        grid = QGridLayout(holder)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(2)
        grid.setColumnMinimumWidth(0, KEY_WIDTH)
        grid.setColumnStretch(1, 1)
        for row, (name, link) in enumerate(self._links.items()):
            grid.addWidget(Text(name, role="label", tone="muted"), row, 0)
            grid.addWidget(link, row, 1)
        return holder

    def show_detail(self, detail: TaskDetail) -> None:
        """Replace what is shown; only changed values are touched."""
        row, zone = detail.row, local_zone()
        module, _, _ = (row.name or "").rpartition(".")
        what: list[tuple[str, str] | tuple[str, str, str]] = [
            ("Task", short_task_name(row.name or UNKNOWN)),
            ("Module", module or UNKNOWN),
            ("ID", row.id, "mono"),
            ("State", row.state.value),
        ]
        if detail.reason:
            what.append(("Reason", detail.reason))
        self._what.set_pairs(what)
        self._links["Worker"].show_target(row.worker)
        self._links["Queue"].show_target(row.queue)
        parent = detail.parent_id
        root = detail.root_id
        self._links["Parent"].show_target(parent, shown=_id_words(parent), is_link=parent != row.id)
        is_root = root == row.id
        self._links["Root"].show_target(
            root, shown="this task" if is_root else _id_words(root), is_link=not is_root
        )
        hints = {name: exact_instant(when, zone) for name, when in _instants(detail) if when is not None}
        self._rest.set_pairs(_pairs(detail), hints=hints)

    def set_note(self, words: str) -> None:
        """A muted line under the state; "" takes it away."""
        self._note.set_text(words)
        self._note.setVisible(bool(words))

    def _on_link(self, name: str) -> None:
        target = self._links[name].target
        if target is None:
            return
        if name in ("Parent", "Root"):
            self.task_chosen.emit(target)
        else:
            self.navigate_wanted.emit("workers" if name == "Worker" else "queues", target)


class _Link(QWidget):
    """A value that leads somewhere, with a button that copies it."""

    pressed = Signal()

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self.target: str | None = None
        self._button = LinkButton("", role="label")
        self._plain = Text(UNKNOWN, role="label", tone="muted", selectable=True)
        self._copy = IconButton("copy", name=f"Copy {name.lower()}", size=20, icon_size=12)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for widget in (self._button, self._plain, self._copy):
            layout.addWidget(widget)
        layout.addStretch(1)
        self._button.clicked.connect(self.pressed)
        self._copy.clicked.connect(lambda: QApplication.clipboard().setText(self.target or ""))
        self.setFixedHeight(20)

    def show_target(self, target: str | None, *, shown: str | None = None, is_link: bool = True) -> None:
        """Lead to `target`, in the words of `shown`; None is unknown."""
        words = shown or target or UNKNOWN
        self.target = target
        linked = target is not None and is_link
        if words != self._button.text():
            self._button.setText(words)
            self._button.setAccessibleName(f"{self._name}: {target or words}")
            self._button.updateGeometry()
        self._button.setToolTip(target or "")
        self._button.setVisible(linked)
        self._plain.set_text(words)
        self._plain.set_tone("muted" if target is None else "text")
        self._plain.setVisible(not linked)
        self._copy.setVisible(linked)


def _id_words(task_id: str | None) -> str | None:
    return None if task_id is None else middle_elide_id(task_id, head=13, tail=12)


def _pairs(detail: TaskDetail) -> list[tuple[str, str] | tuple[str, str, str]]:
    row, zone = detail.row, local_zone()
    instants = dict(_instants(detail))
    return [
        ("Worker PID", str(detail.pid) if detail.pid is not None else UNKNOWN),
        ("Routing key", detail.routing_key or UNKNOWN),
        ("Sent by", client_words(detail.client) or UNKNOWN),
        *((name, fine_clock_text(instants[name], zone)) for name in ("Sent", "Received", "Started", "Ended")),
        ("Waited", duration_text(row.waited_s)),
        ("Runtime", duration_text(row.runtime_s)),
        ("Retries", str(row.retries)),
        ("ETA", _instant_words(detail.eta, instants["ETA"])),
        ("Expires", _instant_words(detail.expires, instants["Expires"])),
    ]


def _instants(detail: TaskDetail) -> tuple[tuple[str, datetime | None], ...]:
    row: TaskRow = detail.row
    return (
        ("Sent", row.sent),
        ("Received", row.received),
        ("Started", row.started),
        ("Ended", row.ended),
        ("ETA", instant_of(detail.eta)),
        ("Expires", instant_of(detail.expires)),
    )


def _instant_words(text: str | None, instant: datetime | None) -> str:
    """An instant, or the text of the event where it is none."""
    return fine_clock_text(instant, local_zone()) if instant is not None else text or UNKNOWN
