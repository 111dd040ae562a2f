"""Text and the smallest marks: labels in a role and tone of the theme, dividers, dots, icons, key caps."""

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPalette
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from console.widgets.icons import draw_icon
from console.widgets.paint import draw_box, draw_text, text_width
from console.widgets.theme import repaint_on_change, theme
from console.widgets.tokens import RADIUS_SMALL


class Text(QLabel):
    """A label. `role` is a font role, `tone` a colour token; both follow the theme.

    Text is plain unless `rich=True`; rich text may use `<b>` and `<red>…</red>`.
    """

    def __init__(
        self,
        text: str = "",
        *,
        role: str = "body",
        tone: str = "text",
        wrap: bool = False,
        selectable: bool = False,
        rich: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._tone = tone
        self._source = ""
        self.setTextFormat(Qt.TextFormat.RichText if rich else Qt.TextFormat.PlainText)
        self.setFont(theme().font(role))
        self.setWordWrap(wrap)
        if selectable:
            self.setTextInteractionFlags(
                Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
            )
        self._recolour()
        self.set_text(text)
        theme().changed.connect(self._recolour)

    def set_text(self, text: str) -> None:
        """Replace the text; nothing happens when it is the same."""
        if text != self._source:
            self._source = text
            self.setText(self._marked_up(text))

    def set_tone(self, tone: str) -> None:
        """Replace the colour token."""
        if tone != self._tone:
            self._tone = tone
            self._recolour()

    def _marked_up(self, text: str) -> str:
        if self.textFormat() != Qt.TextFormat.RichText:
            return text
        red = theme().tokens.st_failed
        text = text.replace("<red>", f'<span style="color:{red}; font-weight:600">').replace(
            "</red>", "</span>"
        )
        return text.replace("<b>", '<span style="font-weight:600">').replace("</b>", "</span>")

    def _recolour(self) -> None:
        palette = self.palette()
        color = theme().color(self._tone)
        if palette.color(QPalette.ColorRole.WindowText) != color:
            palette.setColor(QPalette.ColorRole.WindowText, color)
            self.setPalette(palette)
        if self._source and self.textFormat() == Qt.TextFormat.RichText:
            self.setText(self._marked_up(self._source))


class Divider(QWidget):
    """A hairline, lying or standing."""

    def __init__(
        self, *, vertical: bool = False, color: str = "border", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._color = color
        if vertical:
            self.setFixedWidth(1)
        else:
            self.setFixedHeight(1)
            self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        repaint_on_change(self)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), theme().color(self._color))
        painter.end()


class Dot(QWidget):
    """A filled circle of 8 px in a token's colour; always beside a word, never alone."""

    def __init__(self, color: str, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._color = color
        self.setFixedSize(8, 8)
        repaint_on_change(self)

    def set_color(self, color: str) -> None:
        """Replace the colour."""
        self._color = color
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        draw_box(painter, QRectF(self.rect()), fill=theme().color(self._color), radius=4)
        painter.end()


class Glyph(QWidget):
    """An icon in a token's colour; always beside a word, never alone."""

    def __init__(self, icon: str, color: str, *, size: int = 14, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._icon = icon
        self._color = color
        self._size = size
        self.setFixedSize(size, size)
        repaint_on_change(self)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        draw_icon(painter, self._icon, self._color, x=0, y=0, size=self._size)
        painter.end()


class KeyCap(QLabel):
    """A key or shortcut in a grey cap, 16 px high."""

    def __init__(self, text: str, *, parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setFixedSize(self.sizeHint())
        repaint_on_change(self)

    def sizeHint(self) -> QSize:
        return QSize(round(text_width("key", self.text())) + 10, 16)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        draw_box(painter, QRectF(self.rect()), fill=theme().color("key_cap"), radius=RADIUS_SMALL)
        draw_text(
            painter, self.text(), role="key", color=theme().color("muted"), x=5, top=0, height=self.height()
        )
        painter.end()
