"""One open connection: its lanes, its clients and the state of the line.

Made when a person connects and closed when they disconnect. Feature services receive it in `attach`
and do their blocking work on its lanes; none of them opens a connection of its own.
"""

from __future__ import annotations

import contextlib
import threading
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import redis

from console.broker.address import BrokerAddress
from console.broker.database import DatabaseAddress
from console.broker.ping import BrokerPing, make_ping
from console.broker.redis_client import make_redis_client
from console.core.clock import Clock
from console.core.connection import ConnectionInfo, LinkState, LinkStatus
from console.core.errors import ConsoleError
from console.core.happening import Happening
from console.core.lanes import Lane

if TYPE_CHECKING:
    from celery import Celery

# Any consumer of kombu's hands back what others hold for longer than ITS timeout, whoever's message it is;
# the console must never do that, or a worker with a longer timeout runs its task twice.
NEVER_RESTORE_S = 10**9
# Connecting, TLS and the login may each take the connection's timeout before the ping does.
LINK_STEPS = 4


class Session:
    """An open connection. All attributes are used on the loop, the clients only inside lane jobs.

    - `link`: 1 thread for the ping that tells whether the line is up;
      `control`: 2 threads for control and inspect; `queues`: 1 thread for depths and publishing;
      `database`: exactly 1 thread for the Django ORM; `history`: 1 thread for history reads.
    - `schedules`: the database with django-celery-beat's tables, or None.
    - `history_file`: where the collector of this connection writes.
    - `queue_names`: queues that a person has named beside those that the broker tells of.
    - `results`: the result backend as a person has named it, or None for "as the workers say".
    """

    def __init__(
        self,
        *,
        info: ConnectionInfo,
        address: BrokerAddress,
        schedules: DatabaseAddress | None,
        history_file: Path,
        clock: Clock,
        queue_names: tuple[str, ...] = (),
        results: BrokerAddress | DatabaseAddress | None = None,
    ) -> None:
        self.info = info
        self.address = address
        self.schedules = schedules
        self.queue_names = queue_names
        self.results = results
        self.history_file = history_file
        self.clock = clock
        self.status = LinkStatus(LinkState.CONNECTING, clock.now())
        self.status_changed: Happening[LinkStatus] = Happening()
        self.link = Lane("link", threads=1, timeout_s=address.timeout_s * LINK_STEPS + 1.0)
        self.control = Lane("control", threads=2, timeout_s=12.0)
        self.queues = Lane("queues", threads=1, timeout_s=12.0)
        self.database = Lane("database", threads=1, timeout_s=20.0)
        self.history = Lane("history", threads=1, timeout_s=20.0)
        self._ping: BrokerPing = make_ping(self)
        self._redis: redis.Redis | None = None
        self._celery: Celery | None = None
        self._making = threading.Lock()

    @property
    def connected(self) -> bool:
        return self.status.state is LinkState.CONNECTED

    def set_status(
        self, state: LinkState, *, latency_ms: float | None = None, error: ConsoleError | None = None
    ) -> None:
        """Note the state of the line; listeners hear of it at once."""
        since: datetime = self.status.since if state is self.status.state else self.clock.now()
        self.status = LinkStatus(state, since, latency_ms, error)
        self.status_changed.emit(self.status)

    def ping(self) -> float:
        """How long the broker took to answer, in milliseconds. Blocking. Raises `ConsoleError`."""
        return self._ping.ping()

    def redis_client(self) -> redis.Redis:
        """The one Redis client (a pool of at most 2 connections). Blocking: lane threads only.

        Only for a broker whose `address.kind.is_redis`.
        """
        with self._making:
            if self._redis is None:
                self._redis = make_redis_client(self.address, max_connections=2)
            return self._redis

    def celery_app(self) -> Celery:
        """The Celery application for control and publishing. Blocking (first call imports celery).

        Never `current_app`: two windows on two brokers must not share one.
        """
        with self._making:
            if self._celery is None:
                from console.broker.kombu_lines import make_celery_app

                self._celery = make_celery_app(self.address)
            return self._celery

    async def aclose(self) -> None:
        """Close the clients and end the lanes' threads."""
        if self._celery is not None:
            from console.broker.kombu_lines import close_celery_app

            with contextlib.suppress(ConsoleError):
                await self.control.run(close_celery_app, self._celery, timeout_s=2.0)
        with contextlib.suppress(ConsoleError):
            await self.link.run(self._ping.close, timeout_s=1.0)
        for lane in (self.link, self.control, self.queues, self.database, self.history):
            await lane.aclose(wait_s=0.5)
        if self._redis is not None:
            self._redis.close()
