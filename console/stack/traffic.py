"""Demo traffic: one more kept process, which is no service and has no row."""

from __future__ import annotations

from collections.abc import Callable

from console.core.errors import Cause, ConsoleError
from console.stack.logs import LogBook
from console.stack.model import DEMO_RATES, Outcome
from console.stack.process import KeptProcess, Order

SOURCE = "traffic"
OFF = DEMO_RATES[0]
FASTEST_PER_S = 60.0
"""The mix keeps two worker processes busy at about 15/s; more would only fill the broker."""


def per_second(rate: str) -> float:
    """One of `DEMO_RATES` as a number; 0 is off. Raises `ConsoleError`."""
    if rate not in DEMO_RATES:
        raise ConsoleError(f"{rate!r} is not a rate of demo traffic", cause=Cause.INVALID)
    if rate == OFF:
        return 0.0
    return FASTEST_PER_S if rate == DEMO_RATES[-1] else float(rate.removesuffix("/s"))


class DemoTraffic:
    """At most one process. `ended` is called with the outcome and the last line when it ends by itself."""

    def __init__(self, book: LogBook, ended: Callable[[Outcome, str], None]) -> None:
        self._book = book
        self._ended = ended
        self._process: KeptProcess | None = None

    @property
    def pids(self) -> list[int]:
        return [] if self._process is None else self._process.pids

    async def start(self, order: Order) -> None:
        process = KeptProcess(
            on_lines=lambda lines: self._book.add(SOURCE, lines),
            on_dropped=lambda number: self._book.note_dropped(SOURCE, number),
            on_end=lambda outcome: self._on_end(process, outcome),
        )
        self._process = process
        self._book.begin(SOURCE)
        await process.start(order)

    async def end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.stop((("TERM", 1.0),))
            await process.wait()

    def _on_end(self, process: KeptProcess, outcome: Outcome) -> None:
        if process is self._process:
            self._process = None
            tail = self._book.tail(SOURCE)
            self._ended(outcome, tail[-1] if tail else "")
