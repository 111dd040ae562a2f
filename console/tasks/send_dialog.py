"""`Send task…`: name, queue and arguments of a task to publish, checked at the field."""

from __future__ import annotations

from PySide6.QtCore import QStringListModel, Qt, Signal
from PySide6.QtWidgets import QCompleter, QWidget

from console.history.model import Names
from console.tasks.model import SendErrors, SendRequest, read_send_form
from console.widgets.dialog import ConsoleDialog
from console.widgets.fields import Field, TextArea, TextField

WIDTH = 560


class SendDialog(ConsoleDialog):
    """`chosen` carries the task when the person has pressed `Send` and every field is right."""

    chosen = Signal(SendRequest)

    def __init__(self, parent: QWidget, names: Names, *, connection: str = "") -> None:
        super().__init__(parent, "Send task", subtitle=connection, width=WIDTH)
        self._name = TextField(name="Task name", placeholder="shop.tasks.send_invoice", mono=True)
        self._queue = TextField(name="Queue", placeholder="celery", mono=True)
        self._args = TextArea(name="Arguments", text="[]", rows=4)
        self._kwargs = TextArea(name="Keyword arguments", text="{}", rows=4)
        self._fields = {
            "name": Field("Task name", self._name),
            "queue": Field("Queue", self._queue, hint="Empty sends to the default queue."),
            "args": Field("Arguments", self._args, hint="A JSON list."),
            "kwargs": Field("Keyword arguments", self._kwargs, hint="A JSON object."),
        }
        for field in self._fields.values():
            self.body.addWidget(field)
        self._complete(self._name, names.tasks)
        self._complete(self._queue, names.queues)
        send = self.add_button("Send", kind="primary")
        send.clicked.connect(self._on_send)
        send.setDefault(True)
        self.set_first_focus(self._name)

    def _complete(self, field: TextField, words: tuple[str, ...]) -> None:
        completer = QCompleter(self)
        completer.setModel(QStringListModel(list(words), completer))
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        field.setCompleter(completer)

    def _on_send(self) -> None:
        read = read_send_form(
            name=self._name.text(),
            queue=self._queue.text(),
            args=self._args.toPlainText(),
            kwargs=self._kwargs.toPlainText(),
        )
        if isinstance(read, SendErrors):
            wrong = {"name": read.name, "queue": read.queue, "args": read.args, "kwargs": read.kwargs}
            for key, field in self._fields.items():
                field.set_error(wrong[key])
            first = next(key for key, error in wrong.items() if error)
            self._fields[first].control.setFocus()
            return
        self.chosen.emit(read)
        self.accept()
