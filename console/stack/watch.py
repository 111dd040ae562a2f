"""What is read and noted while the stack runs: usage, sent mail, and which processes are its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from console.core.errors import ConsoleError
from console.core.lanes import Lane
from console.core.notices import NoticeBoard
from console.core.spawn import Tasks
from console.stack.gateway import LocalMachine
from console.stack.services import Services

log = logging.getLogger(__name__)

SEEN_S = 2.0
UNSEEN_S = 5.0
SAMPLES = 60


class Watch:
    """Samples every 2 s while the page is looked at, else every 5 s. `helpers` are more processes to note."""

    def __init__(
        self,
        *,
        machine: LocalMachine,
        lane: Lane,
        notices: NoticeBoard,
        helpers: Callable[[], list[int]],
        on_mail: Callable[[int | None], None],
    ) -> None:
        self._machine = machine
        self._lane = lane
        self._notices = notices
        self._helpers = helpers
        self._on_mail = on_mail
        self._tasks = Tasks("stack watch")
        self._services: Services | None = None
        self._visible = False
        self._now = asyncio.Event()
        self._noting = False

    def begin(self, services: Services) -> None:
        """Watch these services until `end`."""
        self._services = services
        self._tasks.start(self._sample(services), name="sample")

    async def end(self) -> None:
        """Watch nothing; on disk, too, nothing runs."""
        self._services = None
        self._now.set()
        await self._write()

    def set_visible(self, visible: bool) -> None:
        self._visible = visible
        if visible:
            self.look()

    def look(self) -> None:
        """Sample now."""
        self._now.set()

    def note_processes(self) -> None:
        """Keep the list of running processes on disk; many changes in one turn of the loop are one write."""
        if not self._noting:
            self._noting = True
            self._tasks.start(self._note(), name="note processes")

    async def aclose(self) -> None:
        await self._tasks.aclose()

    async def _sample(self, services: Services) -> None:
        while self._services is services:
            self._now.clear()
            try:
                used = await self._lane.run(self._machine.sample, services.child_pids(), key="sample")
                mail = await self._lane.run(self._machine.count_mail, key="count mail")
            except ConsoleError as error:
                log.info("The stack could not be sampled: %s", error)
            else:
                if self._services is services:
                    services.take_usage(used, SAMPLES)
                    self._on_mail(mail)
            with suppress(TimeoutError):
                async with asyncio.timeout(SEEN_S if self._visible else UNSEEN_S):
                    await self._now.wait()

    async def _note(self) -> None:
        await asyncio.sleep(0)
        self._noting = False
        await self._write()

    async def _write(self) -> None:
        pids = [] if self._services is None else self._services.all_pids() + self._helpers()
        try:
            await self._lane.run(self._machine.note_running, pids)
        except ConsoleError as error:
            self._notices.post_error(error, key="stack-run-file")
