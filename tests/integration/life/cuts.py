"""Random troubles of a line, and what a console has to show for it after each."""

from __future__ import annotations

import asyncio
import gc
import random
import statistics
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf

import psutil

from console.core.connection import LinkState, LinkStatus
from console.core.errors import ConsoleError
from console.core.notices import Level
from console.tasks.operations import revoke_operation
from console.workers.model import Tab
from tests.integration.life.desk import LINK_KEY, Desk
from tests.integration.life.load import HELD_QUEUE
from tests.proxy import Proxy

PAUSE_S = 4.0
"""The longest pause between two tries."""
MARGIN_S = 2.0
LONGEST_DELAY_S = 1.5
BEFORE_S = LONGEST_DELAY_S + 0.3
"""What was published so shortly before the last bytes came through may have been on its way."""
NODE = "one@test"


class Trouble(StrEnum):
    CUT = "cut"
    RESET = "reset"
    HALF_OPEN = "half-open"
    DELAY = "delay"
    REFUSE = "refuse"
    SILENT = "silent"
    BURST = "burst"


@dataclass
class Line:
    """A desk and the proxy through which it reaches the broker."""

    desk: Desk
    proxy: Proxy
    chance: random.Random
    timeout_s: float
    back_s: dict[Trouble, list[float]] = field(default_factory=lambda: defaultdict(list))
    outages: int = 0
    operations: set[asyncio.Task[object]] = field(default_factory=set)
    operated: int = 0
    refused: int = 0
    since: float = 0.0
    wrong: list[BaseException] = field(default_factory=list)
    _last: LinkState = LinkState.CONNECTING
    _ping_s: float = 0.0

    async def watch(self) -> None:
        """Count outages and note answered pings from now on; events are read from now on."""
        await self.desk.until(lambda: self.desk.reading, 20, "events are read")
        self.since = time.time()
        self.desk.session.status_changed.connect(self._on_status)
        self.desk.pings.connect(self._on_ping)

    def _on_ping(self, at_s: float) -> None:
        self._ping_s = at_s

    def _on_status(self, status: LinkStatus) -> None:
        if status.state is not LinkState.CONNECTED and self._last is LinkState.CONNECTED:
            self.outages += 1
        self._last = status.state

    async def round(self) -> None:
        """One trouble while things are done; back to Connected when it is over, and how long that took."""
        await asyncio.sleep(self.chance.uniform(0.0, 0.3))
        trouble = self.chance.choice(list(Trouble))
        self._operate()
        await self._make(trouble)
        self._operate()
        healed_s = time.monotonic()
        await self.desk.until(
            lambda: self._ping_s > healed_s and self.desk.state is LinkState.CONNECTED,
            self.timeout_s + PAUSE_S + MARGIN_S,
            f"Connected after {trouble}",
        )
        self.back_s[trouble].append(self._ping_s - healed_s)

    async def _make(self, trouble: Trouble) -> None:
        proxy, chance = self.proxy, self.chance
        match trouble:
            case Trouble.CUT:
                await asyncio.to_thread(proxy.cut)
            case Trouble.RESET:
                await asyncio.to_thread(proxy.reset)
            case Trouble.HALF_OPEN:
                await asyncio.to_thread(proxy.half_open)
            case Trouble.DELAY:
                await asyncio.to_thread(proxy.delay, chance.uniform(0.1, LONGEST_DELAY_S))
                await self._for_a_while()
            case Trouble.REFUSE | Trouble.SILENT:
                away = proxy.refuse if trouble is Trouble.REFUSE else proxy.accept_silently
                await asyncio.to_thread(away)
                await asyncio.to_thread(chance.choice((proxy.cut, proxy.reset)))
                await self._for_a_while()
            case Trouble.BURST:
                for _ in range(chance.randint(3, 5)):
                    await asyncio.to_thread(chance.choice((proxy.cut, proxy.reset, proxy.half_open)))
                    await asyncio.sleep(chance.uniform(0.0, 0.2))

    async def _for_a_while(self) -> None:
        await asyncio.sleep(self.chance.uniform(0.2, 1.0))
        await asyncio.to_thread(self.proxy.heal)

    def _operate(self) -> None:
        """Something that a person may do now; nobody waits for it."""
        desk = self.desk
        rows = desk.task_list.snapshot.rows
        acts: list[Callable[[], Awaitable[object]]] = [
            lambda: desk.runner.run(desk.workers.operations.ping(NODE)),
            lambda: desk.queues.peek(HELD_QUEUE),
            lambda: desk.workers.listing(NODE, self.chance.choice(list(Tab))),
        ]
        if rows:
            row = self.chance.choice(rows)
            acts.append(lambda: desk.runner.run(revoke_operation([row], desk.task_list)))
        desk.queues.refresh()
        if self.chance.random() < 0.3:
            desk.workers.refresh()
        task = asyncio.ensure_future(_awaited(self.chance.choice(acts)))
        self.operations.add(task)
        task.add_done_callback(self._operated)

    def _operated(self, task: asyncio.Task[object]) -> None:
        self.operations.discard(task)
        error = None if task.cancelled() else task.exception()
        self.operated += 1
        if error is None:
            self.refused += task.result() is False
        elif isinstance(error, ConsoleError):
            self.refused += 1
        else:
            self.wrong.append(error)

    async def settle(self) -> None:
        """Everything is healed, every operation has ended, and events are read."""
        await asyncio.to_thread(self.proxy.heal)
        desk = self.desk
        await desk.until(lambda: not self.operations, 20, "the operations end")
        await desk.until(lambda: desk.reading, 25, "events are read")
        healed_s = time.monotonic()
        await desk.until(lambda: self._ping_s > healed_s and desk.session.connected, 25, "Connected")
        desk.queues.refresh()
        await desk.until(lambda: not desk.queues.snapshot.stale, 20, "queues are read")
        desk.workers.refresh()
        await desk.until(lambda: not desk.workers.snapshot.stale, 20, "workers are heard")
        await desk.until(
            lambda: NODE in {row.hostname for row in desk.workers.snapshot.rows}, 20, "the worker is known"
        )
        assert not self.wrong, "".join(traceback.format_exception(self.wrong[0]))

    async def missed(self, published: list[tuple[str, float]]) -> tuple[int, list[float]]:
        """How many of the tasks that were published are not in the history, and when those of them were
        published that no gap tells of. Those of the last second may still be on their way.
        """
        known = await self.desk.known_tasks()
        spans = [
            (one.start.timestamp(), one.end.timestamp() if one.end else inf) for one in await self.desk.gaps()
        ]
        newest = published[-1][1] - 1
        missed = [at for task_id, at in published if self.since < at < newest and task_id not in known]
        return len(missed), [
            at for at in missed if not any(start - BEFORE_S <= at <= end for start, end in spans)
        ]

    def check_lanes(self) -> None:
        """No lane is stuck."""
        session = self.desk.session
        lanes = (session.link, session.control, session.queues, session.database, session.history)
        assert not [lane.name for lane in lanes if lane.stuck]

    def check_notices(self) -> str:
        """Outages are told, each a few times at most; what was told, as words."""
        errors = [one for one in self.desk.told if one.key == LINK_KEY and one.level is not Level.OK]
        now = [one for one in self.desk.notices.notices if one.key == LINK_KEY]
        assert len(now) <= 1, now
        assert len(errors) <= 2 * self.outages + 1, [one.text for one in errors]
        return f"{self.outages} outages, {len(errors)} notices of them"


async def _awaited(act: Callable[[], Awaitable[object]]) -> object:
    return await act()


@dataclass(frozen=True, slots=True)
class Reading:
    """What may leak, counted when nothing is going on."""

    threads: int
    files: int
    tasks: int
    at_server: int
    through_proxies: int
    reply_traces: int
    objects: int
    rss_mb: float

    def __str__(self) -> str:
        return (
            f"threads {self.threads}, files {self.files}, asyncio tasks {self.tasks}, "
            f"connections at the server {self.at_server}, at the proxies {self.through_proxies}, "
            f"reply queues and bindings {self.reply_traces}, objects {self.objects}, RSS {self.rss_mb:.1f} MB"
        )


def read_leaks(lines: list[Line], *, at_server: int, reply_traces: int) -> Reading:
    gc.collect()
    process = psutil.Process()
    return Reading(
        threads=threading.active_count(),
        files=process.num_fds(),
        tasks=len(asyncio.all_tasks()),
        at_server=at_server,
        through_proxies=sum(line.proxy.connections for line in lines),
        reply_traces=reply_traces,
        objects=len(gc.get_objects()),
        rss_mb=process.memory_info().rss / 1e6,
    )


def times_back(lines: list[Line]) -> str:
    """Median and worst seconds back to Connected, per trouble."""
    together: dict[Trouble, list[float]] = defaultdict(list)
    for line in lines:
        for trouble, times_s in line.back_s.items():
            together[trouble] += times_s
    return "\n".join(
        f"  {trouble:10} {len(times_s):4} times: median {statistics.median(times_s):.2f} s,"
        f" worst {max(times_s):.2f} s"
        for trouble, times_s in sorted(together.items())
    )
