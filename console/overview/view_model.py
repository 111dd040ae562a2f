"""The state of the Overview page: span, the two choices of its panels, and rows already in order."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from PySide6.QtCore import QObject, Signal

from console.history.model import NameStat
from console.overview.model import Attention, Severity, Span
from console.overview.service import OverviewService, OverviewSnapshot

NAMES_SHOWN = 50


class Duration(StrEnum):
    """What the right chart shows."""

    RUNTIME = "Runtime"
    WAIT = "Queue wait"


class Ranking(StrEnum):
    """How the table of task names is ordered."""

    FAILING = "Failing"
    SLOWEST = "Slowest"


class OverviewViewModel(QObject):
    """`changed` after everything that the page shows. `start_stack` starts the local stack."""

    changed = Signal()

    def __init__(self, service: OverviewService, *, start_stack: Callable[[], None]) -> None:
        super().__init__()
        self._service = service
        self._start_stack = start_stack
        self.duration = Duration.RUNTIME
        self.ranking = Ranking.FAILING
        self._disconnect = service.changed.connect(lambda _snapshot: self.changed.emit())

    @property
    def snapshot(self) -> OverviewSnapshot:
        return self._service.snapshot

    @property
    def names(self) -> tuple[NameStat, ...]:
        """Task names of the span, worst first by the chosen ranking."""
        stats = self.snapshot.history.stats
        if self.ranking is Ranking.FAILING:
            return tuple(sorted(stats, key=lambda s: (-s.failed, -runs_of(s), s.name)))[:NAMES_SHOWN]
        return tuple(sorted(stats, key=lambda s: (-(s.runtime.p95_s or -1.0), s.name)))[:NAMES_SHOWN]

    def count(self, severity: Severity) -> int:
        return sum(row.severity is severity for row in self.snapshot.attention)

    def attention(self, key: str) -> Attention | None:
        return next((row for row in self.snapshot.attention if row.key == key), None)

    def set_visible(self, visible: bool) -> None:
        self._service.set_visible(visible)

    def refresh(self) -> None:
        self._service.refresh()

    def set_span(self, key: str) -> None:
        self._service.set_span(Span[key])

    def set_name(self, name: str) -> None:
        self._service.set_name(name or None)

    def set_duration(self, key: str) -> None:
        self.duration = Duration[key]
        self.changed.emit()

    def set_ranking(self, key: str) -> None:
        self.ranking = Ranking[key]
        self.changed.emit()

    def start_stack(self) -> None:
        self._start_stack()

    async def aclose(self) -> None:
        """Hear no more of the service."""
        self._disconnect()


def runs_of(stat: NameStat) -> int:
    """How often a task ran: attempts that ended well, badly or in a retry."""
    return stat.succeeded + stat.failed + stat.retried
