"""The activity log as the rest of the program uses it: write from the runner, read from the page."""

from __future__ import annotations

from console.activity.gateway import SqliteActivity
from console.activity.model import ActivityLine
from console.core.activity import ActivityEntry, Outcome
from console.core.clock import Clock
from console.core.happening import Happening
from console.core.lanes import Lane
from console.core.redaction import redact


class ActivityService:
    """Implements `core.activity.ActivityLog`. Texts are redacted before they reach the disk."""

    def __init__(self, gateway: SqliteActivity, *, clock: Clock) -> None:
        self._gateway = gateway
        self._clock = clock
        self._lane = Lane("activity", threads=1, timeout_s=10.0)
        self.changed: Happening[None] = Happening()

    async def begin(self, entry: ActivityEntry) -> int:
        safe = ActivityEntry(
            entry.when,
            entry.who,
            entry.connection,
            entry.operation,
            redact(entry.target),
            redact(entry.reason),
        )
        number = await self._lane.run(self._gateway.begin, safe)
        self.changed.emit(None)
        return number

    async def finish(self, number: int, outcome: Outcome, said: str) -> None:
        await self._lane.run(self._gateway.finish, number, self._clock.now(), outcome, redact(said))
        self.changed.emit(None)

    async def read(self, search: str) -> list[ActivityLine]:
        """The newest 500 acts that hold every word of `search`. Raises `ConsoleError`."""
        return await self._lane.run(self._gateway.read, search)

    async def aclose(self) -> None:
        await self._lane.run(self._gateway.close)
        await self._lane.aclose()
