"""The overview's readings of the history: everything one look needs in one job of the history lane."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from console.core.errors import Cause, ConsoleError
from console.history.figure_reading import FigureReading
from console.overview.alerts import GAP_SHOWN_S, failing
from console.overview.model import EARLIER_S, LATELY_S, USUAL_S, HistoryRead, Scope, Span

LOST_SHOWN_S = 86_400.0
MINUTE_S = 60


class OverviewHistory(Protocol):
    """Blocking; one and the same thread. Raises `ConsoleError`."""

    def read(self, span: Span, scope: Scope) -> HistoryRead | None:
        """The history of `span`, its slots narrowed to `scope`. None: there is none yet."""
        ...

    def close(self) -> None: ...


class HistoryOverview:
    """On the history that a connection's collector writes."""

    def __init__(self, path: Path) -> None:
        self._reader = FigureReading(path)

    def read(self, span: Span, scope: Scope) -> HistoryRead | None:
        """None, without an error, while the collector has not made its file yet."""
        reader = self._reader
        try:
            lately = reader.name_stats(since_s=LATELY_S)
            earlier = reader.name_stats(since_s=EARLIER_S)
            past = {stat.word: stat for stat in earlier}
            failing_now = [stat.word for stat in lately if failing(stat, past.get(stat.word)) is not None]
            return HistoryRead(
                slots=tuple(
                    reader.series(
                        since_s=span.seconds, slot_s=span.slot_s, name=scope.name, queue=scope.queue
                    )
                ),
                minutes=tuple(reader.series(since_s=USUAL_S, slot_s=MINUTE_S)),
                names=tuple(reader.name_stats(since_s=span.seconds, slot_s=span.slot_s)),
                queues=tuple(reader.queue_stats(since_s=span.seconds, slot_s=span.slot_s)),
                lately=tuple(lately),
                earlier=tuple(earlier),
                errors=tuple((word, reader.kinds_of_error(word, since_s=LATELY_S)) for word in failing_now),
                gaps=tuple(reader.gaps(since_s=GAP_SHOWN_S)),
                lost=reader.lost_tasks(since_s=LOST_SHOWN_S),
            )
        except ConsoleError as error:
            if error.cause is Cause.NOT_FOUND:
                return None
            raise

    def close(self) -> None:
        self._reader.close()
