"""The Overview page: is everything all right, and if not, where to look."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from console.core.commands import Command
from console.core.navigation import Navigate
from console.history.model import NameStat
from console.overview.cards import CardRow
from console.overview.charts import axis, durations, throughput
from console.overview.model import Attention, Severity, Span
from console.overview.view_model import Duration, OverviewViewModel, Ranking, runs_of
from console.widgets.badge import Badge
from console.widgets.banner import Banner
from console.widgets.button import Button, LinkButton, SegmentedControl
from console.widgets.charts import Legend, LineChart, StackedBars
from console.widgets.data_table import DataTable
from console.widgets.empty_state import EmptyState
from console.widgets.fields import Select
from console.widgets.label import Text
from console.widgets.page import Page
from console.widgets.panel import PageHeader, Panel
from console.widgets.table_model import Cell, Column, Row
from console.widgets.table_page import TableStack
from console.widgets.text import (
    ambiguous_task_names,
    clock_text,
    duration_text,
    number_text,
    percent_text,
    short_task_name,
)
from console.widgets.zone import local_zone

SHOWN_EVERY_MS = 100
NAME_COLUMNS = [
    Column("task", "Task", stretch=1, width=96, kind="name", sortable=False),
    Column("runs", "Runs", width=56, fit=84, kind="number", sortable=False),
    Column("failed", "Failed", width=150, least=86, kind="number", sortable=False),
    Column("p95", "p95", width=66, fit=96, kind="number", sortable=False),
    Column("p99", "p99", width=72, fit=102, kind="number", sortable=False),
]
ATTENTION_COLUMNS = [
    Column("severity", "Severity", width=98, kind="state", sortable=False),
    Column("what", "What", stretch=1, sortable=False),
    Column("where", "Where", width=110, fit=150, kind="link", sortable=False),
]


class OverviewPage(Page):
    noun = "overview"
    title = "Overview"
    icon_name = "gauge"

    def __init__(
        self, view_model: OverviewViewModel, *, navigate: Navigate, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._view_model = view_model
        self._navigate = navigate
        self._active = False
        self._soon = QTimer(self, singleShot=True, interval=SHOWN_EVERY_MS)
        self._told_badge = ("", "")
        self._named: tuple[str, ...] = ()
        self._header = PageHeader("Overview")
        self._spans = SegmentedControl(
            [(span.name, span.words) for span in Span], name="Period", current=Span.HOUR.name
        )
        self._refresh = Button("Refresh", icon="refresh-cw")
        self._banner = Banner()
        self._offer = _Offer()
        self._cards = CardRow()
        self._bars = StackedBars("Throughput")
        self._lines = LineChart("Runtime", format_value=duration_text)
        self._duration = SegmentedControl(
            [(choice.name, choice.value) for choice in Duration], name="Duration", current="RUNTIME"
        )
        self._name = Select([("", "All tasks")], name="Task name", height=24, small=True)
        self._ranking = SegmentedControl(
            [(choice.name, choice.value) for choice in Ranking], name="Order", current="FAILING"
        )
        self._names = DataTable("Slowest and most failing tasks", NAME_COLUMNS, framed=False)
        self._names_stack = TableStack(self._names, framed=False)
        self._attention = DataTable("Attention", ATTENTION_COLUMNS, framed=False)
        self._attention_stack = TableStack(self._attention, framed=False)
        self._no_names = EmptyState("list-checks", "No tasks yet")
        self._no_attention = EmptyState("circle-check", "Nothing needs attention")
        self._errors = Badge("0", tone="error")
        self._warnings = Badge("0", tone="warning")
        self._lay_out()
        self._connect()
        self._show()

    # --- Laying out --------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        self._header.add_action(self._spans)
        self._header.add_action(self._refresh)
        top, bottom = QHBoxLayout(), QHBoxLayout()
        for row in (top, bottom):
            row.setSpacing(12)
        top.addWidget(self._throughput_panel(), 603)
        top.addWidget(self._duration_panel(), 448)
        bottom.addWidget(self._names_panel(), 512)
        bottom.addWidget(self._attention_panel(), 540)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 12, 12, 12)
        layout.setSpacing(12)
        layout.addWidget(self._header)
        layout.addWidget(self._banner)
        layout.addWidget(self._offer)
        layout.addWidget(self._cards)
        layout.addLayout(top, 262)
        layout.addLayout(bottom, 292)

    def _throughput_panel(self) -> Panel:
        panel = Panel("Throughput")
        panel.set_subtitle("per minute")
        panel.add_head_right(Legend(self._bars))
        panel.set_content(self._bars)
        return panel

    def _duration_panel(self) -> Panel:
        panel = Panel()
        panel.add_head(self._duration)
        panel.add_head_right(self._name)
        panel.set_content(self._lines)
        return panel

    def _names_panel(self) -> Panel:
        panel = Panel("Slowest and most failing tasks")
        panel.add_head_right(self._ranking)
        panel.set_content(self._names_stack)
        self._names_stack.show_empty(self._no_names)
        return panel

    def _attention_panel(self) -> Panel:
        panel = Panel("Attention")
        panel.add_head(self._errors)
        panel.add_head(self._warnings)
        activity = LinkButton("Open Activity")
        activity.clicked.connect(lambda: self._navigate("activity"))
        panel.add_head_right(activity)
        panel.set_content(self._attention_stack)
        self._attention_stack.show_empty(self._no_attention)
        return panel

    def _connect(self) -> None:
        model = self._view_model
        self._spans.changed.connect(model.set_span)
        self._refresh.clicked.connect(model.refresh)
        self._banner.action_clicked.connect(model.refresh)
        self._offer.start.clicked.connect(model.start_stack)
        self._duration.changed.connect(model.set_duration)
        self._name.changed.connect(model.set_name)
        self._ranking.changed.connect(model.set_ranking)
        self._names.activated_row.connect(lambda name: self._navigate("tasks", f"name:{name}"))
        self._attention.activated_row.connect(self._open)
        self._attention.link_clicked.connect(lambda key, _column: self._open(key))
        self._no_attention.action_clicked.connect(self.connect_wanted)
        self._soon.timeout.connect(self._show)
        model.changed.connect(self._show_soon)

    # --- Page --------------------------------------------------------------------------------------------

    def activate(self) -> None:
        self._active = True
        self._view_model.set_visible(True)
        self._show()

    def deactivate(self) -> None:
        self._active = False
        self._view_model.set_visible(False)

    def refresh(self) -> None:
        self._view_model.refresh()

    def focus_content(self) -> None:
        first = self._offer.start if self._offer.isVisible() else self._attention_stack
        first.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def commands(self) -> list[Command]:
        model = self._view_model
        return [
            Command(f"Overview: {span.words}", partial(self._choose_span, span.name)) for span in Span
        ] + [Command("Refresh overview", model.refresh)]

    def _choose_span(self, key: str) -> None:
        self._spans.set_current(key)
        self._view_model.set_span(key)

    def _open(self, key: str) -> None:
        row = self._view_model.attention(key)
        if row is not None:
            self._navigate(row.noun, row.query)

    # --- What the view model tells -----------------------------------------------------------------------

    def _show_soon(self) -> None:
        """Several things tell at once and often; one picture of them in 100 ms is enough."""
        self._show_badge()
        if self._active and not self._soon.isActive():
            self._soon.start()

    def _show(self) -> None:
        self._show_badge()
        self._show_head()
        self._cards.show_snapshot(self._view_model.snapshot)
        self._show_charts()
        self._show_names()
        self._show_attention()

    def _show_head(self) -> None:
        snapshot = self._view_model.snapshot
        seen = "" if snapshot.as_of is None else f"as of {clock_text(snapshot.as_of, local_zone())}"
        self._header.set_subtitle(seen)
        self._offer.setVisible(snapshot.offer_stack)
        stale = snapshot.error is not None or (not snapshot.attached and snapshot.read)
        self._names.set_stale(stale)
        self._attention.set_stale(stale)
        if snapshot.error is None:
            self._banner.clear()
        else:
            error = snapshot.error
            self._banner.show_message("error", error.title, f"{error.detail} {error.remedy}", action="Retry")

    def _show_charts(self) -> None:
        snapshot, model = self._view_model.snapshot, self._view_model
        zone = local_zone()
        labels, titles = axis(snapshot.slots, snapshot.span, zone)
        self._bars.set_data(labels=labels, titles=titles, series=throughput(snapshot.slots))
        labels, titles = axis(snapshot.durations, snapshot.span, zone)
        self._lines.set_data(
            labels=labels, titles=titles, series=durations(snapshot.durations, model.duration)
        )
        self._lines.setAccessibleName(model.duration.value)

    def _show_names(self) -> None:
        stats = self._view_model.names
        known = tuple(sorted(stat.name for stat in self._view_model.snapshot.history.stats))
        ambiguous = ambiguous_task_names(known)
        if known != self._named:
            self._named = known
            chosen = self._view_model.snapshot.name or ""
            self._name.set_items(
                [("", "All tasks"), *((name, short_task_name(name, ambiguous)) for name in known)]
            )
            self._name.set_current(chosen)
        self._names.set_sort(
            "failed" if self._view_model.ranking is Ranking.FAILING else "p95", descending=True
        )
        self._names.set_rows([_name_row(stat, stats, ambiguous) for stat in stats])
        snapshot = self._view_model.snapshot
        if stats:
            self._names_stack.show_rows()
        elif snapshot.attached and not snapshot.read:
            self._names_stack.show_loading()
        else:
            lately = snapshot.span.words.removeprefix("1 ")
            reason = (
                f"No task ended in the last {lately}." if snapshot.read else "Connect to see how tasks do."
            )
            self._no_names.set("list-checks", "No tasks yet", reason)
            self._names_stack.show_empty(self._no_names)

    def _show_attention(self) -> None:
        model = self._view_model
        rows = model.snapshot.attention
        for badge, severity, tone in (
            (self._errors, Severity.ERROR, "error"),
            (self._warnings, Severity.WARNING, "warning"),
        ):
            count = model.count(severity)
            badge.set(str(count), tone="error" if tone == "error" else "warning")
            badge.setVisible(count > 0)
        self._attention.set_rows([_attention_row(row) for row in rows])
        if rows:
            self._attention_stack.show_rows()
            return
        if model.snapshot.attached:
            reason = "Nothing that is known of workers, queues and schedules is wrong."
            self._no_attention.set("circle-check", "Nothing needs attention", reason)
        else:
            reason = "Connect to see what needs attention."
            # The offer above is the one thing to press while it is there.
            action = None if model.snapshot.offer_stack else "Connect"
            self._no_attention.set("plug", "Not connected", reason, action=action)
        self._attention_stack.show_empty(self._no_attention)

    def _show_badge(self) -> None:
        model = self._view_model
        errors, warnings = model.count(Severity.ERROR), model.count(Severity.WARNING)
        count = errors + warnings
        badge = (str(count) if count else "", "error" if errors else "warning" if warnings else "")
        if badge != self._told_badge:
            self._told_badge = badge
            self.badge_changed.emit(*badge)


class _Offer(Panel):
    """The way to a first task for somebody who has nothing running."""

    def __init__(self) -> None:
        super().__init__()
        self.start = Button("Start local stack", icon="play", kind="primary", big=True)
        line = QWidget()
        row = QHBoxLayout(line)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(12)
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addWidget(Text("The local stack is not running", role="panel"))
        words.addWidget(
            Text(
                "It is a broker, a worker and beat on this machine, with demo tasks.",
                role="label",
                tone="muted",
            )
        )
        row.addLayout(words, 1)
        row.addWidget(self.start)
        self.set_content(line, margins=(14, 10, 14, 10))
        self.setFixedHeight(66)
        self.hide()


def _name_row(stat: NameStat, stats: tuple[NameStat, ...], ambiguous: frozenset[str]) -> Row:
    runs = runs_of(stat)
    most = max((other.failed for other in stats), default=0)
    share = 100.0 * stat.failed / runs if runs else 0.0
    return Row(
        stat.name,
        {
            "task": Cell(short_task_name(stat.name, ambiguous), tooltip=stat.name, copy=stat.name),
            "runs": Cell(number_text(runs)),
            "failed": Cell(
                number_text(stat.failed),
                bold=stat.failed > 0,
                muted=not stat.failed,
                suffix=percent_text(share),
                bar=stat.failed / most if most else 0.0,
                series_color="failed",
            ),
            "p95": Cell(duration_text(stat.runtime.p95_s)),
            "p99": Cell(duration_text(stat.runtime.p99_s)),
        },
    )


def _attention_row(row: Attention) -> Row:
    what = row.what
    if row.gap is not None:
        start, end = (clock_text(instant, local_zone()) for instant in (row.gap.start, row.gap.end))
        what = f"{f'{start} to {end}' if row.gap.end else f'Since {start}'}: {what}"
    return Row(
        row.key,
        {
            "severity": Cell(row.severity.value),
            "what": Cell(what, tooltip=what),
            "where": Cell(row.where, tooltip=row.where),
        },
    )
