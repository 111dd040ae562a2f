"""The focus ring: 2 px, round buttons with a gap of 1 px, on fields as their border, in tables inside it.

A style sheet cannot draw outside a widget, so Qt's focus frame follows the focused control and paints the
ring over its parent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QApplication, QWidget

if TYPE_CHECKING:
    from console.widgets.focus_ring import FocusRing

RING_PROPERTY = "focusRing"


class FocusRingFollower(QObject):
    """Moves one ring to whatever control has the keyboard focus and asks for a ring.

    A control asks with the dynamic property `focusRing`: "button", "table" or "field". A button or table
    reached with the mouse gets none, a field always.
    """

    def __init__(self, app: QApplication) -> None:
        super().__init__(app)
        self._ring: FocusRing | None = None
        app.focusChanged.connect(self._move)

    def _move(self, _old: QWidget | None, new: QWidget | None) -> None:
        kind = new.property(RING_PROPERTY) if new is not None else None
        by_mouse = QApplication.mouseButtons() != Qt.MouseButton.NoButton
        wanted = new if kind == "field" or (kind in ("button", "table") and not by_mouse) else None
        if wanted is None:
            if self._ring is not None:
                self._ring.setWidget(None)  # type: ignore[arg-type]  # Qt takes a null pointer here
            return
        if self._ring is None:
            from console.widgets.focus_ring import FocusRing

            self._ring = FocusRing()
            self._ring.destroyed.connect(self._forget)
        self._ring.setWidget(wanted)

    def _forget(self) -> None:
        # The ring lives in the window it is shown in and dies with it.
        self._ring = None


def ask_for_ring(widget: QWidget, kind: str) -> None:
    """Let the focus ring go around this widget: "button", "table" (inside its edge) or "field"."""
    widget.setProperty(RING_PROPERTY, kind)
