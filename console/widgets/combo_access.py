"""What assistive technology sees of a combo box: its own name, its choice as description, its list.

Qt on Linux gives a combo box its present choice as its name (`QAccessibleComboBox::text`), so nobody could
find it by the words on the screen; and selecting an item of its list chooses nothing. Both are mended here.
"""

from __future__ import annotations

from PySide6.QtCore import QItemSelection, QModelIndex, QObject, QTimer
from PySide6.QtGui import QAccessible, QAccessibleInterface
from PySide6.QtWidgets import QAccessibleWidget, QComboBox

_PRESS = "Press"
_SHOW_MENU = "ShowMenu"
_made: list[str] = []


class _ComboAccess(QAccessibleWidget):
    """The child is the list of the choices, as in Qt's own."""

    def __init__(self, combo: QComboBox) -> None:
        super().__init__(combo, QAccessible.Role.ComboBox, combo.accessibleName())

    def _combo(self) -> QComboBox | None:
        found = self.object()
        return found if isinstance(found, QComboBox) else None

    def text(self, kind: QAccessible.Text) -> str:
        combo = self._combo()
        if combo is None:
            return ""
        if kind == QAccessible.Text.Name:
            return combo.accessibleName()
        if kind == QAccessible.Text.Value:
            return combo.currentText()
        if kind == QAccessible.Text.Description:
            said = combo.accessibleDescription() or combo.toolTip()
            return ". ".join(part for part in (combo.currentText(), said) if part)
        return str(super().text(kind))

    def childCount(self) -> int:
        combo = self._combo()
        return 1 if combo is not None and combo.isVisible() else 0

    def child(self, index: int) -> QAccessibleInterface | None:  # type: ignore[override] # None is "no such"
        combo = self._combo()
        if combo is None or index != 0 or not combo.isVisible():
            return None
        return QAccessible.queryAccessibleInterface(combo.view())

    def indexOfChild(self, child: QAccessibleInterface) -> int:
        combo = self._combo()
        return 0 if combo is not None and child.object() is combo.view() else -1

    def actionNames(self) -> list[str]:
        combo = self._combo()
        return [_PRESS, _SHOW_MENU] if combo is not None and combo.isEnabled() else []

    def doAction(self, name: str) -> None:
        combo = self._combo()
        if combo is None or not combo.isEnabled() or name not in (_PRESS, _SHOW_MENU):
            return
        if combo.view().isVisible():
            combo.hidePopup()
        else:
            combo.showPopup()


def _factory(class_name: str, made_for: QObject | None) -> QAccessibleInterface | None:
    if class_name in _made and isinstance(made_for, QComboBox):
        return _ComboAccess(made_for)
    return None


def give_names_to(class_name: str) -> None:
    """From now on combo boxes of this class are told of as above. Before the first is made."""
    if not _made:
        QAccessible.installFactory(_factory)
    _made.append(class_name)


class ChosenByList(QObject):
    """Chooses what assistive technology selects in the list of `combo`, open or closed.

    Mouse and keyboard move what is current in the list, which selects it as well; assistive technology only
    selects, so a selection that nothing current follows is a choice.
    """

    def __init__(self, combo: QComboBox) -> None:
        super().__init__(combo)
        self._combo = combo
        self._wanted = -1
        self._timer = QTimer(self, singleShot=True, interval=0)
        self._timer.timeout.connect(self._choose)
        selection = combo.view().selectionModel()
        selection.selectionChanged.connect(self._on_selection)
        selection.currentChanged.connect(self._on_current)

    def _on_selection(self, selected: QItemSelection, _before: QItemSelection) -> None:
        rows = [index.row() for index in selected.indexes()]
        if rows and rows[0] != self._combo.currentIndex():
            self._wanted = rows[0]
            self._timer.start()

    def _on_current(self, _now: QModelIndex, _before: QModelIndex) -> None:
        self._timer.stop()

    def _choose(self) -> None:
        combo, row = self._combo, self._wanted
        combo.hidePopup()
        combo.view().selectionModel().clearSelection()
        if combo.isEnabled() and 0 <= row < combo.count():
            combo.setCurrentIndex(row)
            combo.activated.emit(row)
