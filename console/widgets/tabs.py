"""Tabs of a detail panel: words on a hairline, the chosen one underlined in the link colour."""

from collections.abc import Collection, Sequence

from PySide6.QtCore import QRectF, QSize, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QTabBar, QWidget

from console.widgets.paint import draw_box, draw_text, text_width
from console.widgets.style import ask_for_ring
from console.widgets.theme import repaint_on_change, theme
from console.widgets.tokens import TAB_HEIGHT


class TabBar(QTabBar):
    """34 px high. `changed` carries the words of the new tab, also when it was chosen by program."""

    changed = Signal(str)

    def __init__(
        self, tabs: Sequence[str], *, name: str, gap: int = 8, indent: int = 6, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._gap = gap
        self._indent = indent
        self._marked: frozenset[str] = frozenset()
        self.setAccessibleName(name)
        self.setExpanding(False)
        self.setDrawBase(False)
        self.setUsesScrollButtons(True)
        self.setFixedHeight(TAB_HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        for tab in tabs:
            self.addTab(tab)
        self.currentChanged.connect(self._on_changed)
        ask_for_ring(self, "none")
        repaint_on_change(self)

    def current(self) -> str:
        """The words of the chosen tab."""
        return self.tabText(self.currentIndex())

    def set_current(self, tab: str) -> None:
        """Choose a tab by its words; unknown words do nothing."""
        for index in range(self.count()):
            if self.tabText(index) == tab:
                self.setCurrentIndex(index)

    def set_marked(self, tabs: Collection[str]) -> None:
        """Put a red dot on the tabs on which something is wrong."""
        if self._marked != frozenset(tabs):
            self._marked = frozenset(tabs)
            for index in range(self.count()):
                wrong = self.tabText(index) in self._marked
                self.setAccessibleTabName(index, f"{self.tabText(index)}, needs attention" if wrong else "")
                self.setTabToolTip(index, "Something here is not right yet" if wrong else "")
            self.update()

    def _on_changed(self, index: int) -> None:
        self.changed.emit(self.tabText(index))

    def _outer(self, index: int) -> float:
        return self._indent if index == 0 else self._gap / 2

    def tabSizeHint(self, index: int) -> QSize:
        after = self._gap / 2 if index < self.count() - 1 else 0
        width = text_width("label-name", self.tabText(index)) + self._outer(index) + after
        return QSize(round(width), TAB_HEIGHT)

    def minimumTabSizeHint(self, index: int) -> QSize:
        return self.tabSizeHint(index)

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme()
        painter = QPainter(self)
        painter.fillRect(0, self.height() - 1, self.width(), 1, look.color("border"))
        for index in range(self.count()):
            rect = self.tabRect(index)
            chosen = index == self.currentIndex()
            role = "header" if chosen else "label-name"
            ink = look.color("text" if chosen else "muted")
            width = text_width("label-name", self.tabText(index))
            x = rect.x() + self._outer(index)
            at = round(x + (width - text_width(role, self.tabText(index))) / 2)
            draw_text(painter, self.tabText(index), role=role, color=ink, x=at, top=0, height=TAB_HEIGHT)
            if self.tabText(index) in self._marked:
                dot = QRectF(round(x + width) + 2, TAB_HEIGHT / 2 - 7, 5, 5)
                draw_box(painter, dot, fill=look.color("error"), radius=2.5)
            if chosen:
                painter.fillRect(QRectF(round(x), TAB_HEIGHT - 2, round(width), 2), look.color("link"))
                if self.hasFocus():
                    painter.fillRect(QRectF(round(x), TAB_HEIGHT - 4, round(width), 2), look.color("focus"))
        painter.end()
