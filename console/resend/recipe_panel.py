"""The form of a recipe: what is typed, what will happen, the one button, and how it went."""

from __future__ import annotations

from html import escape
from itertools import pairwise

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from console.core.notices import Level
from console.history.model import TaskState
from console.resend.model import FilledForm, NumberField, Recipe, Run
from console.resend.view_model import ResendViewModel
from console.widgets.badge import StateLabel
from console.widgets.button import Button, LinkButton
from console.widgets.fields import Field, TextField
from console.widgets.icons import pixmap
from console.widgets.label import Text
from console.widgets.panel import Panel, Surface
from console.widgets.text import duration_text
from console.widgets.theme import theme

FIELD_HEIGHT = 34
FIELD_WIDTH = 248
FOOTER_HEIGHT = 70
BUTTON_WIDTH = 168
TONES = {Level.OK: "ok", Level.INFO: "text2", Level.WARNING: "warning", Level.ERROR: "error"}


class RecipePanel(Panel):
    """Shows the recipe that `view_model` has chosen. `task_wanted` carries the id of the task to be shown."""

    task_wanted = Signal(str)

    def __init__(self, view_model: ResendViewModel, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._view_model = view_model
        self._recipe: Recipe | None = None
        self._fields: dict[str, Field] = {}
        self._picture = QLabel()
        self._heading = Text(role="page")
        self._explanation = Text(tone="muted", wrap=True)
        self._form = QHBoxLayout()
        self._form.setSpacing(16)
        self._sentence = Text(wrap=True, rich=True)
        self._outcome = _Outcome()
        self._outcome.task_wanted.connect(self.task_wanted)
        self._resend = Button("Resend", icon="redo-2", kind="primary", big=True)
        self._resend.setMinimumWidth(BUTTON_WIDTH)
        self._resend.clicked.connect(self._press)
        self._note = Text(role="label", tone="muted", wrap=True)
        self._lay_out()
        theme().changed.connect(self._recolour)
        self._recolour()

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(self._picture)
        head.addWidget(self._heading, 1)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(28, 22, 28, 16)
        layout.setSpacing(16)
        about = QVBoxLayout()
        about.setSpacing(6)
        about.addLayout(head)
        about.addWidget(self._explanation)
        layout.addLayout(about)
        layout.addLayout(self._form)
        layout.addWidget(_boxed("What will happen", self._sentence))
        layout.addWidget(self._outcome)
        layout.addStretch(1)
        self.set_content(content)
        foot = QWidget()
        row = QHBoxLayout(foot)
        row.setContentsMargins(14, 0, 12, 0)
        row.setSpacing(12)
        row.addWidget(self._resend)
        row.addWidget(self._note, 1)
        self.set_footer(foot, height=FOOTER_HEIGHT)

    def focus_form(self) -> None:
        """Put the focus into the first field."""
        if self._recipe is not None:
            control = self._fields[self._recipe.fields[0].key].control
            control.setFocus(Qt.FocusReason.OtherFocusReason)

    def _press(self) -> None:
        self._view_model.resend()
        # The button can no longer be pressed and would hand the focus to whatever comes next.
        self.focus_form()

    def show_recipe(self) -> None:
        """Show what the view model holds."""
        recipe = self._view_model.recipe
        if recipe is None:
            self._recipe = None
            return
        if recipe is not self._recipe:
            self._show_form(recipe)
        for field in recipe.fields:
            self._fields[field.key].set_error(self._view_model.problem(field))
        form = self._view_model.form
        self._sentence.set_text(
            _sentence(form, self._view_model.snapshot.connection or "")
            if form is not None
            else "Fill in the form to read what will happen."
        )
        refusal = self._view_model.refusal()
        self._resend.setEnabled(refusal is None)
        self._resend.setToolTip(refusal or "")
        self._resend.setAccessibleDescription(refusal or "")
        self._note.set_text(
            refusal or "Recorded in Activity with your name.\nPressing twice cannot send twice."
        )
        self._outcome.show_run(self._view_model.run)

    def _show_form(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._heading.set_text(recipe.title)
        self._explanation.set_text(recipe.explanation)
        self.setAccessibleName(recipe.title)
        while (item := self._form.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        self._fields = {field.key: self._field(field) for field in recipe.fields}
        for shown in self._fields.values():
            self._form.addWidget(shown, 0, Qt.AlignmentFlag.AlignTop)
            shown.show()  # now and not at the next event: it may be given the focus at once
        self._form.addStretch(1)
        # Qt walks in the order of making: fields are made last and come first.
        stops = [*(shown.control for shown in self._fields.values()), self._outcome.link, self._resend]
        for before, after in pairwise(stops):
            self.setTabOrder(before, after)

    def _field(self, field: NumberField) -> Field:
        control = TextField(name=field.label, placeholder=f"for example {field.example}", height=FIELD_HEIGHT)
        control.setText(self._view_model.typed(field))
        control.textChanged.connect(lambda text: self._view_model.type(field, text))
        control.returnPressed.connect(self._view_model.resend)
        shown = Field(field.label, control, hint=field.help)
        shown.setFixedWidth(FIELD_WIDTH)
        return shown

    def _recolour(self) -> None:
        self._picture.setPixmap(pixmap("redo-2", "link", size=20, ratio=self.devicePixelRatioF()))


class _Outcome(QWidget):
    """The state word of the task, where it stands in words, and the way to it."""

    task_wanted = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._task_id = ""
        self._state = StateLabel(TaskState.SENT.value)
        self._took = Text(role="label", tone="muted")
        self._words = Text(wrap=True, selectable=True)
        self.link = LinkButton("Open task")
        self.link.clicked.connect(lambda: self.task_wanted.emit(self._task_id))
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(self._state)
        head.addWidget(self._took, 1)
        head.addWidget(self.link)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addLayout(head)
        layout.addWidget(self._words)
        self.hide()

    def show_run(self, run: Run | None) -> None:
        """Show a press, or nothing."""
        self.setVisible(run is not None)
        if run is None:
            return
        self._task_id = run.task_id
        self._state.setVisible(run.state is not None)
        if run.state is not None:
            self._state.set_state(run.state.value)
        self._took.set_text(f"after {duration_text(run.took_s)}" if run.took_s is not None else "")
        self._words.set_text(run.words)
        self._words.set_tone(TONES[run.level])
        self.link.setVisible(run.state is not None)


def _boxed(caption: str, text: Text) -> Surface:
    box = Surface(fill="sunken")
    layout = QVBoxLayout(box)
    layout.setContentsMargins(14, 10, 14, 12)
    layout.setSpacing(6)
    layout.addWidget(Text(caption, role="label-name", tone="muted"))
    layout.addWidget(text)
    return box


def _sentence(form: FilledForm, connection: str) -> str:
    return "".join(
        f"<b>{escape(text)}</b>" if strong else escape(text) for text, strong in form.sentence(connection)
    )
