"""Return presses the button that has the focus, as Space does; Qt leaves Return to the default button."""

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QAbstractButton, QPushButton


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


class PlainButton(QAbstractButton):
    """What every button that paints itself begins with."""

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if not pressed_by_return(self, event):
            super().keyPressEvent(event)
