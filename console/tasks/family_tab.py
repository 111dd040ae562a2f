"""The tab `Family`: who called whom, as a tree with states and times; each row leads to its task."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QRect, Qt, Signal
from PySide6.QtGui import QMouseEvent, QPainter
from PySide6.QtWidgets import QApplication, QHeaderView, QStyleOptionViewItem, QVBoxLayout, QWidget

from console.history.model import TaskRow
from console.tasks.family_model import (
    ID,
    ROW_ROLE,
    RUNTIME,
    STATE,
    TASK,
    FamilyModel,
    Index,
    cell_text,
    missing_words,
    summary_words,
)
from console.tasks.model import TaskStory
from console.widgets.branch_tree import BranchDelegate, BranchTree
from console.widgets.empty_state import EmptyState
from console.widgets.icons import draw_icon
from console.widgets.label import Text
from console.widgets.paint import draw_text, text_width
from console.widgets.states import state_look
from console.widgets.text import UNKNOWN, middle_elide_id
from console.widgets.theme import theme
from console.widgets.zone import local_zone

ROW_HEIGHT = 28
WIDTHS = {STATE: 92, RUNTIME: 58, ID: 88}
HOW_TO_READ = "Below a task stand those that it called: a chain goes down, a group stands side by side."


class _FamilyDelegate(BranchDelegate):
    def __init__(self, model: FamilyModel) -> None:
        super().__init__(ROW_HEIGHT)
        self._model = model

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        row: TaskRow = index.data(ROW_ROLE)
        rect: QRect = option.rect
        text = cell_text(row, index.column())
        look = state_look(row.state.value)
        match index.column():
            case 0:
                role = "strong" if row.id == self._model.this_id else "name"
                words = theme().metrics(role).elidedText(text, Qt.TextElideMode.ElideMiddle, rect.width() - 4)
                self._word(painter, words, role, "text", rect.x(), rect)
            case 1:
                ink = theme().color(look.color)
                draw_icon(painter, look.icon, ink, x=rect.x() + 3, y=rect.y() + 7, size=14)
                self._word(painter, text, "name", look.color, rect.x() + 21, rect)
            case 2:
                tone = "muted" if text == UNKNOWN else "text"
                self._word(painter, text, "body", tone, rect.right() - 5 - text_width("body", text), rect)
            case _:
                this = row.id == self._model.this_id
                tone = "text" if this else "link"
                self._word(painter, middle_elide_id(text), "mono-small", tone, rect.x() + 4, rect)

    def _word(self, painter: QPainter, text: str, role: str, tone: str, x: float, rect: QRect) -> None:
        ink = theme().color(tone)
        draw_text(painter, text, role=role, color=ink, x=x, top=rect.y(), height=rect.height())


class _FamilyTree(BranchTree):
    """A press on an id, Return or a double click leads to the task."""

    task_chosen = Signal(str)

    def __init__(self, model: FamilyModel) -> None:
        super().__init__("Family", _FamilyDelegate(model))
        self._family = model
        self.setModel(model)
        self.show_head()
        head = self.header()
        head.setSectionResizeMode(TASK, QHeaderView.ResizeMode.Stretch)
        for column, width in WIDTHS.items():
            head.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            head.resizeSection(column, width)
        self.activated_index.connect(self._on_chosen)

    def _on_chosen(self, index: QModelIndex) -> None:
        row = self._family.row_at(index)
        if row is not None and row.id != self._family.this_id:
            self.task_chosen.emit(row.id)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        index = self.indexAt(event.position().toPoint())
        if event.button() == Qt.MouseButton.LeftButton and index.column() == ID:
            self._on_chosen(index)

    def copy_current(self) -> None:
        """Copy the id of the current row."""
        row = self._family.row_at(self.currentIndex())
        if row is not None:
            QApplication.clipboard().setText(row.id)


class FamilyTab(QWidget):
    """`task_chosen`: a person wants to see this relative."""

    task_chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = FamilyModel(local_zone(), self)
        self._tree = _FamilyTree(self._model)
        self._summary = Text(role="label", tone="text2", wrap=True)
        self._missing = Text(role="label", tone="muted", wrap=True)
        self._how = Text(HOW_TO_READ, role="label", tone="muted", wrap=True)
        self._alone = EmptyState(
            "list-checks", "No relatives", "No task called this one, and it called none."
        )
        self._content = QWidget()
        layout = QVBoxLayout(self._content)
        layout.setContentsMargins(0, 0, 0, 10)
        layout.setSpacing(0)
        layout.addWidget(_inset(self._summary, top=10, bottom=8))
        layout.addWidget(self._tree, 1)
        layout.addWidget(_inset(self._missing, top=8))
        layout.addWidget(_inset(self._how, top=8))
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._content)
        outer.addWidget(self._alone)
        self._tree.task_chosen.connect(self.task_chosen)
        self._tree.copy_wanted.connect(self._tree.copy_current)

    @property
    def tree(self) -> BranchTree:
        """The tree, for the focus and for tests."""
        return self._tree

    def show_story(self, story: TaskStory) -> None:
        """Replace what is shown; what is open stays while the family has the same members."""
        detail, family = story.detail, story.family
        missing = missing_words(detail, family)
        alone = len(family) <= 1 and not missing
        self._content.setVisible(not alone)
        self._alone.setVisible(alone)
        self._summary.set_text(summary_words(family))
        self._missing.set_text(missing)
        self._missing.setVisible(bool(missing))
        self._how.setVisible(len(family) > 1)
        if self._model.show_family(family, detail.row.id):
            self._tree.expandAll()
            this = self._model.index_of_task(detail.row.id)
            self._tree.setCurrentIndex(this)
            self._tree.scrollTo(this)


def _inset(widget: QWidget, *, top: int = 0, bottom: int = 0) -> QWidget:
    holder = QWidget()
    layout = QVBoxLayout(holder)
    layout.setContentsMargins(12, top, 12, bottom)
    layout.addWidget(widget)
    return holder
