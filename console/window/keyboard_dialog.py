"""F1: every key the window knows."""

from __future__ import annotations

from PySide6.QtWidgets import QGridLayout, QWidget

from console.widgets.dialog import ConsoleDialog
from console.widgets.label import KeyCap, Text

KEYS = (
    ("Ctrl+K", "Command palette"),
    ("Ctrl+1 to 9", "Go to a page"),
    ("F5", "Refresh the page"),
    ("F6", "Next area: bar, sidebar, content"),
    ("F10", "Menu"),
    ("Ctrl+F", "Search on the page"),
    ("Ctrl+C", "Copy the selected rows"),
    ("Enter", "Open the selected row"),
    ("Esc", "Close a dialog or the palette"),
    ("Ctrl+Shift+N", "New window"),
    ("Ctrl+Q", "Quit"),
)


class KeyboardDialog(ConsoleDialog):
    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent, "Keyboard", width=420)
        grid = QGridLayout()
        grid.setHorizontalSpacing(16)
        grid.setVerticalSpacing(10)
        grid.setColumnStretch(1, 1)
        for row, (key, does) in enumerate(KEYS):
            grid.addWidget(KeyCap(key), row, 0)
            grid.addWidget(Text(does), row, 1)
        self.body.addLayout(grid)
