"""The controls of an area that the keyboard can reach, in reading order.

Not by `nextInFocusChain`: PySide makes each widget that it returns a child of the one asked, and when such a
wrapper goes, wrappers of living widgets are taken for deleted (seen as a crash with 6.11.3).
"""

from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QWidget

_LINE_PX = 12


def tab_stops(area: QWidget) -> list[QWidget]:
    """From top to bottom, in a line from left to right."""

    def place(control: QWidget) -> tuple[int, int]:
        middle = control.mapTo(area, QPoint(0, control.height() // 2))
        return middle.y() // _LINE_PX, middle.x()

    reached = [
        control
        for control in area.findChildren(QWidget)
        if control.focusPolicy() & Qt.FocusPolicy.TabFocus
        and control.isVisible()
        and control.isEnabled()
        and control.focusProxy() is None
    ]
    return sorted(reached, key=place)
