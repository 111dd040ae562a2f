"""A value as a tree: opened and closed by hand or keyboard, each part to be copied, long texts on demand.

Reading a text is done in slices of a few milliseconds, so that nothing a broker can send holds the window.
"""

from __future__ import annotations

import json
import time
from typing import Any

from PySide6.QtCore import QModelIndex, QPoint, QRect, Qt, QTimer
from PySide6.QtGui import QAction, QKeySequence, QPainter
from PySide6.QtWidgets import (
    QApplication,
    QMenu,
    QSizePolicy,
    QStyle,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from console.widgets.branch_tree import BranchDelegate, BranchTree
from console.widgets.json_tree_model import Index, Item, JsonTreeModel, TreeRole
from console.widgets.json_tree_text import Flavour, Node, TextReader, path_of, value_text
from console.widgets.json_view import JsonView
from console.widgets.label import Text
from console.widgets.paint import draw_text, text_width
from console.widgets.theme import theme

ROW_HEIGHT = 22
SLICE_S = 0.006
PLAIN_AT_MOST = 20_000
OPEN_AT_FIRST = 40
LONG_VALUE = 36
VALUE_HEIGHT = 92
INKS = {
    "string": "st_succeeded",
    "bytes": "st_succeeded",
    "number": "st_received",
    "word": "st_lost",
    "object": "text",
    "more": "muted",
}


class _ValueDelegate(BranchDelegate):
    """Key, value in the colour of its kind, how many it holds."""

    def __init__(self, model: JsonTreeModel) -> None:
        super().__init__(ROW_HEIGHT)
        self._model = model

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        item: Item = index.data(TreeRole.ITEM)
        rect = option.rect
        x, right = float(rect.x()), rect.right() - 8
        tone = "text" if item.node.kind != "more" or item.span is not None else "muted"
        if item.key:
            plain = item.span is None and item.node.plain_key
            key = self._cut(item.key, (right - x) * 0.6)
            role = "mono-small"
            x += self._word(painter, key, role, tone if plain else "muted", x, rect) + 10
        if item.span is not None:
            return
        node = item.node
        opened = bool(option.state & QStyle.StateFlag.State_Open)
        if node.is_container:
            words = self._model.count_words(node)
            if not opened:
                wide = text_width("label", words)
                preview = self._cut(self._model.preview(node), right - x - wide - 10)
                x += self._word(painter, preview, "mono-small", "muted", x, rect) + 10
            self._word(painter, words, "label", "muted", x, rect)
            return
        value = self._cut(self._model.preview(node), right - x)
        self._word(painter, value, "mono-small", INKS.get(node.kind, "text"), x, rect)

    def _cut(self, text: str, room: float) -> str:
        return theme().metrics("mono-small").elidedText(text, Qt.TextElideMode.ElideRight, max(room, 0))

    def _word(self, painter: QPainter, text: str, role: str, tone: str, x: float, rect: QRect) -> float:
        ink = theme().color(tone)
        return draw_text(painter, text, role=role, color=ink, x=x, top=rect.y(), height=rect.height())


class JsonTree(QWidget):
    """Shows a value, or a text as it is when it is none. `name` is the accessible name of what has the focus.

    As high as its rows; where there is less room it scrolls. Ctrl+C copies a value, Ctrl+Shift+C its path.
    """

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._given: tuple[str, Flavour] | None = None
        self._reader: TextReader | None = None
        self._model = JsonTreeModel(self)
        self._tree = BranchTree(name, _ValueDelegate(self._model))
        self._tree.setProperty("framed", True)
        self._tree.setModel(self._model)
        self._tree.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self._plain = JsonView(name)
        self._value = JsonView(f"{name}, the chosen value")
        self._value.setMaximumHeight(VALUE_HEIGHT)
        self._note = Text(role="label", tone="muted", wrap=True)
        self._reading = QTimer(self)
        self._reading.setInterval(0)
        self._actions()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        for widget in (self._tree, self._plain):
            layout.addWidget(widget, 1)
        layout.addWidget(self._value)
        layout.addWidget(self._note)
        for hidden in (self._plain, self._value, self._note):
            hidden.hide()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self._reading.timeout.connect(self._read_on)
        self._tree.expanded.connect(self._fit)
        self._tree.collapsed.connect(self._fit)
        self._tree.copy_wanted.connect(self.copy_value)
        self._tree.activated_index.connect(self._on_activated)
        self._tree.customContextMenuRequested.connect(self._show_menu)
        self._tree.selectionModel().currentChanged.connect(self._show_value)

    def set_text(self, text: str, flavour: Flavour = Flavour.PYTHON) -> None:
        """Show the value that `text` is; the same text again changes nothing, so that what is open stays."""
        if (text, flavour) == self._given:
            return
        self._given = (text, flavour)
        self._reader = TextReader(text, flavour)
        self._show_note("")
        self._read_on()
        if self._reader is not None:
            self._model.show_tree(None, "")
            self._show_tree(is_tree=True)
            self._show_note("Reading…")
            self._reading.start()

    def set_value(self, value: Any) -> None:
        """Show a value that JSON can hold; anything in it that JSON cannot is shown as Python writes it."""
        try:
            text = json.dumps(value, ensure_ascii=False, default=repr)
        except (TypeError, ValueError, RecursionError):
            text = repr(value)
        self.set_text(text, Flavour.JSON)

    def text(self) -> str:
        """The text as it was given."""
        return self._given[0] if self._given is not None else ""

    @property
    def is_tree(self) -> bool:
        """Whether the text was read as a value, and not just shown."""
        return not self._tree.isHidden()

    @property
    def tree(self) -> BranchTree:
        """The tree itself, for the focus and for tests."""
        return self._tree

    # Reading.

    def _read_on(self) -> None:
        reader = self._reader
        if reader is None:
            return
        until_s = time.perf_counter() + SLICE_S
        while not reader.step():
            if time.perf_counter() > until_s:
                return
        self._reading.stop()
        self._reader = None
        self._show_read(reader)

    def _show_read(self, reader: TextReader) -> None:
        root = reader.root
        # A lone text with line breaks is read more easily as one than in a row.
        as_tree = root is not None and (root.is_container or len(root.text) <= LONG_VALUE)
        self._model.show_tree(root if as_tree else None, reader.text)
        self._show_tree(is_tree=as_tree)
        if not as_tree:
            self._show_plain(reader.text if root is None else value_text(root, reader.text))
        elif reader.bounded:
            self._show_note("There is more than is shown here; copy the whole to see it.")
        elif reader.cut:
            self._show_note("The text ends before its value does.")
        self._value.hide()
        for row in range(min(self._model.rowCount(), OPEN_AT_FIRST)):
            index = self._model.index(row, 0)
            item = self._model.item(index)
            if item is not None and 0 < len(item.node.children or ()) <= OPEN_AT_FIRST // 4:
                self._tree.expand(index)
        self._fit()

    def _show_plain(self, text: str) -> None:
        """Laying out a line of a megabyte would take Qt a fifth of a second."""
        self._plain.set_plain(text[:PLAIN_AT_MOST])
        if len(text) > PLAIN_AT_MOST:
            self._show_note(
                f"The first {PLAIN_AT_MOST:,} of {len(text):,} characters; copy to get all of it."
            )

    def _show_tree(self, *, is_tree: bool) -> None:
        self._tree.setVisible(is_tree)
        self._plain.setVisible(not is_tree)

    def _show_note(self, words: str) -> None:
        self._note.set_text(words)
        self._note.setVisible(bool(words))

    def _fit(self, *_index: QModelIndex) -> None:
        rows = 0
        index = self._model.index(0, 0)
        while index.isValid() and rows < 200:
            rows += 1
            index = self._tree.indexBelow(index)
        self._tree.setMaximumHeight(max(rows, 1) * ROW_HEIGHT + 2)

    # The chosen value.

    def _node(self) -> Node | None:
        item = self._model.item(self._tree.currentIndex())
        return item.node if item is not None and item.span is None else None

    def _show_value(self, *_indexes: QModelIndex) -> None:
        node = self._node()
        long = node is not None and not node.is_container and len(node.text) > LONG_VALUE
        if node is not None and long:
            self._value.set_plain(node.text[:PLAIN_AT_MOST])
        self._value.setVisible(long)

    def _on_activated(self, index: QModelIndex) -> None:
        if self._model.hasChildren(index):
            self._tree.setExpanded(index, not self._tree.isExpanded(index))

    def copy_value(self) -> None:
        """Copy the chosen value, or the whole where none is chosen."""
        node = self._node()
        whole = self.text()
        QApplication.clipboard().setText(whole if node is None else value_text(node, whole))

    def copy_path(self) -> None:
        """Copy where the chosen value stands, as `$.lines[2].name`."""
        node = self._node()
        if node is not None:
            QApplication.clipboard().setText(path_of(node))

    def _actions(self) -> None:
        self._copy = self._action("Copy value", QKeySequence(QKeySequence.StandardKey.Copy), self.copy_value)
        self._copy_path = self._action("Copy path", QKeySequence("Ctrl+Shift+C"), self.copy_path)

    def _action(self, words: str, keys: QKeySequence, act: Any) -> QAction:
        action = QAction(words, self._tree)
        action.setShortcut(keys)
        action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        action.triggered.connect(act)
        self._tree.addAction(action)
        return action

    def _show_menu(self, place: QPoint) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        index = self._tree.currentIndex()
        menu.addAction(self._copy)
        menu.addAction(self._copy_path)
        whole = menu.addAction("Copy all")
        whole.triggered.connect(lambda: QApplication.clipboard().setText(self.text()))
        menu.addSeparator()
        expand = menu.addAction("Expand below")
        expand.triggered.connect(lambda: self._tree.expand_some(index))
        collapse = menu.addAction("Collapse below")
        collapse.triggered.connect(lambda: self._tree.collapse_below(index))
        for action in (self._copy_path, expand, collapse):
            action.setEnabled(index.isValid())
        menu.popup(self._tree.viewport().mapToGlobal(place))
