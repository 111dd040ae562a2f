"""The lines of news over the table: what is wrong, what was missed, who is silent, how far an export is."""

from __future__ import annotations

from PySide6.QtWidgets import QVBoxLayout, QWidget

from console.history.model import Gap
from console.tasks.exporting import ExportState
from console.tasks.model import TasksSnapshot
from console.tasks.selection_acts import PacedAct
from console.tasks.view_model import TasksViewModel
from console.widgets.banner import Banner
from console.widgets.data_table import DataTable
from console.widgets.dialog import ConsoleDialog
from console.widgets.progress_strip import ProgressStrip
from console.widgets.table_model import Cell, Column, Row
from console.widgets.text import clock_text, duration_text, exact_instant, number_text, short_worker_name
from console.widgets.zone import local_zone

WORKERS_NAMED = 3
GAP_COLUMNS = [
    Column("start", "From", width=110, fit=130, kind="instant"),
    Column("end", "To", width=110, fit=130, kind="instant"),
    Column("lasted", "Lasted", width=80, kind="number"),
    Column("lost", "Lost", width=100, kind="number"),
    Column("reason", "Reason", stretch=1, width=160),
]


class PageNotes(QWidget):
    """Takes no room while there is nothing to say."""

    def __init__(self, model: TasksViewModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self._trouble = Banner()
        self._gaps = Banner()
        self._events_off = Banner()
        self._export = ProgressStrip("Export")
        self._act = ProgressStrip("Operation")
        self._closed: frozenset[Gap] = frozenset()
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(8)
        for line in (self._trouble, self._events_off, self._gaps, self._act, self._export):
            self._layout.addWidget(line)
        self._trouble.action_clicked.connect(model.refresh)
        self._gaps.closed.connect(self._on_gaps_closed)
        self._gaps.action_clicked.connect(lambda: GapsDialog(self, self._model.snapshot.gaps).open())
        self._events_off.action_clicked.connect(model.enable_events_wanted)
        self._export.action_clicked.connect(self._on_export_action)
        self._act.action_clicked.connect(self._on_act_cancelled)
        self.hide()

    def show_act(self, act: PacedAct | None) -> None:
        """How far an operation on many tasks is; one on a few is over before it could be read."""
        if act is None or not act.takes_long or not act.state.told:
            self._act.clear()
        else:
            state = act.state
            words = f"{state.verb} {number_text(state.told)} of {number_text(state.total)} tasks"
            self._act.show_progress(words, "", state.share)
        self._take_room()

    def _on_act_cancelled(self) -> None:
        if self._model.act is not None:
            self._model.act.cancel()

    def show_snapshot(self, now: TasksSnapshot, *, insists: bool) -> None:
        """`insists`: the person wants the query as it is, so say why it cannot be read."""
        self._show_trouble(now, insists=insists)
        self._show_gaps(now)
        self._show_events_off(now.events_off)
        self._take_room()

    def show_export(self, state: ExportState | None) -> None:
        """How far the export is, or what came of it."""
        if state is None:
            self._export.clear()
        elif not state.ended:
            rate = f"{number_text(round(state.rate))}/s" if state.rate >= 1 else ""
            self._export.show_progress(_export_words(state), rate, state.share)
        elif state.error is not None:
            words = f"{state.error.detail} {state.error.remedy}".strip()
            self._export.show_outcome("error", state.error.title, words)
        elif state.cancelled:
            self._export.show_outcome("warning", "Export cancelled", "Nothing was written.")
        else:
            tasks = "1 task" if state.written == 1 else f"{number_text(state.written)} tasks"
            self._export.show_outcome("ok", f"{tasks} exported", f"to {state.request.target}")
        self._take_room()

    def _show_trouble(self, now: TasksSnapshot, *, insists: bool) -> None:
        if now.query_error is not None and insists:
            error = now.query_error
            self._trouble.show_message("warning", error.title, f"{error.detail}. {error.remedy}")
        elif now.error is not None:
            words = f"{now.error.detail} {now.error.remedy}".strip()
            self._trouble.show_message("error", now.error.title, words, action="Retry")
        elif now.stale:
            as_of = f"As of {clock_text(now.as_of, local_zone())}" if now.as_of else "Events are not read now"
            self._trouble.show_message("warning", as_of, now.reason or "Reconnecting…")
        else:
            self._trouble.clear()

    def _show_gaps(self, now: TasksSnapshot) -> None:
        told = [gap for gap in now.gaps if gap.end is not None and gap not in self._closed]
        if not told:
            self._gaps.clear()
            return
        zone, last = local_zone(), told[-1]
        when = f"from {clock_text(last.start, zone)} to {clock_text(last.end, zone)}"
        if len(told) == 1:
            words = f"Events were missed {when}"
            detail = f"{last.reason.rstrip('.')}. {loss_words(last.lost)}"
        else:
            words = f"Events were missed {len(told)} times, last {when}"
            detail = loss_words(_together(told))
        self._gaps.show_message(
            "info", words, detail, closable=True, action="Show all" if len(told) > 1 else None
        )

    def _on_gaps_closed(self) -> None:
        self._closed = frozenset(self._model.snapshot.gaps)
        self._take_room()

    def _show_events_off(self, hostnames: tuple[str, ...]) -> None:
        if not hostnames:
            self._events_off.clear()
            return
        names = ", ".join(short_worker_name(name) for name in hostnames[:WORKERS_NAMED])
        more = len(hostnames) - WORKERS_NAMED
        who = names + (f" and {more} more" if more > 0 else "")
        send = "sends" if len(hostnames) == 1 else "send"
        self._events_off.show_message(
            "warning",
            f"{who} {send} no task events",
            f"What {'it runs' if len(hostnames) == 1 else 'they run'} is not seen here.",
            action="Enable events",
        )

    def _on_export_action(self) -> None:
        if self._model.exporter.running:
            self._model.exporter.cancel()
        else:
            self._model.exporter.forget()

    def _take_room(self) -> None:
        lines = (self._trouble, self._gaps, self._events_off, self._act, self._export)
        self.setVisible(any(not line.isHidden() for line in lines))


class GapsDialog(ConsoleDialog):
    """All the times in which events were missed lately."""

    def __init__(self, parent: QWidget, gaps: tuple[Gap, ...]) -> None:
        super().__init__(parent, "Missed events", width=720, cancel="Close")
        table = DataTable("Missed events", GAP_COLUMNS, ground="raised")
        table.setFixedHeight(min(320, 30 + 28 * max(3, len(gaps))))
        table.set_rows([gap_row(str(number), gap) for number, gap in reversed(list(enumerate(gaps)))])
        self.body.addWidget(table)
        self.set_first_focus(table)


def gap_row(key: str, gap: Gap) -> Row:
    """One row of the table `Missed events`."""
    zone = local_zone()
    lasted_s = (gap.end - gap.start).total_seconds() if gap.end is not None else None
    return Row(
        key,
        {
            "start": Cell(clock_text(gap.start, zone), tooltip=exact_instant(gap.start, zone)),
            "end": Cell(clock_text(gap.end, zone), tooltip=exact_instant(gap.end, zone) if gap.end else None),
            "lasted": Cell(duration_text(lasted_s)),
            "lost": Cell("–" if gap.lost is None else f"at least {number_text(gap.lost)}"),
            "reason": Cell(gap.reason),
        },
    )


def loss_words(lost: int | None) -> str:
    """What is known of how many were lost."""
    if lost is None:
        return "How many is not known."
    return "At least 1 event was lost." if lost == 1 else f"At least {number_text(lost)} events were lost."


def _together(gaps: list[Gap]) -> int | None:
    known = [gap.lost for gap in gaps if gap.lost is not None]
    return sum(known) if known else None


def _export_words(state: ExportState) -> str:
    expected = state.request.expected
    of = f" of {number_text(expected)}" if expected is not None else ""
    return f"Exporting {number_text(state.written)}{of} tasks"
