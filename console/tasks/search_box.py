"""The field `Search tasks`: suggestions, colours, the wrong word, and what was found in which time."""

from __future__ import annotations

import re

from PySide6.QtGui import QFocusEvent
from PySide6.QtWidgets import QWidget

from console.history.completion import Completions, complete
from console.tasks.model import TasksSnapshot
from console.tasks.view_model import TasksViewModel
from console.widgets.button import IconButton
from console.widgets.query_field import QueryField, Stretch
from console.widgets.text import number_text

# A quoted text, a field with its colon, or the word that joins.
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"?|(?P<field>(?<![\w.])[A-Za-z_]+(?:\.[^\s:"()]+)?:)|(?P<word>\bor\b)')


def stretches(text: str) -> list[Stretch]:
    """Fields and `or` stand back behind the values."""
    return [
        Stretch(found.start(), len(found.group()), "muted")
        for found in _PIECE.finditer(text)
        if found["field"] or found["word"]
    ]


class TaskSearch(QueryField):
    """Tells the view model what is typed. A query that cannot be read while it is typed is only marked;
    `insists` says that the person wants it as it is, and the page says why it cannot be.
    """

    def __init__(self, model: TasksViewModel, parent: QWidget | None = None) -> None:
        super().__init__("Search tasks", complete=self._suggest, stretches=stretches, parent=parent)
        self._model = model
        self.insists = False
        self.views = IconButton("bookmark", name="Views", tooltip="Views", size=22)
        self.add_trailing(self.views)
        self.edited.connect(self._on_edited)
        self.submitted.connect(self._on_submitted)

    def open_query(self, text: str) -> None:
        """Show and search a text that was not typed."""
        if self.text() != text:
            self.setText(text)
        if not self.hasFocus():
            self.setCursorPosition(0)  # what does not fit is cut at its end
        self.insists = True
        self._model.show(text)

    def show_snapshot(self, now: TasksSnapshot) -> None:
        """What came of the search."""
        error = now.query_error
        if error is not None:
            # While somebody writes a word, it is not wrong yet.
            here = error.position <= self.cursorPosition() <= error.position + error.length
            unfinished = not self.insists and self.suggests() and here
            if now.text == self.text() and not unfinished:
                words = f"{error.title}. {error.remedy}".strip()
                self.set_mark(error.position, error.length, words)
            self.set_hint("" if unfinished else error.title, tone="st_failed")
            return
        if now.text == self.text():
            self.clear_mark()
        if not now.narrowed or now.found is None or now.took_ms is None:
            self.set_hint("")
            return
        more = "" if now.counts is None or now.counts.complete else "+"
        self.set_hint(f"{number_text(now.found)}{more} found in {max(1, round(now.took_ms))} ms")

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self._model.load_names()

    def _suggest(self, text: str, cursor: int) -> Completions:
        return complete(text, cursor, self._model.names)

    def _on_edited(self, text: str) -> None:
        self.insists = False
        self._model.show(text)

    def _on_submitted(self, text: str) -> None:
        self.insists = True
        self.remember(text)
        self._model.show(text)
        self._model.changed.emit()
