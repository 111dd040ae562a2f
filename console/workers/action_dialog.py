"""The forms behind `Autoscale…`, `Add queue…`, `Stop consuming…`, `Rate limit…` and `Time limit…`.

Each checks at the field, completes what is known, and says in a sentence what will happen to whom.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from PySide6.QtCore import QStringListModel, Qt, Signal
from PySide6.QtWidgets import QCompleter, QHBoxLayout, QWidget

from console.core.connection import ConnectionInfo, Environment
from console.widgets.dialog import ConsoleDialog
from console.widgets.fields import Field, TextField
from console.widgets.label import Text
from console.widgets.text import middle_elide
from console.workers.actions import (
    Action,
    Errors,
    Parameters,
    read_queue,
    read_range,
    read_rate_limit,
    read_time_limits,
)
from console.workers.model import TaskInfo
from console.workers.view_model import WorkersViewModel

WIDTH = 480
LONGEST_NAME = 34
VERBS = {
    Action.AUTOSCALE: "Set autoscale",
    Action.ADD_QUEUE: "Add queue",
    Action.STOP_CONSUMING: "Stop consuming",
    Action.RATE_LIMIT: "Set rate limit",
    Action.TIME_LIMIT: "Set time limit",
}
WITH_FORM = frozenset(VERBS)


class ActionDialog(ConsoleDialog):
    """`chosen` carries the parameters when the button was pressed and every field is right.

    `read` makes parameters of what is typed, or says what is wrong with which field; `says` is the sentence
    about what they would do.
    """

    chosen = Signal(object)

    def __init__(
        self,
        parent: QWidget,
        action: Action,
        *,
        whom: str,
        connection: ConnectionInfo | None,
        fields: Sequence[tuple[str, str, str, str]],
        words: Mapping[str, Sequence[str]],
        read: Callable[[dict[str, str]], Parameters | Errors],
        says: Callable[[Parameters], str],
    ) -> None:
        production = connection is not None and connection.environment is Environment.PRODUCTION
        where = whom if connection is None else f"{whom}, {connection.name}"
        super().__init__(
            parent, action.value.removesuffix("…"), subtitle=where, width=WIDTH, red_line=production
        )
        self._read = read
        self._says = says
        self._tried = False
        self.fields: dict[str, Field] = {}
        self.inputs: dict[str, TextField] = {}
        row = QHBoxLayout()
        row.setSpacing(12)
        for key, label, value, hint in fields:
            entry = TextField(name=label, text=value, mono=key in ("task", "queue"))
            self.inputs[key] = entry
            self.fields[key] = Field(label, entry, hint=hint)
            if key in words:
                _complete(entry, words[key])
                self.body.addWidget(self.fields[key])
            else:
                row.addWidget(self.fields[key], 1, Qt.AlignmentFlag.AlignTop)
            entry.textChanged.connect(self._on_text)
        if row.count():
            self.body.addLayout(row)
        self._sentence = Text(role="body", tone="muted", wrap=True)
        self.body.addWidget(self._sentence)
        button = self.add_button(VERBS[action], kind="primary")
        button.clicked.connect(self._on_accept)
        button.setDefault(True)
        self._accept_button = button
        self.set_first_focus(next(iter(self.inputs.values())))
        self._on_text()

    def _typed(self) -> dict[str, str]:
        return {key: entry.text() for key, entry in self.inputs.items()}

    def _on_text(self, _text: str = "") -> None:
        read = self._read(self._typed())
        wrong = read if isinstance(read, dict) else {}
        if self._tried or not wrong:
            self._mark(wrong)
        self._sentence.set_text("" if isinstance(read, dict) else self._says(read))

    def _on_accept(self) -> None:
        self._tried = True
        read = self._read(self._typed())
        if isinstance(read, dict):
            self._mark(read)
            self.inputs[next(iter(read))].setFocus()
            return
        self.accept()
        self.chosen.emit(read)

    def _mark(self, wrong: Errors) -> None:
        for key, field in self.fields.items():
            field.set_error(wrong.get(key, ""))


def action_dialog(parent: QWidget, action: Action, model: WorkersViewModel) -> ActionDialog:
    """The form of `action` for the chosen workers."""
    fields, words, read = _FORMS[action](model)
    rows = model.rows
    dialog = ActionDialog(
        parent,
        action,
        whom=middle_elide(rows[0].hostname, LONGEST_NAME) if len(rows) == 1 else f"{len(rows)} workers",
        connection=model.connection,
        fields=fields,
        words=words,
        read=read,
        says=lambda parameters: model.operation(action, parameters).consequence,
    )
    if "task" in dialog.inputs:
        _follow_task(dialog, model.registered())
    return dialog


_Form = tuple[
    list[tuple[str, str, str, str]],
    Mapping[str, Sequence[str]],
    Callable[[dict[str, str]], Parameters | Errors],
]


def _autoscale(model: WorkersViewModel) -> _Form:
    bounds = next((row.autoscale for row in model.rows if row.autoscale is not None), (1, 1))
    fields = [
        ("least", "Minimum", str(bounds[0]), "Places that are always there"),
        ("most", "Maximum", str(bounds[1]), "Places when there is work"),
    ]
    return fields, {}, lambda typed: read_range(typed["least"], typed["most"])


def _add_queue(model: WorkersViewModel) -> _Form:
    hint = "One that does not exist yet is made."
    words = {"queue": model.known_queues()}
    return [("queue", "Queue", "", hint)], words, lambda typed: read_queue(typed["queue"])


def _stop_consuming(model: WorkersViewModel) -> _Form:
    consumed = model.consumed_queues()

    def read(typed: dict[str, str]) -> Parameters | Errors:
        found = read_queue(typed["queue"])
        if isinstance(found, dict) or not consumed or found.name in consumed:
            return found
        return {"queue": "None of the chosen workers consumes this queue"}

    first = consumed[0] if len(consumed) == 1 else ""
    hint = f"Consumed: {', '.join(consumed)}" if consumed else ""
    return [("queue", "Queue", first, hint)], {"queue": consumed}, read


def _rate_limit(model: WorkersViewModel) -> _Form:
    known = tuple(model.registered())
    fields = [
        ("task", "Task", "", ""),
        ("limit", "Rate limit", "", "10/s, 100/m or 500/h at each worker; empty for no limit"),
    ]
    words = {"task": known}
    return fields, words, lambda typed: read_rate_limit(typed["task"], typed["limit"], known=known)


def _time_limit(model: WorkersViewModel) -> _Form:
    known = tuple(model.registered())
    fields = [
        ("task", "Task", "", ""),
        ("soft", "Soft limit", "", "Seconds until the task is told; empty for none"),
        ("hard", "Hard limit", "", "Seconds until its process is ended; empty for none"),
    ]

    def read(typed: dict[str, str]) -> Parameters | Errors:
        return read_time_limits(typed["task"], typed["soft"], typed["hard"], known=known)

    return fields, {"task": known}, read


_FORMS: dict[Action, Callable[[WorkersViewModel], _Form]] = {
    Action.AUTOSCALE: _autoscale,
    Action.ADD_QUEUE: _add_queue,
    Action.STOP_CONSUMING: _stop_consuming,
    Action.RATE_LIMIT: _rate_limit,
    Action.TIME_LIMIT: _time_limit,
}


def _follow_task(dialog: ActionDialog, registered: dict[str, TaskInfo]) -> None:
    """A task that is known by name brings the limits that it has now."""

    def show(name: str) -> None:
        info = registered.get(name.strip())
        if info is None:
            return
        now = {
            "limit": info.rate_limit,
            "soft": "" if info.soft_s is None else f"{info.soft_s:g}",
            "hard": "" if info.hard_s is None else f"{info.hard_s:g}",
        }
        for key, value in now.items():
            if key in dialog.inputs:
                dialog.inputs[key].setText(value)

    dialog.inputs["task"].textChanged.connect(show)


def _complete(entry: TextField, words: Sequence[str]) -> None:
    completer = QCompleter(entry)
    completer.setModel(QStringListModel(list(words), completer))
    completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
    completer.setFilterMode(Qt.MatchFlag.MatchContains)
    entry.setCompleter(completer)
