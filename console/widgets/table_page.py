"""A table with what stands in its place while it has nothing to show."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QStackedLayout, QVBoxLayout, QWidget

from console.widgets.data_table import DataTable
from console.widgets.empty_state import EmptyState
from console.widgets.loading_rows import LoadingRows
from console.widgets.panel import Surface


class TableStack(QWidget):
    """Shows one of three: grey bars while loading, the table, or an empty state."""

    def __init__(self, table: DataTable, *, framed: bool = True, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.table = table
        border = "border" if framed else "surface"
        self._loading = Surface(border=border)
        inner = QVBoxLayout(self._loading)
        inner.setContentsMargins(12, 8, 12, 8)
        inner.addWidget(LoadingRows(), 0, Qt.AlignmentFlag.AlignTop)
        self._empty = Surface(border=border)
        self._empty_layout = QVBoxLayout(self._empty)
        self._empty_state: EmptyState | None = None
        self._former: EmptyState | None = None
        self._stack = QStackedLayout(self)
        self._stack.setContentsMargins(0, 0, 0, 0)
        for widget in (table, self._loading, self._empty):
            self._stack.addWidget(widget)

    def show_rows(self) -> None:
        """Show the table."""
        self._stack.setCurrentWidget(self.table)
        self.setFocusProxy(self.table)

    def show_loading(self) -> None:
        """Show grey bars (after 200 ms)."""
        self._stack.setCurrentWidget(self._loading)

    def show_empty(self, state: EmptyState) -> None:
        """Show an empty state; whoever keeps the one before may show that again."""
        if state is not self._empty_state:
            if self._empty_state is not None:
                self._empty_layout.removeWidget(self._empty_state)
                self._empty_state.setParent(None)
            # One step longer than it is seen, because its own button may have brought us here.
            self._former, self._empty_state = self._empty_state, state
            self._empty_layout.addWidget(state)
            state.show()  # at once: Qt would show it with the next event, a frame without words
        # Who goes to the content with the keyboard comes to what can be done there.
        self.setFocusProxy(state)
        self._stack.setCurrentWidget(self._empty)
