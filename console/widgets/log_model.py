"""The lines of a log view: a bounded buffer, a filter and a search over it.

A table model rather than a text document: a document of 100,000 formatted lines takes seconds to fill, and
assistive technology reads table cells as well.
"""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal

Index = QModelIndex | QPersistentModelIndex

COLUMNS: Final = ("Time", "Service", "Level", "Message")
_NORMAL = {"WARNING": "WARN", "FATAL": "CRITICAL"}
# How much goes at once when the buffer is full, as a share of its bound.
_DROP_SHARE = 20


class LogLine(NamedTuple):
    """One line as it came. A `continuation` belongs to the line of its source before it, as in tracebacks."""

    when: str
    source: str
    level: str
    message: str
    continuation: bool = False


class Entry(NamedTuple):
    """A line with the level that it counts for; a continuation has that of its head."""

    line: LogLine
    level: str


class LogModel(QAbstractTableModel):
    """At most `limit` lines, of which those that pass the filter are rows."""

    matches_changed = Signal()

    def __init__(self, *, limit: int, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._limit = max(_DROP_SHARE, limit)
        self._all: deque[Entry] = deque()
        self.visible: list[Entry] = []
        self.counts: Counter[str] = Counter()
        self.dropped = 0
        self._last_level: dict[str, str] = {}
        self._sources: frozenset[str] | None = None
        self._levels: frozenset[str] | None = None
        self.needle = ""
        self.matches: list[int] = []
        self.longest = 0

    def append(self, lines: Sequence[LogLine]) -> int:
        """Add lines at the end; returns how many rows went at the top to keep the bound."""
        fresh = [self._entry(line) for line in lines]
        if len(fresh) > self._limit:
            self.dropped += len(fresh) - self._limit
            fresh = fresh[-self._limit :]
        self._all.extend(fresh)
        # A continuation is not a message of its own and does not count as one.
        self.counts.update(entry.level for entry in fresh if not entry.line.continuation)
        removed = self._trim()
        shown = [entry for entry in fresh if self._passes(entry)]
        if shown:
            first = len(self.visible)
            self.beginInsertRows(QModelIndex(), first, first + len(shown) - 1)
            self.visible.extend(shown)
            self.endInsertRows()
            self.longest = max(self.longest, *(len(entry.line.message) for entry in shown))
            if self.needle:
                self._search_from(first)
        return removed

    def clear(self) -> None:
        """Forget everything."""
        self.beginResetModel()
        self._all.clear()
        self.visible = []
        self.counts.clear()
        self._last_level.clear()
        self.longest = 0
        self.matches = []
        self.endResetModel()
        self.matches_changed.emit()

    def set_filter(self, *, sources: Iterable[str] | None, levels: Iterable[str] | None) -> None:
        """Show only lines of these sources and levels; None shows all."""
        wanted_sources = None if sources is None else frozenset(sources)
        wanted_levels = None if levels is None else frozenset(_NORMAL.get(level, level) for level in levels)
        if (wanted_sources, wanted_levels) == (self._sources, self._levels):
            return
        self._sources, self._levels = wanted_sources, wanted_levels
        self.beginResetModel()
        self.visible = [entry for entry in self._all if self._passes(entry)]
        self.endResetModel()
        self.search(self.needle)

    def search(self, needle: str) -> int:
        """Find a text in time, service, level or message, whatever its case; returns the number of lines."""
        self.needle = needle.casefold()
        self.matches = []
        if self.needle:
            self._search_from(0)
        else:
            self.matches_changed.emit()
        return len(self.matches)

    def full_text(self, row: int) -> str:
        """A row as it stood in the log."""
        line = self.visible[row].line
        if line.continuation:
            return line.message
        return " ".join(part for part in (line.when, line.source, line.level, line.message) if part)

    def _entry(self, line: LogLine) -> Entry:
        if line.continuation:
            return Entry(line, self._last_level.get(line.source, _NORMAL.get(line.level, line.level)))
        level = self._last_level[line.source] = _NORMAL.get(line.level, line.level)
        return Entry(line, level)

    def _passes(self, entry: Entry) -> bool:
        if self._sources is not None and entry.line.source not in self._sources:
            return False
        return self._levels is None or entry.level in self._levels

    def _trim(self) -> int:
        over = len(self._all) - self._limit
        if over <= 0:
            return 0
        count = min(len(self._all), max(over, self._limit // _DROP_SHARE))
        gone = list(islice(self._all, count))
        rows = sum(1 for entry in gone if self._passes(entry))
        # Rows that have not been shown yet cannot be taken away from the view.
        rows = min(rows, len(self.visible))
        if rows:
            self.beginRemoveRows(QModelIndex(), 0, rows - 1)
            del self.visible[:rows]
            self.endRemoveRows()
            self.matches = [row - rows for row in self.matches if row >= rows]
        for _ in range(count):
            self._all.popleft()
        self.counts.subtract(entry.level for entry in gone if not entry.line.continuation)
        self.dropped += count
        return rows

    def _search_from(self, first: int) -> None:
        needle = self.needle
        for row in range(first, len(self.visible)):
            line = self.visible[row].line
            if (
                needle in line.message.casefold()
                or needle in f"{line.when} {line.source} {line.level}".casefold()
            ):
                self.matches.append(row)
        self.matches_changed.emit()

    # Qt's interface.

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.visible)

    def columnCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(COLUMNS)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return None
        line, level = self.visible[index.row()]
        column = index.column()
        if column == 3:
            return line.message
        if line.continuation:
            return ""
        return (line.when, line.source, level)[column]

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section]
        return None
