"""Desktop notifications: which rows of Attention are told, when, and how many at once.

Told is what a person has chosen, once when it begins, while they look elsewhere. A row that comes and goes
is told once in ten minutes. Rows that begin within a moment of each other are one notification.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from console.core.clock import Clock
from console.core.connection import ConnectionInfo, Environment
from console.core.spawn import Tasks
from console.overview.model import Attention, AttentionKind, Severity
from console.overview.service import OverviewService, OverviewSnapshot

AGAIN_S = 600.0
GATHER_S = 1.5
LINES = 4
USUAL_KINDS = frozenset(
    {
        AttentionKind.WORKER_LOST,
        AttentionKind.NO_CONSUMER,
        AttentionKind.FAILURES,
        AttentionKind.TASKS_LOST,
        AttentionKind.BEAT,
        AttentionKind.HISTORY,
    }
)


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person wants to be told: kinds, and of which connections (False: of production only)."""

    kinds: frozenset[AttentionKind] = USUAL_KINDS
    everywhere: bool = False

    def wants(self, row: Attention, connection: ConnectionInfo) -> bool:
        of_interest = self.everywhere or connection.environment is Environment.PRODUCTION
        return of_interest and row.kind in self.kinds


@dataclass(frozen=True, slots=True)
class Notification:
    """`key` is the row of Attention that a click leads to. Plain text."""

    key: str
    title: str
    body: str
    urgent: bool


class Pacing:
    """Remembers what was told. Keys of different connections are different things."""

    def __init__(self) -> None:
        self._present: set[tuple[str, str]] = set()
        self._told_s: dict[tuple[str, str], float] = {}

    def news(
        self, rows: Sequence[Attention], connection: ConnectionInfo, *, now_s: float
    ) -> tuple[Attention, ...]:
        """Those of `rows` that have begun and were not told lately; they count as told from now on."""
        keys = {(connection.id, row.key): row for row in rows}
        begun = [key for key in keys if key not in self._present]
        self._present = set(keys)
        self._told_s = {key: at_s for key, at_s in self._told_s.items() if now_s - at_s < AGAIN_S}
        news = [key for key in begun if key not in self._told_s]
        self._told_s.update(dict.fromkeys(news, now_s))
        return tuple(keys[key] for key in news)


def notification_of(rows: Sequence[Attention], connection: ConnectionInfo) -> Notification:
    """One notification for all of `rows` (at least one), the worst first."""
    ranks = list(Severity)
    ordered = sorted(rows, key=lambda row: ranks.index(row.severity))
    first = ordered[0]
    urgent = first.severity is Severity.ERROR
    if len(ordered) == 1:
        place = "" if first.where in ("Tasks", "Workers") else f"{first.where}: "
        return Notification(first.key, connection.name, f"{place}{first.what}", urgent)
    lines = [f"{row.where}: {row.what}" for row in ordered[:LINES]]
    if len(ordered) > LINES:
        lines.append(f"and {len(ordered) - LINES:,} more")
    title = f"{connection.name}: {len(ordered)} things need attention"
    return Notification(first.key, title, "\n".join(lines), urgent)


class Teller(Protocol):
    """Where notifications go, and where the number stands."""

    def tell(self, notification: Notification) -> None: ...

    def show_count(self, count: int, words: str) -> None: ...


class AttentionNotices:
    """Follows Attention of the open connection. `looking`: the person has the window before them."""

    def __init__(
        self,
        overview: OverviewService,
        *,
        connection: Callable[[], ConnectionInfo | None],
        choice: Callable[[], Choice],
        looking: Callable[[], bool],
        teller: Teller,
        clock: Clock,
    ) -> None:
        self._overview = overview
        self._connection = connection
        self._choice = choice
        self._looking = looking
        self._teller = teller
        self._clock = clock
        self._pacing = Pacing()
        self._tasks = Tasks("notifications")
        self._gathered: list[Attention] = []
        self._gathering = False
        self._rows: tuple[Attention, ...] = ()
        self._disconnect = overview.changed.connect(self._on_overview)

    def chosen_otherwise(self) -> None:
        """The choice is another one: what is there already counts as known, the number follows."""
        self._rows = ()
        self._follow(self._overview.snapshot, quietly=True)

    def _on_overview(self, snapshot: OverviewSnapshot) -> None:
        if snapshot.attention != self._rows:
            self._follow(snapshot)

    def _follow(self, snapshot: OverviewSnapshot, *, quietly: bool = False) -> None:
        self._rows = snapshot.attention
        connection = self._connection()
        if connection is None:
            self._teller.show_count(0, "")
            return
        choice = self._choice()
        wanted = [row for row in snapshot.attention if choice.wants(row, connection)]
        words = ", ".join(row.what for row in wanted[:LINES])
        self._teller.show_count(len(wanted), f"{connection.name}: {words}" if wanted else "")
        news = self._pacing.news(wanted, connection, now_s=self._clock.monotonic_s())
        if not news or quietly or self._looking():
            return
        self._gathered += news
        if not self._gathering:
            self._gathering = True
            self._tasks.start(self._tell_soon(connection), name="tell")

    async def _tell_soon(self, connection: ConnectionInfo) -> None:
        await asyncio.sleep(GATHER_S)
        rows, self._gathered, self._gathering = self._gathered, [], False
        present = {row.key for row in self._overview.snapshot.attention}
        still = [row for row in rows if row.key in present]
        if still and not self._looking():
            self._teller.tell(notification_of(still, connection))

    async def aclose(self) -> None:
        self._disconnect()
        await self._tasks.aclose()
