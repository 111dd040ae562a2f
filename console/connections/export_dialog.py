"""Which connections are handed out as a file, and where to."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import QFileDialog, QWidget

from console.connections.view_model import ConnectionsViewModel
from console.widgets.data_table import DataTable
from console.widgets.dialog import ConsoleDialog
from console.widgets.entry_fields import file_dialog
from console.widgets.label import Text
from console.widgets.table_model import Cell, Column, Row

COLUMNS = [
    Column("chosen", "", width=36, kind="check", sortable=False),
    Column("name", "Name", width=180, fit=240, kind="name"),
    Column("broker", "Broker", stretch=1, kind="mono"),
]


class ExportDialog(ConsoleDialog):
    """All are chosen at first, or the one that was selected; `chosen` is its id."""

    def __init__(self, parent: QWidget, view_model: ConnectionsViewModel, *, chosen: str = "") -> None:
        super().__init__(parent, "Export connections", width=560)
        self._view_model = view_model
        self._files: QFileDialog | None = None
        self._own = [one for one in view_model.connections if not one.is_local_stack]
        ids = {one.id for one in self._own}
        self._chosen = {chosen} if chosen in ids else ids
        self._table = DataTable("Connections to export", COLUMNS, ground="raised")
        self._table.setFixedHeight(min(260, 30 + 28 * max(2, len(self._own))))
        self._table.check_toggled.connect(self._toggle)
        self.body.addWidget(self._table)
        self.body.addWidget(
            Text(
                "No password and no passphrase is in the file. Whoever imports it is asked for them when they"
                " connect.",
                role="label",
                tone="muted",
                wrap=True,
            )
        )
        self._all = self.add_button("Choose all")
        self._all.clicked.connect(self._choose_all)
        self._go = self.add_button("Export…", kind="primary", role="accept")
        self._show()

    def _toggle(self, key: str, wanted: bool) -> None:
        self._chosen = self._chosen | {key} if wanted else self._chosen - {key}
        self._show()

    def _choose_all(self) -> None:
        ids = {one.id for one in self._own}
        self._chosen = set() if self._chosen == ids else ids
        self._show()

    def _show(self) -> None:
        self._table.set_rows(
            [
                Row(
                    one.id,
                    {
                        "chosen": Cell(
                            "Chosen" if one.id in self._chosen else "Not chosen",
                            checked=one.id in self._chosen,
                        ),
                        "name": Cell(one.name),
                        "broker": Cell(one.broker.shown if one.broker is not None else "–"),
                    },
                )
                for one in self._own
            ]
        )
        self._all.set_text("Choose none" if len(self._chosen) == len(self._own) else "Choose all")
        self._go.setEnabled(bool(self._chosen))
        self._go.setToolTip("" if self._chosen else "Choose at least one connection")

    def accept(self) -> None:
        """Ask where to, and end when that was said."""
        dialog = file_dialog(self, "Export connections", save_as="connections.json")
        dialog.setDefaultSuffix("json")
        dialog.fileSelected.connect(self.export_to)
        self._files = dialog
        dialog.open()

    def export_to(self, path: str) -> None:
        """Write what is chosen."""
        self._view_model.exchange.export(self._chosen, Path(path))
        super().accept()
