"""Everything that is pressed: buttons, icon buttons, links, segmented controls and filter chips.

They are Qt's own buttons, so that keyboard and assistive technology work as everywhere, with paint of ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QEnterEvent, QKeyEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QMenu,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from console.widgets.icons import draw_icon
from console.widgets.paint import baseline, draw_box, draw_text, text_width
from console.widgets.pressing import ClickedByToggle, PlainButton, pressed_by_return
from console.widgets.style import ask_for_ring
from console.widgets.text import number_text, short_number
from console.widgets.theme import repaint_on_change, theme
from console.widgets.tokens import (
    BUTTON_HEIGHT,
    BUTTON_HEIGHT_BIG,
    BUTTON_HEIGHT_SMALL,
    CHIP_HEIGHT,
    RADIUS,
)

Kind = Literal["normal", "primary", "danger", "danger-outline", "flat"]

_FILLED: dict[Kind, tuple[str, str]] = {
    "primary": ("accent", "accent_hover"),
    "danger": ("danger", "danger_hover"),
}


@dataclass(frozen=True, slots=True)
class _Paint:
    fill: QColor | None
    border: QColor | None
    ink: QColor


class Button(ClickedByToggle, QPushButton):
    """A push button with optional icon, bold count and menu arrow.

    `kind="danger-outline"` is a normal button with red words, for what asks before it destroys; `danger` is
    the filled button of the dialog that does it.
    """

    def __init__(
        self,
        text: str,
        *,
        icon: str | None = None,
        kind: Kind = "normal",
        big: bool = False,
        small: bool = False,
        count: str = "",
        menu: QMenu | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(text, parent)
        self._icon_name = icon
        self._kind: Kind = kind
        self._big = big
        self._small = small
        self._count = count
        self._shown_state: str | None = None
        self.setAccessibleName(text)
        self.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(BUTTON_HEIGHT_BIG if big else BUTTON_HEIGHT_SMALL if small else BUTTON_HEIGHT)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setAutoDefault(False)
        self.follow_toggles()
        # Not `setMenu`: that opens it in an event loop of its own, in which assistive technology hangs.
        self._menu = menu
        if menu is not None:
            self.clicked.connect(self.showMenu)
        ask_for_ring(self, "button")
        repaint_on_change(self)

    def menu(self) -> QMenu | None:  # type: ignore[override] # the stub knows no button without one
        return self._menu

    def showMenu(self) -> None:
        """Open the menu under the button; returns at once."""
        if self._menu is not None:
            self._menu.popup(self.mapToGlobal(self.rect().bottomLeft()))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if not pressed_by_return(self, event):
            super().keyPressEvent(event)

    def set_text(self, text: str) -> None:
        """Replace the word, which is the accessible name as well."""
        self.setText(text)
        self.setAccessibleName(text)
        self.updateGeometry()

    def set_icon_name(self, name: str | None) -> None:
        """Replace the icon."""
        self._icon_name = name
        self.updateGeometry()
        self.update()

    def set_kind(self, kind: Kind) -> None:
        """Replace the kind."""
        self._kind = kind
        self.update()

    def set_count(self, count: str) -> None:
        """Replace the bold number after the word; empty for none."""
        self._count = count
        self.updateGeometry()
        self.update()

    def show_state(self, state: Literal["hover", "pressed"] | None) -> None:
        """Paint as if hovered or pressed, for the component gallery."""
        self._shown_state = state
        self.update()

    def _role(self) -> str:
        if self._big:
            return "big-button"
        if self._small:
            return "label-name"
        return "strong" if self._kind in _FILLED and self.isEnabled() else "name"

    def _parts(self) -> list[tuple[str, float]]:
        """What stands in the button, in order, with the width of each."""
        parts: list[tuple[str, float]] = []
        if self._icon_name is not None:
            parts.append(("icon", 16 if self._big else 14))
        if self.text():
            parts.append(("text", text_width(self._role(), self.text())))
        if self._count:
            parts.append(("count", text_width("strong", self._count)))
        if self.menu() is not None:
            parts.append(("arrow", 12))
        return parts

    def _gap_before(self, part: str) -> int:
        return 8 if self._big or part == "count" else 6

    def _content_width(self) -> float:
        parts = self._parts()
        return sum(width for _, width in parts) + sum(self._gap_before(part) for part, _ in parts[1:])

    def sizeHint(self) -> QSize:
        padding = 20 if self._big else 9 if self._kind == "flat" else 12
        return QSize(round(self._content_width()) + 2 * padding, self.minimumHeight())

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def _paint_values(self) -> _Paint:
        look = theme()
        hover = self.underMouse() or self._shown_state == "hover"
        pressed = self.isDown() or self.isChecked() or self._shown_state == "pressed"
        if not self.isEnabled():
            return _Paint(None, None if self._kind == "flat" else look.color("border"), look.color("faint"))
        filled = _FILLED.get(self._kind)
        if filled is not None:
            return _Paint(
                look.color(filled[1] if hover or pressed else filled[0]), None, look.color("on_accent")
            )
        ink = look.color("st_failed" if self._kind == "danger-outline" else "text")
        if self._kind == "flat":
            fill_token = "selection" if pressed else "hover" if hover else None
            return _Paint(look.color(fill_token) if fill_token else None, None, ink)
        if self.isChecked():
            return _Paint(
                look.color("selection"), look.color("accent" if not look.tokens.is_dark else "focus"), ink
            )
        fill_token = "selection" if pressed else "hover" if hover else "raised"
        return _Paint(look.color(fill_token), look.color("border_strong"), ink)

    def paintEvent(self, _event: QPaintEvent) -> None:
        values = self._paint_values()
        painter = QPainter(self)
        draw_box(painter, QRectF(self.rect()), fill=values.fill, border=values.border, radius=RADIUS)
        x = (self.width() - self._content_width()) / 2
        quiet = self._kind in ("normal", "flat") and self.isEnabled()
        for number, (part, width) in enumerate(self._parts()):
            x += self._gap_before(part) if number else 0
            at = round(x)
            if part == "icon":
                size = int(width)
                ink = theme().color("text2") if quiet else values.ink
                draw_icon(painter, self._icon_name or "", ink, x=at, y=(self.height() - size) // 2, size=size)
            elif part == "text":
                draw_text(
                    painter,
                    self.text(),
                    role=self._role(),
                    color=values.ink,
                    x=at,
                    top=0,
                    height=self.height(),
                )
            elif part == "count":
                draw_text(
                    painter, self._count, role="strong", color=values.ink, x=at, top=0, height=self.height()
                )
            else:
                draw_icon(painter, "chevron-down", values.ink, x=at, y=(self.height() - 12) // 2, size=12)
            x += width
        painter.end()


class IconButton(PlainButton):
    """A square button with an icon only; its name is required and is the tooltip as well unless another is
    given.
    """

    def __init__(
        self,
        icon: str,
        *,
        name: str,
        tooltip: str | None = None,
        size: int = 28,
        icon_size: int = 14,
        bordered: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._icon_name = icon
        self._icon_size = icon_size
        self._bordered = bordered
        self.setAccessibleName(name)
        self.setToolTip(tooltip if tooltip is not None else name)
        self.setFixedSize(size, size)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        ask_for_ring(self, "button")
        repaint_on_change(self)

    def set_icon_name(self, name: str) -> None:
        """Replace the icon."""
        self._icon_name = name
        self.update()

    def sizeHint(self) -> QSize:
        return self.minimumSize()

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme()
        painter = QPainter(self)
        pressed, hover = self.isDown() or self.isChecked(), self.underMouse() and self.isEnabled()
        fill = "selection" if pressed else "hover" if hover else "raised" if self._bordered else None
        draw_box(
            painter,
            QRectF(self.rect()),
            fill=look.color(fill) if fill else None,
            border=look.color("border_strong" if self.isEnabled() else "border") if self._bordered else None,
        )
        ink = "text2" if self.isEnabled() else "faint"
        at = (self.width() - self._icon_size) // 2
        draw_icon(painter, self._icon_name, ink, x=at, y=at, size=self._icon_size)
        painter.end()


class LinkButton(PlainButton):
    """Words in the link colour that can be pressed; underlined while hovered or focused."""

    def __init__(
        self, text: str, *, icon: str | None = None, role: str = "label-name", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._role = role
        self._icon_name = icon
        self.setText(text)
        self.setAccessibleName(text)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        ask_for_ring(self, "button")
        repaint_on_change(self)

    def sizeHint(self) -> QSize:
        icon = 18 if self._icon_name else 0
        return QSize(round(text_width(self._role, self.text()) + 0.49) + icon, 20)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        ink = theme().color("link" if self.isEnabled() else "faint")
        x = 0
        if self._icon_name:
            draw_icon(painter, self._icon_name, ink, x=0, y=(self.height() - 14) // 2)
            x = 18
        width = draw_text(painter, self.text(), role=self._role, color=ink, x=x, top=0, height=self.height())
        if self.underMouse() and self.isEnabled():
            y = baseline(theme().metrics(self._role), 0, self.height()) + 2
            painter.setPen(QPen(ink, 1))
            painter.drawLine(QPointF(x, y + 0.5), QPointF(x + width, y + 0.5))
        painter.end()


class _Segment(PlainButton):
    """One choice of a segmented control, painted by itself so that focus and assistive technology see it."""

    def __init__(
        self, text: str, *, position: Literal["only", "first", "middle", "last"], parent: QWidget
    ) -> None:
        super().__init__(parent)
        self._position = position
        self.setText(text)
        self.setAccessibleName(text)
        self.setCheckable(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)
        ask_for_ring(self, "button")
        repaint_on_change(self)

    def sizeHint(self) -> QSize:
        return QSize(int(text_width("label-name", self.text())) + 20, self.minimumHeight())

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme()
        painter = QPainter(self)
        rect = QRectF(self.rect())
        # The box of the whole control, of which this segment shows its part.
        box = QRectF(rect)
        if self._position in ("middle", "last"):
            box.setLeft(box.left() - 20)
        if self._position in ("first", "middle"):
            box.setRight(box.right() + 20)
        fill = (
            "selection"
            if self.isChecked()
            else "hover"
            if self.underMouse() and self.isEnabled()
            else "raised"
        )
        draw_box(painter, box, fill=look.color(fill), border=look.color("border_strong"))
        if self._position in ("middle", "last"):
            painter.fillRect(QRectF(0, 0, 1, rect.height()), look.color("border_strong"))
        ink = "text" if self.isChecked() else "muted" if self.isEnabled() else "faint"
        role = "header" if self.isChecked() else "label-name"
        x = round((rect.width() - text_width(role, self.text())) / 2)
        draw_text(painter, self.text(), role=role, color=look.color(ink), x=x, top=0, height=rect.height())
        painter.end()


class SegmentedControl(QWidget):
    """One choice of a few, side by side. `changed` carries the key of the new choice, only when a person
    made it.
    """

    changed = Signal(str)

    def __init__(
        self,
        items: Sequence[tuple[str, str]],
        *,
        name: str,
        current: str | None = None,
        height: int = 24,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setFixedHeight(height)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        self._group = QButtonGroup(self)
        self._buttons: dict[str, _Segment] = {}
        for index, (key, text) in enumerate(items):
            position: Literal["only", "first", "middle", "last"] = "middle"
            if len(items) == 1:
                position = "only"
            elif index == 0:
                position = "first"
            elif index == len(items) - 1:
                position = "last"
            button = _Segment(text, position=position, parent=self)
            button.setFixedHeight(height)
            self._buttons[key] = button
            self._group.addButton(button)
            layout.addWidget(button)
            button.clicked.connect(lambda _checked=False, key=key: self.changed.emit(key))
        if items:
            self.set_current(current if current is not None else items[0][0])

    def current(self) -> str:
        """The key of the choice."""
        return next((key for key, button in self._buttons.items() if button.isChecked()), "")

    def set_current(self, key: str) -> None:
        """Choose without telling. Raises KeyError for an unknown key."""
        self._buttons[key].setChecked(True)


_GAPS, _TIGHT_GAPS = (9, 5, 5), (6, 4, 4)
"""Of a chip: at both ends, behind the icon, before the count (pixels)."""


class Chip(PlainButton):
    """A filter that is on or off: icon, word and bold count. Without a count it is a plain choice.

    A count of five digits and more is shown in short, in full in the tooltip and the accessible description.
    """

    def __init__(
        self,
        text: str,
        *,
        icon: str | None = None,
        tone: str = "text2",
        count: int | None = None,
        height: int = CHIP_HEIGHT,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._icon_name = icon
        self._tone = tone
        self._count = count
        self._has_count = count is not None
        self._at_least = False
        self._tight = False
        self._height = height
        self.setText(text)
        self.setAccessibleName(text)
        self.setCheckable(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        ask_for_ring(self, "button")
        repaint_on_change(self)
        self._describe()

    def set_count(self, count: int | None, *, at_least: bool = False) -> None:
        """Replace the number; None is unknown and shown as a dash. `at_least`: there may be more."""
        if (count, at_least) != (self._count, self._at_least) or not self._has_count:
            self._count = count
            self._at_least = at_least
            self._has_count = True
            self._describe()
            self.setToolTip(self._exact() if self._number() != self._exact() else "")
            self.updateGeometry()
            self.update()

    def set_tight(self, tight: bool) -> None:
        """Stand closer, where a row of chips would not fit into one line."""
        if tight != self._tight:
            self._tight = tight
            self.updateGeometry()
            self.update()

    def width_for(self, *, tight: bool) -> int:
        """How much room it takes (pixels)."""
        padding, after_icon, before_count = _TIGHT_GAPS if tight else _GAPS
        width = text_width("label-name", self.text())
        if self._icon_name is not None:
            width += 12 + after_icon
        if self._has_count:
            width += before_count + text_width("header", self._number())
        return round(width) + 2 * padding

    def _describe(self) -> None:
        self.setAccessibleDescription(self._exact() if self._has_count else "")

    def _exact(self) -> str:
        return number_text(self._count) + self._more()

    def _number(self) -> str:
        return short_number(self._count) + self._more()

    def _more(self) -> str:
        return "+" if self._at_least and self._count else ""

    def sizeHint(self) -> QSize:
        return QSize(self.width_for(tight=self._tight), self._height)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def enterEvent(self, event: QEnterEvent) -> None:
        self.update()
        super().enterEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        self.update()
        super().leaveEvent(event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme()
        painter = QPainter(self)
        on = self.isChecked()
        border = ("focus" if look.tokens.is_dark else "accent") if on else "border"
        fill = "selection" if on else "hover" if self.underMouse() else "surface"
        draw_box(painter, QRectF(self.rect()), fill=look.color(fill), border=look.color(border))
        empty = self._has_count and not self._count and not on
        padding, after_icon, before_count = _TIGHT_GAPS if self._tight else _GAPS
        x = float(padding)
        if self._icon_name is not None:
            ink = look.color("muted" if empty else self._tone)
            draw_icon(painter, self._icon_name, ink, x=x, y=(self.height() - 12) // 2, size=12)
            x += 12 + after_icon
        word = "text" if on else "muted" if empty else "text2"
        x += draw_text(
            painter, self.text(), role="label-name", color=look.color(word), x=x, top=0, height=self.height()
        )
        if self._has_count:
            number = look.color("muted" if empty else "text")
            role = "label-name" if empty else "header"
            draw_text(
                painter,
                self._number(),
                role=role,
                color=number,
                x=x + before_count,
                top=0,
                height=self.height(),
            )
        painter.end()
