"""The buttons of the Workers page: everything that can be done with the chosen workers.

They stand in one line where the window is as narrow as it may be, so `Shut down…` and `Dismiss`, which end
something, are made here and stand in the head of the page.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from console.widgets.button import Button
from console.widgets.fields import TextField
from console.widgets.flow import FlowLayout
from console.widgets.label import Text
from console.workers.actions import Action, read_places

_GAP = 6
_FIELD_WIDTH = 44


class ActionBar(QWidget):
    """Tells which action was pressed, by how many places pools grow and shrink, and that the chosen offline
    workers are to be dismissed.
    """

    pressed = Signal(Action)
    places_changed = Signal(int)
    dismiss_pressed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._buttons = {action: _button(action) for action in Action}
        self.dismiss = Button("Dismiss")
        self.shut_down = self._buttons[Action.SHUT_DOWN]
        self._places = TextField(name="Places", text="1", height=24)
        self._places.setFixedWidth(_FIELD_WIDTH)
        self._places.setToolTip("By how many places a pool grows or shrinks")
        layout = FlowLayout(self, gap=_GAP)
        for action, button in self._buttons.items():
            if button is not self.shut_down:
                layout.addWidget(button)
            button.clicked.connect(lambda _checked=False, action=action: self.pressed.emit(action))
            if action is Action.SHRINK:
                layout.addWidget(self._by())
        self.dismiss.clicked.connect(self.dismiss_pressed)
        self._places.textChanged.connect(self._on_places)

    def show_refusals(self, refusal: Callable[[Action], str | None], *, dismissable: int) -> None:
        """Which actions can be done; the others say why not on hover."""
        for action, button in self._buttons.items():
            why_not = refusal(action)
            if why_not is None and action in (Action.GROW, Action.SHRINK):
                why_not = self._wrong_places()
            button.setEnabled(why_not is None)
            button.setToolTip(why_not or "")
        self.dismiss.setVisible(dismissable > 0)
        self.dismiss.setToolTip(
            "Show the chosen offline worker no longer, until it is heard again"
            if dismissable == 1
            else f"Show the {dismissable:,} chosen offline workers no longer, until they are heard again"
        )

    def _by(self) -> QWidget:
        box = QWidget()
        row = QHBoxLayout(box)
        row.setContentsMargins(0, 0, 4, 0)
        row.setSpacing(4)
        row.addWidget(Text("by", role="label", tone="muted"))
        row.addWidget(self._places)
        return box

    def _wrong_places(self) -> str | None:
        read = read_places(self._places.text())
        return f"Places: {read}" if isinstance(read, str) else None

    def _on_places(self, text: str) -> None:
        read = read_places(text)
        self._places.set_error(isinstance(read, str))
        self.places_changed.emit(read if isinstance(read, int) else 0)


def _button(action: Action) -> Button:
    if action is Action.SHUT_DOWN:
        return Button(action.value, kind="danger-outline")
    return Button(action.value, small=True)
