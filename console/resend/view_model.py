"""The state of the Resend page: the recipe chosen, what was typed, what will happen and why it may not."""

from __future__ import annotations

import uuid

from PySide6.QtCore import QObject, Signal

from console.core.operations import Operation, OperationRunner
from console.core.spawn import Tasks
from console.resend.model import FilledForm, NotValidError, NumberField, Recipe, Run
from console.resend.service import ResendService, ResendSnapshot


class ResendViewModel(QObject):
    """`changed` tells of everything: a page of a few widgets need not know more."""

    changed = Signal()

    def __init__(self, service: ResendService, runner: OperationRunner) -> None:
        super().__init__()
        self._service = service
        self._runner = runner
        self._tasks = Tasks("resend page")
        self._typed: dict[str, str] = {}
        self._key = ""
        self._asked_for_all = False
        self._sending = False
        self.recipe: Recipe | None = None
        self._disconnect = service.changed.connect(self._take)
        self._take(service.snapshot)

    @property
    def snapshot(self) -> ResendSnapshot:
        return self._service.snapshot

    @property
    def form(self) -> FilledForm | None:
        """The form as it is filled in; None while something in it is missing or wrong."""
        if self.recipe is None:
            return None
        try:
            values = {field.key: field.read(self.typed(field)) for field in self.recipe.fields}
        except NotValidError:
            return None
        return FilledForm(self.recipe, values, self._key)

    @property
    def run(self) -> Run | None:
        """The last press of the recipe that is shown."""
        run = self.snapshot.run
        return run if run is not None and run.form.recipe is self.recipe else None

    def typed(self, field: NumberField) -> str:
        return self._typed.get(field.key, "")

    def problem(self, field: NumberField) -> str:
        """What is wrong with a field, empty when nothing is; an empty one only once it was asked for."""
        text = self.typed(field)
        if not text.strip() and not self._asked_for_all:
            return ""
        try:
            field.read(text)
        except NotValidError as error:
            return str(error)
        return ""

    def refusal(self) -> str | None:
        """Why Resend cannot be pressed now; None when it can."""
        if self.snapshot.refusal is not None:
            return self.snapshot.refusal
        if self.recipe is None:
            return "Select a recipe first"
        form = self.form
        if form is None:
            return "Fill in the form first"
        if self._sending:
            return "Sending…"
        run = self.run
        if run is not None and not run.ended and run.form.resend_key == form.resend_key:
            return "Sent: its outcome is awaited"
        return self._service.refusal(form)

    # --- What a person does ------------------------------------------------------------------------------

    def select(self, recipe_id: str) -> None:
        """Show the empty form of a recipe; the one that is shown stays as it is filled in."""
        chosen = next((one for one in self.snapshot.recipes if one.id == recipe_id), None)
        if chosen is not None and chosen is not self.recipe:
            self._start_form(chosen)
            self.changed.emit()

    def type(self, field: NumberField, text: str) -> None:
        """Note what stands in a field. A form that is filled in differently is another resend."""
        if text != self.typed(field):
            self._typed[field.key] = text
            self._key = str(uuid.uuid4())
            self.changed.emit()

    def resend(self) -> None:
        """Send the form, once however often this is called; an unfinished one says what is missing."""
        form = self.form
        if form is None:
            self._asked_for_all = True
            self.changed.emit()
        elif self.refusal() is None:
            self._sending = True
            self._tasks.start(self._send(self._service.resend(form)), name="resend")
            self.changed.emit()

    async def _send(self, operation: Operation) -> None:
        try:
            await self._runner.run(operation)
        finally:
            self._sending = False
            self.changed.emit()

    # --- What the service tells --------------------------------------------------------------------------

    def _take(self, snapshot: ResendSnapshot) -> None:
        if self.recipe not in snapshot.recipes:
            self._start_form(None)
        self.changed.emit()

    def _start_form(self, recipe: Recipe | None) -> None:
        self.recipe = recipe
        self._typed = {}
        self._key = str(uuid.uuid4())
        self._asked_for_all = False

    async def aclose(self) -> None:
        """End what runs in the background."""
        self._disconnect()
        await self._tasks.aclose()
