"""Importing from a project: its folder, what in it is read, by which interpreter, and what came of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from console.connections.draft_fields import Draft
from console.connections.form_panel import row
from console.connections.project_import import ProjectFound
from console.connections.view_model import ConnectionsViewModel
from console.core.errors import ConsoleError
from console.widgets.entry_fields import PathField
from console.widgets.fields import Field, Select
from console.widgets.label import Text
from console.widgets.spinner import Spinner

_WARNING = (
    "Reading starts the project's own interpreter, which runs the project's settings code, and takes the "
    "broker, the queues and the schedules database from it. Choose only projects that you trust."
)
_NO_FILE = "none"


class ProjectPanel(QWidget):
    """`changed`: what can be done next has changed."""

    changed = Signal()

    def __init__(self, view_model: ConnectionsViewModel) -> None:
        super().__init__()
        self._view_model = view_model
        self._found: ProjectFound | None = None
        self._task: asyncio.Task[None] | None = None
        self._busy = False
        self.draft: Draft | None = None
        self._folder = PathField(
            name="Project folder", placeholder="where the project is started", folder=True
        )
        self._folder.chosen.connect(lambda _path: self._look())
        self._folder.returnPressed.connect(self._look)
        self._folder.left.connect(self._look)
        self._field = Field("Project folder", self._folder)
        self._candidate = Select([], name="What is read")
        self._interpreter = Select([], name="Interpreter")
        self._variables = Select([], name="Variables")
        for choice in (self._candidate, self._interpreter, self._variables):
            choice.changed.connect(lambda _key: self._forget_read())
        self._choices = QWidget()
        choices = QVBoxLayout(self._choices)
        choices.setContentsMargins(0, 0, 0, 0)
        choices.setSpacing(8)
        choices.addWidget(Field("What is read", self._candidate))
        choices.addLayout(
            row((Field("Interpreter", self._interpreter), 3), (Field("Variables", self._variables), 1))
        )
        self._spinner = Spinner()
        self._state = Text(role="label", tone="muted", wrap=True)
        line = QHBoxLayout()
        line.setSpacing(8)
        line.addWidget(self._spinner)
        line.addWidget(self._state, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(10)
        column.addWidget(self._field)
        column.addWidget(self._choices)
        column.addWidget(Text(_WARNING, role="label", tone="muted", wrap=True))
        column.addLayout(line)
        self._choices.hide()
        self._looked_at = ""
        self._say("")

    @property
    def busy(self) -> bool:
        return self._busy

    @property
    def ready(self) -> bool:
        """Whether there is something to read."""
        return self._found is not None and not self.busy

    def stop(self) -> None:
        """End what runs; the project's processes end with it."""
        if self._busy and self._task is not None:
            self._task.cancel()
            self._say("Stopped.")

    def focus_first(self) -> None:
        self._folder.setFocus()

    def read(self) -> None:
        """Read what is chosen."""
        found = self._found
        if found is None:
            return
        candidate = found.candidates[max(0, self._candidate.currentIndex())]
        interpreter = Path(self._interpreter.current())
        variables = self._variables.current()
        self._say(f"Reading {candidate.name}…", busy=True)

        async def read() -> None:
            try:
                self.draft, notes = await self._view_model.exchange.read_project(
                    found.folder,
                    interpreter,
                    candidate,
                    Path(variables) if variables != _NO_FILE else None,
                )
            except ConsoleError as error:
                self._say(_sentences(error), tone="error")
                return
            said = self.draft.broker_url or "no broker"
            self._say("\n".join([f"Found {said}.", *notes]))

        self._task = self._view_model.start(read(), "read a project")

    def _look(self) -> None:
        text = self._folder.text().strip()
        if not text or text == self._looked_at or self.busy:
            return
        self._looked_at = text
        self._found = None
        self.draft = None
        self._say("Looking…", busy=True)

        folder = Path(text).expanduser()

        async def look() -> None:
            try:
                found = await self._view_model.exchange.look_at_project(folder)
            except ConsoleError as error:
                self._choices.hide()
                self._say(_sentences(error), tone="error")
                return
            self._show_found(found)
            self._say("")

        self._task = self._view_model.start(look(), "look at a project")

    def _show_found(self, found: ProjectFound) -> None:
        self._found = found
        self._candidate.set_items(
            [(str(n), f"{one.kind.value} {one.name}") for n, one in enumerate(found.candidates)]
        )
        self._interpreter.set_items([(str(one), str(one)) for one in found.interpreters])
        self._variables.set_items([(_NO_FILE, _NO_FILE), *((str(one), one.name) for one in found.env_files)])
        self._choices.show()

    def _forget_read(self) -> None:
        """Another choice: what was read before is not what would be filled in."""
        self.draft = None
        self._say("")

    def _say(self, words: str, *, tone: str = "muted", busy: bool = False) -> None:
        self._busy = busy
        self._spinner.setVisible(busy)
        self._state.set_text(words)
        self._state.set_tone(tone)
        self._state.setVisible(bool(words))
        self.changed.emit()


def _sentences(error: ConsoleError) -> str:
    """Title, detail and remedy, each with its full stop."""
    parts = [part for part in (error.title, error.detail, error.remedy) if part]
    return " ".join(part if part.endswith((".", "?")) else f"{part}." for part in parts)
