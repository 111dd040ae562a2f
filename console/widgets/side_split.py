"""A list and the panel beside it, with a gap between them that can be dragged, or moved with the keyboard."""

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QSplitter, QSplitterHandle, QWidget

from console.widgets.paint import draw_box
from console.widgets.theme import repaint_on_change, theme

GAP_PX = 8
STEP_PX = 16


class SideSplit(QSplitter):
    """`side` keeps its width when the window changes; `usual` is its width until a person chooses another,
    and again after a double click on the gap.

    `side_resized` carries the width (pixels) that a person gave.
    """

    side_resized = Signal(int)

    def __init__(
        self, main: QWidget, side: QWidget, *, name: str, usual: int, parent: QWidget | None = None
    ) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self.usual = usual
        self._wanted = usual
        self._main, self._side = main, side
        self.setHandleWidth(GAP_PX)
        self.setChildrenCollapsible(False)
        self.addWidget(main)
        self.addWidget(side)
        self.setStretchFactor(0, 1)
        self.setStretchFactor(1, 0)
        self.handle(1).setAccessibleName(name)
        self.splitterMoved.connect(lambda _pos, _index: self._on_moved())

    def createHandle(self) -> QSplitterHandle:
        return _Gap(self)

    @property
    def side_width(self) -> int:
        """What a person wants the side to have (pixels); a narrow window may give it less."""
        return self._wanted

    def set_side_width(self, width: int) -> None:
        """Give the side this width, as far as there is room."""
        self._wanted = width
        self._share()

    def give_side(self, width: int) -> None:
        """As `set_side_width`, because a person wants it."""
        low, high = self._bounds()
        self.set_side_width(max(low, min(width, high)))
        self.side_resized.emit(self._wanted)

    def _bounds(self) -> tuple[int, int]:
        main, side = self._main, self._side
        least = max(side.minimumWidth(), side.minimumSizeHint().width())
        most = self.width() - GAP_PX - max(main.minimumWidth(), main.minimumSizeHint().width())
        return least, max(least, most)

    def _share(self) -> None:
        room = self.width() - GAP_PX
        self.setSizes([max(0, room - self._wanted), self._wanted])

    def _on_moved(self) -> None:
        self._wanted = self.sizes()[1]
        self.side_resized.emit(self._wanted)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._share()


class _Gap(QSplitterHandle):
    """Left and Right move it, Home makes the panel as wide as usual."""

    def __init__(self, split: SideSplit) -> None:
        super().__init__(Qt.Orientation.Horizontal, split)
        self._split = split
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setToolTip("Drag to resize; double-click for the usual width")
        repaint_on_change(self)

    def sizeHint(self) -> QSize:
        return QSize(GAP_PX, GAP_PX)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        split = self._split
        match event.key():
            case Qt.Key.Key_Left:
                split.give_side(split.side_width + STEP_PX)
            case Qt.Key.Key_Right:
                split.give_side(split.side_width - STEP_PX)
            case Qt.Key.Key_Home:
                split.give_side(split.usual)
            case _:
                super().keyPressEvent(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self._split.give_side(self._split.usual)
        event.accept()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """A short grip, and a line while it is pointed at or has the focus."""
        painter = QPainter(self)
        look, middle = theme(), self.width() / 2
        if self.hasFocus() or self.underMouse():
            ink = look.color("focus" if self.hasFocus() else "border_strong")
            draw_box(painter, QRectF(middle - 1, 4, 2, self.height() - 8), fill=ink, radius=1)
        else:
            grip = QRectF(middle - 1, self.height() / 2 - 12, 2, 24)
            draw_box(painter, grip, fill=look.color("border_strong"), radius=1)
        painter.end()
