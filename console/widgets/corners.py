"""Round corners for what Qt paints square: tables and scroll areas inside a box with a radius.

A clipping mask would leave stairs; four small pictures on top of the corners do not, and cost nothing
while the content below repaints.
"""

from PySide6.QtCore import QEvent, QObject, QRectF, Qt
from PySide6.QtGui import QPainter, QPainterPath, QPaintEvent
from PySide6.QtWidgets import QWidget

from console.widgets.paint import draw_box
from console.widgets.theme import repaint_on_change, theme
from console.widgets.tokens import RADIUS


class _Corner(QWidget):
    def __init__(self, owner: QWidget, *, right: bool, bottom: bool, outside: str, border: str) -> None:
        super().__init__(owner)
        self._right = right
        self._bottom = bottom
        self._outside = outside
        self._border = border
        self.setFixedSize(RADIUS, RADIUS)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        repaint_on_change(self)

    def place(self, owner: QWidget) -> None:
        x = owner.width() - RADIUS if self._right else 0
        y = owner.height() - RADIUS if self._bottom else 0
        self.move(x, y)
        self.raise_()

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        size = 4 * RADIUS
        box = QRectF(-size + RADIUS if self._right else 0, -size + RADIUS if self._bottom else 0, size, size)
        square, rounded = QPainterPath(), QPainterPath()
        square.addRect(QRectF(self.rect()))
        rounded.addRoundedRect(box, RADIUS, RADIUS)
        painter.fillPath(square.subtracted(rounded), look.color(self._outside))
        draw_box(painter, box, border=look.color(self._border), radius=RADIUS)
        painter.end()


class _Keeper(QObject):
    def __init__(self, owner: QWidget, corners: list[_Corner]) -> None:
        super().__init__(owner)
        self._owner = owner
        self._corners = corners
        owner.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self._owner and event.type() in (QEvent.Type.Resize, QEvent.Type.Show):
            for corner in self._corners:
                corner.place(self._owner)
        return False


def round_corners(
    owner: QWidget, *, outside: str = "bg", border: str = "border", top: bool = True, bottom: bool = True
) -> None:
    """Paint the corners of `owner` round, against the ground `outside` that it stands on."""
    corners = [
        _Corner(owner, right=right, bottom=low, outside=outside, border=border)
        for low in (False, True)
        for right in (False, True)
        if (bottom if low else top)
    ]
    _Keeper(owner, corners)
