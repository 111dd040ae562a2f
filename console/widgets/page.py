"""The contract between the shell and a page: mount, show, refresh, query, commands."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from console.core.commands import Command


class Page(QWidget):
    """One page of the window.

    `noun` is its name for navigation ("tasks"), `title` its word in the sidebar. `badge_changed` carries
    what the sidebar shows behind the word: a text and a tone ("", "neutral", "warning" or "error").
    `connect_wanted`: the person wants the line without which the page has nothing to show.
    """

    noun: str = ""
    title: str = ""
    icon_name: str = ""
    badge_changed = Signal(str, str)
    connect_wanted = Signal()

    def activate(self) -> None:
        """The page has become visible: start what it needs."""

    def deactivate(self) -> None:
        """The page is no longer visible: stop what only it needed."""

    def refresh(self) -> None:
        """F5: read again now."""

    def open_query(self, query: str) -> None:
        """Show what `query` names (the noun's own language; empty shows everything)."""

    def focus_content(self) -> None:
        """Put the keyboard focus where work on this page begins."""
        self.setFocus()

    def detail(self) -> QWidget | None:
        """The panel beside or below the content that F6 goes to after it, if the page has one."""
        return None

    def commands(self) -> list[Command]:
        """What the command palette offers for this page."""
        return []
