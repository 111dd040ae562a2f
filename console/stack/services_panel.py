"""The table of services with their buttons, and the line of facts below it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

from PySide6.QtCore import Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QWidget

from console.stack.model import ServiceName, ServiceState, ServiceStatus
from console.stack.view_model import VERBS, StackViewModel
from console.widgets.button import IconButton, LinkButton
from console.widgets.data_table import DataTable
from console.widgets.icons import draw_icon
from console.widgets.label import Text
from console.widgets.table_model import Cell, Column, Row
from console.widgets.text import UNKNOWN, bytes_text, duration_text, exact_instant, number_text, percent_text
from console.widgets.theme import repaint_on_change
from console.widgets.zone import local_zone

COLUMNS = [
    Column("service", "Service", stretch=1, kind="name", sortable=False),
    Column("state", "State", width=98, kind="state", sortable=False),
    Column("pid", "PID", width=66, kind="number", sortable=False),
    Column("cpu", "CPU", width=146, kind="number", sortable=False),
    Column("memory", "Memory", width=152, kind="number", sortable=False),
    Column("uptime", "Uptime", width=92, kind="number", sortable=False),
    Column("restarts", "Restarts", width=78, kind="number", sortable=False),
    Column("actions", "", width=156, kind="widget", sortable=False),
]
ROW_HEIGHT = 44
_ICONS = {"Start": "play", "Stop": "square", "Restart": "rotate-ccw", "Log": "text-align-start"}


class ServicesTable(DataTable):
    """Broker, worker and beat. `log_pressed` carries the service whose log is wanted."""

    log_pressed = Signal(str)

    def __init__(self, view_model: StackViewModel) -> None:
        super().__init__("Services", COLUMNS, row_height=ROW_HEIGHT)
        self._view_model = view_model
        self.setFixedHeight(28 + ROW_HEIGHT * len(ServiceName) + 2)
        self.activated_row.connect(self.log_pressed)

    def show_services(self, statuses: tuple[ServiceStatus, ...], now: datetime) -> None:
        """Show the services as they are."""
        self.set_rows([_row(status, now) for status in statuses])
        for status in statuses:
            actions = self.row_widget(status.name.value, "actions")
            if not isinstance(actions, _Actions):
                actions = _Actions(status.name, self._view_model, self.log_pressed.emit)
                self.set_row_widget(status.name.value, "actions", actions)
            actions.show_state()


def _row(status: ServiceStatus, now: datetime) -> Row:
    usage = status.usage
    uptime_s = None if status.started is None else max(0.0, (now - status.started).total_seconds())
    failed = status.state is ServiceState.FAILED
    line = status.problem if failed else status.detail
    return Row(
        status.name.value,
        {
            "service": Cell(status.name.value, subtitle=line or " ", tooltip=line or None),
            "state": Cell(status.state.value, tooltip=status.problem or None),
            "pid": Cell(UNKNOWN if status.pid is None else str(status.pid)),
            "cpu": Cell(
                percent_text(None if usage is None else usage.cpu_percent),
                series=status.cpu if usage is not None else None,
                tooltip="Percent of one core, with its child processes",
            ),
            "memory": Cell(
                bytes_text(None if usage is None else usage.memory_bytes),
                series=status.memory if usage is not None else None,
                series_color="lost",
                tooltip="Resident memory, with its child processes",
            ),
            "uptime": Cell(
                duration_text(None if uptime_s is None else float(int(uptime_s))),
                tooltip=None if status.started is None else exact_instant(status.started, local_zone()),
            ),
            "restarts": Cell(number_text(status.restarts), muted=not status.restarts),
        },
    )


class _Actions(QWidget):
    """Start, Stop, Restart and Log of one service."""

    def __init__(self, name: ServiceName, view_model: StackViewModel, log: Callable[[str], None]) -> None:
        super().__init__()
        self._name = name
        self._view_model = view_model
        self._buttons: dict[str, IconButton] = {}
        layout = QHBoxLayout(self)
        layout.setContentsMargins(6, 0, 10, 0)
        layout.setSpacing(5)
        layout.addStretch(1)
        for verb in VERBS:
            button = self._add(verb, layout)
            button.clicked.connect(partial(self._act, verb))
            self._buttons[verb] = button
        self._add("Log", layout).clicked.connect(lambda: log(name.value))

    def _add(self, verb: str, layout: QHBoxLayout) -> IconButton:
        button = IconButton(_ICONS[verb], name=f"{verb} {self._name}", icon_size=16)
        layout.addWidget(button)
        return button

    def _act(self, verb: str, _checked: bool = False) -> None:
        self._view_model.act(verb, self._name)

    def show_state(self) -> None:
        """Enable what can be done now; the rest says why not."""
        for verb, button in self._buttons.items():
            why = self._view_model.why_not(verb, self._name)
            button.setEnabled(not why)
            button.setToolTip(why or f"{verb} {self._name}")


class _Fact(QWidget):
    """An icon, a quiet name and a value."""

    def __init__(self, icon: str, name: str) -> None:
        super().__init__()
        self._icon = icon
        self._name = name
        layout = QHBoxLayout(self)
        layout.setContentsMargins(20, 0, 0, 0)
        layout.setSpacing(5)
        layout.addWidget(Text(name, role="label", tone="muted"))
        self._value = Text(role="label-name")
        layout.addWidget(self._value)
        repaint_on_change(self)

    def set_value(self, value: str) -> None:
        self._value.set_text(value or UNKNOWN)
        self.setAccessibleName(f"{self._name}: {value or UNKNOWN}")

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        draw_icon(painter, self._icon, "muted", x=0, y=(self.height() - 14) // 2)
        painter.end()


class FactsLine(QWidget):
    """What the stack runs with."""

    options_pressed = Signal()

    def __init__(self, python: str) -> None:
        super().__init__()
        self.setFixedHeight(20)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(2, 0, 2, 0)
        layout.setSpacing(18)
        self._zone = _Fact("globe", "Zone")
        facts = (
            (_Fact("file-text", "Project"), "bundled_project"),
            (_Fact("square-terminal", "Python"), python),
            (_Fact("database", "Database"), "SQLite"),
            (self._zone, ""),
        )
        for fact, value in facts:
            fact.set_value(value)
            layout.addWidget(fact)
        layout.addStretch(1)
        options = LinkButton("Worker options…", icon="sliders-horizontal")
        options.clicked.connect(self.options_pressed)
        layout.addWidget(options)

    def set_zone(self, name: str) -> None:
        self._zone.set_value(name)
