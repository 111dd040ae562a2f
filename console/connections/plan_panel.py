"""What importing a file of connections would do, with a check box for each that would change."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from console.connections.sharing import ImportEntry, ImportKind, ImportPlan
from console.widgets.data_table import DataTable
from console.widgets.label import Text
from console.widgets.table_model import Cell, Column, Row

COLUMNS = [
    Column("chosen", "", width=36, kind="check", sortable=False),
    Column("name", "Name", width=150, fit=200, kind="name"),
    Column("kind", "What happens", width=120, kind="badge"),
    Column("details", "Details", stretch=1),
]
_TONES = {
    ImportKind.NEW: "ok",
    ImportKind.SAME: "neutral",
    ImportKind.CHANGED: "warning",
    ImportKind.NAME_TAKEN: "warning",
}


class PlanPanel(QWidget):
    """`changed`: other ones were chosen."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._plan = ImportPlan(())
        self._chosen: set[str] = set()
        self._table = DataTable("Connections to import", COLUMNS, ground="raised")
        self._table.setFixedHeight(200)
        self._table.check_toggled.connect(self._toggle)
        self._errors = Text(role="label", tone="error", wrap=True)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(self._table)
        column.addWidget(self._errors)

    @property
    def chosen(self) -> ImportPlan:
        """The plan for what is chosen."""
        return self._plan.only(self._chosen)

    def show_plan(self, plan: ImportPlan) -> None:
        self._plan = plan
        self._chosen = {one.connection.id for one in plan.changes}
        self._errors.set_text("\n".join(f"{one.title}. {one.detail}" for one in plan.errors))
        self._errors.setVisible(bool(plan.errors))
        self._show()

    def _toggle(self, key: str, wanted: bool) -> None:
        if any(one.connection.id == key for one in self._plan.changes):
            self._chosen = self._chosen | {key} if wanted else self._chosen - {key}
            self._show()

    def _show(self) -> None:
        changes = {one.connection.id for one in self._plan.changes}
        self._table.set_rows([self._row(one, one.connection.id in changes) for one in self._plan.entries])
        self.changed.emit()

    def _row(self, entry: ImportEntry, can_change: bool) -> Row:
        connection = entry.connection
        details = connection.broker.shown if connection.broker is not None else ""
        if entry.kind is ImportKind.CHANGED:
            details = ", ".join(entry.changed)
        elif entry.kind is ImportKind.NAME_TAKEN:
            details = f"as {connection.name}"
        chosen = connection.id in self._chosen
        return Row(
            connection.id,
            {
                "chosen": Cell("Chosen" if chosen else "Not chosen", checked=chosen, muted=not can_change),
                "name": Cell(connection.name),
                "kind": Cell(entry.kind.value, tone=_TONES[entry.kind]),
                "details": Cell(details, muted=True),
            },
        )
