"""The surfaces of a page: white panels with a head, the page's own head, pairs of name and value, number
cards.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QAction, QKeySequence, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QApplication, QGridLayout, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from console.widgets.badge import Badge
from console.widgets.corners import round_corners
from console.widgets.icons import draw_icon
from console.widgets.label import Divider, Text
from console.widgets.paint import draw_box, text_width
from console.widgets.sparkline import draw_sparkline
from console.widgets.text import UNKNOWN
from console.widgets.theme import repaint_on_change, theme
from console.widgets.tokens import PANEL_HEAD_HEIGHT, RADIUS

_CARD_PADDING: Final = 15
_FEWEST_POINTS: Final = 4
_LONGEST_WORD: Final = 24
_BREAKABLE: Final = re.compile(r"([._/@,-])")
_BREAK: Final = "\u200b"


class Surface(QWidget):
    """A box with a border of 1 px and round corners, filled with a token's colour."""

    def __init__(
        self,
        *,
        fill: str = "surface",
        border: str = "border",
        radius: int = RADIUS,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._fill = fill
        self._border = border
        self._radius = radius
        repaint_on_change(self)

    def set_colors(self, *, fill: str, border: str) -> None:
        """Replace the tokens."""
        self._fill, self._border = fill, border
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        look = theme()
        draw_box(
            painter,
            QRectF(self.rect()),
            fill=look.color(self._fill),
            border=look.color(self._border),
            radius=self._radius,
        )
        painter.end()


class Panel(Surface):
    """A white card. With a title it has a head of 36 px, to which controls can be added left and right."""

    def __init__(self, title: str = "", *, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(1, 1, 1, 1)
        self._layout.setSpacing(0)
        self._head: QHBoxLayout | None = None
        self._head_box: QWidget | None = None
        self._title: Text | None = None
        self._subtitle: Text | None = None
        self._left_count = 0
        self._content: QWidget | None = None
        self._footer: QWidget | None = None
        round_corners(self)
        if title:
            self.setAccessibleName(title)
            self._title = Text(title, role="panel")
            self.add_head(self._title)

    def set_title(self, title: str) -> None:
        """Replace the title of a panel made with one."""
        if self._title is not None:
            self._title.set_text(title)
            self.setAccessibleName(title)

    def set_subtitle(self, text: str) -> None:
        """Muted words after the title."""
        if self._subtitle is None:
            self._subtitle = Text(role="label", tone="muted")
            self.add_head(self._subtitle)
        self._subtitle.set_text(text)

    def set_head_height(self, height: int) -> None:
        """A head of another height than 36."""
        self._ensure_head()
        if self._head_box is not None:
            self._head_box.setFixedHeight(height)

    def add_head(self, widget: QWidget) -> None:
        """Put a control after the title."""
        head = self._ensure_head()
        if self._left_count == 1 and self._title is not None:
            head.insertSpacing(1, 1 if isinstance(widget, (Text, Badge)) else 6)
            self._left_count += 1
        head.insertWidget(self._left_count, widget)
        self._left_count += 1

    def add_head_right(self, widget: QWidget) -> None:
        """Put a control at the right end of the head."""
        self._ensure_head().addWidget(widget)

    def set_content(self, widget: QWidget, *, margins: tuple[int, int, int, int] = (0, 0, 0, 0)) -> None:
        """Fill the panel; a second call replaces what was there."""
        if self._content is not None:
            self._layout.removeWidget(self._content)
            self._content.deleteLater()
        if any(margins):
            holder = QWidget()
            inner = QVBoxLayout(holder)
            inner.setContentsMargins(*margins)
            inner.setSpacing(0)
            inner.addWidget(widget)
            widget = holder
        self._content = widget
        self._layout.insertWidget(1 if self._head_box is not None else 0, widget, 1)

    def set_footer(self, widget: QWidget, *, height: int = 48) -> None:
        """A band at the bottom with a line above it."""
        footer = QWidget()
        box = QVBoxLayout(footer)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        box.addWidget(Divider(color="hairline"))
        inner = QHBoxLayout()
        inner.setContentsMargins(14, 0, 16, 0)
        inner.addWidget(widget)
        box.addLayout(inner, 1)
        footer.setFixedHeight(height)
        if self._footer is not None:
            self._footer.deleteLater()
        self._footer = footer
        self._layout.addWidget(footer)

    def _ensure_head(self) -> QHBoxLayout:
        if self._head is None:
            self._head_box = _Head()
            self._head = QHBoxLayout(self._head_box)
            self._head.setContentsMargins(12, 1, 12, 1)
            self._head.setSpacing(6)
            self._head.addStretch(1)
            self._layout.insertWidget(0, self._head_box)
        return self._head


class _Head(QWidget):
    """The head of a panel, with a hairline below it."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(PANEL_HEAD_HEIGHT)
        repaint_on_change(self)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(0, self.height() - 1, self.width(), 1, theme().color("hairline"))
        painter.end()


class PageHeader(QWidget):
    """The line on top of a page: title, muted subtitle, badges, and actions at the right. 28 px high."""

    def __init__(self, title: str, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(28)
        self._layout = QHBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(8)
        self._title = Text(title, role="page")
        self._title.setContentsMargins(0, 0, 0, 2)
        self._layout.addWidget(self._title)
        self._subtitle: Text | None = None
        self._left_count = 1
        self._stretch_item_present = True
        self._layout.addStretch(1)

    def set_title(self, title: str) -> None:
        """Replace the title."""
        self._title.set_text(title)

    def set_subtitle(self, text: str) -> None:
        """Muted words after the title, such as "as of 14:32:08"."""
        if self._subtitle is None:
            self._subtitle = Text(role="label", tone="muted")
            self.add_left(self._subtitle, gap=4)
        self._subtitle.set_text(text)

    def add_badge(self, badge: QWidget) -> None:
        """A badge after the title."""
        self.add_left(badge, gap=4)

    def add_left(self, widget: QWidget, *, stretch: int = 0, gap: int = 4) -> None:
        """Any control after the title. With `stretch` it takes the free room, as the search of Tasks does."""
        if gap and self._left_count == 1:
            self._layout.insertSpacing(self._left_count, gap)
            self._left_count += 1
        self._layout.insertWidget(self._left_count, widget, stretch)
        self._left_count += 1
        if stretch and self._stretch_item_present:
            self._layout.takeAt(self._left_count)
            self._stretch_item_present = False

    def add_action(self, widget: QWidget) -> None:
        """A button at the right."""
        self._layout.addWidget(widget)


class KeyValueGrid(QWidget):
    """Names and values in two columns, as in detail panels. Values can be selected and copied."""

    def __init__(self, *, key_width: int = 90, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(12)
        self._grid.setVerticalSpacing(6)
        self._grid.setColumnMinimumWidth(0, key_width)
        self._grid.setColumnStretch(1, 1)
        self._shape: list[tuple[str, str]] = []
        self._values: list[_Value] = []

    def set_pairs(
        self,
        pairs: Sequence[tuple[str, str] | tuple[str, str, str]],
        *,
        hints: Mapping[str, str] | None = None,
    ) -> None:
        """Show (name, value) or (name, value, role); role "mono" for ids. Only changed values are touched.

        `hints` are tooltips of values by name, such as the exact instant.
        """
        full = [(pair[0], pair[1], pair[2] if len(pair) > 2 else "label") for pair in pairs]
        shape = [(name, role) for name, _, role in full]
        if shape != self._shape:
            self._rebuild(shape)
        for label, (name, value, _) in zip(self._values, full, strict=True):
            label.show_value(value)
            label.setToolTip(hints.get(name, "") if hints is not None else "")
            label.set_tone("muted" if value == UNKNOWN else "text")
            label.setAccessibleName(f"{name}: {value}")

    def _rebuild(self, shape: list[tuple[str, str]]) -> None:
        while (item := self._grid.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        self._values = []
        self._shape = shape
        # A child that joins a visible parent is shown by itself, and each such showing asks the display where
        # the pointer is and waits for the answer: some 2 ms a label. Shown with its parent, it does not.
        shown = not self.isHidden()
        self.hide()
        top = Qt.AlignmentFlag.AlignTop
        for row, (name, role) in enumerate(shape):
            value = _Value(role=role if role != "mono" else "mono-small")
            self._grid.addWidget(Text(name, role="label", tone="muted"), row, 0, top)
            self._grid.addWidget(value, row, 1, top)
            self._values.append(value)
        self._grid.setRowStretch(len(shape), 1)
        self.setVisible(shown)


class _Value(Text):
    """A value that can be selected and copied. A dotted name too long for one line breaks after its dots.

    The places to break are zero-width spaces, which a copy must not carry.
    """

    def __init__(self, *, role: str) -> None:
        super().__init__(role=role, wrap=True, selectable=True)
        self._value = ""
        copy = QAction("Copy", self)
        copy.setShortcut(QKeySequence.StandardKey.Copy)
        copy.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        copy.triggered.connect(self._copy)
        self.addAction(copy)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)

    def show_value(self, value: str) -> None:
        """Replace the value."""
        self._value = value
        long_word = max((len(word) for word in value.split()), default=0) > _LONGEST_WORD
        self.set_text(_BREAKABLE.sub(rf"\1{_BREAK}", value) if long_word else value)

    def _copy(self) -> None:
        chosen = self.selectedText().replace(_BREAK, "")
        QApplication.clipboard().setText(chosen or self._value)


class Card(Surface):
    """One number of the overview: caption, value, what is usual, and a small picture at the right."""

    def __init__(self, caption: str, *, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._caption = Text(caption, role="label-name", tone="muted", parent=self)
        self._value = Text(UNKNOWN, role="card", tone="muted", parent=self)
        self._suffix = Text(role="body-big", tone="muted", parent=self)
        self._sub = Text(role="label", tone="muted", parent=self)
        self._tone = "muted"
        self._icon: str | None = None
        self._series: Sequence[float | None] = ()
        self._color = "in"
        self._slots: Sequence[str] = ()
        self.setFixedHeight(90)
        self.setMinimumWidth(160)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._describe()

    def set_value(
        self,
        value: str | None,
        *,
        suffix: str = "",
        sub: str = "",
        tone: str = "muted",
        icon: str | None = None,
    ) -> None:
        """Replace number, the words after it and the line below; None is unknown."""
        self._value.set_text(UNKNOWN if value is None else value)
        self._value.set_tone("muted" if value is None else "text")
        self._suffix.set_text(suffix)
        self._sub.set_text(sub)
        self._sub.set_tone(tone)
        self._tone, self._icon = tone, icon
        self._describe()
        self._place()
        self.update()

    def set_series(self, series: Sequence[float | None], *, color: str = "in") -> None:
        """Show a sparkline; `color` is a chart series' name."""
        self._series, self._color, self._slots = series, color, ()
        self.update()

    def set_slots(self, tones: Sequence[str]) -> None:
        """Show one bar per thing, each in a tone: "ok", "warning", "error" or "neutral"."""
        self._slots, self._series = tones, ()
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(257, 90)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place()

    def _describe(self) -> None:
        words = " ".join(part.text() for part in (self._value, self._suffix) if part.text())
        self.setAccessibleName(f"{self._caption.text()}: {words}")
        self.setAccessibleDescription(self._sub.text())
        self._value.setAccessibleDescription(self._caption.text())
        self._sub.setToolTip(self._sub.text())

    def _place(self) -> None:
        """Put the words where they stand on the card, from one baseline to the next."""
        room = self.width() - 2 * _CARD_PADDING
        value_width = round(text_width("card", self._value.text()) + 1)
        below = _CARD_PADDING + (16 if self._icon is not None else 0)
        self._caption.setGeometry(_CARD_PADDING, 11, room, 20)
        self._value.setGeometry(_CARD_PADDING, 30, value_width, 32)
        self._suffix.setGeometry(_CARD_PADDING + value_width + 5, 34, max(0, room - value_width - 5), 32)
        self._sub.setGeometry(below, 60, room - below + _CARD_PADDING, 20)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        painter = QPainter(self)
        if self._icon is not None:
            draw_icon(painter, self._icon, self._tone, x=_CARD_PADDING, y=64, size=12)
        self._paint_picture(painter)
        painter.end()

    def _paint_picture(self, painter: QPainter) -> None:
        look = theme()
        taken = 15 + max(text_width(role, words.text()) for role, words in self._lines()) + 16
        known = sum(value is not None for value in self._series)
        if known >= _FEWEST_POINTS:
            width = min(94.0, self.width() - 15 - taken)
            if width > 30:
                box = QRectF(self.width() - 16 - width, 15, width, 40)
                draw_sparkline(painter, box, self._series, color=look.color(self._color), fill=True)
        elif self._slots:
            series = {
                "ok": "ch_succeeded",
                "warning": "ch_retrying",
                "error": "ch_failed",
                "neutral": "ch_other",
            }
            pitch = min(14.0, max(3.0, (self.width() - 30 - taken) / max(1, len(self._slots))))
            x = self.width() - 15 - pitch * len(self._slots) + (pitch - pitch * 10 / 14)
            for tone in self._slots:
                bar = QRectF(x, 28, pitch * 10 / 14, 24)
                draw_box(painter, bar, fill=look.color(series[tone]), radius=2)
                x += pitch

    def _lines(self) -> tuple[tuple[str, Text], ...]:
        """What the picture must not cover, with the role of each."""
        return ("label-name", self._caption), ("card", self._value)
