"""What is known of one schedule: what is wrong with it, what it sends, and its next runs in both zones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from console.schedules.model import Crontab, ScheduleView
from console.widgets.badge import Badge
from console.widgets.data_table import DataTable
from console.widgets.label import Text
from console.widgets.panel import KeyValueGrid, Panel
from console.widgets.table_model import Cell, Column, Row
from console.widgets.text import UNKNOWN, clock_text, number_text
from console.widgets.zone import local_zone, local_zone_name

ROW = 28
HEIGHT = 226


class DetailPanel(Panel):
    """Below the table while one schedule is selected: who it is, its facts, its next runs."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.setAccessibleName("Schedule")
        self.setFixedHeight(HEIGHT)
        self._name = Text(role="panel", wrap=True, selectable=True)
        self._badges = QHBoxLayout()
        self._badges.setSpacing(6)
        self._problem = Text(role="label", tone="error", wrap=True, selectable=True)
        self._change = Text(role="label", tone="muted", wrap=True)
        self._description = Text(role="label", tone="text2", wrap=True, selectable=True)
        self._facts = KeyValueGrid(key_width=92)
        self._runs_title = Text("Next runs", role="panel")
        self._runs = DataTable("Next runs", _run_columns("UTC"), framed=False)
        self._runs_zone = "UTC"
        self._runs_column = _column(self._runs_title, self._runs)
        content = QWidget()
        layout = QHBoxLayout(content)
        layout.setContentsMargins(12, 12, 12, 12)
        layout.setSpacing(24)
        about = _column(self._name, self._badges, self._problem, self._change, self._description)
        layout.addWidget(_scrolled(about), 2)
        layout.addWidget(_scrolled(_column(self._facts)), 3)
        layout.addWidget(self._runs_column, 3)
        self.set_content(content)

    def show_schedule(
        self, view: ScheduleView, *, coming: Sequence[datetime], change: str, now: datetime
    ) -> None:
        """Show one schedule; `coming` are its next runs (aware UTC), `change` what is known of beat."""
        schedule, zone = view.schedule, local_zone()
        self._name.set_text(schedule.name)
        self._show_badges(view)
        problem = view.problem
        self._problem.set_text(f"{problem.reason}. {problem.mend}" if problem else "")
        self._problem.setVisible(problem is not None)
        self._change.set_text(change)
        self._change.setVisible(bool(change))
        self._description.set_text(schedule.description)
        self._description.setVisible(bool(schedule.description))
        self._facts.set_pairs(_facts(view, zone, now))
        self._show_runs(view, coming, zone)

    def _show_badges(self, view: ScheduleView) -> None:
        while (item := self._badges.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        for text, tone, tip in _badges(view):
            badge = Badge(text, tone="error" if tone == "error" else "info" if tone == "info" else "neutral")
            badge.setToolTip(tip)
            self._badges.addWidget(badge)
        self._badges.addStretch(1)

    def _show_runs(self, view: ScheduleView, coming: Sequence[datetime], zone: tzinfo) -> None:
        name, own = _own_zone(view)
        runs_layout = self._runs_column.layout()
        if name != self._runs_zone and runs_layout is not None:
            self._runs_zone = name
            fresh = DataTable("Next runs", _run_columns(name), framed=False)
            runs_layout.replaceWidget(self._runs, fresh)
            self._runs.hide()
            self._runs.deleteLater()
            self._runs = fresh
        title = "Next runs" if view.schedule.enabled else "Next runs, if it were enabled now"
        self._runs_title.set_text(title)
        self._runs_title.setVisible(bool(coming))
        self._runs.setVisible(bool(coming))
        self._runs.setFixedHeight(ROW * (len(coming) + 1) + 4)
        self._runs.set_rows([_run_row(run, own, zone) for run in coming])


def _column(*parts: QWidget | QHBoxLayout) -> QWidget:
    column = QWidget()
    layout = QVBoxLayout(column)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(8)
    for part in parts:
        if isinstance(part, QWidget):
            layout.addWidget(part)
        else:
            layout.addLayout(part)
    layout.addStretch(1)
    return column


def _scrolled(widget: QWidget) -> QScrollArea:
    """A long description or long arguments must not make the panel higher."""
    scroll = QScrollArea()
    scroll.setFrameShape(QFrame.Shape.NoFrame)
    scroll.setWidgetResizable(True)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    scroll.setWidget(widget)
    scroll.viewport().setAutoFillBackground(False)
    widget.setAutoFillBackground(False)
    return scroll


def _run_columns(zone_name: str) -> list[Column]:
    columns = [Column("day", "Day", width=96, sortable=False)]
    if zone_name.removeprefix("Etc/") != local_zone_name():
        columns.append(Column("own", zone_name, stretch=1, align="right", sortable=False))
    columns.append(Column("local", f"{local_zone_name()}, yours", stretch=1, align="right", sortable=False))
    return columns


def _run_row(run: datetime, own: tzinfo, zone: tzinfo) -> Row:
    there, here = run.astimezone(own), run.astimezone(zone)
    shown = f"{here:%H:%M:%S}" if here.date() == there.date() else f"{here:%a %H:%M:%S}"
    return Row(
        run.isoformat(),
        {
            "day": Cell(f"{there:%a} {there.day} {there:%b}"),
            "own": Cell(f"{there:%H:%M:%S}", tooltip=there.isoformat()),
            "local": Cell(shown, tooltip=here.isoformat()),
        },
    )


def _own_zone(view: ScheduleView) -> tuple[str, tzinfo]:
    """The zone the schedule is written in: a crontab's own; an interval has none, so the person's."""
    timing = view.schedule.timing
    if isinstance(timing, Crontab):
        try:
            return timing.timezone, ZoneInfo(timing.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            return "UTC", UTC
    return local_zone_name(), local_zone()


def _facts(view: ScheduleView, zone: tzinfo, now: datetime) -> list[tuple[str, str] | tuple[str, str, str]]:
    schedule = view.schedule
    facts: list[tuple[str, str] | tuple[str, str, str]] = [
        ("Task", schedule.task, "mono"),
        ("Schedule", view.words),
        ("Last run", clock_text(schedule.last_run_at, zone, now=now)),
        ("Runs", number_text(schedule.total_run_count)),
        ("Queue", schedule.queue or "the project's route"),
        ("Arguments", schedule.args or "[]", "mono"),
        ("Keywords", schedule.kwargs or "{}", "mono"),
    ]
    if schedule.exchange:
        facts.append(("Exchange", schedule.exchange))
    if schedule.routing_key:
        facts.append(("Routing key", schedule.routing_key))
    if schedule.priority is not None:
        facts.append(("Priority", str(schedule.priority)))
    if schedule.headers not in ("", "{}"):
        facts.append(("Headers", schedule.headers, "mono"))
    if schedule.start_time is not None:
        facts.append(("Starts", clock_text(schedule.start_time, zone, now=now)))
    if schedule.expires is not None:
        facts.append(("Expires", clock_text(schedule.expires, zone, now=now)))
    if schedule.expire_seconds is not None:
        facts.append(("Message expires", f"{schedule.expire_seconds:,} s after it is sent"))
    facts.append(("Modified", clock_text(schedule.date_changed, zone, now=now) or UNKNOWN))
    return facts


def _badges(view: ScheduleView) -> list[tuple[str, str, str]]:
    schedule = view.schedule
    found = []
    if view.problem is not None:
        found.append(("Cannot run", "error", view.problem.reason))
    if view.managed_by_code:
        found.append(("By code", "info", "Beat writes this row again at each start; only Enabled survives"))
    if schedule.one_off:
        found.append(("One-off", "neutral", "Beat disables it after one run"))
    if schedule.expires is not None:
        found.append(("Expires", "neutral", "Beat disables it at its expiry"))
    if schedule.shared_by > 1:
        others = schedule.shared_by - 1
        tip = f"{others} other {'schedule uses' if others == 1 else 'schedules use'} the same timing row"
        found.append((f"Shared by {schedule.shared_by}", "neutral", tip))
    return found
