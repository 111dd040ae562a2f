"""The Tasks page: search, chips per state, the live table and the story of one task."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from functools import partial

from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from console.core.commands import Command
from console.history.model import TaskDetail, TaskRow, TaskState
from console.tasks.cells import Wording, table_columns, task_row
from console.tasks.columns import USUAL_PANEL_PX
from console.tasks.columns_dialog import open_head_menu
from console.tasks.detail_panel import DetailPanel
from console.tasks.export_dialog import ExportDialog
from console.tasks.groups_table import ErrorsTable
from console.tasks.model import SendRequest, TasksSnapshot
from console.tasks.page_notes import PageNotes
from console.tasks.row_menu import open_row_menu
from console.tasks.search_box import TaskSearch
from console.tasks.selection_bar import SelectionBar
from console.tasks.send_dialog import SendDialog
from console.tasks.view_model import TasksViewModel
from console.tasks.views_menu import SaveViewDialog, open_columns_dialog, open_views_menu
from console.widgets.button import Button, Chip, IconButton
from console.widgets.data_table import DataTable
from console.widgets.empty_state import EmptyState
from console.widgets.flow import FlowLayout
from console.widgets.label import Dot, Text
from console.widgets.page import Page
from console.widgets.panel import PageHeader
from console.widgets.side_split import SideSplit
from console.widgets.states import state_look
from console.widgets.table_model import Row
from console.widgets.table_page import TableStack
from console.widgets.text import ambiguous_task_names
from console.widgets.tokens import CHIP_HEIGHT
from console.widgets.zone import local_zone

ROOM_FOR_BOTH_PX = 900
LEAST_LIST_PX = 320
MARGIN_PX = 12
CHIP_GAP_PX = 6
TIGHT_GAP_PX = 4
NEW_AT_MOST = 1000  # as far as the history counts them


class TasksPage(Page):
    noun = "tasks"
    title = "Tasks"
    icon_name = "list-checks"

    def __init__(
        self,
        view_model: TasksViewModel,
        parent: QWidget | None = None,
        *,
        navigate: Callable[[str, str], None] = lambda _noun, _query: None,
    ) -> None:
        super().__init__(parent)
        self._model = view_model
        self._navigate = navigate
        self._search = TaskSearch(view_model)
        self._resend = Button("Resend…", icon="redo-2", kind="primary")
        self._revoke = Button("Revoke…")
        self._terminate = Button("Terminate…")
        self._export = Button("Export…")
        self._send = Button("Send task…")
        self._chips = {
            state: Chip(
                state.value,
                icon=state_look(state.value).icon,
                tone=state_look(state.value).color,
                count=None,
            )
            for state in TaskState
        }
        self._states = FlowLayout(gap=CHIP_GAP_PX)
        self._grouping = Chip("By error")
        self._grouping.setToolTip("Show the errors of what matches, each kind once")
        self._live_dot = Dot("st_succeeded")
        self._live = Text("Live", role="label", tone="st_succeeded")
        self._notes = PageNotes(view_model)
        self._bar = SelectionBar()
        self._table = DataTable("Tasks", table_columns(view_model.layout.columns), multi=True)
        self._stack = TableStack(self._table)
        self._errors = ErrorsTable()
        self._lists = QStackedWidget()
        self._nothing = EmptyState(
            "list-checks", "No tasks yet", "A task appears here as soon as it is sent or a worker takes it."
        )
        self._no_match = EmptyState(
            "search", "No tasks match", "No task in the history fits this search.", action="Clear search"
        )
        self._away = EmptyState(
            "plug", "Not connected", "Connect to a broker to see its tasks.", action="Connect"
        )
        self._detail = DetailPanel()
        self._lists.setMinimumWidth(LEAST_LIST_PX)
        self._split = SideSplit(
            self._lists, self._detail, name="Width of the task panel", usual=USUAL_PANEL_PX
        )
        self._panel = IconButton("panel-right", name="Task panel", bordered=True)
        self._panel.setCheckable(True)
        self._shown: dict[str, tuple[TaskRow, TaskDetail | None, Row]] = {}
        self._wording = Wording(frozenset(), local_workers=True, zone=local_zone(), today=date.min)
        self._filled_from: tuple[object, ...] | None = None
        self._pending_selection: str | None = None
        self._dialog: SendDialog | None = None
        self._lay_out()
        self._connect()
        self._show_layout()
        self._show()
        self._show_story()

    def _lay_out(self) -> None:
        header = PageHeader("Tasks")
        header.add_left(self._search, stretch=1)
        for button in (self._resend, self._revoke, self._terminate, self._export, self._send, self._panel):
            header.add_action(button)
        for chip in self._chips.values():
            self._states.addWidget(chip)
        self._beside = self._beside_chips()
        chips = QHBoxLayout()
        chips.setSpacing(CHIP_GAP_PX)
        chips.addLayout(self._states, 1)
        chips.addWidget(self._beside, 0, Qt.AlignmentFlag.AlignTop)
        tasks = QWidget()
        list_layout = QVBoxLayout(tasks)
        list_layout.setContentsMargins(0, 0, 0, 0)
        list_layout.setSpacing(8)
        list_layout.addWidget(self._bar)
        list_layout.addWidget(self._stack, 1)
        self._lists.addWidget(tasks)
        self._lists.addWidget(self._errors)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(MARGIN_PX, MARGIN_PX, MARGIN_PX, MARGIN_PX)
        layout.setSpacing(12)
        layout.addWidget(header)
        layout.addLayout(chips)
        layout.addWidget(self._notes)
        layout.addWidget(self._split, 1)

    def _beside_chips(self) -> QWidget:
        """What stays in the first line when the chips take two."""
        group = QWidget()
        group.setFixedHeight(CHIP_HEIGHT)
        line = QHBoxLayout(group)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(6)
        line.addWidget(self._grouping)
        line.addSpacing(6)
        line.addWidget(self._live_dot)
        line.addWidget(self._live)
        return group

    def _connect(self) -> None:
        model, table = self._model, self._table
        self._search.views.clicked.connect(self._open_views)
        for state, chip in self._chips.items():
            chip.clicked.connect(partial(self._on_chip, state))
        self._grouping.clicked.connect(lambda: model.group(self._grouping.isChecked()))
        self._panel.clicked.connect(lambda: model.show_panel(self._panel.isChecked()))
        self._split.side_resized.connect(model.set_panel_width)
        self._resend.clicked.connect(self.resend)
        self._revoke.clicked.connect(model.revoke)
        self._terminate.clicked.connect(model.terminate)
        self._export.clicked.connect(self.export)
        self._send.clicked.connect(self.send_task)
        self._away.action_clicked.connect(self.connect_wanted)
        self._no_match.action_clicked.connect(lambda: self.open_query(""))
        self._bar.all_wanted.connect(model.select_all_matching)
        self._bar.none_wanted.connect(table.clearSelection)
        self._errors.group_opened.connect(model.open_group)
        table.selection_changed.connect(self._on_selected)
        table.sort_requested.connect(self._on_sort)
        table.reached_end.connect(model.more)
        table.reached_start.connect(model.before)
        table.pending_clicked.connect(self._to_newest)
        table.header_menu_requested.connect(self._open_head_menu)
        table.context_requested.connect(partial(open_row_menu, table, model))
        table.widths_changed.connect(lambda: model.set_widths(table.widths()))
        table.verticalScrollBar().valueChanged.connect(
            lambda _value: model.set_at_top(not table.is_scrolled_down())
        )
        self._detail.same_error_wanted.connect(model.find_same_error)
        self._detail.task_chosen.connect(self._select)
        self._detail.navigate_wanted.connect(self._navigate)
        self._detail.result_wanted.connect(model.read_result)
        model.result_read.connect(self._detail.show_result)
        model.changed.connect(self._show)
        model.story_changed.connect(self._show_story)
        model.selection_changed.connect(self._show_selection)
        model.layout_changed.connect(self._show_layout)
        model.export_changed.connect(self._show_export)
        model.act_changed.connect(self._show_act)
        model.select_wanted.connect(self._select)
        model.query_wanted.connect(self.open_query)

    # The page's contract with the window.

    def activate(self) -> None:
        self._model.set_visible(True)
        self._model.load_views()
        self._model.load_names()

    def deactivate(self) -> None:
        self._model.set_visible(False)

    def refresh(self) -> None:
        self._model.refresh()
        self._model.load_names()

    def open_query(self, query: str) -> None:
        """`query` is in the language of the field `Search tasks`."""
        self._to_top()
        self._search.open_query(query)

    def focus_content(self) -> None:
        if self._model.grouped:
            self._errors.setFocus(Qt.FocusReason.ShortcutFocusReason)
            return
        rows = self._table.rows()
        if rows and not self._table.selected_keys():
            self._table.select_keys([rows[0].key])
        self._stack.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def detail(self) -> QWidget:
        return self._detail

    def commands(self) -> list[Command]:
        model = self._model
        return [
            Command("Send task…", self.send_task, enabled=lambda: model.why_not_send() is None),
            Command("Revoke task…", model.revoke, enabled=lambda: model.why_not_revoke() is None),
            Command("Terminate task…", model.terminate, enabled=lambda: model.why_not_terminate() is None),
            Command("Export tasks…", self.export, enabled=lambda: model.why_not_export() is None),
            Command("Search tasks", self._search.setFocus, "Ctrl+F"),
            Command("Group tasks by error", lambda: model.group(True), enabled=lambda: not model.grouped),
            Command("Columns of the tasks…", lambda: open_columns_dialog(self, model)),
            Command(
                "Hide the task panel" if model.layout.panel_shown else "Show the task panel",
                lambda: model.show_panel(not model.layout.panel_shown),
            ),
            Command("Save view…", lambda: SaveViewDialog(self, model).open()),
            *(Command(f"View: {view.name}", partial(model.open_view, view)) for view in model.views),
        ]

    def send_task(self) -> None:
        """Open the dialog that sends a task."""
        self._model.load_names()
        dialog = SendDialog(self, self._model.names)
        dialog.chosen.connect(self._on_send)
        self._dialog = dialog
        dialog.open()

    def export(self) -> None:
        """Open the dialog that writes tasks to a file."""
        ExportDialog(self, self._model).open()

    def resend(self) -> None:
        """Go to Resend with what is selected."""
        self._navigate("resend", self._model.selection.query_text())

    # What a person does.

    def _on_send(self, request: SendRequest) -> None:
        self._model.send(request)

    def _on_chip(self, state: TaskState, *_checked: object) -> None:
        self._model.toggle_state(state, self._chips[state].isChecked())

    def _on_sort(self, column: str, descending: bool) -> None:
        self._to_top()
        self._model.sort(column, descending)

    def _on_selected(self, keys: list[str]) -> None:
        self._model.select_rows(keys)

    def _open_views(self) -> None:
        button = self._search.views
        open_views_menu(self, self._model, button.mapToGlobal(QPoint(0, button.height() + 4)))

    def _open_head_menu(self, key: str, place: QPoint) -> None:
        open_head_menu(self, self._model, key, place)

    def _to_top(self) -> None:
        self._table.verticalScrollBar().setValue(0)
        self._model.set_at_top(True)

    def _to_newest(self) -> None:
        self._to_top()
        self._model.show_new()

    def _select(self, task_id: str) -> None:
        """Select a task now, or as soon as it is in the table."""
        self._pending_selection = task_id
        self._model.select(task_id)
        self._select_pending()

    def _select_pending(self) -> None:
        wanted = self._pending_selection
        if wanted is not None and wanted in self._shown:
            self._pending_selection = None
            self._table.select_keys([wanted])

    # What the view model tells.

    def _show(self) -> None:
        now = self._model.snapshot
        self._show_rows(now)
        self._show_chips(now)
        self._search.show_snapshot(now)
        self._notes.show_snapshot(now, insists=self._search.insists)
        self._show_actions()
        self._show_bar(now)
        tone = "st_succeeded" if now.live else "muted"
        self._live_dot.set_color(tone)
        self._live.set_tone(tone)
        self._live.set_text("Live" if now.live else "Not live")
        self._table.set_stale(now.stale)
        self._table.set_pending(now.pending, at_least=now.pending >= NEW_AT_MOST)
        self._detail.set_unjudged(self._model.why_unjudged())
        grouped = self._model.grouped
        self._grouping.setChecked(grouped)
        self._lists.setCurrentIndex(int(grouped))
        self._panel.setEnabled(not grouped)
        self._make_room()
        if grouped:
            self._errors.show_groups(now.groups)

    def _show_rows(self, now: TasksSnapshot) -> None:
        if now.rows is None:
            self._fill(now)
            if now.attached:
                self._stack.show_loading()
            else:
                self._stack.show_empty(self._away)
        elif not now.rows:
            self._fill(now)
            self._stack.show_empty(self._no_match if now.narrowed else self._nothing)
        else:
            self._fill(now)
            self._stack.show_rows()
            self._select_pending()

    def _fill(self, now: TasksSnapshot) -> None:
        columns = self._model.layout.columns
        filled_from = (now.rows, now.details, columns)
        if self._filled_from is not None and all(
            one is other for one, other in zip(filled_from, self._filled_from, strict=True)
        ):
            return
        self._filled_from = filled_from
        rows, details = now.rows or (), now.details or {}
        self._reword(rows)
        kept: dict[str, tuple[TaskRow, TaskDetail | None, Row]] = {}
        for row in rows:
            detail = details.get(row.id)
            known = self._shown.get(row.id)
            if known is None or known[0] != row or known[1] is not detail:
                known = (row, detail, task_row(row, detail, columns, self._wording))
            kept[row.id] = known
        self._shown = kept
        self._table.set_rows([cells for _, _, cells in kept.values()])

    def _reword(self, rows: tuple[TaskRow, ...]) -> None:
        """See how short names can be; when that changes, all rows are written anew."""
        ambiguous = ambiguous_task_names({row.name for row in rows if row.name})
        local = all(row.worker is None or row.worker.startswith("celery@") for row in rows)
        zone = local_zone()
        today = datetime.now(zone).date()
        wording = Wording(frozenset(ambiguous), local_workers=local, zone=zone, today=today)
        if wording != self._wording:
            self._wording = wording
            self._shown = {}

    def _show_layout(self) -> None:
        layout = self._model.layout
        self._table.set_columns(table_columns(layout.columns))
        self._table.set_widths(layout.widths)
        self._table.set_sort(layout.sort, descending=layout.descending)
        self._split.set_side_width(layout.panel_px)
        self._panel.setChecked(layout.panel_shown)
        self._panel.setToolTip(f"{'Hide' if layout.panel_shown else 'Show'} the task panel")
        self._make_room()
        self._shown = {}
        self._filled_from = None
        self._fill(self._model.snapshot)

    def _show_chips(self, now: TasksSnapshot) -> None:
        counts = now.counts
        for state, chip in self._chips.items():
            chip.set_count(
                None if counts is None else counts.by_state.get(state, 0),
                at_least=counts is not None and not counts.complete,
            )
            chip.setChecked(state in now.query.states)
        self._fit_chips()

    def _fit_chips(self) -> None:
        """Let the chips stand closer where they would take a second line for it."""
        chips = self._chips.values()
        room = self.width() - 2 * MARGIN_PX - self._beside.sizeHint().width() - CHIP_GAP_PX
        wanted = sum(chip.width_for(tight=False) for chip in chips) + CHIP_GAP_PX * (len(chips) - 1)
        for chip in chips:
            chip.set_tight(wanted > room)
        self._states.set_gap(TIGHT_GAP_PX if wanted > room else CHIP_GAP_PX)

    def _show_bar(self, now: TasksSnapshot) -> None:
        complete = now.counts is None or now.counts.complete
        self._bar.show_selection(self._model.selection, found=now.found, complete=complete)

    def _show_selection(self) -> None:
        if not self._model.selection.size and self._table.selected_keys():
            self._table.clearSelection()  # or a row would look selected of which no story is told
        self._show_bar(self._model.snapshot)
        self._show_actions()
        self._show_story()

    def _show_export(self) -> None:
        self._notes.show_export(self._model.exporter.state)
        self._show_actions()

    def _show_act(self) -> None:
        self._notes.show_act(self._model.act)
        self._show_actions()

    def _show_actions(self) -> None:
        model = self._model
        for button, reason in (
            (self._resend, model.why_not_resend()),
            (self._revoke, model.why_not_revoke()),
            (self._terminate, model.why_not_terminate()),
            (self._export, model.why_not_export()),
            (self._send, model.why_not_send()),
        ):
            button.setEnabled(reason is None)
            button.setToolTip(reason or "")

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._make_room()
        self._fit_chips()

    def _make_room(self) -> None:
        """In a narrow window the panel is there only while it has a task to tell of."""
        wide = self.width() >= ROOM_FOR_BOTH_PX or self._model.selected_id is not None
        shown = wide and self._model.layout.panel_shown and not self._model.grouped
        if shown != self._detail.isVisibleTo(self._split):
            self._detail.setVisible(shown)
            self._split.set_side_width(self._model.layout.panel_px)

    def _show_story(self) -> None:
        model = self._model
        self._make_room()
        self._show_actions()
        if model.story is not None:
            self._detail.set_result_refusal(model.why_no_results())
            self._detail.show_story(model.story)
            self._detail.set_unjudged(model.why_unjudged())
        elif model.story_error is not None:
            self._detail.show_nothing(model.story_error.title, model.story_error.detail)
        elif model.selected_id is not None:
            self._detail.show_nothing("Not in the history yet", "It appears with its first event.")
        elif model.selection.many:
            self._detail.show_nothing(model.selection.words, model.selected_words())
        else:
            self._detail.show_nothing()
