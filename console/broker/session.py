"""One open connection: its lanes, its clients and the state of the line.

Made when a person connects and closed when they disconnect. Feature services receive it in `attach`
and do their blocking work on its lanes; none of them opens a connection of its own.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import redis

from console.broker.address import BrokerAddress
from console.broker.database import DatabaseAddress
from console.broker.ping import BrokerPing, make_ping
from console.broker.redis_client import make_redis_client
from console.core.clock import Clock
from console.core.connection import ConnectionInfo, LinkState, LinkStatus, Rights
from console.core.errors import ConsoleError
from console.core.happening import Happening
from console.core.lanes import Lane

if TYPE_CHECKING:
    from celery import Celery

# Any consumer of kombu's hands back what others hold for longer than ITS timeout, whoever's message it is;
# the console must never do that, or a worker with a longer timeout runs its task twice.
NEVER_RESTORE_S = 10**9
# kombu gives connecting, the login and each answer of AMQP the connection's timeout anew.
LINK_STEPS = 4
TUNNELS_END_S = 10.0
SHORTEST_LANE_S = 12.0
NO_RIGHTS_MISSING: Rights = MappingProxyType({})


class Tunnel(Protocol):
    """A way through a jump host that the session closes at its end."""

    @property
    def failure(self) -> ConsoleError | None:
        """Why the last client was turned away; None once one was served again."""
        ...

    def close(self) -> None:
        """Blocking, bounded; twice does no harm."""
        ...


class Session:
    """An open connection. All attributes are used on the loop, the clients only inside lane jobs.

    - `link`: 1 thread for the ping that tells whether the line is up;
      `control`: 2 threads for control and inspect; `queues`: 1 thread for depths and publishing;
      `database`: exactly 1 thread for the Django ORM; `history`: 1 thread for history reads.
    - `schedules`: the database with django-celery-beat's tables, or None.
    - `history_file`: where the collector of this connection writes.
    - `queue_names`: queues that a person has named beside those that the broker tells of.
    - `results`: the result backend as a person has named it, or None for "as the workers say".
    - `schedules_problem`: why the schedules database cannot even be tried now (its tunnel does not open).
    - `schedules_refused`: the schedules database does not accept the user and password.
    - `tunnels`: what `address`, `schedules` and `results` lead through, closed with the session.
    - `rights`: what the broker and the schedules database do not permit; empty until they were asked.
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
        tunnels: Sequence[Tunnel] = (),
    ) -> None:
        self.info = info
        self.address = address
        self.schedules = schedules
        self.queue_names = queue_names
        self.results = results
        self.schedules_problem: ConsoleError | None = None
        self.schedules_refused: Happening[ConsoleError] = Happening()
        self.tunnels: list[Tunnel] = list(tunnels)
        self.rights: Rights = NO_RIGHTS_MISSING
        self._rights: dict[str, Rights] = {}
        self.rights_changed: Happening[Rights] = Happening()
        self.history_file = history_file
        self.clock = clock
        self.status = LinkStatus(LinkState.CONNECTING, clock.now())
        self.status_changed: Happening[LinkStatus] = Happening()
        steps_s = address.timeout_s * LINK_STEPS + 1.0
        self.link = Lane("link", threads=1, timeout_s=steps_s)
        self.control = Lane("control", threads=2, timeout_s=max(SHORTEST_LANE_S, steps_s))
        self.queues = Lane("queues", threads=1, timeout_s=max(SHORTEST_LANE_S, steps_s))
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
        self,
        state: LinkState,
        *,
        latency_ms: float | None = None,
        error: ConsoleError | None = None,
        retry_at: datetime | None = None,
    ) -> None:
        """Note the state of the line; listeners hear of it at once."""
        since: datetime = self.status.since if state is self.status.state else self.clock.now()
        self.status = LinkStatus(state, since, latency_ms, error, retry_at)
        self.status_changed.emit(self.status)

    def set_rights(self, rights: Rights, *, source: str = "broker") -> None:
        """Note all that `source` does not permit, in place of what it did before; listeners hear of a change.

        The broker's probe and the schedules database each tell of their own.
        """
        self._rights[source] = rights
        merged = {right: why for told in self._rights.values() for right, why in told.items()}
        if merged != self.rights:
            self.rights = MappingProxyType(merged)
            self.rights_changed.emit(self.rights)

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

    def drop_lines(self) -> None:
        """Close the lines that nobody uses now: after a cut or a sleep they are dead and do not know it.

        Blocking: on the link lane, as the ping's own line is among them. Who uses one finds out by itself.
        """
        self._ping.close()
        with self._making:
            client, app = self._redis, self._celery
        if client is not None:
            client.connection_pool.disconnect(inuse_connections=False)
        if app is not None:
            _drop_idle(app)

    async def aclose(self) -> None:
        """Close the clients, the tunnels, and end the lanes' threads."""
        if self._celery is not None:
            with contextlib.suppress(ConsoleError):
                await self.control.run(self._close_celery, self._celery, timeout_s=2.0)
        with contextlib.suppress(ConsoleError):
            await self.link.run(self._ping.close, timeout_s=1.0)
        if self.tunnels:
            # A lane of their own: the others may be stuck, and to end the tunnels is what frees them.
            ending = Lane("tunnels of a session", timeout_s=TUNNELS_END_S)
            with contextlib.suppress(ConsoleError):
                await ending.run(self._close_tunnels)
            await ending.aclose(wait_s=0.5)
        for lane in (self.link, self.control, self.queues, self.database, self.history):
            await lane.aclose(wait_s=0.5)
        if self._redis is not None:
            self._redis.close()

    def _close_celery(self, app: Celery) -> None:
        from console.broker.kombu_lines import close_celery_app
        from console.broker.sending import delete_owed_reply_queues

        try:
            delete_owed_reply_queues(app, self.address)
        finally:
            close_celery_app(app)

    def _close_tunnels(self) -> None:
        for tunnel in self.tunnels:
            tunnel.close()


def _drop_idle(app: Celery) -> None:
    """Have the connections in the application's pool that nobody has taken connect anew at their next use."""
    pool: Any = getattr(app, "_pool", None)
    places = None if pool is None else getattr(pool, "_resource", None)  # kombu's queue of a pool's places
    if places is None:
        return
    taken: list[Any] = []
    with contextlib.suppress(queue.Empty):
        while True:
            taken.append(places.get_nowait())
    for place in taken:
        collect = getattr(place, "collect", None)  # a place that was never used holds no connection
        try:
            if collect is not None:
                collect(socket_timeout=0.1)
        finally:
            places.put_nowait(place)
