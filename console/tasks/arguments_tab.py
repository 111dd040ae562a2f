"""The tab `Arguments`: positional and keyword arguments as trees, each with how exact it is."""

from __future__ import annotations

from PySide6.QtWidgets import QApplication, QHBoxLayout, QVBoxLayout, QWidget

from console.history.model import TaskDetail
from console.tasks.arguments_exactness import Exactness, Judgement, judge
from console.widgets.badge import Badge, Tone
from console.widgets.button import IconButton
from console.widgets.json_tree import JsonTree
from console.widgets.json_tree_text import Flavour
from console.widgets.label import Text

TONES: dict[Exactness, Tone] = {
    Exactness.EXACT: "ok",
    Exactness.TYPED: "info",
    Exactness.DISPLAY: "warning",
}


class ArgumentsTab(QWidget):
    """Shows what the events of a task tell of its arguments."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._positional = ValueSection("Positional", "Positional arguments")
        self._keyword = ValueSection("Keyword", "Keyword arguments")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 10, 12, 12)
        layout.setSpacing(14)
        layout.addWidget(self._positional)
        layout.addWidget(self._keyword)
        layout.addStretch(1)

    def show_detail(self, detail: TaskDetail) -> None:
        """Replace what is shown."""
        self._positional.show_event_text(
            detail.args, empty=("()", "[]"), none="There are no positional arguments."
        )
        self._keyword.show_event_text(detail.kwargs, empty=("{}",), none="There are no keyword arguments.")


class ValueSection(QWidget):
    """A value with a title, a badge for how exact it is, and the sentence why."""

    def __init__(self, title: str, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._judged: str | None = None
        self._badge = Badge("")
        self._copy = IconButton("copy", name=f"Copy {name.lower()}", size=20, icon_size=12)
        self._tree = JsonTree(name)
        self._words = Text(role="label", tone="muted", wrap=True)
        self._reason = Text(role="label", tone="muted", wrap=True)
        head = QHBoxLayout()
        head.setSpacing(6)
        head.addWidget(Text(title, role="header", tone="text2"))
        head.addWidget(self._badge)
        head.addStretch(1)
        head.addWidget(self._copy)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addLayout(head)
        layout.addWidget(self._words)
        layout.addWidget(self._tree, 1)
        layout.addWidget(self._reason)
        self._copy.clicked.connect(lambda: QApplication.clipboard().setText(self._tree.text()))

    @property
    def tree(self) -> JsonTree:
        """The tree of the value."""
        return self._tree

    def show_event_text(self, text: str | None, *, empty: tuple[str, ...] = (), none: str = "") -> None:
        """Show a text of an event; None where no event told one, `none` for those of `empty`."""
        if text is None:
            self.show_words("No event told it.")
        elif text in empty:
            self.show_words(none)
        elif text != self._judged:
            self._judged = text
            self._show(text, judge(text), Flavour.PYTHON)

    def show_json(self, text: str, judgement: Judgement) -> None:
        """Show JSON of a result backend."""
        self._judged = None
        self._show(text, judgement, Flavour.JSON)

    def show_words(self, words: str) -> None:
        """There is no value; say why."""
        self._judged = None
        self._words.set_text(words)
        self._set_visible(has_value=False)

    def _show(self, text: str, judgement: Judgement, flavour: Flavour) -> None:
        self._badge.set(judgement.exactness.value, tone=TONES[judgement.exactness])
        self._badge.setToolTip(judgement.reason)
        self._reason.set_text(judgement.reason)
        self._tree.set_text(text, flavour)
        self._set_visible(has_value=True)
        self._reason.setVisible(bool(judgement.reason))

    def _set_visible(self, *, has_value: bool) -> None:
        for widget in (self._badge, self._copy, self._tree, self._reason):
            widget.setVisible(has_value)
        self._words.setVisible(not has_value)
