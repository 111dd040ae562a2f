"""The dialogs of the Local stack page: running tasks, worker options, sent mail, what is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QWidget

from console.core.errors import ConsoleError
from console.stack.model import LogLevel, Mail, Pool, WorkerOptions, parse_queues
from console.stack.view_model import StopChoice
from console.widgets.data_table import DataTable
from console.widgets.dialog import ConsoleDialog
from console.widgets.empty_state import EmptyState
from console.widgets.fields import CheckBox, Field, Select, TextArea, TextField
from console.widgets.label import Text
from console.widgets.panel import KeyValueGrid
from console.widgets.table_model import Cell, Column, Row
from console.widgets.text import clock_text, exact_instant
from console.widgets.zone import local_zone

POOL_WORDS = {
    Pool.PREFORK: "prefork (processes)",
    Pool.THREADS: "threads",
    Pool.SOLO: "solo (one at a time)",
    Pool.GEVENT: "gevent (greenlets)",
}


class RunningTasksDialog(ConsoleDialog):
    """Asks once what to do with the tasks that still run (None: the worker does not say how many)."""

    def __init__(self, parent: QWidget, tasks: int | None) -> None:
        are = "1 task is" if tasks == 1 else f"{tasks} tasks are"
        title = "Tasks may still be running" if tasks is None else f"{are} still running"
        super().__init__(parent, title, width=480)
        it = "it" if tasks == 1 else "them"
        self.body.addWidget(
            Text(
                f"Waiting lets {it} end first. Stopping now interrupts {it}: a task that acknowledges late "
                "runs again at the next start, any other does not.",
                wrap=True,
            )
        )
        self.choice: StopChoice | None = None
        now = self.add_button("Stop now", kind="danger-outline")
        now.clicked.connect(lambda: self._choose(StopChoice.NOW))
        wait = self.add_button("Wait for them" if tasks != 1 else "Wait for it", kind="primary")
        wait.clicked.connect(lambda: self._choose(StopChoice.WAIT))
        self.set_first_focus(wait)

    def _choose(self, choice: StopChoice) -> None:
        self.choice = choice
        self.accept()


async def ask_about_tasks(parent: QWidget, tasks: int | None) -> StopChoice | None:
    """Implements `view_model.AskAboutTasks`."""
    dialog = RunningTasksDialog(parent, tasks)
    await dialog.ask()
    return dialog.choice


class WorkerOptionsDialog(ConsoleDialog):
    """Edits how the worker runs. Accepted only with valid `options`; `restart`: apply them now."""

    def __init__(
        self, parent: QWidget, options: WorkerOptions, pools: Sequence[Pool], *, running: bool
    ) -> None:
        super().__init__(parent, "Worker options", width=480)
        self.options = options
        self._concurrency = TextField(name="Concurrency", text=str(options.concurrency))
        self._pool = Select([(pool.value, POOL_WORDS[pool]) for pool in pools], name="Pool")
        self._pool.set_current(options.pool.value if options.pool in pools else Pool.PREFORK.value)
        self._queues = TextField(name="Queues", text=", ".join(options.queues), mono=True)
        self._level = Select(
            [(level.value, level.value.capitalize()) for level in LogLevel], name="Log level"
        )
        self._level.set_current(options.log_level.value)
        self._fields = {
            "Concurrency": Field("Concurrency", self._concurrency, hint="Tasks at the same time"),
            "Pool": Field("Pool", self._pool),
            "Queues": Field("Queues", self._queues, hint="Names with commas between"),
            "Log level": Field("Log level", self._level),
        }
        grid = QGridLayout()
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(12)
        for number, field in enumerate(self._fields.values()):
            grid.addWidget(field, number // 2, number % 2, Qt.AlignmentFlag.AlignTop)
        self.body.addLayout(grid)
        self._restart = CheckBox("Restart the worker now")
        self._restart.setChecked(running)
        self._restart.setVisible(running)
        self.body.addWidget(self._restart)
        self.set_footer_note("Events are always sent")
        save = self.add_button("Save", kind="primary")
        save.clicked.connect(self._on_save)
        self.set_first_focus(self._concurrency)

    @property
    def restart(self) -> bool:
        return self._restart.isChecked()

    def _on_save(self) -> None:
        for field in self._fields.values():
            field.set_error("")
        number = self._concurrency.text().strip()
        if not number.isdecimal():
            self._fields["Concurrency"].set_error("Concurrency must be a number.")
            return
        options = WorkerOptions(
            concurrency=int(number),
            pool=Pool(self._pool.current()),
            queues=parse_queues(self._queues.text()),
            log_level=LogLevel(self._level.current()),
        )
        try:
            options.check()
        except ConsoleError as error:
            wrong = "Concurrency" if error.detail.startswith("Concurrency") else "Queues"
            self._fields[wrong].set_error(error.detail)
            return
        self.options = options
        self.accept()


class SentMailDialog(ConsoleDialog):
    """The newest mails of the project, and the text of the chosen one."""

    def __init__(self, parent: QWidget, mails: Sequence[Mail], total: int | None) -> None:
        shown = len(mails)
        count = shown if total is None else max(total, shown)
        subtitle = f"the newest {shown:,} of {count:,}" if count > shown else f"{count:,}"
        super().__init__(
            parent, "Sent mail", subtitle=subtitle if mails else "", width=860, cancel="Close", closable=True
        )
        if not mails:
            self.body.addWidget(
                EmptyState("mail", "No mail yet", "The demo project has sent nothing so far.")
            )
            return
        self._mails = {mail.name: mail for mail in mails}
        columns = [
            Column("when", "Sent", width=130, kind="instant"),
            Column("to", "To", width=240),
            Column("subject", "Subject", stretch=1, kind="name"),
        ]
        self._table = DataTable("Sent mail", columns)
        self._table.set_rows([_mail_row(mail) for mail in mails])
        self._table.setFixedHeight(260)
        self._text = TextArea(name="Text of the mail", mono=True)
        self._text.setReadOnly(True)
        self._text.setFixedHeight(170)
        self.body.addWidget(self._table)
        self.body.addWidget(self._text)
        self._table.selection_changed.connect(self._show)
        self._table.select_keys([mails[0].name])
        self._show([mails[0].name])
        self.set_first_focus(self._table)

    def _show(self, keys: list[str]) -> None:
        mail = self._mails.get(keys[0]) if keys else None
        self._text.setPlainText(
            "" if mail is None else f"From {mail.sender} to {mail.recipient}\n\n{mail.text}"
        )


def _mail_row(mail: Mail) -> Row:
    return Row(
        mail.name,
        {
            "when": Cell(clock_text(mail.when, local_zone()), tooltip=exact_instant(mail.when, local_zone())),
            "to": Cell(mail.recipient),
            "subject": Cell(mail.subject),
        },
    )


class FilesDialog(ConsoleDialog):
    """Says what the stack writes and where, before anything is written."""

    def __init__(self, parent: QWidget, folder: Path) -> None:
        super().__init__(parent, "What will be written", width=560, cancel="Close")
        self.body.addWidget(Text("All of it stands in one folder, readable by you only:"))
        self.body.addWidget(Text(str(folder), role="mono", selectable=True, wrap=True))
        grid = KeyValueGrid(key_width=110)
        grid.set_pairs(
            [
                ("broker", "the broker's data, kept between starts", "label"),
                ("db.sqlite3", "users, orders, schedules and results", "label"),
                ("mail", "the mails that the demo project sends", "label"),
                ("logs", "one log per service, 10 MB each, three older ones kept", "label"),
                ("options.json", "your worker options", "label"),
            ]
        )
        self.body.addWidget(grid)
        self.body.addWidget(
            Text(
                "The broker's password is made anew at each start and written nowhere.",
                role="label",
                tone="muted",
                wrap=True,
            )
        )
