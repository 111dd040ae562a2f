"""`Notifications…`: of what the desktop is told while somebody looks elsewhere."""

from __future__ import annotations

from PySide6.QtWidgets import QButtonGroup, QGridLayout, QWidget

from console.app.notifications import Choice
from console.overview.model import AttentionKind
from console.widgets.dialog import ConsoleDialog
from console.widgets.fields import CheckBox, RadioButton
from console.widgets.label import Text


class NotificationsDialog(ConsoleDialog):
    """Fields for a `Choice`; `choice` is what stands in them."""

    def __init__(self, parent: QWidget, before: Choice) -> None:
        super().__init__(parent, "Notifications", width=480)
        self.body.addWidget(
            Text(
                "Tell me on the desktop, and count at the icon in the tray, when", role="label", tone="muted"
            )
        )
        grid = QGridLayout()
        grid.setHorizontalSpacing(16)
        grid.setVerticalSpacing(8)
        self._kinds: dict[AttentionKind, CheckBox] = {}
        half = (len(AttentionKind) + 1) // 2
        for number, kind in enumerate(AttentionKind):
            box = self._kinds[kind] = CheckBox(kind.value)
            box.setChecked(kind in before.kinds)
            grid.addWidget(box, number % half, number // half)
        self.body.addLayout(grid)
        self._everywhere = RadioButton("On all connections")
        production = RadioButton("On production only")
        (self._everywhere if before.everywhere else production).setChecked(True)
        self._group = QButtonGroup(self)
        for button in (production, self._everywhere):
            self._group.addButton(button)
            self.body.addWidget(button)
        self.set_footer_note("Nothing is told while this window is active.")
        self.add_button("Save", kind="primary", role="accept")
        self.set_first_focus(next(iter(self._kinds.values())))

    @property
    def choice(self) -> Choice:
        kinds = frozenset(kind for kind, box in self._kinds.items() if box.isChecked())
        return Choice(kinds, self._everywhere.isChecked())
