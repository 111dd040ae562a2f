"""When a summary is worth telling: at most about ten times a second, and at least once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from console.history.model import CollectorSummary

Tell = Callable[[CollectorSummary, bool], None]
"""Called with a summary, and whether its workers are others than those told before."""

PAUSE_S = 0.09
LIVENESS_S = 1.0
WORKERS_EVERY_S = 1.0
RATE_SPAN_S = 3.0


class Reporter:
    """Passes summaries on to `tell` and works out their `events_per_s`."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._rates: deque[tuple[float, int]] = deque()
        self._told_s = 0.0
        self._told_workers_s = 0.0
        self._workers_told: object = None
        self._last: CollectorSummary | None = None

    def report(self, make: Callable[[], CollectorSummary], *, at_once: bool = False) -> None:
        """Tell what `make` gives, unless it is too early, or there is no news in it."""
        now_s = time.monotonic()
        if not at_once and now_s - self._told_s < PAUSE_S:
            return
        summary = make()
        summary = replace(summary, events_per_s=self._rate(now_s, summary.events))
        changed = (
            summary.workers != self._workers_told and now_s - self._told_workers_s >= WORKERS_EVERY_S
        ) or at_once
        if not changed and now_s - self._told_s < LIVENESS_S and not self._news(summary):
            return
        if changed:
            self._workers_told, self._told_workers_s = summary.workers, now_s
        self._told_s = now_s
        self._last = summary
        self._tell(summary, changed)

    def _news(self, summary: CollectorSummary) -> bool:
        last = self._last
        return last is None or (last.state, last.change, last.error, last.malformed) != (
            summary.state,
            summary.change,
            summary.error,
            summary.malformed,
        )

    def _rate(self, now_s: float, events: int) -> float:
        rates = self._rates
        rates.append((now_s, events))
        while len(rates) > 2 and now_s - rates[0][0] > RATE_SPAN_S:
            rates.popleft()
        span_s = now_s - rates[0][0]
        return max(0.0, (events - rates[0][1]) / span_s) if span_s > 0.05 else 0.0
