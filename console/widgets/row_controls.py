"""Real controls in the rows of a table.

They are not index widgets but neighbours of the table that lie over its cells: what lies inside a table is
not in the accessibility tree, where a table has only cells, and Tab would not reach it.
"""

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, QRect
from PySide6.QtWidgets import QAbstractScrollArea, QWidget


class RowControls(QObject):
    """Keeps each control over its cell. `cell_rect(key, column)` is in the viewport's pixels, None without
    such a row.
    """

    def __init__(self, table: QAbstractScrollArea, cell_rect: Callable[[str, str], QRect | None]) -> None:
        super().__init__(table)
        self._table = table
        self._cell_rect = cell_rect
        self._controls: dict[tuple[str, str], QWidget] = {}
        table.installEventFilter(self)

    def set(self, key: str, column: str, control: QWidget) -> None:
        """Put a control over a cell; it lives as long as its row."""
        old = self._controls.get((key, column))
        if old is not None and old is not control:
            old.deleteLater()
        self._controls[key, column] = control
        self.place()

    def get(self, key: str, column: str) -> QWidget | None:
        """The control over a cell, if any."""
        return self._controls.get((key, column))

    def place(self) -> None:
        """Move every control to where its cell is now; those of rows that are gone go as well."""
        if not self._controls:
            return
        home = self._table.parentWidget() or self._table
        viewport = self._table.viewport()
        for (key, column), control in list(self._controls.items()):
            rect = self._cell_rect(key, column)
            if rect is None:
                del self._controls[key, column]
                control.hide()
                control.deleteLater()
                continue
            if control.parentWidget() is not home:
                control.setParent(home)
            control.setGeometry(QRect(viewport.mapTo(home, rect.topLeft()), rect.size()))
            seen = self._table.isVisibleTo(home) if home is not self._table else True
            control.setVisible(seen and viewport.rect().contains(rect))
            control.raise_()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        moved = (QEvent.Type.Move, QEvent.Type.Resize, QEvent.Type.Show, QEvent.Type.Hide)
        if watched is self._table and event.type() in (*moved, QEvent.Type.ParentChange):
            self.place()
        return False
