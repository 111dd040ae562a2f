"""A traceback to read: the error on top, own code tinted, frames of libraries folded."""

from collections.abc import Sequence

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QLabel, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from console.widgets.icons import draw_icon
from console.widgets.label import Divider, Text
from console.widgets.paint import draw_text, text_width
from console.widgets.pressing import PlainButton
from console.widgets.theme import repaint_on_change, theme
from console.widgets.traceback_text import (
    Frame,
    FrameGroup,
    code_pieces,
    group_frames,
    parse_traceback,
)

_FRAME_HEIGHT = 45
_INKS = {
    "keyword": "st_lost",
    "string": "st_succeeded",
    "number": "st_received",
    "decorator": "st_rejected",
    "call": "link",
    "comment": "muted",
}


class _FoldButton(PlainButton):
    """ "4 frames in celery" with a chevron; pressed, it shows them."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.setText(title)
        self.setAccessibleName(title)
        self.setCheckable(True)
        self.setFixedHeight(24)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        repaint_on_change(self)

    def sizeHint(self) -> QSize:
        return QSize(120, 24)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        if self.hasFocus() or self.underMouse():
            painter.fillRect(self.rect(), theme().color("hover"))
        ink = theme().color("muted")
        draw_icon(painter, "chevron-down" if self.isChecked() else "chevron-right", ink, x=12, y=6, size=12)
        draw_text(painter, self.text(), role="label", color=ink, x=30, top=0, height=24)
        painter.end()


class _FrameRow(QLabel):
    """One frame: function and place on the first line, source on the second."""

    def __init__(self, frame: Frame) -> None:
        super().__init__()
        self._frame = frame
        self._pieces = code_pieces(frame.code)
        self.setFixedHeight(_FRAME_HEIGHT)
        self.setAccessibleName(f"{frame.function}, {frame.path}, line {frame.line}: {frame.code}")
        self.setToolTip(f"{frame.path}:{frame.line}")
        repaint_on_change(self)

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme()
        painter = QPainter(self)
        if self._frame.own:
            painter.fillRect(self.rect(), look.color("own_code"))
            painter.fillRect(QRectF(0, 0, 3, self.height()), look.color("link"))
        line = f":{self._frame.line}"
        x = self.width() - 12 - text_width("mono-small", line)
        draw_text(painter, line, role="mono-small", color=look.color("st_received"), x=x, top=4, height=18)
        x -= text_width("mono-small", self._frame.file)
        draw_text(
            painter, self._frame.file, role="mono-small", color=look.color("muted"), x=x, top=4, height=18
        )
        room = x - 24
        name = look.metrics("header").elidedText(self._frame.function, Qt.TextElideMode.ElideRight, room)
        draw_text(painter, name, role="header", color=look.color("text"), x=12, top=4, height=18)
        self._draw_code(painter)
        painter.end()

    def _draw_code(self, painter: QPainter) -> None:
        """The line of source in the colours of its pieces, cut where the row ends."""
        look = theme()
        x, right = 12.0, self.width() - 12.0
        for text, kind in self._pieces:
            fits = look.metrics("mono-small").elidedText(text, Qt.TextElideMode.ElideRight, right - x)
            ink = look.color(_INKS.get(kind, "text2"))
            x += draw_text(painter, fits, role="mono-small", color=ink, x=x, top=22, height=17)
            if fits != text:
                return


class TracebackView(QScrollArea):
    """Shows one traceback at a time. `own_paths` are pieces of paths that mark the person's own code.

    `note` stands below the error and stays from one traceback to the next.
    """

    def __init__(
        self, name: str = "Traceback", *, note: QWidget | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._text = ""
        self._note = note
        self.setAccessibleName(name)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._fill(QWidget())

    def text(self) -> str:
        """The text as it was given."""
        return self._text

    def set_traceback(self, text: str, *, own_paths: Sequence[str] = ()) -> None:
        """Show a traceback; a text that is none is shown as it is."""
        if text == self._text:
            return
        self._text = text
        parsed = parse_traceback(text, own_paths=own_paths)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 10, 0, 10)
        layout.setSpacing(0)
        head = QVBoxLayout()
        head.setContentsMargins(12, 0, 12, 10)
        head.setSpacing(4)
        if parsed.error:
            head.addWidget(Text(parsed.error, role="strong", tone="error", selectable=True))
        if parsed.message:
            head.addWidget(Text(parsed.message[:4000], role="mono", wrap=True, selectable=True))
        for cause in reversed(parsed.causes):
            head.addWidget(
                Text(f"after {cause[:500]}", role="label", tone="muted", wrap=True, selectable=True)
            )
        if self._note is not None:
            head.addWidget(self._note)
        layout.addLayout(head)
        if parsed.frames:
            layout.addWidget(Divider(color="hairline"))
            layout.addSpacing(4)
        for group in group_frames(parsed.frames):
            _add_group(layout, group)
        layout.addStretch(1)
        self._fill(content)

    def _fill(self, content: QWidget) -> None:
        content.setObjectName("tracebackContent")
        self.setWidget(content)
        # Qt has just given the content a ground of its own; it shall show the panel's.
        content.setAutoFillBackground(False)
        self.viewport().setAutoFillBackground(False)


def _add_group(layout: QVBoxLayout, group: FrameGroup) -> None:
    if not group.folded:
        for frame in group.frames:
            layout.addWidget(_FrameRow(frame))
        return
    button = _FoldButton(group.title)
    layout.addWidget(button)
    holder = QWidget()
    inner = QVBoxLayout(holder)
    inner.setContentsMargins(0, 0, 0, 0)
    inner.setSpacing(0)
    holder.hide()
    layout.addWidget(holder)

    def unfold(shown: bool) -> None:
        if inner.isEmpty():
            for frame in group.frames:
                inner.addWidget(_FrameRow(frame))
        holder.setVisible(shown)

    button.toggled.connect(unfold)
