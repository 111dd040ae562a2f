"""What pressing a button means, beyond what Qt makes of it.

Return presses the button that has the focus, as Space does; Qt leaves Return to the default button. And
assistive technology that checks a box has clicked it; Qt only tells that it was toggled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QAbstractButton, QPushButton, QWidget

if TYPE_CHECKING:
    _Base = QAbstractButton
else:
    _Base = object


def pressed_by_return(button: QAbstractButton, event: QKeyEvent) -> bool:
    """Press `button` if the key is Return; whether it was."""
    if event.key() not in (Qt.Key.Key_Return, Qt.Key.Key_Enter) or event.isAutoRepeat():
        return False
    if isinstance(button, QPushButton) and button.menu() is not None:
        button.showMenu()
    else:
        button.click()
    event.accept()
    return True


class ClickedByToggle(_Base):
    """For whatever can be checked: `clicked` comes also when it was neither mouse nor keyboard.

    Assistive technology calls `QAbstractButton.toggle` (`QAccessibleButton::doAction`), which is silent about
    clicks. Stands before the Qt class among the bases; `follow_toggles` is called once.
    """

    _expected = False

    def follow_toggles(self) -> None:
        self.toggled.connect(self._on_toggled)

    def setChecked(self, checked: bool) -> None:
        """Show it checked or not; nobody has clicked."""
        self._expected = True
        super().setChecked(checked)
        self._expected = False

    def nextCheckState(self) -> None:
        self._expected = True  # a click, which Qt tells of by itself
        super().nextCheckState()
        self._expected = False

    def _on_toggled(self, checked: bool) -> None:
        gave_way = not checked and (self.autoExclusive() or self.group() is not None)
        if not self._expected and not gave_way:
            self.clicked[bool].emit(checked)  # type: ignore[index] # overloads are not in the stubs


class PlainButton(ClickedByToggle, QAbstractButton):
    """What every button that paints itself begins with."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.follow_toggles()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if not pressed_by_return(self, event):
            super().keyPressEvent(event)
