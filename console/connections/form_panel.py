"""The fields of the editor, each bound by the name it has in the draft, and how they stand in rows.

One place for what all tabs do alike: show a draft without disturbing whoever types, tell what is typed and
which field is left, put an error under its field and the keyboard into it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import QAbstractButton, QHBoxLayout, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from console.connections.draft_fields import Draft, Typed, Value
from console.widgets.entry_fields import EntryField, PathField, SecretField
from console.widgets.fields import CheckBox, Field, Select
from console.widgets.label import Glyph, Text

ROW_GAP = 8
COLUMN_GAP = 12
NARROW = 40
"""How narrow a field may become in a small window; its label is cut rather than the row."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A control of a draft's field, how it shows a value and what is wrong with it."""

    control: QWidget
    show: Callable[[Value], None]
    set_error: Callable[[str], None]


class Form(QObject):
    """Makes the controls of the editor. `edited` carries a field and its new value, `left` a field."""

    edited = Signal(str, object)
    left = Signal(str)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._bound: dict[str, list[Bound]] = {}
        self._secrets: dict[str, SecretField] = {}

    # Making

    def text(
        self,
        name: str,
        label: str,
        *,
        placeholder: str = "",
        mono: bool = False,
        hint: str = "",
        icon: str | None = None,
        called: str = "",
        note: RowNote | None = None,
    ) -> Field:
        """A line of text under its label; `called` is its accessible name where that says more.

        `note` is where the row of a narrow field says what is wrong with it.
        """
        control = EntryField(name=called or label, placeholder=placeholder, mono=mono, icon=icon)
        return self._bind_text(name, label, control, hint, note)

    def path(
        self, name: str, label: str, *, placeholder: str = "", hint: str = "", called: str = ""
    ) -> Field:
        """A file's path with a button to choose it."""
        control = PathField(name=called or label, placeholder=placeholder)
        control.chosen.connect(lambda path: self._on_edit(name, path))
        return self._bind_text(name, label, control, hint)

    def _bind_text(
        self, name: str, label: str, control: EntryField, hint: str, note: RowNote | None = None
    ) -> Field:
        field = Field(label, control, hint=hint)
        control.typed.connect(partial(self._on_edit, name))
        control.left.connect(partial(self.left.emit, name))
        field.setMinimumWidth(NARROW)
        set_error = field.set_error if note is None else partial(self._narrow_error, control, note, label)
        self._add(name, Bound(control, lambda value: control.show_text(str(value)), set_error))
        return field

    @staticmethod
    def _narrow_error(control: EntryField, note: RowNote, label: str, error: str) -> None:
        control.set_error(bool(error))
        control.setAccessibleDescription(error)
        note.set_error(label, error)

    def secret(self, name: str, label: str, *, hint: str = "", called: str = "") -> Field:
        """A password. Nothing in it means that the kept one stays."""
        control = SecretField(name=called or label)
        field = Field(label, control, hint=hint)

        def show(value: Value) -> None:
            control.show_text(value.reveal() if isinstance(value, Typed) else "")

        control.typed.connect(lambda text: self._on_edit(name, Typed(text) if text else None))
        control.forget.connect(lambda: self._on_edit(name, Typed("")))
        control.left.connect(partial(self.left.emit, name))
        self._secrets[name] = control
        field.setMinimumWidth(NARROW)
        self._add(name, Bound(control, show, field.set_error))
        return field

    def select(
        self,
        name: str,
        label: str,
        items: Sequence[str],
        *,
        dots: dict[str, str] | None = None,
        called: str = "",
    ) -> Field:
        """A choice among words."""
        control = Select([], name=called or label)
        control.set_items([(word, word) for word in items], dots=dots)
        control.changed.connect(partial(self._on_edit, name))
        # As wide as its row says, not as its longest word.
        control.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        field = Field(label, control)
        field.setMinimumWidth(NARROW)
        self._add(name, Bound(control, lambda value: control.set_current(str(value)), field.set_error))
        return field

    def check(self, name: str, label: str, *, called: str = "") -> CheckBox:
        """A check box, which has no label above it."""
        control = CheckBox(label, name=called or label)
        control.clicked.connect(lambda checked: self._on_edit(name, bool(checked)))
        self._add(name, Bound(control, lambda value: control.setChecked(bool(value)), _no_error))
        return control

    def radios(self, name: str, buttons: Sequence[QAbstractButton]) -> None:
        """Bind radio buttons, whose words are the values."""

        def show(value: Value) -> None:
            for button in buttons:
                button.setChecked(button.text() == str(value))

        for button in buttons:
            button.clicked.connect(partial(self._on_edit, name, button.text()))
        self._add(name, Bound(buttons[0], show, _no_error))

    def _add(self, name: str, bound: Bound) -> None:
        self._bound.setdefault(name, []).append(bound)

    def _on_edit(self, name: str, value: Value, *_more: object) -> None:
        self.edited.emit(name, value)

    # Showing

    def show_draft(self, draft: Draft, errors: dict[str, str]) -> None:
        """Show what is typed, and what is wrong under its field."""
        for name, controls in self._bound.items():
            value = getattr(draft, name)
            error = errors.get(name, "")
            for bound in controls:
                bound.show(value)
                bound.set_error(error)

    def show_kept(self, name: str, *, kept: bool, where: str) -> None:
        """Whether there is a secret of a field already; `where` it is, in words."""
        if name in self._secrets:
            self._secrets[name].show_kept(kept, where)

    def focus(self, name: str) -> None:
        """The keyboard into the field that is in view."""
        for bound in self._bound.get(name, []):
            if bound.control.isVisible() and bound.control.isEnabled():
                bound.control.setFocus(Qt.FocusReason.OtherFocusReason)
                return


def _no_error(_error: str) -> None:
    """A box that is checked or not is never wrong."""


def row(*parts: tuple[QWidget, int]) -> QHBoxLayout:
    """Widgets in a row by their share of its width; what is hidden leaves its share to the others."""
    layout = QHBoxLayout()
    layout.setSpacing(COLUMN_GAP)
    for widget, share in parts:
        layout.addWidget(widget, share, Qt.AlignmentFlag.AlignTop)
    return layout


def below_label(widget: QWidget) -> Field:
    """`widget` at the height of fields that have a label, without one of its own."""
    widget.setFixedHeight(28)
    return Field(" ", widget)


class RowNote(QWidget):
    """Under a row of narrow fields: what is wrong with them, where it would not fit under each."""

    def __init__(self) -> None:
        super().__init__()
        self._errors: dict[str, str] = {}
        self._words = Text(role="label", tone="error", wrap=True)
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(6)
        line.addWidget(Glyph("circle-alert", "error"), 0, Qt.AlignmentFlag.AlignTop)
        line.addWidget(self._words, 1)
        self.hide()

    def set_error(self, label: str, error: str) -> None:
        """What is wrong with the field of this label; empty when it is right again."""
        self._errors[label] = error
        self._words.set_text("\n".join(f"{one}: {words}" for one, words in self._errors.items() if words))
        self.setVisible(any(self._errors.values()))


class TabPage(QScrollArea):
    """The content of a tab: rows from the top, scrolled where there is no room for all."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName(name)
        self.viewport().setAutoFillBackground(False)
        inside = QWidget()
        self.rows = QVBoxLayout(inside)
        self.rows.setContentsMargins(16, 9, 16, 8)
        self.rows.setSpacing(ROW_GAP)
        self.setWidget(inside)
        inside.setAutoFillBackground(False)  # which the line above turns on

    def add(self, *parts: tuple[QWidget, int]) -> QHBoxLayout:
        """A row of widgets by their share."""
        layout = row(*parts)
        self.rows.addLayout(layout)
        return layout

    def add_words(self, text: str) -> Text:
        """A muted sentence."""
        words = Text(text, role="label", tone="muted", wrap=True)
        self.rows.addWidget(words)
        return words

    def end(self) -> None:
        """No more rows: what room is left stays below."""
        self.rows.addStretch(1)
