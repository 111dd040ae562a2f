"""The rows of a tree of values, made only when they are looked at: long lists come in spans of 100."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from PySide6.QtCore import QAbstractItemModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from console.widgets.json_tree_text import Node

SPAN = 100
PREVIEW = 160
_WORDS = {
    "list": ("item", "items"),
    "tuple": ("item", "items"),
    "dict": ("key", "keys"),
    "set": ("item", "items"),
}

Index = QModelIndex | QPersistentModelIndex
NO_INDEX = QModelIndex()


class TreeRole(IntEnum):
    """What the delegate asks for: the `Item` of a row."""

    ITEM = Qt.ItemDataRole.UserRole


@dataclass(slots=True, eq=False)
class Item:
    """A row: a value, or with `span` those of its children at these positions."""

    node: Node
    parent: int
    row: int
    span: tuple[int, int] | None = None
    children: list[int] | None = None

    @property
    def key(self) -> str:
        """What stands before the value."""
        if self.span is not None:
            return f"{self.span[0]:,} to {self.span[1] - 1:,}"
        return self.node.key

    def held(self) -> list[Node]:
        """The values below it."""
        below = self.node.children or []
        return below if self.span is None else below[self.span[0] : self.span[1]]


class JsonTreeModel(QAbstractItemModel):
    """One column; the root's children are the first rows, or the root itself where it holds nothing."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._text = ""
        self._items: list[Item] = []
        self._top: list[int] = []

    def show_tree(self, root: Node | None, text: str) -> None:
        """Show another value, which was read of `text`."""
        self.beginResetModel()
        self._text = text
        self._items = []
        self._top = []
        if root is not None:
            self._items.append(Item(root, -1, 0))
            self._top = self._below(0) if root.children else [0]
            if root.children:
                for number in self._top:
                    self._items[number].parent = -1
        self.endResetModel()

    def item(self, index: Index) -> Item | None:
        """The row at `index`."""
        return self._items[index.internalId()] if index.isValid() else None

    def preview(self, node: Node) -> str:
        """A value in one line, at most a few words of it."""
        if node.kind == "string":
            return f'"{_line(node.text[:PREVIEW])}{"…" if len(node.text) > PREVIEW else ""}"'
        return _line(self._text[node.start : min(node.end, node.start + PREVIEW)]) or node.text

    def count_words(self, node: Node) -> str:
        """ "3 items"; "" for what holds nothing."""
        if not node.is_container:
            return ""
        count = len(node.children or [])
        one, many = _WORDS[node.kind]
        return f"{count:,} {one if count == 1 else many}"

    # Qt's questions.

    def index(self, row: int, column: int, parent: Index = NO_INDEX) -> QModelIndex:
        numbers = self._numbers(parent)
        if column != 0 or not 0 <= row < len(numbers):
            return QModelIndex()
        return self.createIndex(row, 0, numbers[row])

    def parent(self, index: Index = NO_INDEX) -> QModelIndex:  # type: ignore[override]
        item = self.item(index)
        if item is None or item.parent < 0:
            return QModelIndex()
        return self.createIndex(self._items[item.parent].row, 0, item.parent)

    def rowCount(self, parent: Index = NO_INDEX) -> int:
        return len(self._numbers(parent))

    def columnCount(self, _parent: Index = NO_INDEX) -> int:
        return 1

    def hasChildren(self, parent: Index = NO_INDEX) -> bool:
        item = self.item(parent)
        if item is None:
            return bool(self._top)
        return bool(item.node.children)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        item = self.item(index)
        if item is None:
            return None
        if role == TreeRole.ITEM:
            return item
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            if item.span is not None:
                return item.key
            value = self.preview(item.node)
            return f"{item.key}: {value}" if item.key else value
        return None

    def _numbers(self, parent: Index) -> list[int]:
        return self._below(parent.internalId()) if parent.isValid() else self._top

    def _below(self, number: int) -> list[int]:
        item = self._items[number]
        if item.children is None:
            item.children = []
            held = item.held()
            size = _span(len(held))
            first = item.span[0] if item.span is not None else 0
            for row, start in enumerate(range(0, len(held), size)):
                if size == 1:
                    made = Item(held[start], number, row)
                else:
                    made = Item(item.node, number, row, (first + start, first + min(start + size, len(held))))
                item.children.append(len(self._items))
                self._items.append(made)
        return item.children


def _span(count: int) -> int:
    """How many values one row stands for: 1, or as many hundreds as leave at most a hundred rows."""
    size = 1
    while count / size > SPAN:
        size *= SPAN
    return size


def _line(text: str) -> str:
    return " ".join(text.split()) if "\n" in text or "\r" in text or "\t" in text else text
