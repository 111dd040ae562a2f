"""What stands in the place of content that is not there: an icon, a bold line, a reason and what to do."""

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from console.widgets.button import Button
from console.widgets.icons import pixmap
from console.widgets.label import Text
from console.widgets.text import escaped
from console.widgets.theme import theme


class EmptyState(QWidget):
    """Centred in its place. `action_clicked` when its button is pressed."""

    action_clicked = Signal()

    def __init__(
        self,
        icon: str,
        title: str,
        reason: str = "",
        *,
        action: str | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._icon = icon
        self._picture = QLabel(alignment=Qt.AlignmentFlag.AlignCenter)
        self._title = Text(role="strong")
        self._reason = Text(role="label", tone="muted", wrap=True, rich=True)
        self._button = Button("")
        self._button.clicked.connect(self.action_clicked)
        centre = Qt.AlignmentFlag.AlignHCenter
        for label in (self._title, self._reason):
            label.setAlignment(centre)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 12, 12, 12)
        layout.setSpacing(0)
        layout.addStretch(1)
        layout.addWidget(self._picture)
        layout.addSpacing(5)
        layout.addWidget(self._title)
        layout.addSpacing(4)
        layout.addWidget(self._reason)
        layout.addSpacing(13)
        layout.addWidget(self._button, 0, centre)
        layout.addStretch(1)
        self.setFocusProxy(self._button)
        self.set(icon, title, reason, action=action)
        theme().changed.connect(self._recolour)

    def set(self, icon: str, title: str, reason: str = "", *, action: str | None = None) -> None:
        """Replace everything."""
        self._icon = icon
        self._title.set_text(title)
        self._reason.set_text(f'<p style="line-height:16px">{escaped(reason)}</p>')
        self._reason.setVisible(bool(reason))
        self._button.setVisible(action is not None)
        if action is not None:
            self._button.set_text(action)
        self.setAccessibleName(title)
        self.setAccessibleDescription(reason)
        self._recolour()

    def _recolour(self) -> None:
        self._picture.setPixmap(pixmap(self._icon, "muted", size=20, ratio=self.devicePixelRatioF()))
