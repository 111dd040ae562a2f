"""The overview's readings of the history: everything one look needs in one job of the history lane."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from console.core.errors import Cause, ConsoleError
from console.history.reader import HistoryReader
from console.overview.model import FAILING_BEFORE_S, FAILING_WINDOW_S, GAP_SHOWN_S, HistoryRead, Span


class OverviewHistory(Protocol):
    """Blocking; one and the same thread. Raises `ConsoleError`."""

    def read(self, span: Span, name: str | None) -> HistoryRead:
        """The history of `span`, and the minutes of task `name` beside it when one is given."""
        ...

    def close(self) -> None: ...


class HistoryOverview:
    """On the history that a connection's collector writes."""

    def __init__(self, path: Path) -> None:
        self._reader = HistoryReader(path)

    def read(self, span: Span, name: str | None) -> HistoryRead:
        """Nothing at all, without an error, while the collector has not made its file yet."""
        reader = self._reader
        try:
            return HistoryRead(
                minutes=tuple(reader.minutes(since_s=span.seconds)),
                named=None if name is None else tuple(reader.minutes(since_s=span.seconds, name=name)),
                stats=tuple(reader.name_stats(since_s=span.seconds)),
                failing=tuple(reader.errors(since_s=FAILING_WINDOW_S)),
                failing_before=tuple(reader.errors(since_s=FAILING_BEFORE_S)),
                gaps=tuple(reader.gaps(since_s=GAP_SHOWN_S)),
            )
        except ConsoleError as error:
            if error.cause is Cause.NOT_FOUND:
                return HistoryRead()
            raise

    def close(self) -> None:
        self._reader.close()
