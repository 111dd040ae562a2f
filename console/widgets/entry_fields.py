"""Fields with something to press in them: a secret that can be looked at, a file that can be chosen."""

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QFocusEvent, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QFileDialog, QLineEdit, QWidget

from console.widgets.button import IconButton
from console.widgets.fields import TextField
from console.widgets.icons import draw_icon
from console.widgets.theme import repaint_on_change

_BUTTON = 24
_RIGHT = 28
_LEFT = 18


class EntryField(TextField):
    """A field that tells when it is left, with room for an icon before the text and buttons after it.

    `typed` carries the text with each key. `left` comes when the keyboard goes elsewhere, not when another
    window comes to the front. What assistive technology puts in (of which `textEdited` says nothing) is
    whole: it is typed and left at once. What the program shows by `setText` is neither.
    """

    typed = Signal(str)
    left = Signal()

    def __init__(
        self,
        *,
        name: str,
        placeholder: str = "",
        mono: bool = False,
        password: bool = False,
        icon: str | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(name=name, placeholder=placeholder, mono=mono, password=password, parent=parent)
        self._icon = icon
        self._buttons: list[IconButton] = []
        self._expected = False
        self.textEdited.connect(self._on_keys)
        self.textChanged.connect(self._on_text)
        self.setTextMargins(_LEFT if icon else 0, 0, 0, 0)
        self.setMinimumWidth(40)
        repaint_on_change(self)

    def sizeHint(self) -> QSize:
        return QSize(80, self.minimumHeight())

    def minimumSizeHint(self) -> QSize:
        return QSize(40, self.minimumHeight())

    def setText(self, text: str | None) -> None:
        self._expected = (text or "") != self.text()
        super().setText(text)
        self._expected = False

    def clear(self) -> None:
        self.setText("")

    def _on_keys(self, text: str) -> None:
        self._expected = True  # Qt tells of the change itself right after this
        self.typed.emit(text)

    def _on_text(self, text: str) -> None:
        if self._expected:
            self._expected = False
            return
        self.typed.emit(text)
        self.left.emit()

    def show_text(self, text: str) -> None:
        """Replace the text without moving the cursor of somebody who types just this."""
        if text != self.text():
            self.setText(text)
            if not self.hasFocus():
                self.setCursorPosition(0)

    def add_button(self, icon: str, name: str) -> IconButton:
        """A button inside the field, at its right end."""
        button = IconButton(icon, name=name, size=_BUTTON, parent=self)
        button.setCursor(Qt.CursorShape.ArrowCursor)
        self._buttons.append(button)
        self._arrange()
        return button

    def show_button(self, button: IconButton, shown: bool) -> None:
        """Show or hide one of the buttons; the text takes its room."""
        if button.isHidden() == shown:
            button.setVisible(shown)
            self._arrange()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        if event.reason() not in (
            Qt.FocusReason.ActiveWindowFocusReason,
            Qt.FocusReason.PopupFocusReason,
        ):
            self.setCursorPosition(0)
            self.left.emit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self._icon is not None:
            painter = QPainter(self)
            draw_icon(painter, self._icon, "muted", x=9, y=(self.height() - 14) // 2)
            painter.end()

    def _arrange(self) -> None:
        shown = [button for button in self._buttons if not button.isHidden()]
        for number, button in enumerate(reversed(shown)):
            button.move(self.width() - (number + 1) * _BUTTON - 3, (self.height() - _BUTTON) // 2)
        left = _LEFT if self._icon else 0
        self.setTextMargins(left, 0, _RIGHT * bool(shown) + _BUTTON * max(0, len(shown) - 1), 0)


class SecretField(EntryField):
    """A password: dots, and an eye that shows what is typed for as long as it is pressed in.

    With a kept secret it says so while empty, and offers to forget it (`forget`).
    """

    forget = Signal()

    def __init__(self, *, name: str, parent: QWidget | None = None) -> None:
        super().__init__(name=name, password=True, parent=parent)
        self._forget = self.add_button("x", f"Forget the kept {name.lower()}")
        self._eye = self.add_button("eye", f"Show {name.lower()}")
        self._eye.setCheckable(True)
        self._eye.toggled.connect(self._reveal)
        self._forget.clicked.connect(self.forget)
        self.textChanged.connect(lambda _text: self._show_buttons())
        self._kept = False
        self._show_buttons()

    def show_kept(self, kept: bool, where: str) -> None:
        """Whether there is one already; `where` is the placeholder that says so."""
        self._kept = kept
        self.setPlaceholderText(where if kept else "none")
        self._show_buttons()

    def _show_buttons(self) -> None:
        typed = bool(self.text())
        if not typed:
            self._eye.setChecked(False)
        self.show_button(self._eye, typed)
        self.show_button(self._forget, self._kept and not typed and not self.isReadOnly())

    def _reveal(self, shown: bool) -> None:
        modes = QLineEdit.EchoMode
        self.setEchoMode(modes.Normal if shown else modes.Password)
        self._eye.set_icon_name("eye-off" if shown else "eye")
        words = ("Hide " if shown else "Show ") + self.accessibleName().lower()
        self._eye.setAccessibleName(words)
        self._eye.setToolTip(words)


class PathField(EntryField):
    """A file's path, typed or chosen. `chosen` carries what was chosen in the dialog."""

    chosen = Signal(str)

    def __init__(
        self, *, name: str, placeholder: str = "", folder: bool = False, parent: QWidget | None = None
    ) -> None:
        super().__init__(name=name, placeholder=placeholder, parent=parent)
        self._folder = folder
        self._dialog: QFileDialog | None = None
        self.add_button("folder-open", f"Choose {name.lower()}…").clicked.connect(self._choose)

    def _choose(self) -> None:
        """Never the static calls: they run an event loop inside ours."""
        dialog = file_dialog(self, f"Choose {self.accessibleName().lower()}", folder=self._folder)
        if self.text():
            dialog.selectFile(self.text())
        dialog.fileSelected.connect(self._on_chosen)
        self._dialog = dialog
        dialog.open()

    def _on_chosen(self, path: str) -> None:
        self.setText(path)
        self.chosen.emit(path)


def file_dialog(
    parent: QWidget, title: str, *, folder: bool = False, save_as: str = "", filters: str = ""
) -> QFileDialog:
    """A file chooser to be shown with `open()`; Qt's own, because a native one may block the loop."""
    dialog = QFileDialog(parent, title)
    dialog.setOption(QFileDialog.Option.DontUseNativeDialog)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    if folder:
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
    elif save_as:
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.selectFile(save_as)
    else:
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
    if filters:
        dialog.setNameFilter(filters)
    return dialog
