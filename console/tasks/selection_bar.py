"""The line over the table while several tasks are selected: how many, and all that match on demand."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from console.tasks.selection import Selection
from console.widgets.button import LinkButton
from console.widgets.label import Text
from console.widgets.paint import draw_box
from console.widgets.text import number_text
from console.widgets.theme import repaint_on_change, theme


class SelectionBar(QWidget):
    """`all_wanted`: everything that matches; `none_wanted`: nothing any more."""

    all_wanted = Signal()
    none_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Selection")
        self._words = Text(role="strong")
        self._all = LinkButton("Select all that match", role="name")
        self._none = LinkButton("Clear selection", role="name")
        self._all.clicked.connect(self.all_wanted)
        self._none.clicked.connect(self.none_wanted)
        self.setFixedHeight(32)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 0, 12, 0)
        layout.setSpacing(12)
        layout.addWidget(self._words)
        layout.addWidget(self._all)
        layout.addStretch(1)
        layout.addWidget(self._none)
        self.hide()
        repaint_on_change(self)

    def show_selection(self, selection: Selection, *, found: int | None, complete: bool) -> None:
        """Hidden while not more than one task is selected."""
        self.setVisible(selection.many)
        if not selection.many:
            return
        self._words.set_text(f"{selection.words}.")
        self.setAccessibleDescription(selection.words)
        more = selection.all_of is None and found is not None and found > selection.size
        self._all.setVisible(more)
        if more:
            words = f"Select all {number_text(found)}{'' if complete else '+'} that match"
            if self._all.text() != words:
                self._all.setText(words)
                self._all.setAccessibleName(words)
                self._all.updateGeometry()

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme()
        painter = QPainter(self)
        draw_box(painter, QRectF(self.rect()), fill=look.color("selection"), border=look.color("border"))
        painter.end()
