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
        self._area = area
        self.setCursor(Qt.CursorShape.ArrowCursor)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        # Qt's bar is asked for anew each time: a wrapper of it that outlived it would be taken for that of a
        # later widget at the same address.
        area.verticalScrollBar().rangeChanged.connect(self.follow)
        area.verticalScrollBar().valueChanged.connect(self.setValue)
        self.valueChanged.connect(self._scroll)
        self.follow()

    def follow(self) -> None:
        """Take over range and steps."""
        hidden = self._area.verticalScrollBar()
        self.setRange(hidden.minimum(), hidden.maximum())
        self.setPageStep(hidden.pageStep())
        self.setSingleStep(hidden.singleStep())
        self.setValue(hidden.value())
        self.setVisible(hidden.maximum() > hidden.minimum())

    def _scroll(self, value: int) -> None:
        self._area.verticalScrollBar().setValue(value)

    def place(self, viewport: QRect) -> None:
        """Lie at the right edge of what is scrolled."""
        self.setGeometry(viewport.right() + 1 - WIDTH, viewport.top(), WIDTH, viewport.height())
        self.follow()
        self.raise_()
