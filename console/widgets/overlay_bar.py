"""A scroll bar that lies over the right padding of a table instead of taking ten pixels from its columns.

Qt has a measure for this, but only a style can give it, and a style in Python for every table would be asked
thousands of times per paint. So the table's own bar stays hidden and this one follows it.
"""

from PySide6.QtCore import QRect, Qt
from PySide6.QtWidgets import QAbstractScrollArea, QScrollBar

WIDTH = 10


class OverlayBar(QScrollBar):
    """Follows the vertical scroll bar of `area`; shown only while there is something to scroll."""

    def __init__(self, area: QAbstractScrollArea) -> None:
        super().__init__(Qt.Orientation.Vertical, area)
        self._hidden = area.verticalScrollBar()
        self.setCursor(Qt.CursorShape.ArrowCursor)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._hidden.rangeChanged.connect(self.follow)
        self._hidden.valueChanged.connect(self.setValue)
        self.valueChanged.connect(self._hidden.setValue)
        self.follow()

    def follow(self) -> None:
        """Take over range and steps."""
        self.setRange(self._hidden.minimum(), self._hidden.maximum())
        self.setPageStep(self._hidden.pageStep())
        self.setSingleStep(self._hidden.singleStep())
        self.setValue(self._hidden.value())
        self.setVisible(self._hidden.maximum() > self._hidden.minimum())

    def place(self, viewport: QRect) -> None:
        """Lie at the right edge of what is scrolled."""
        self.setGeometry(viewport.right() + 1 - WIDTH, viewport.top(), WIDTH, viewport.height())
        self.follow()
        self.raise_()
