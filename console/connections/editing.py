"""A connection on the desk: what it was, what is typed by now, and what of that may be said to be wrong.

Pure. Kept for each connection that has unsaved changes, so that looking at another loses nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from console.connections.draft import changed_fields, draft_of, left, typed
from console.connections.draft_check import Checked, check_draft
from console.connections.draft_fields import Draft, Value
from console.connections.model import Connection


@dataclass(frozen=True, slots=True)
class Editing:
    """`start` is what Cancel goes back to. `copy_from`: whose secrets a copy takes along when it is saved.

    `touched` are the fields that a person has left: what is wrong is said there, and after `asked` (Save or
    Test was pressed) everywhere.
    """

    base: Connection
    start: Draft
    draft: Draft
    is_new: bool = False
    copy_from: str = ""
    touched: frozenset[str] = frozenset()
    asked: bool = False

    @property
    def changes(self) -> tuple[str, ...]:
        return changed_fields(self.start, self.draft)

    @property
    def is_changed(self) -> bool:
        """Whether something would be lost: a copy or an import is not saved yet, a blank one is nothing."""
        return bool(self.changes)

    def typed(self, name: str, value: Value) -> Editing:
        return replace(self, draft=typed(self.draft, name, value))

    def left(self, name: str) -> Editing:
        return replace(self, draft=left(self.draft, name), touched=self.touched | {name})

    def checked(self, names: Collection[str], missing: Collection[str] = ()) -> Checked:
        return check_draft(self.draft, self.base, names, missing=missing)

    def shown_errors(self, names: Collection[str], missing: Collection[str] = ()) -> dict[str, str]:
        """What is wrong, as far as it is fair to say so by now."""
        errors = self.checked(names, missing).errors
        return errors if self.asked else {name: errors[name] for name in errors if name in self.touched}

    def rebased(self, current: Connection) -> Editing:
        """The same on what the connection has become meanwhile (its last use, or a change elsewhere)."""
        if self.is_new:
            return self.saved(current)
        if not self.is_changed:
            return replace(editing_of(current), touched=self.touched)
        return replace(self, base=current)

    def saved(self, connection: Connection) -> Editing:
        """The same after `connection` was saved: what differs from that is what is changed."""
        return replace(self, base=connection, start=draft_of(connection), is_new=False)


def editing_of(connection: Connection) -> Editing:
    """`connection` opened for reading and changing."""
    draft = draft_of(connection)
    return Editing(connection, draft, draft)


def new_editing(blank: Connection, draft: Draft | None = None, *, copy_from: str = "") -> Editing:
    """A connection that is not there yet; `draft` is what it is to begin with."""
    start = draft_of(replace(blank, name="", broker=None, schedules=None))
    return Editing(blank, start, draft if draft is not None else start, is_new=True, copy_from=copy_from)
