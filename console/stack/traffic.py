"""Demo traffic: one more kept process, which is no service and has no row."""

from __future__ import annotations

from collections.abc import Callable

from console.core.errors import Cause, ConsoleError
from console.core.notices import Level, NoticeBoard
from console.stack.logs import LogBook
from console.stack.model import DEMO_RATES, Outcome
from console.stack.orders import Orders
from console.stack.process import KeptProcess

SOURCE = "traffic"
OFF = DEMO_RATES[0]
FASTEST_PER_S = 1000.0
"""More than any worker takes: what holds it back is how many tasks wait (`orders.MAX_WAITING`)."""


def per_second(rate: str) -> float:
    """One of `DEMO_RATES` as a number; 0 is off. Raises `ConsoleError`."""
    if rate not in DEMO_RATES:
        raise ConsoleError(f"{rate!r} is not a rate of demo traffic", cause=Cause.INVALID)
    if rate == OFF:
        return 0.0
    return FASTEST_PER_S if rate == DEMO_RATES[-1] else float(rate.removesuffix("/s"))


class DemoTraffic:
    """At most one process. `on_rate` is called with each new rate, and with OFF when it ends by itself."""

    def __init__(self, *, book: LogBook, notices: NoticeBoard, on_rate: Callable[[str], None]) -> None:
        self._book = book
        self._notices = notices
        self._on_rate = on_rate
        self._process: KeptProcess | None = None
        self._leaving: KeptProcess | None = None

    @property
    def pids(self) -> list[int]:
        return [] if self._process is None else self._process.pids

    async def flow(self, rate: str, orders: Orders | None) -> str:
        """Send at `rate`; returns the outcome in words. Raises `ConsoleError`; without orders, too."""
        per_s = per_second(rate)
        await self.end()
        if not per_s:
            return "Demo traffic is off"
        if orders is None:
            raise ConsoleError("Demo traffic needs the broker", remedy="Start the local stack first.")
        process = KeptProcess(
            on_lines=lambda lines: self._book.add(SOURCE, lines),
            on_dropped=lambda number: self._book.note_dropped(SOURCE, number),
            on_end=lambda outcome: self._on_end(process, outcome),
        )
        self._process = process
        self._book.begin(SOURCE)
        await process.start(orders.traffic(per_s))
        if process is self._process:
            self._on_rate(rate)
        return f"Demo traffic: {rate}"

    async def end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            self._leaving = process
            process.stop((("TERM", 1.0),))
            await process.wait()
            self._leaving = None
        self._on_rate(OFF)

    def kill(self) -> None:
        """SIGKILL to what runs or is ending."""
        if (process := self._process or self._leaving) is not None:
            process.kill()

    def _on_end(self, process: KeptProcess, outcome: Outcome) -> None:
        if process is not self._process:
            return
        self._process = None
        self._on_rate(OFF)
        if not outcome.clean:
            tail = self._book.tail(SOURCE)
            title = f"Demo traffic {outcome.words}"
            self._notices.post(Level.WARNING, title, detail=tail[-1] if tail else "", key="stack-traffic")
