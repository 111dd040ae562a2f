"""What a person types into or chooses from: fields, choosers, check boxes, and the label above them."""

from collections.abc import Sequence

from PySide6.QtCore import QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QPlainTextEdit,
    QRadioButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from console.widgets.button import IconButton
from console.widgets.combo_access import ChosenByList, give_names_to
from console.widgets.icons import draw_icon, pixmap
from console.widgets.label import Text
from console.widgets.paint import draw_box, draw_ring, draw_text, text_width
from console.widgets.pressing import ClickedByToggle
from console.widgets.style import ask_for_ring
from console.widgets.theme import repaint_on_change, theme
from console.widgets.tokens import BUTTON_HEIGHT, RADIUS, RADIUS_SMALL

_DEBOUNCE_MS = 150


class TextField(QLineEdit):
    """A line to type into, 28 px high. `name` is its accessible name; a label beside it does not give one."""

    def __init__(
        self,
        *,
        name: str,
        text: str = "",
        placeholder: str = "",
        mono: bool = False,
        password: bool = False,
        height: int = BUTTON_HEIGHT,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(text, parent)
        self._error = False
        self.setAccessibleName(name)
        self.setPlaceholderText(placeholder)
        self.setFont(theme().font("mono" if mono else "body"))
        self.setFixedHeight(height)
        if password:
            self.setEchoMode(QLineEdit.EchoMode.Password)
        ask_for_ring(self, "field")

    def set_error(self, error: bool) -> None:
        """Show the red border."""
        if error != self._error:
            self._error = error
            self.setProperty("error", error)
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self._error:
            painter = QPainter(self)
            draw_ring(painter, QRectF(self.rect()), color=theme().color("error"), width=2, radius=RADIUS)
            painter.end()


class SearchField(TextField):
    """A field with a magnifier, a clear button and room for a hint at the right, such as "31 found in 4 ms".

    `edited` carries the text 150 ms after the last key, `submitted` at once on Return.
    """

    edited = Signal(str)
    submitted = Signal(str)

    def __init__(
        self, name: str, *, placeholder: str | None = None, mono: bool = False, parent: QWidget | None = None
    ) -> None:
        super().__init__(
            name=name, placeholder=placeholder if placeholder is not None else name, mono=mono, parent=parent
        )
        self._hint = ""
        self._hint_tone = "muted"
        self._mono = mono
        self._trailing: list[QWidget] = []
        self.setFont(theme().font("body"))
        self.setMinimumWidth(200)
        self._clear = IconButton("x", name="Clear", size=20, icon_size=14, parent=self)
        self._clear.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._clear.setCursor(Qt.CursorShape.ArrowCursor)
        self._clear.hide()
        self._clear.clicked.connect(self._on_clear)
        self._timer = QTimer(self, singleShot=True, interval=_DEBOUNCE_MS)
        self._timer.timeout.connect(lambda: self.edited.emit(self.text()))
        self.textChanged.connect(self._on_text)
        # Not `textEdited`: that is silent about what assistive technology puts in.
        self.textChanged.connect(lambda _text: self._timer.start())
        self.returnPressed.connect(self._on_return)
        self._arrange()
        repaint_on_change(self)
        # A new style sheet brings back the font from before the first one.
        theme().changed.connect(self._dress)

    def setText(self, text: str | None) -> None:
        """Show a text without telling."""
        super().setText(text)
        self._timer.stop()

    def set_hint(self, hint: str, *, tone: str = "muted") -> None:
        """Replace the words at the right, cut to half of the field; empty for none."""
        if (hint, tone) != (self._hint, self._hint_tone):
            self._hint, self._hint_tone = hint, tone
            self._arrange()
            self.update()

    def hint(self) -> str:
        """The words at the right, uncut."""
        return self._hint

    def add_trailing(self, button: QWidget) -> None:
        """Put a small button at the right end, behind the clear button."""
        button.setParent(self)
        button.setCursor(Qt.CursorShape.ArrowCursor)
        button.show()
        self._trailing.append(button)
        self._place_buttons()
        self._arrange()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self.text():
            self._on_clear()
            event.accept()
            return
        super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place_buttons()
        self._arrange()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        painter = QPainter(self)
        ink = "muted" if self.isEnabled() else "faint"
        draw_icon(painter, "search", ink, x=9, y=(self.height() - 14) // 2)
        hint = self._shown_hint()
        if hint:
            x = self.width() - text_width("label", hint) - self._buttons_width() - (30 if self.text() else 10)
            color = theme().color(self._hint_tone if self.isEnabled() else ink)
            draw_text(painter, hint, role="label", color=color, x=x, top=0, height=self.height())
        painter.end()

    def _shown_hint(self) -> str:
        room = max(0, self.width() // 2 - 40)
        return theme().metrics("label").elidedText(self._hint, Qt.TextElideMode.ElideRight, room)

    def _buttons_width(self) -> int:
        return sum(button.width() + 2 for button in self._trailing)

    def _place_buttons(self) -> None:
        x = self.width() - 5
        for button in reversed(self._trailing):
            x -= button.width() + 2
            button.move(x, (self.height() - button.height()) // 2)
        x = self.width() - 27 - self._buttons_width()
        self._clear.move(x, (self.height() - 20) // 2)

    def _arrange(self) -> None:
        hint = self._shown_hint()
        right = (26 if self.text() else 4) + self._buttons_width()
        self.setTextMargins(22, 0, round(right + (text_width("label", hint) + 8 if hint else 0)), 0)

    def _on_text(self) -> None:
        self._clear.setVisible(bool(self.text()))
        self._dress()
        self._arrange()

    def _dress(self) -> None:
        if self._mono:
            # The placeholder is a sentence, what is typed is a query.
            self.setFont(theme().font("mono" if self.text() else "body"))

    def _on_return(self) -> None:
        self._timer.stop()
        self.submitted.emit(self.text())

    def _on_clear(self) -> None:
        self.clear()
        self._timer.stop()
        self.edited.emit("")


class TextArea(QPlainTextEdit):
    """Several lines to type into, mono by default because they hold arguments and JSON."""

    def __init__(
        self, *, name: str, text: str = "", mono: bool = True, rows: int = 4, parent: QWidget | None = None
    ) -> None:
        super().__init__(text, parent)
        role = "mono" if mono else "body"
        self.setAccessibleName(name)
        self.setFont(theme().font(role))
        self.setTabChangesFocus(True)
        self.document().setDocumentMargin(5)
        self.setFixedHeight(round(theme().metrics(role).lineSpacing() * rows) + 14)
        ask_for_ring(self, "field")


class Select(QComboBox):
    """A choice of a few, as a closed box with a chevron. `changed` carries the key a person has chosen."""

    changed = Signal(str)

    def __init__(
        self,
        items: Sequence[tuple[str, str]] = (),
        *,
        name: str,
        height: int = BUTTON_HEIGHT,
        small: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._dots: dict[str, str] = {}
        self._small = small
        self._role = "label-name" if small else "body"
        self._on_red = False
        self.setAccessibleName(name)
        self.setFixedHeight(height)
        self.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)
        self.set_items(items)
        self.activated.connect(lambda _index: self.changed.emit(self.current()))
        ChosenByList(self)
        ask_for_ring(self, "field")
        repaint_on_change(self)

    def set_items(self, items: Sequence[tuple[str, str]], *, dots: dict[str, str] | None = None) -> None:
        """Replace the (key, words) pairs; the choice stays when its key does. `dots`: key to colour token."""
        self._dots = dots if dots is not None else {}
        if [(self.itemData(i), self.itemText(i)) for i in range(self.count())] != list(items):
            kept = self.current()
            self.clear()
            for key, words in items:
                self.addItem(words, key)
            self.set_current(kept)
        self.updateGeometry()
        self.update()

    def current(self) -> str:
        """The key of the choice, empty when there is none."""
        data = self.currentData()
        return data if isinstance(data, str) else ""

    def set_current(self, key: str) -> None:
        """Choose without telling; an unknown key leaves the choice alone."""
        index = self.findData(key)
        if index >= 0:
            self.setCurrentIndex(index)

    def set_on_red(self, on_red: bool) -> None:
        """Paint for the red Production bar."""
        self._on_red = on_red
        self.update()

    def sizeHint(self) -> QSize:
        widest = max((text_width(self._role, self.itemText(i)) for i in range(self.count())), default=60.0)
        around = 35 if self._small else 44
        return QSize(round(widest) + (15 if self._dots else 0) + around, self.minimumHeight())

    def minimumSizeHint(self) -> QSize:
        return QSize(64, self.minimumHeight())

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme()
        enabled = self.isEnabled()
        painter = QPainter(self)
        if self._on_red:
            line = look.color("on_accent")
            painter.setOpacity(0.6)
            draw_box(painter, QRectF(self.rect()), border=line)
            painter.setOpacity(1)
            ink = quiet = line
        else:
            hover = self.underMouse() and enabled
            fill = look.color("sunken" if not enabled else "hover" if hover else "surface")
            draw_box(
                painter,
                QRectF(self.rect()),
                fill=fill,
                border=look.color("border_strong" if enabled else "border"),
            )
            ink = look.color("text" if enabled else "faint")
            quiet = look.color("muted" if enabled else "faint")
        x = 9.0 if self._small else 10.0
        dot = self._dots.get(self.current())
        if dot is not None:
            color = look.color("on_accent") if self._on_red else look.color(dot)
            draw_box(painter, QRectF(x - 2, (self.height() - 8) / 2, 8, 8), fill=color, radius=4)
            x += 14
        arrow = 12 if self._small else 14
        room = self.width() - x - arrow - 12
        text = look.metrics(self._role).elidedText(self.currentText(), Qt.TextElideMode.ElideRight, room)
        draw_text(painter, text, role=self._role, color=ink, x=x, top=0, height=self.height())
        at = self.width() - arrow - (8 if self._small else 9)
        draw_icon(painter, "chevron-down", quiet, x=at, y=(self.height() - arrow) // 2, size=arrow)
        painter.end()


give_names_to(Select.__name__)


class CheckBox(ClickedByToggle, QCheckBox):
    """A check box of 16 px with a third, partial state."""

    def __init__(self, text: str, *, name: str | None = None, parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self.setAccessibleName(name if name is not None else text)
        self.follow_toggles()
        self.setFont(theme().font("body"))
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self._ring = False
        repaint_on_change(self)

    def sizeHint(self) -> QSize:
        words = text_width("body", self.text()) + 6 if self.text() else 0
        return QSize(round(words + 0.49) + 20, 24)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def focusInEvent(self, event: QFocusEvent) -> None:
        self._ring = event.reason() != Qt.FocusReason.MouseFocusReason
        super().focusInEvent(event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        top = (self.height() - 16) // 2
        draw_check_box(painter, self.checkState(), x=2, y=top, enabled=self.isEnabled())
        if self.hasFocus() and self._ring:
            ring = QRectF(0, top - 2, 20, 20)
            draw_ring(painter, ring, color=theme().color("focus"), width=1.5, radius=RADIUS)
        ink = theme().color("text" if self.isEnabled() else "faint")
        draw_text(painter, self.text(), role="body", color=ink, x=24, top=0, height=self.height())
        painter.end()


class RadioButton(ClickedByToggle, QRadioButton):
    """A radio button of 16 px."""

    def __init__(self, text: str, *, parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self.setAccessibleName(text)
        self.follow_toggles()
        self.setFont(theme().font("body"))
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        repaint_on_change(self)

    def sizeHint(self) -> QSize:
        return QSize(round(text_width("body", self.text()) + 0.49) + 26, 24)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme()
        painter = QPainter(self)
        top = (self.height() - 16) // 2
        box = QRectF(2, top, 16, 16)
        if self.isChecked():
            draw_box(painter, box, fill=look.color("accent" if self.isEnabled() else "faint"), radius=8)
            draw_box(painter, box.adjusted(5, 5, -5, -5), fill=look.color("on_accent"), radius=3)
        else:
            draw_box(painter, box, fill=look.color("surface"), border=look.color("border_strong"), radius=8)
        if self.hasFocus():
            draw_ring(painter, box.adjusted(-2, -2, 2, 2), color=look.color("focus"), width=1.5, radius=10)
        ink = look.color("text" if self.isEnabled() else "faint")
        draw_text(painter, self.text(), role="body", color=ink, x=24, top=0, height=self.height())
        painter.end()


def draw_check_box(
    painter: QPainter, state: Qt.CheckState, *, x: float, y: float, enabled: bool = True
) -> None:
    """A check box of 16 px with its top left corner at x, y. Tables paint theirs with this."""
    look = theme()
    box = QRectF(x, y, 16, 16)
    if state == Qt.CheckState.Unchecked:
        fill, border = ("surface", "border_strong") if enabled else ("sunken", "border")
        draw_box(painter, box, fill=look.color(fill), border=look.color(border), radius=RADIUS_SMALL)
        return
    draw_box(painter, box, fill=look.color("accent" if enabled else "faint"), radius=RADIUS_SMALL)
    mark = "check" if state == Qt.CheckState.Checked else "minus"
    draw_icon(painter, mark, "on_accent", x=x + 2, y=y + 2, size=12)


class Field(QWidget):
    """A control under its label, with a hint or an error below it."""

    def __init__(
        self, label: str, control: QWidget, *, hint: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.control = control
        self._hint = hint
        self._label = Text(label, role="label-name", tone="text2", rich="<b>" in label)
        self._label.setBuddy(control)
        self._mark = Text()
        self._note = Text(hint, role="label", tone="muted", wrap=True)
        note = QHBoxLayout()
        note.setContentsMargins(0, 0, 0, 0)
        note.setSpacing(6)
        note.addWidget(self._mark, 0, Qt.AlignmentFlag.AlignTop)
        note.addWidget(self._note, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self._label)
        layout.addWidget(control)
        layout.addLayout(note)
        self._mark.hide()
        self._note.setVisible(bool(hint))
        self._error = ""
        theme().changed.connect(self._recolour)

    def set_error(self, error: str) -> None:
        """Show what is wrong under a red border; empty when it is right again."""
        self._error = error
        if isinstance(self.control, TextField):
            self.control.set_error(bool(error))
        self._note.set_text(error or self._hint)
        self._note.set_tone("error" if error else "muted")
        self._note.setVisible(bool(error or self._hint))
        self._mark.setVisible(bool(error))
        self.control.setAccessibleDescription(error or self._hint)
        self._recolour()

    def _recolour(self) -> None:
        if self._error:
            self._mark.setPixmap(pixmap("circle-alert", "error", ratio=self.devicePixelRatioF()))
