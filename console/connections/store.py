"""The list of connections over time: read, changed, and seen to be changed by another console."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from console.connections.gateway import ConnectionsFile, FileState, LastUsedFile, Stamp
from console.connections.model import Connection, Secrets, local_stack_connection, without_secrets
from console.core.clock import Clock
from console.core.errors import ConsoleError
from console.core.lanes import Lane
from console.core.notices import Level, NoticeAction, NoticeBoard
from console.core.spawn import Tasks

LOOK_S = 2.0
NOTICE = "connections-file"

Change = Callable[[list[Connection]], list[Connection]]


class ConnectionsStore:
    """`connections` begins with the local stack and holds no secret.

    `unreadable`: why the file cannot be read; the list is then the last good one and nothing is written.
    `passwords`: by id, what somebody has written into the addresses in the file by hand.
    """

    def __init__(
        self,
        *,
        file: ConnectionsFile,
        last_used: LastUsedFile,
        notices: NoticeBoard,
        clock: Clock,
        tasks: Tasks,
        changed: Callable[[], None],
    ) -> None:
        self._file = file
        self._last_used = last_used
        self._notices = notices
        self._clock = clock
        self._tasks = tasks
        self._changed = changed
        self._lane = Lane("connections file", threads=1, timeout_s=10.0)
        self._writing = asyncio.Lock()
        self._stamp: Stamp | None = None
        self._suspect: tuple[Stamp | None] | None = None  # what was seen once, and not believed yet
        self._watching: asyncio.Task[None] | None = None
        self.connections: list[Connection] = [local_stack_connection()]
        self.unreadable: ConsoleError | None = None
        self.passwords: dict[str, Secrets] = {}

    async def load(self) -> None:
        """Read the file, and from now on whenever it is changed; a broken one is told and left alone."""
        async with self._writing:
            stamp = await self._lane.run(self._file.stamp)
            try:
                state = await self._lane.run(self._file.load)
            except ConsoleError as error:
                await self._broken(error, stamp)
            else:
                await self._take(state)
        if self._watching is None:
            self._watching = self._tasks.start(self._watch(), name="watch the connections file")

    async def update(self, change: Change) -> None:
        """Change the list in the file, whoever has changed it meanwhile. Raises `ConsoleError`."""
        async with self._writing:
            await self._take(await self._lane.run(self._file.update, change))

    async def use_last_good(self) -> None:
        """Set the broken file aside and go on with the last good list. Raises `ConsoleError`."""
        async with self._writing:
            aside = self._clock.now().strftime("%Y%m%dT%H%M%SZ")
            await self._take(await self._lane.run(self._file.use_last_good, aside))
        self._notices.post(
            Level.OK,
            "The last good connections are in use",
            detail=f"The broken file is kept as connections.broken-{aside}.json.",
            key=NOTICE,
        )

    async def note_use(self, connection_id: str, when: datetime) -> None:
        """Remember that a connection was connected. A failure is nobody's loss."""
        self.connections = [
            replace(one, last_used=when) if one.id == connection_id else one for one in self.connections
        ]
        self._changed()
        await self._lane.run(self._last_used.note, connection_id, when)

    async def _take(self, state: FileState) -> None:
        dated = await self._lane.run(self._last_used.join, (local_stack_connection(), *state.connections))
        local = next((one for one in reversed(dated) if one.is_local_stack and one.last_used), dated[0])
        others = [without_secrets(one) for one in dated if not one.is_local_stack]
        self.passwords = {one.id: secrets for one, secrets in others if secrets.values}
        self._stamp, self._suspect = state.stamp, None
        if self.unreadable is not None:
            self.unreadable = None
            self._notices.withdraw(NOTICE)
        self.connections = [local_stack_connection(local.last_used), *(one for one, _ in others)]
        self._changed()

    async def _broken(self, error: ConsoleError, stamp: Stamp | None) -> None:
        self._stamp, self._suspect = stamp, None
        if self.unreadable is None and len(self.connections) == 1:
            good = await self._lane.run(self._file.last_good)
            dated = await self._lane.run(self._last_used.join, (local_stack_connection(), *good))
            self.connections = list(dated)
        self.unreadable = error
        action = NoticeAction("Use the last good one", self._use_last_good)
        self._notices.post_error(error, key=NOTICE, action=action)
        self._changed()

    def _use_last_good(self) -> None:
        async def run() -> None:
            try:
                await self.use_last_good()
            except ConsoleError as error:
                self._notices.post_error(error, key=NOTICE)

        self._tasks.start(run(), name="use the last good connections")

    async def _watch(self) -> None:
        """Look whether the file is another one; telling of a broken one waits for a second look.

        Editors write a file in steps, and in between it is empty, cut short or not there.
        """
        while True:
            await asyncio.sleep(LOOK_S)
            async with self._writing:
                try:
                    await self._look()
                except ConsoleError as error:  # the lane is stuck on a disk that does not answer
                    self._notices.post_error(error, key=NOTICE)

    async def _look(self) -> None:
        stamp = await self._lane.run(self._file.stamp)
        if stamp == self._stamp:
            return
        first_look = self._suspect != (stamp,)
        self._suspect = (stamp,)
        if stamp is None and first_look:
            return
        try:
            state = await self._lane.run(self._file.load)
        except ConsoleError as error:
            if not first_look:
                await self._broken(error, stamp)
        else:
            await self._take(state)

    async def aclose(self) -> None:
        await self._lane.aclose()
