"""The three ways in which connections come from elsewhere: a file, the clipboard, a project."""

from __future__ import annotations

import asyncio
from pathlib import Path

from PySide6.QtWidgets import QApplication, QStackedWidget, QVBoxLayout, QWidget

from console.broker.address import BrokerAddress
from console.broker.url import parse_broker_url
from console.connections.plan_panel import PlanPanel
from console.connections.project_panel import ProjectPanel
from console.connections.sharing import ImportPlan
from console.connections.view_model import ConnectionsViewModel
from console.core.errors import ConsoleError
from console.widgets.button import SegmentedControl
from console.widgets.dialog import ConsoleDialog
from console.widgets.entry_fields import PathField
from console.widgets.fields import Field
from console.widgets.label import Text

_WAYS = [("file", "From a file"), ("clipboard", "From the clipboard"), ("project", "From a project")]


class ImportDialog(ConsoleDialog):
    """Nothing happens before its last button: a plan is shown, or the editor is filled to be looked at."""

    def __init__(self, parent: QWidget, view_model: ConnectionsViewModel) -> None:
        super().__init__(parent, "Import connections", width=640)
        self._view_model = view_model
        self._task: asyncio.Task[None] | None = None
        self._broker: BrokerAddress | None = None
        self._ways = SegmentedControl(_WAYS, name="Where from", current="file")
        self._ways.changed.connect(self._show_way)
        self.body.addWidget(self._ways)
        self._stack = QStackedWidget()
        self._pages = {"file": self._file_page(), "clipboard": self._clipboard_page()}
        self._project = ProjectPanel(view_model)
        self._project.changed.connect(self._enable)
        self._pages["project"] = self._project
        for page in self._pages.values():
            self._stack.addWidget(page)
        self.body.addWidget(self._stack)
        self._go = self.add_button("Import", kind="primary", role="accept")
        self.finished.connect(lambda _result: self._end())
        if self.cancel_button is not None:
            self.cancel_button.clicked.disconnect()
            self.cancel_button.clicked.connect(self._cancel)
        self._way = "file"
        self.set_first_focus(self._file)
        self._show_way("file")

    def _file_page(self) -> QWidget:
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(10)
        self._file = PathField(name="File of connections", placeholder="connections.json, exported before")
        self._file.chosen.connect(lambda _path: self._read_file())
        self._file.returnPressed.connect(self._read_file)
        self._file.left.connect(self._read_file)
        self._file_field = Field("File of connections", self._file)
        self._file_plan = PlanPanel()
        self._file_plan.changed.connect(self._enable)
        self._file_plan.hide()
        column.addWidget(self._file_field)
        column.addWidget(self._file_plan)
        column.addWidget(_no_secret())
        column.addStretch(1)
        self._read_path = ""
        return page

    def _clipboard_page(self) -> QWidget:
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(10)
        self._clipboard_says = Text(wrap=True)
        self._clipboard_plan = PlanPanel()
        self._clipboard_plan.changed.connect(self._enable)
        self._clipboard_plan.hide()
        column.addWidget(self._clipboard_says)
        column.addWidget(self._clipboard_plan)
        column.addStretch(1)
        return page

    def _show_way(self, way: str) -> None:
        self._way = way
        self._stack.setCurrentWidget(self._pages[way])
        if way == "clipboard":
            self._read_clipboard()
        elif way == "project":
            self._project.focus_first()
        self._enable()

    def _read_file(self) -> None:
        text = self._file.text().strip()
        if not text or text == self._read_path:
            return
        self._read_path = text
        path = Path(text).expanduser()
        self._file_field.set_error("")

        async def read() -> None:
            try:
                plan = await self._view_model.exchange.plan_file(path)
            except ConsoleError as error:
                self._file_plan.hide()
                self._file_plan.show_plan(ImportPlan(()))
                self._file_field.set_error(f"{error.title}. {error.detail}".strip())
            else:
                self._file_plan.show()
                self._file_plan.show_plan(plan)
            self._enable()

        self._task = self._view_model.start(read(), "read a file of connections")

    def _read_clipboard(self) -> None:
        """What is there is shown, its password as dots; it is never written anywhere."""
        text = QApplication.clipboard().text().strip()
        self._broker = None
        self._clipboard_plan.hide()
        self._clipboard_plan.show_plan(ImportPlan(()))
        self._clipboard_says.set_tone("text")
        if not text:
            self._clipboard_says.set_text("The clipboard is empty. Copy a broker URL or an exported file.")
        elif text.startswith("{"):
            self._plan_clipboard(text)
        else:
            self._see_url(text)

    def _see_url(self, text: str) -> None:
        try:
            self._broker = parse_broker_url(text)
        except ConsoleError as error:
            self._clipboard_says.set_text(
                f"The clipboard holds neither a broker URL nor exported connections. {error.detail}"
            )
            self._clipboard_says.set_tone("muted")
        else:
            self._clipboard_says.set_text(f"{self._broker.kind.value}: {self._broker.shown}")

    def _plan_clipboard(self, text: str) -> None:
        try:
            plan = self._view_model.exchange.plan(text)
        except ConsoleError as error:
            self._clipboard_says.set_text(f"{error.title}. {error.detail}".strip())
            self._clipboard_says.set_tone("error")
            return
        count = len(plan.entries)
        self._clipboard_says.set_text(f"{count} exported connection{'' if count == 1 else 's'}:")
        self._clipboard_plan.show()
        self._clipboard_plan.show_plan(plan)

    def _plan(self) -> ImportPlan:
        return (self._file_plan if self._way == "file" else self._clipboard_plan).chosen

    def _enable(self) -> None:
        if self._way == "project":
            words = "Fill in" if self._project.draft is not None else "Read"
            ready, reason = self._project.ready, "Choose the project's folder first"
        elif self._way == "clipboard" and self._broker is not None:
            words, ready, reason = "Fill in", True, ""
        else:
            words, ready = "Import", bool(self._plan().changes)
            reason = "There is nothing to import"
        self._go.set_text(words)
        self._go.setEnabled(ready)
        self._go.setToolTip("" if ready else reason)
        if self.cancel_button is not None:
            self.cancel_button.set_text("Stop" if self._project.busy else "Cancel")

    def accept(self) -> None:
        if self._way == "project":
            if self._project.draft is None:
                self._project.read()
                return
            self._view_model.new(self._project.draft)
        elif self._way == "clipboard" and self._broker is not None:
            self._view_model.new_from_url(self._broker)
        else:
            self._view_model.exchange.import_plan(self._plan())
        super().accept()

    def _cancel(self) -> None:
        """The button stops what runs before it closes; leaving the page does both."""
        if self._project.busy:
            self._project.stop()
        else:
            self.reject()

    def _end(self) -> None:
        self._broker = None
        self._project.stop()
        if self._task is not None:
            self._task.cancel()


def _no_secret() -> Text:
    return Text(
        "An exported file holds no password: each is asked for when its connection is used.",
        role="label",
        tone="muted",
        wrap=True,
    )
