"""The Overview page: is everything all right, and if not, where to look."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from console.core.commands import Command
from console.core.navigation import Navigate
from console.overview.cards import CardRow
from console.overview.charts import axis, lines, throughput, words_of
from console.overview.model import Scope, Severity, Span
from console.overview.rows import ATTENTION_COLUMNS, STAT_COLUMNS, attention_row, stat_row
from console.overview.view_model import Lines, OverviewViewModel, Ranking, Subject
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
from console.widgets.table_page import TableStack
from console.widgets.text import ambiguous_task_names, clock_text, duration_text, short_task_name
from console.widgets.zone import local_zone

SHOWN_EVERY_MS = 100
WORST_TITLES = {
    Subject.TASKS: "Slowest and most failing tasks",
    Subject.QUEUES: "Slowest and most failing queues",
}
_NAME, _QUEUE = "name ", "queue "


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
        self._named: tuple[tuple[str, str], ...] = ()
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
        self._shown = SegmentedControl(
            [(choice.name, choice.value) for choice in Lines], name="Lines", current="RUNTIME"
        )
        self._scope = Select([("", "All tasks")], name="Task name or queue", height=24, small=True)
        self._subject = SegmentedControl(
            [(choice.name, choice.value) for choice in Subject], name="Rows", current="TASKS"
        )
        self._ranking = SegmentedControl(
            [(choice.name, choice.value) for choice in Ranking], name="Order", current="FAILING"
        )
        self._worst = DataTable(
            WORST_TITLES[Subject.TASKS], STAT_COLUMNS[Subject.TASKS], framed=False, local_sort=True
        )
        self._worst.set_sort("failed", descending=True)
        self._worst_stack = TableStack(self._worst, framed=False)
        self._worst_panel = Panel(WORST_TITLES[Subject.TASKS])
        self._bars_panel = Panel("Throughput")
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
        top.addWidget(self._lines_panel(), 448)
        bottom.addWidget(self._names_panel(), 560)
        bottom.addWidget(self._attention_panel(), 492)
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
        panel = self._bars_panel
        panel.set_subtitle("per minute")
        panel.add_head_right(Legend(self._bars))
        panel.set_content(self._bars)
        return panel

    def _lines_panel(self) -> Panel:
        panel = Panel()
        panel.add_head(self._shown)
        panel.add_head_right(self._scope)
        panel.set_content(self._lines)
        self._scope.setMaximumWidth(170)
        return panel

    def _names_panel(self) -> Panel:
        panel = self._worst_panel
        panel.add_head_right(self._subject)
        panel.add_head_right(self._ranking)
        panel.set_content(self._worst_stack)
        self._worst_stack.show_empty(self._no_names)
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
        self._shown.changed.connect(model.set_lines)
        self._scope.changed.connect(self._choose_scope)
        self._ranking.changed.connect(self._choose_ranking)
        self._subject.changed.connect(model.set_subject)
        self._worst.activated_row.connect(self._open_worst)
        self._worst.link_clicked.connect(lambda word, _column: self._open_worst(word))
        self._bars.set_choosable()
        self._bars.slot_chosen.connect(self._open_slot)
        self._lines.set_choosable()
        self._lines.slot_chosen.connect(
            lambda slot, _series: self._open_slot(slot, "Failed" if model.lines is Lines.FAILURES else "")
        )
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

    def _choose_scope(self, key: str) -> None:
        if key.startswith(_QUEUE):
            self._view_model.set_scope(Scope(queue=key.removeprefix(_QUEUE)))
        else:
            self._view_model.set_scope(Scope(name=key.removeprefix(_NAME) or None))

    def _choose_ranking(self, key: str) -> None:
        self._view_model.set_ranking(key)
        self._worst.set_sort("failed" if Ranking[key] is Ranking.FAILING else "p95", descending=True)

    def _open_worst(self, word: str) -> None:
        self._navigate("tasks", self._view_model.tasks_of_row(word))

    def _open_slot(self, number: int, series: str) -> None:
        slots = self._view_model.snapshot.history.slots
        if number < len(slots):
            self._navigate("tasks", self._view_model.tasks_of_slot(slots[number], series, local_zone()))

    def open_query(self, query: str) -> None:
        """`query` is the key of a row of Attention: for somebody who comes from a notification."""
        self._show()
        self._reveal(query)

    def _reveal(self, key: str) -> None:
        if self._view_model.attention(key) is None:
            return
        self._attention.select_keys([key])
        self._attention.scroll_to(key)
        self._attention.setFocus(Qt.FocusReason.OtherFocusReason)

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
        self._worst.set_stale(stale)
        self._attention.set_stale(stale)
        if snapshot.error is None:
            self._banner.clear()
        else:
            error = snapshot.error
            self._banner.show_message("error", error.title, f"{error.detail} {error.remedy}", action="Retry")

    def _show_charts(self) -> None:
        snapshot, model = self._view_model.snapshot, self._view_model
        slots, scope = snapshot.history.slots, snapshot.scope
        labels, titles = axis(slots, snapshot.span, local_zone())
        self._bars.set_data(labels=labels, titles=titles, series=throughput(slots))
        narrowed = short_task_name(scope.name) if scope.name else scope.queue
        self._bars_panel.set_subtitle(f"per minute, {narrowed}" if narrowed else "per minute")
        self._lines.set_format(partial(words_of, model.lines))
        self._lines.set_data(labels=labels, titles=titles, series=lines(slots, model.lines))
        self._lines.setAccessibleName(model.lines.value)

    def _show_scopes(self, ambiguous: frozenset[str]) -> None:
        """The task names and queues of the span; a choice that is not among them stays all the same."""
        history, scope = self._view_model.snapshot.history, self._view_model.snapshot.scope
        names = sorted({stat.word for stat in history.names} | ({scope.name} if scope.name else set()))
        queues = sorted({stat.word for stat in history.queues} | ({scope.queue} if scope.queue else set()))
        items = (
            ("", "All tasks"),
            *((f"{_NAME}{name}", short_task_name(name, ambiguous)) for name in names),
            *((f"{_QUEUE}{queue}", f"Queue {queue}") for queue in queues),
        )
        if items != self._named:
            self._named = items
            self._scope.set_items(items)
        chosen = f"{_NAME}{scope.name}" if scope.name else f"{_QUEUE}{scope.queue}" if scope.queue else ""
        self._scope.set_current(chosen)

    def _show_names(self) -> None:
        model, snapshot = self._view_model, self._view_model.snapshot
        stats = model.stats
        ambiguous = ambiguous_task_names([stat.word for stat in snapshot.history.names])
        self._show_scopes(ambiguous)
        if self._worst.accessibleName() != WORST_TITLES[model.subject]:
            self._worst.setAccessibleName(WORST_TITLES[model.subject])
            self._worst_panel.set_title(WORST_TITLES[model.subject])
            self._worst.set_columns(STAT_COLUMNS[model.subject])
        self._worst.set_rows([stat_row(stat, model.subject, ambiguous) for stat in stats])
        if stats:
            self._worst_stack.show_rows()
        elif snapshot.attached and not snapshot.read:
            self._worst_stack.show_loading()
        else:
            self._worst_stack.show_empty(self._said_empty())

    def _said_empty(self) -> EmptyState:
        snapshot = self._view_model.snapshot
        lately = snapshot.span.words.removeprefix("1 ")
        if not snapshot.read:
            self._no_names.set("list-checks", "No tasks yet", "Connect to see how tasks do.")
        elif self._view_model.subject is Subject.QUEUES and snapshot.history.names:
            reason = "Events name the queue only where task_send_sent_event is on in the project."
            self._no_names.set("layers", "No queues known", reason)
        else:
            self._no_names.set("list-checks", "No tasks yet", f"No task ended in the last {lately}.")
        return self._no_names

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
        self._attention.set_rows([attention_row(row, local_zone()) for row in rows])
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
