"""Saved views of the Tasks page: a name for a query with its order and columns; and the file they stand in.

The file is shared by all connections and all windows of one home. It is small, and a person may edit it;
one that cannot be read is set aside, never written over.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from PySide6.QtCore import QLockFile

from console.core.errors import Cause, ConsoleError
from console.core.home import write_atomically
from console.history.query import Sort
from console.history.query_parser import MAX_QUERY
from console.tasks.columns import USUAL_PANEL_PX, TableLayout, known_columns

VERSION = 1
LONGEST_NAME = 60
LOCK_MS = 3_000
MOST_VIEWS = 200
_SORTS = frozenset(sort.value for sort in Sort)
_WIDEST_PX = 2000


class _UnreadableError(ValueError):
    """What stands in the file is not what a console writes."""


@dataclass(frozen=True, slots=True)
class SavedView:
    """A query under a name. `columns` empty: it leaves the columns as they are."""

    name: str
    query: str
    sort: str = Sort.RECEIVED.value
    descending: bool = True
    columns: tuple[str, ...] = ()


BUILT_IN = (
    SavedView("All", ""),
    SavedView("Failed in the last hour", "state:failed since:1h"),
    SavedView("Running", "state:started"),
    SavedView("Slow", "runtime:>10s", sort=Sort.RUNTIME.value),
    SavedView("Retrying", "state:retrying"),
    SavedView("Lost", "state:lost"),
)
_TAKEN = frozenset(view.name.casefold() for view in BUILT_IN)


@dataclass(frozen=True, slots=True)
class Kept:
    """What is in the file: the person's own views by name, and how the table stands."""

    views: tuple[SavedView, ...] = ()
    layout: TableLayout = field(default_factory=TableLayout)


def wrong_name(name: str, views: tuple[SavedView, ...], *, but: str = "") -> str:
    """What is wrong with a new view's name; empty when nothing is. `but` is its own name until now."""
    name = name.strip()
    if not name:
        return "Give it a name"
    if len(name) > LONGEST_NAME:
        return f"At most {LONGEST_NAME} characters"
    if not name.isprintable():
        return "Only letters, digits and signs"
    if name.casefold() in _TAKEN:
        return "This name is taken by a view of the console"
    if any(name.casefold() == view.name.casefold() != but.casefold() for view in views):
        return "Another view has this name"
    return ""


def with_view(kept: Kept, view: SavedView) -> Kept:
    """With one more view, or another one under the same name."""
    others = [one for one in kept.views if one.name.casefold() != view.name.casefold()]
    if len(others) >= MOST_VIEWS:
        raise ConsoleError(
            "There are too many views", remedy="Delete some that nobody uses.", cause=Cause.INVALID
        )
    return replace(kept, views=_sorted([*others, view]))


def renamed(kept: Kept, old: str, new: str) -> Kept:
    """With a view under another name; as it is when there is none."""
    views = [replace(one, name=new) if one.name == old else one for one in kept.views]
    return replace(kept, views=_sorted(views))


def without_view(kept: Kept, name: str) -> Kept:
    """Without a view."""
    return replace(kept, views=tuple(one for one in kept.views if one.name != name))


def _sorted(views: list[SavedView]) -> tuple[SavedView, ...]:
    return tuple(sorted(views, key=lambda view: view.name.casefold()))


class ViewsFile:
    """The file. Blocking. Raises `ConsoleError`."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def read(self, now: datetime) -> tuple[Kept, ConsoleError | None]:
        """What stands there; an unreadable file is moved aside, which the error tells."""
        try:
            text = self.file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return Kept(), None
        except (OSError, ValueError) as error:
            if isinstance(error, OSError):
                return Kept(), _not_read(self.file, error)
            return Kept(), self._set_aside(now, "It is not text.")
        try:
            return kept_from(json.loads(text)), None
        except (ValueError, RecursionError) as error:
            return Kept(), self._set_aside(now, str(error)[:200])

    def update(self, change: Callable[[Kept], Kept], now: datetime) -> tuple[Kept, ConsoleError | None]:
        """Have `change` make the new content out of what stands there now, while no other window does."""
        lock = QLockFile(str(self.file.with_suffix(".lock")))
        if not lock.tryLock(LOCK_MS) and lock.error() is QLockFile.LockError.LockFailedError:
            raise ConsoleError(
                "The views were not saved",
                detail="Another window has been changing them for some seconds.",
                remedy="Save again.",
                cause=Cause.LOCKED,
                retryable=True,
            )
        try:  # a folder in which no lock can be made cannot be written either, which is said below
            return self._update(change, now)
        finally:
            lock.unlock()

    def _update(self, change: Callable[[Kept], Kept], now: datetime) -> tuple[Kept, ConsoleError | None]:
        before, trouble = self.read(now)
        if trouble is not None and self.file.exists():
            raise trouble  # it can be neither read nor moved: to write over it would lose it
        after = change(before)
        if after != before:
            try:
                write_atomically(
                    self.file, json.dumps(kept_as_json(after), indent=2, ensure_ascii=False) + "\n"
                )
            except OSError as error:
                raise _not_saved(self.file, error) from error
        return after, trouble

    def _set_aside(self, now: datetime, why: str) -> ConsoleError:
        target = self.file.with_name(
            f"{self.file.stem}.broken-{now.strftime('%Y%m%dT%H%M%SZ')}{self.file.suffix}"
        )
        while target.exists():
            target = target.with_name(f"{target.stem}-again{target.suffix}")
        try:
            self.file.rename(target)
        except OSError as error:
            return _not_read(self.file, error)
        return ConsoleError(
            "The saved views could not be read",
            detail=f"{why.rstrip('.')}. The file is kept as {target.name}.",
            remedy="Mend it and put it back, or save the views again.",
            cause=Cause.INVALID,
        )


def kept_from(value: object) -> Kept:
    """What the JSON of the file says. Raises ValueError that says what is wrong."""
    if not isinstance(value, dict):
        raise _UnreadableError("It is not an object")
    version = value.get("version")
    if version != VERSION:
        raise _UnreadableError(f"Its version is {version!r}; this console knows {VERSION}")
    views = value.get("views", [])
    if not isinstance(views, list):
        raise _UnreadableError("views is not a list")
    if len(views) > MOST_VIEWS:
        raise _UnreadableError(f"It has {len(views):,} views; {MOST_VIEWS} is the most")
    kept = Kept()
    for one in views:
        kept = with_view(kept, _view(one))
    return replace(kept, layout=_layout(value.get("table", {})))


def kept_as_json(kept: Kept) -> dict[str, Any]:
    """The other way."""
    return {
        "version": VERSION,
        "views": [
            {
                "name": view.name,
                "query": view.query,
                "sort": view.sort,
                "descending": view.descending,
                "columns": list(view.columns),
            }
            for view in kept.views
        ],
        "table": {
            "columns": list(kept.layout.columns),
            "widths": dict(kept.layout.widths),
            "sort": kept.layout.sort,
            "descending": kept.layout.descending,
            "panel_px": kept.layout.panel_px,
            "panel_shown": kept.layout.panel_shown,
        },
    }


def _view(value: object) -> SavedView:
    if not isinstance(value, dict):
        raise _UnreadableError("A view is not an object")
    name, query = value.get("name"), value.get("query")
    if not isinstance(name, str) or not isinstance(query, str) or len(query) > MAX_QUERY:
        raise _UnreadableError("A view has no name or no query")
    wrong = wrong_name(name, ())
    if wrong:
        raise _UnreadableError(f"The view {name[:LONGEST_NAME]!r}: {wrong}")
    columns = _strings(value.get("columns", []))
    return SavedView(
        name=name.strip(),
        query=query,
        sort=_sort(value.get("sort")),
        descending=value.get("descending") is not False,
        columns=known_columns(columns) if columns else (),
    )


def _layout(value: object) -> TableLayout:
    if not isinstance(value, Mapping):
        raise _UnreadableError("table is not an object")
    widths = value.get("widths", {})
    if not isinstance(widths, Mapping):
        raise _UnreadableError("widths is not an object")
    panel_px = value.get("panel_px")
    return TableLayout(
        columns=known_columns(_strings(value.get("columns", []))),
        widths={
            str(key): width for key, width in widths.items() if type(width) is int and 0 < width <= _WIDEST_PX
        },
        sort=_sort(value.get("sort")),
        descending=value.get("descending") is not False,
        panel_px=panel_px if type(panel_px) is int and 0 < panel_px <= _WIDEST_PX else USUAL_PANEL_PX,
        panel_shown=value.get("panel_shown") is not False,
    )


def _strings(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _UnreadableError("columns is not a list of words")
    return value


def _sort(value: object) -> str:
    return value if isinstance(value, str) and value in _SORTS else Sort.RECEIVED.value


def _not_read(file: Path, error: OSError) -> ConsoleError:
    return ConsoleError(
        "The saved views cannot be read",
        detail=f"{file}: {os.strerror(error.errno) if error.errno else error}.",
        remedy="Give yourself the right to read and move the file.",
        cause=Cause.NOT_PERMITTED,
    )


def _not_saved(file: Path, error: OSError) -> ConsoleError:
    return ConsoleError(
        "The views were not saved",
        detail=f"{file.parent}: {os.strerror(error.errno) if error.errno else error}.",
        remedy="Make room, or give yourself the right to write there, then save again.",
        cause=Cause.NO_SPACE if error.errno == 28 else Cause.NOT_PERMITTED,
        retryable=True,
    )
