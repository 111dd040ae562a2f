"""Dialogs as sheets inside the page.

A dialog is Qt's own QDialog, so that assistive technology and the keyboard see one, but it lives as a
child of the page under a flat scrim: the connection bar stays readable and no second window appears.
Nothing here ever runs a nested event loop; a coroutine awaits `ask()`.
"""

import asyncio
from collections.abc import Sequence
from typing import Literal

from PySide6.QtCore import QEvent, QObject, QPoint, QRectF, QSize, Qt
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QShowEvent, QWheelEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QApplication,
    QDialog,
    QHBoxLayout,
    QLayout,
    QPlainTextEdit,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from shiboken6 import isValid

from console.widgets.button import Button, IconButton, Kind
from console.widgets.fields import Field, RadioButton, TextField
from console.widgets.icons import draw_icon
from console.widgets.label import Divider, Text
from console.widgets.paint import draw_box
from console.widgets.tab_stops import tab_stops
from console.widgets.text import escaped
from console.widgets.theme import repaint_on_change, theme
from console.widgets.tokens import RADIUS

_HOST_PROPERTY = "dialogHost"
_MARGIN = 12
_CHOICE_INDENT = 24

ButtonRole = Literal["accept", "reject", "none"]


def set_dialog_host(widget: QWidget) -> None:
    """Let dialogs of everything inside `widget` cover just this widget. Without a host they cover the
    window.
    """
    widget.setProperty(_HOST_PROPERTY, True)


def dialog_host(widget: QWidget) -> QWidget:
    """The widget that a dialog of `widget` covers."""
    candidate: QWidget | None = widget
    while candidate is not None:
        if candidate.property(_HOST_PROPERTY):
            return candidate
        candidate = candidate.parentWidget()
    window = widget.window()
    # Asked for from outside the pages, from a menu for instance: the window's pages are covered all the same.
    inside = (child for child in window.findChildren(QWidget) if child.property(_HOST_PROPERTY))
    return next(inside, window)


class _Scrim(QWidget):
    """The flat cover over the page; it takes the mouse so that nothing below can be pressed."""

    def __init__(self, host: QWidget) -> None:
        super().__init__(host)
        self._sheet: ConsoleDialog | None = None
        self.setGeometry(host.rect())
        host.installEventFilter(self)
        repaint_on_change(self)

    def hold(self, sheet: "ConsoleDialog") -> None:
        self._sheet = sheet

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize and watched is self.parent():
            host = self.parentWidget()
            if host is not None:
                self.setGeometry(host.rect())
            self.place()
        return False

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.LayoutRequest:
            self.place()
        return super().event(event)

    def place(self) -> None:
        """Put the sheet into the middle."""
        sheet = self._sheet
        if sheet is None:
            return
        room = QSize(self.width() - 2 * _MARGIN, self.height() - 2 * _MARGIN)
        size = sheet.wanted_size(room)
        at = QPoint((self.width() - size.width()) // 2, (self.height() - size.height()) // 2)
        sheet.setGeometry(at.x(), max(0, at.y()), size.width(), size.height())

    def mousePressEvent(self, event: QMouseEvent) -> None:
        event.accept()

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.accept()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), theme().color("scrim"))
        painter.end()


class _TitleIcon(QWidget):
    def __init__(self, icon: str, color: str) -> None:
        super().__init__()
        self._icon = icon
        self._color = color
        self.setFixedSize(16, 16)
        repaint_on_change(self)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        draw_icon(painter, self._icon, self._color, x=0, y=0, size=16)
        painter.end()


class ConsoleDialog(QDialog):
    """A sheet with a title, a body to fill (`body`), and buttons at the right of the footer after Cancel.

    `open()` shows it; `finished(int)` follows once. `await ask()` does both and says whether it was accepted.
    A dialog is used once.
    """

    def __init__(
        self,
        parent: QWidget,
        title: str,
        *,
        subtitle: str = "",
        width: int = 520,
        icon: str | None = None,
        icon_color: str = "error",
        red_line: bool = False,
        cancel: str | None = "Cancel",
        closable: bool = False,
    ) -> None:
        self._scrim = _Scrim(dialog_host(parent))
        super().__init__(self._scrim)
        self._scrim.hold(self)
        self._scrim.hide()
        self.setWindowFlags(Qt.WindowType.Widget)
        self.setAttribute(Qt.WidgetAttribute.WA_Moved)
        self.setWindowTitle(title)
        self.setAccessibleName(title)
        self._wanted_width = width
        self._red_line = red_line
        self._accept_button: Button | None = None
        self._first_focus: QWidget | None = None
        self._focus_before: QWidget | None = None
        self._asked = False
        self.body = QVBoxLayout()
        self.body.setContentsMargins(16, 13, 16, 14)
        self.body.setSpacing(12)
        self._note = Text(role="label", tone="muted")
        self.cancel_button: Button | None = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(1, 5 if red_line else 1, 1, 1)
        layout.setSpacing(0)
        layout.setSizeConstraint(QLayout.SizeConstraint.SetNoConstraint)
        layout.addLayout(self._make_head(title, subtitle, icon, icon_color, closable=closable))
        layout.addWidget(Divider())
        layout.addLayout(self.body, 1)
        layout.addWidget(self._make_footer(cancel))
        self.finished.connect(self._on_finished)
        repaint_on_change(self)

    def _make_head(
        self, title: str, subtitle: str, icon: str | None, icon_color: str, *, closable: bool
    ) -> QHBoxLayout:
        head = QHBoxLayout()
        head.setContentsMargins(16, 0, 12, 0)
        head.setSpacing(8)
        head.addSpacing(0)
        if icon is not None:
            head.addWidget(_TitleIcon(icon, icon_color))
        words = Text(title, role="dialog")
        words.setFixedHeight(43)
        head.addWidget(words)
        if subtitle:
            head.addWidget(Text(subtitle, role="body", tone="muted"))
        head.addStretch(1)
        if closable:
            close = IconButton("x", name="Close", size=24, icon_size=16)
            close.clicked.connect(self.reject)
            head.addWidget(close)
        return head

    def _make_footer(self, cancel: str | None) -> QWidget:
        footer = _Footer()
        self._buttons = QHBoxLayout(footer)
        self._buttons.setContentsMargins(16, 2, 16, 0)
        self._buttons.setSpacing(8)
        self._buttons.addWidget(self._note, 1)
        if cancel is not None:
            self.cancel_button = self.add_button(cancel, role="reject")
        return footer

    def add_button(self, text: str, *, kind: Kind = "normal", role: ButtonRole = "none") -> Button:
        """Put a button at the right end. `accept` and `reject` end the dialog; Return presses the
        accepting one.
        """
        button = Button(text, kind=kind)
        button.setMinimumWidth(80)
        if role == "accept":
            button.clicked.connect(self.accept)
            self._accept_button = button
        elif role == "reject":
            button.clicked.connect(self.reject)
        self._buttons.addWidget(button)
        return button

    def set_footer_note(self, text: str) -> None:
        """Muted words at the left of the buttons."""
        self._note.set_text(text)

    def set_first_focus(self, widget: QWidget) -> None:
        """Where the keyboard starts; otherwise on Cancel."""
        self._first_focus = widget

    def open(self) -> None:
        """Show the sheet over its page. Returns at once."""
        self._focus_before = QApplication.focusWidget()
        self._scrim.show()
        self._scrim.raise_()
        self._scrim.place()
        self.show()
        target = self._first_focus if self._first_focus is not None else self.cancel_button
        if target is not None:
            target.setFocus(Qt.FocusReason.OtherFocusReason)

    async def ask(self) -> bool:
        """Show the sheet and wait until it is closed. True when it was accepted. A cancelled wait closes
        it. Who awaits this directly may still read the fields before the next wait.
        """
        self._asked = True  # or the fields could be gone before whoever waits goes on
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def on_finished(result: int) -> None:
            if not answer.done():
                answer.set_result(result)

        self.finished.connect(on_finished)
        self.open()
        try:
            return await answer == QDialog.DialogCode.Accepted.value
        except asyncio.CancelledError:
            self.reject()
            raise
        finally:
            if isValid(self._scrim):
                self._scrim.deleteLater()

    def wanted_size(self, room: QSize) -> QSize:
        """The size that the sheet takes in this much room."""
        width = min(self._wanted_width, room.width())
        layout = self.layout()
        if layout is None:
            return QSize(width, min(self.sizeHint().height(), room.height()))
        layout.activate()
        wraps = layout.hasHeightForWidth()
        height = layout.totalHeightForWidth(width) if wraps else layout.sizeHint().height()
        return QSize(width, min(height, room.height()))

    @staticmethod
    def open_in(widget: QWidget) -> "ConsoleDialog | None":
        """The dialog that covers the page of `widget` now, if any."""
        for scrim in dialog_host(widget).findChildren(_Scrim):
            if scrim.isVisible():
                return scrim.findChild(ConsoleDialog)
        return None

    def _on_finished(self) -> None:
        self._scrim.hide()
        before = self._focus_before
        if before is not None and before.isVisible():
            before.setFocus(Qt.FocusReason.OtherFocusReason)
        if not self._asked:
            self._scrim.deleteLater()

    # Qt's events.

    def focusNextPrevChild(self, forward: bool) -> bool:
        """Tab goes round inside the sheet."""
        stops = tab_stops(self)
        here = self.focusWidget()
        if stops:
            step = 1 if forward else -1
            at = stops.index(here) + step if here in stops else 0 if forward else -1
            reason = Qt.FocusReason.TabFocusReason if forward else Qt.FocusReason.BacktabFocusReason
            stops[at % len(stops)].setFocus(reason)
        return True

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.reject()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._on_return()
        event.accept()

    def _on_return(self) -> None:
        focused = self.focusWidget()
        if isinstance(focused, QPlainTextEdit):
            return
        if isinstance(focused, QAbstractButton) and focused.isEnabled():
            focused.click()
        elif self._accept_button is not None and self._accept_button.isEnabled():
            self._accept_button.click()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._scrim.place()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        event.accept()

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme()
        painter = QPainter(self)
        rect = QRectF(self.rect())
        draw_box(painter, rect, fill=look.color("raised"), border=look.color("border_strong"), radius=RADIUS)
        if self._red_line:
            painter.save()
            painter.setClipRect(QRectF(1, 0, rect.width() - 2, 5))
            draw_box(painter, rect.adjusted(0, 1, 0, 0), fill=look.color("production"), radius=RADIUS)
            painter.restore()
        painter.end()


class _Footer(QWidget):
    """The sunken band at the bottom, its lower corners as round as the sheet's."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(52)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        repaint_on_change(self)

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme()
        painter = QPainter(self)
        painter.setClipRect(self.rect())
        rect = QRectF(self.rect()).adjusted(0, -20, 0, 0)
        draw_box(painter, rect, fill=look.color("sunken"), radius=RADIUS - 1)
        painter.fillRect(0, 0, self.width(), 1, look.color("border"))
        painter.end()


class ConfirmDialog(ConsoleDialog):
    """Asks before something happens.

    `text_html` may use `<b>` and `<red>`; values in it must be escaped by the caller. With `reason` a reason
    must be given, with `type_to_confirm` this word typed, before the verb can be pressed. `production` adds
    the red line. `choices` are (name, what it does), of which one is chosen, the first at first.
    """

    def __init__(
        self,
        parent: QWidget,
        *,
        title: str,
        text_html: str,
        verb: str,
        danger: bool = False,
        reason: bool = False,
        type_to_confirm: str | None = None,
        footer_note: str = "Recorded in Activity",
        production: bool = False,
        choices: Sequence[tuple[str, str]] = (),
        width: int = 520,
    ) -> None:
        icon = "triangle-alert" if danger else None
        super().__init__(parent, title, width=width, icon=icon, red_line=production)
        self._wanted_word = type_to_confirm
        self._reason_field: TextField | None = None
        self._word_field: TextField | None = None
        text = Text(f'<p style="line-height:18px">{text_html}</p>', wrap=True, rich=True)
        self.setAccessibleDescription(_plain(text_html))
        self.body.addWidget(text)
        self._choices: list[RadioButton] = []
        if choices:
            self.body.addLayout(self._make_choices(choices))
            self._choices[0].setChecked(True)
        row = QHBoxLayout()
        row.setSpacing(12)
        if reason:
            self._reason_field = TextField(name="Reason")
            self._reason_field.textChanged.connect(self._check)
            row.addWidget(Field("Reason", self._reason_field), 294)
        if type_to_confirm is not None:
            self._word_field = TextField(name=f"Type {type_to_confirm} to go on", mono=True)
            self._word_field.textChanged.connect(self._check)
            row.addWidget(Field(f"Type <b>{escaped(type_to_confirm)}</b> to go on", self._word_field), 180)
        if reason or type_to_confirm is not None:
            self.body.addLayout(row)
        self.set_footer_note(footer_note)
        self.verb_button = self.add_button(verb, kind="danger" if danger else "primary", role="accept")
        first = self._word_field if self._reason_field is None else self._reason_field
        if first is not None:
            self.set_first_focus(first)
        elif not danger:
            self.set_first_focus(self.verb_button)
        self._check()

    def _make_choices(self, choices: Sequence[tuple[str, str]]) -> QVBoxLayout:
        column = QVBoxLayout()
        column.setSpacing(0)
        for name, words in choices:
            button = RadioButton(name)
            button.setAccessibleDescription(words)
            told = Text(words, role="label", tone="muted", wrap=True)
            told.setContentsMargins(_CHOICE_INDENT, 0, 0, 4)
            column.addWidget(button)
            column.addWidget(told)
            self._choices.append(button)
        return column

    @property
    def choice(self) -> int:
        """The place of the way that is chosen; 0 without any."""
        return next((at for at, button in enumerate(self._choices) if button.isChecked()), 0)

    @property
    def reason(self) -> str:
        """The reason typed, without blanks around it."""
        return self._reason_field.text().strip() if self._reason_field is not None else ""

    @property
    def reason_field(self) -> TextField | None:
        """The field of the reason, when there is one."""
        return self._reason_field

    @property
    def word_field(self) -> TextField | None:
        """The field of the word to type, when there is one."""
        return self._word_field

    def _check(self) -> None:
        ready = self._reason_field is None or bool(self.reason)
        if self._word_field is not None:
            ready = ready and self._word_field.text().strip() == self._wanted_word
        self.verb_button.setEnabled(ready)


def _plain(markup: str) -> str:
    for tag in ("<b>", "</b>", "<red>", "</red>"):
        markup = markup.replace(tag, "")
    return markup.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
