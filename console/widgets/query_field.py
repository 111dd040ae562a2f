"""A search field for a query language: colours its words, underlines a wrong one, suggests how to go on.

It knows no language: a function completes, and whoever parses says where what stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from PySide6.QtCore import QSignalBlocker, Qt
from PySide6.QtGui import (
    QFocusEvent,
    QHideEvent,
    QInputMethodEvent,
    QKeyEvent,
    QMouseEvent,
    QResizeEvent,
    QTextCharFormat,
)
from PySide6.QtWidgets import QWidget

from console.widgets.fields import SearchField
from console.widgets.suggestions import Suggestion, SuggestionList
from console.widgets.theme import theme

_RECENT_KEPT = 10
_OPENING = frozenset(
    {Qt.FocusReason.ShortcutFocusReason, Qt.FocusReason.MouseFocusReason, Qt.FocusReason.TabFocusReason}
)


class Suggestions(Protocol):
    """What may stand from `start` to `end` of the text."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def items(self) -> Sequence[Suggestion]: ...


@dataclass(frozen=True, slots=True)
class _Recent:
    insert: str
    label: str
    detail: str = "Searched before"


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the text and the token of its colour."""

    start: int
    length: int
    color: str


class QueryField(SearchField):
    """`complete(text, cursor)` gives what can be chosen while somebody types; `stretches(text)` what is
    coloured.

    Down and Up go through the suggestions, Enter and Tab take one, Escape closes them, Enter without a
    current one submits. While the field is empty it offers the searches of this session.
    """

    def __init__(
        self,
        name: str,
        *,
        complete: Callable[[str, int], Suggestions | None],
        stretches: Callable[[str], Sequence[Stretch]] = lambda _text: (),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(name, mono=True, parent=parent)
        self._complete = complete
        self._stretches = stretches
        self._mark: tuple[int, int] | None = None
        self._composing = False
        self._recent: list[str] = []
        self._list: SuggestionList | None = None
        self._offered: Sequence[Suggestion] = ()
        self._range = (0, 0)
        self.textEdited.connect(lambda _text: self._offer())
        self.textChanged.connect(lambda _text: self._on_changed())
        self.submitted.connect(lambda _text: self.close_suggestions())
        theme().changed.connect(self._color)

    # What it shows.

    def set_mark(self, position: int, length: int, words: str) -> None:
        """Underline what is wrong; `words` say why. It stays until the text changes or `clear_mark`."""
        self._mark = (position, max(1, length))
        self.set_error(True)
        self.setAccessibleDescription(words)
        self.setToolTip(words)
        self._color()

    def clear_mark(self) -> None:
        """Nothing is wrong."""
        if self._mark is not None or self.toolTip():
            self._mark = None
            self.set_error(False)
            self.setAccessibleDescription("")
            self.setToolTip("")
            self._color()

    def mark(self) -> tuple[int, int] | None:
        """Where the underline is: (position, length)."""
        return self._mark

    def remember(self, text: str) -> None:
        """Offer `text` when the field is empty; the newest first."""
        text = text.strip()
        if text:
            self._recent = [text, *(one for one in self._recent if one != text)][:_RECENT_KEPT]

    def suggestions(self) -> list[str]:
        """The labels in view."""
        return [one.label for one in self._offered] if self.suggests() else []

    def suggests(self) -> bool:
        """Whether the list is open."""
        return self._list is not None and self._list.isVisible()

    def close_suggestions(self) -> None:
        """Close the list."""
        if self.suggests() and self._list is not None:
            self._list.hide()
            if self._mark is None:
                self.setAccessibleDescription("")

    def take(self, number: int) -> None:
        """Put a suggestion into the text and suggest what can follow."""
        if not 0 <= number < len(self._offered):
            return
        chosen, (start, end) = self._offered[number], self._range
        text = self.text()
        self.close_suggestions()
        if isinstance(chosen, _Recent):
            self.setText(chosen.insert)
            self.submitted.emit(chosen.insert)
            return
        with QSignalBlocker(self):
            self.setSelection(start, end - start)
        self.insert(chosen.insert)
        if self.text() != text and chosen.insert.endswith(":"):
            self._offer()

    # Inside.

    def setText(self, text: str | None) -> None:
        super().setText(text)
        self.close_suggestions()

    def _offer(self) -> None:
        text = self.text()
        if not text.strip():
            self._range = (0, len(text))
            self._show([_Recent(one, one) for one in self._recent])
            return
        found = self._complete(text, self.cursorPosition())
        if found is None:
            self._show(())
            return
        self._range = (found.start, found.end)
        written = text[found.start : found.end]
        items = list(found.items)
        self._show(() if len(items) == 1 and items[0].insert.strip() == written else items)

    def _show(self, items: Sequence[Suggestion]) -> None:
        self._offered = items
        if not items:
            self.close_suggestions()
            return
        if self._list is None or self._list.parentWidget() is not self.window():
            self._list = SuggestionList(self)
            self._list.chosen.connect(self.take)
        self._list.show_items(items)
        if self._mark is None:
            self.setAccessibleDescription(f"{len(items)} suggestions" if len(items) > 1 else "1 suggestion")

    def _step(self, by: int) -> None:
        if self._list is not None:
            self._list.step(by)
            self.setAccessibleDescription(self._list.current_words())

    def _on_changed(self) -> None:
        if self._mark is not None:
            self._mark = None
            self.setAccessibleDescription("")
        self.set_error(False)
        self.setToolTip("")
        self._color()

    def _color(self) -> None:
        """Qt has no colours for parts of a line; those of an input method's text do the same."""
        if self._composing:
            return
        look = theme()
        attributes: list[QInputMethodEvent.Attribute] = []

        def add(start: int, length: int, style: QTextCharFormat) -> None:
            kind = QInputMethodEvent.AttributeType.TextFormat
            at = start - self.cursorPosition()
            attributes.append(QInputMethodEvent.Attribute(kind, at, length, style))

        def style_of_part() -> QTextCharFormat:
            style = QTextCharFormat()
            style.setFont(self.font())  # else the part is shown in the program's
            return style

        add(0, len(self.text()), style_of_part())
        for one in self._stretches(self.text()):
            style = style_of_part()
            style.setForeground(look.color(one.color))
            add(one.start, one.length, style)
        if self._mark is not None:
            wrong = style_of_part()
            wrong.setUnderlineStyle(QTextCharFormat.UnderlineStyle.WaveUnderline)
            wrong.setUnderlineColor(look.color("st_failed"))
            wrong.setForeground(look.color("st_failed"))
            add(*self._mark, wrong)
        selected = (self.selectionStart(), self.selectionLength())
        with QSignalBlocker(self):
            super().inputMethodEvent(QInputMethodEvent("", attributes))
            if selected[0] >= 0:
                self.setSelection(*selected)

    # Qt's events.

    def inputMethodEvent(self, event: QInputMethodEvent) -> None:
        self._composing = bool(event.preeditString())
        super().inputMethodEvent(event)
        if not self._composing:
            self._color()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = event.key()
        if key == Qt.Key.Key_Down and not self.suggests():
            self._offer()
            if self.suggests():
                event.accept()
                return
        if not self.suggests():
            super().keyPressEvent(event)
            return
        current = self._list.current() if self._list is not None else -1
        if key in (Qt.Key.Key_Down, Qt.Key.Key_Up):
            self._step(1 if key == Qt.Key.Key_Down else -1)
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and current >= 0:
            self.take(current)
        elif key == Qt.Key.Key_Escape:
            self.close_suggestions()
        else:
            super().keyPressEvent(event)
            return
        event.accept()

    def focusNextPrevChild(self, forward: bool) -> bool:
        """Tab takes the current suggestion, else the first one."""
        if forward and self.suggests() and self._list is not None and self.text():
            self.take(max(0, self._list.current()))
            return True
        self.close_suggestions()
        return bool(super().focusNextPrevChild(forward))

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        if event.reason() in _OPENING and not self.text():
            self._offer()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.close_suggestions()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        super().mousePressEvent(event)
        if not self.text() and not self.suggests():
            self._offer()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.close_suggestions()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self.close_suggestions()
