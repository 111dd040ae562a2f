"""A read-only look at a value or a text: JSON laid out, mono, to be selected and copied."""

import json
import re
from typing import Any

from PySide6.QtGui import QTextOption
from PySide6.QtWidgets import QPlainTextEdit, QWidget

from console.widgets.theme import theme

_LONGEST = 1_000_000
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')


def pretty(value: Any) -> str:
    """A value as JSON in lines; what JSON cannot hold is shown as Python writes it."""
    try:
        return json.dumps(value, indent=2, ensure_ascii=False, default=repr)
    except (TypeError, ValueError, RecursionError):
        return repr(value)


def pretty_text(text: str) -> str:
    """A text laid out as JSON when it is JSON, else as it is. Numbers stay as they were written."""
    stripped = text.strip()
    if not stripped or stripped[0] not in "[{" or len(text) > _LONGEST:
        return text
    try:
        json.loads(stripped)
    except (ValueError, RecursionError):
        return text
    return _laid_out(_PIECE.findall(stripped))


def _laid_out(pieces: list[str]) -> str:
    """Tokens of valid JSON in lines, two blanks per level; empty lists and objects stay on one line."""
    out: list[str] = []
    depth = 0
    for number, piece in enumerate(pieces):
        following = pieces[number + 1] if number + 1 < len(pieces) else ""
        if piece in "[{":
            depth += 1
            out.append(piece if following in ("]", "}") else f"{piece}\n{'  ' * depth}")
        elif piece in "]}":
            depth -= 1
            empty = pieces[number - 1] in ("[", "{")
            out.append(piece if empty else f"\n{'  ' * depth}{piece}")
        elif piece == ",":
            out.append(f",\n{'  ' * depth}")
        elif piece == ":":
            out.append(": ")
        else:
            out.append(piece)
    return "".join(out)


class JsonView(QPlainTextEdit):
    """Shows a value or a text. `name` is its accessible name; at most a million characters are shown."""

    def __init__(self, name: str, *, wrap: bool = True, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setReadOnly(True)
        self.setProperty("code", True)
        self.setFont(theme().font("mono-small"))
        self.setTabChangesFocus(True)
        self.document().setDocumentMargin(8)
        mode = QTextOption.WrapMode.WrapAnywhere if wrap else QTextOption.WrapMode.NoWrap
        self.setWordWrapMode(mode)

    def set_value(self, value: Any) -> None:
        """Show a value as JSON."""
        self._show(pretty(value))

    def set_text(self, text: str) -> None:
        """Show a text, laid out when it is JSON."""
        self._show(pretty_text(text))

    def set_plain(self, text: str) -> None:
        """Show a text as it is."""
        self._show(text)

    def _show(self, text: str) -> None:
        if len(text) > _LONGEST:
            text = f"{text[:_LONGEST]}\n… {len(text) - _LONGEST:,} more characters"
        if text != self.toPlainText():
            self.setPlainText(text)
