"""The state of the Overview page: its choices, rows already in order, and where links lead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import tzinfo
from enum import StrEnum

from PySide6.QtCore import QObject, Signal

from console.history.figure_reading import FigureSlot, FigureStat
from console.history.query import quoted
from console.overview.model import FAILED_STATES, Attention, Scope, Severity, Span
from console.overview.service import OverviewService, OverviewSnapshot

ROWS_SHOWN = 500
STATES = {"Failed": FAILED_STATES, "Retrying": "state:retrying", "Succeeded": "state:succeeded"}
"""What a series of the bars is in a query."""


class Lines(StrEnum):
    """What the right chart shows."""

    RUNTIME = "Runtime"
    WAIT = "Queue wait"
    FAILURES = "Failures"


class Subject(StrEnum):
    """What the table has a row for."""

    TASKS = "Tasks"
    QUEUES = "Queues"


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
        self.lines = Lines.RUNTIME
        self.ranking = Ranking.FAILING
        self.subject = Subject.TASKS
        self._disconnect = service.changed.connect(lambda _snapshot: self.changed.emit())

    @property
    def snapshot(self) -> OverviewSnapshot:
        return self._service.snapshot

    @property
    def stats(self) -> tuple[FigureStat, ...]:
        """Task names or queues of the span, worst first by the chosen ranking."""
        history = self.snapshot.history
        stats = history.names if self.subject is Subject.TASKS else history.queues
        return ranked(stats, self.ranking)[:ROWS_SHOWN]

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

    def set_scope(self, scope: Scope) -> None:
        self._service.set_scope(scope)

    def set_lines(self, key: str) -> None:
        self.lines = Lines[key]
        self.changed.emit()

    def set_subject(self, key: str) -> None:
        self.subject = Subject[key]
        self.changed.emit()

    def set_ranking(self, key: str) -> None:
        self.ranking = Ranking[key]
        self.changed.emit()

    def start_stack(self) -> None:
        self._start_stack()

    async def aclose(self) -> None:
        """Hear no more of the service."""
        self._disconnect()

    def tasks_of_slot(self, slot: FigureSlot, series: str, zone: tzinfo) -> str:
        """The query for the tasks behind a point of a chart; instants as the person reads them."""
        start, end = (at.astimezone(zone) for at in (slot.start, slot.end))
        scope = self.snapshot.scope
        terms = [f"since:{start:%Y-%m-%dT%H:%M}", f"before:{end:%Y-%m-%dT%H:%M}"]
        if scope.name is not None:
            terms.append(f"name:{quoted(scope.name)}")
        if scope.queue is not None:
            terms.append(f"queue:{quoted(scope.queue)}")
        if series in STATES:
            terms.append(STATES[series])
        return " ".join(terms)

    def tasks_of_row(self, word: str) -> str:
        """The query for the tasks behind a row of the table: those that failed, or the slowest of them."""
        field = "name" if self.subject is Subject.TASKS else "queue"
        minutes = self.snapshot.span.minutes
        since = f"{minutes // 1440}d" if minutes > 1440 else f"{minutes // 60}h" if minutes >= 60 else "5m"
        stat = next((one for one in self.stats if one.word == word), None)
        narrowed = ""
        if self.ranking is Ranking.FAILING:
            narrowed = f" {FAILED_STATES}" if stat is not None and stat.failed else ""
        elif stat is not None and stat.runtime.p95_s is not None:
            # Buckets are a fifth wide: somewhat below, the slowest are there for certain.
            narrowed = f" runtime:>{lapse_word(stat.runtime.p95_s * 0.8)}"
        return f"{field}:{quoted(word)} since:{since}{narrowed}"


def lapse_word(seconds: float) -> str:
    """A length of time as a query has it."""
    return f"{seconds:.1f}s" if seconds >= 1 else f"{max(1, round(seconds * 1000))}ms"


def ranked(stats: Sequence[FigureStat], ranking: Ranking) -> tuple[FigureStat, ...]:
    """The most failing, or the slowest, first; what is unknown stands last."""
    if ranking is Ranking.FAILING:
        return tuple(sorted(stats, key=lambda stat: (-stat.failed, -stat.runs, stat.word)))
    return tuple(sorted(stats, key=lambda stat: (-(stat.runtime.p95_s or -1.0), stat.word)))
