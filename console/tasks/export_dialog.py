"""What of the tasks goes into a file, in which form, and where to."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import QButtonGroup, QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from console.tasks.export import ALL_COLUMNS, Format
from console.tasks.view_model import TasksViewModel
from console.widgets.dialog import ConsoleDialog
from console.widgets.entry_fields import file_dialog
from console.widgets.fields import RadioButton
from console.widgets.label import Text
from console.widgets.text import number_text


class ExportDialog(ConsoleDialog):
    """Asks, then opens the chooser of files; the view model does the rest."""

    def __init__(self, parent: QWidget, model: TasksViewModel) -> None:
        super().__init__(parent, "Export tasks", width=460)
        self._model = model
        self._files: QFileDialog | None = None
        self._groups: list[QButtonGroup] = []
        now, chosen = model.snapshot, model.selection
        complete = now.counts is None or now.counts.complete
        found = f"{number_text(now.found)}{'' if complete else '+'}"
        one = "The task that matches" if now.narrowed else "The only task"
        all_words = f"All {found} that match" if now.narrowed else f"All {found} tasks"
        self._matching = RadioButton(one if found == "1" else all_words)
        self._selected = RadioButton(
            "The selected task" if chosen.size == 1 else f"The {number_text(chosen.size)} selected"
        )
        self._csv = RadioButton("CSV, for spreadsheets")
        self._json = RadioButton("JSON, for programs")
        self._shown = RadioButton("The columns that are shown")
        self._all = RadioButton(f"All {len(ALL_COLUMNS)} columns, with arguments and tracebacks")
        self._ask("Tasks", self._matching, self._selected)
        self._ask("Form", self._csv, self._json)
        self._ask("Columns", self._shown, self._all)
        several = chosen.many and chosen.all_of is None
        self._selected.setVisible(bool(chosen.ids) and chosen.all_of is None)
        (self._selected if several else self._matching).setChecked(True)
        self.set_footer_note("It may hold personal data")
        go = self.add_button("Export…", kind="primary", role="accept")
        self.set_first_focus(go)

    def _ask(self, title: str, *choices: RadioButton) -> None:
        group = QButtonGroup(self)
        self._groups.append(group)
        words = Text(title, role="label-name", tone="text2")
        words.setFixedWidth(72)
        column = QVBoxLayout()
        column.setSpacing(2)
        for choice in choices:
            group.addButton(choice)
            choice.setAccessibleName(f"{title}: {choice.text()}")
            column.addWidget(choice)
        choices[0].setChecked(True)
        line = QHBoxLayout()
        line.addWidget(words)
        line.addLayout(column, 1)
        self.body.addLayout(line)

    def accept(self) -> None:
        """Ask where to, and end when that was said."""
        form = Format.CSV if self._csv.isChecked() else Format.JSON
        dialog = file_dialog(self, "Export tasks", save_as=f"tasks.{form.value}")
        dialog.setDefaultSuffix(form.value)
        dialog.fileSelected.connect(self.export_to)
        self._files = dialog
        dialog.open()

    def export_to(self, path: str) -> None:
        """Write what was asked for."""
        self._model.export(
            Path(path),
            Format.CSV if self._csv.isChecked() else Format.JSON,
            selected=self._selected.isChecked(),
            all_columns=self._all.isChecked(),
        )
        super().accept()
