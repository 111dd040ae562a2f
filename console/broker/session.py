"""One open connection: its lanes, its clients and the state of the line.

Made when a person connects and closed when they disconnect. Feature services receive it in `attach`
and do their blocking work on its lanes; none of them opens a connection of its own.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

from console.broker.address import BrokerAddress
from console.core.clock import Clock
from console.core.connection import ConnectionInfo, LinkState, LinkStatus
from console.core.errors import ConsoleError
from console.core.happening import Happening
from console.core.lanes import Lane

if TYPE_CHECKING:
    from celery import Celery

SOCKET_TIMEOUT_S = 5.0
# Any consumer of kombu's hands back what others hold for longer than ITS timeout, whoever's message it is;
# the console must never do that, or a worker with a longer timeout runs its task twice.
NEVER_RESTORE_S = 10**9
_app_numbers = itertools.count(1)


class Session:
    """An open connection. All attributes are used on the loop, the clients only inside lane jobs.

    - `link`: 1 thread for the ping that tells whether the line is up;
      `control`: 2 threads for control and inspect; `queues`: 1 thread for depths and publishing;
      `database`: exactly 1 thread for the Django ORM; `history`: 1 thread for history reads.
    - `schedules_url`: the database with django-celery-beat's tables (`sqlite:///path` or a URL), or None.
    - `history_file`: where the collector of this connection writes.
    """

    def __init__(
        self,
        *,
        info: ConnectionInfo,
        address: BrokerAddress,
        schedules_url: str | None,
        history_file: Path,
        clock: Clock,
    ) -> None:
        self.info = info
        self.address = address
        self.schedules_url = schedules_url
        self.history_file = history_file
        self.clock = clock
        self.status = LinkStatus(LinkState.CONNECTING, clock.now())
        self.status_changed: Happening[LinkStatus] = Happening()
        self.link = Lane("link", threads=1, timeout_s=SOCKET_TIMEOUT_S * 2)
        self.control = Lane("control", threads=2, timeout_s=12.0)
        self.queues = Lane("queues", threads=1, timeout_s=12.0)
        self.database = Lane("database", threads=1, timeout_s=20.0)
        self.history = Lane("history", threads=1, timeout_s=20.0)
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

    def redis_client(self) -> redis.Redis:
        """The one Redis client (a pool of at most 2 connections). Blocking: lane threads only."""
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
                self._celery = make_celery_app(self.address)
            return self._celery

    async def aclose(self) -> None:
        """Close the clients and end the lanes' threads."""
        if self._celery is not None:
            with contextlib.suppress(ConsoleError):
                await self.control.run(close_celery_app, self._celery, timeout_s=2.0)
        for lane in (self.link, self.control, self.queues, self.database, self.history):
            await lane.aclose(wait_s=0.5)
        if self._redis is not None:
            self._redis.close()


def make_redis_client(address: BrokerAddress, *, max_connections: int = 2) -> redis.Redis:
    """A client with timeouts on everything and no retries of its own (the services retry)."""
    options: dict[str, Any] = {"connection_class": redis.SSLConnection} if address.tls else {}
    pool_class: Any = redis.BlockingConnectionPool
    pool = pool_class(
        host=address.host,
        port=address.port,
        db=address.database,
        username=address.username or None,
        password=address.password.reveal() or None,
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=SOCKET_TIMEOUT_S,
        health_check_interval=0,
        max_connections=max_connections,
        timeout=SOCKET_TIMEOUT_S,
        client_name="celery-console",
        retry=None,
        **options,
    )
    # Not `Redis(connection_pool=pool)`, whose `close` would leave the sockets of the pool open.
    client: redis.Redis = redis.Redis.from_pool(pool)
    return client


def make_celery_app(address: BrokerAddress) -> Celery:
    """A Celery application of our own for `address`, with bounded waits and JSON only.

    kombu keeps one pool of connections per set of options for the whole process, so that closing one
    application would close another's pool to the same broker: the client name tells them apart.
    """
    from celery import Celery

    app = Celery("celery-console", set_as_current=False)
    app.conf.update(
        broker_url=address.reveal_url(),
        broker_connection_timeout=SOCKET_TIMEOUT_S,
        broker_connection_retry=False,
        broker_pool_limit=2,
        broker_transport_options={
            "socket_timeout": SOCKET_TIMEOUT_S,
            "socket_connect_timeout": SOCKET_TIMEOUT_S,
            "global_keyprefix": address.key_prefix,
            "client_name": f"celery-console-{next(_app_numbers)}",
            "max_connections": 4,
            "visibility_timeout": NEVER_RESTORE_S,
        },
        accept_content=["json"],
        task_serializer="json",
        task_send_sent_event=True,
        result_backend="disabled://",
        enable_utc=True,
    )
    return app


def close_celery_app(app: Celery) -> None:
    """Close the connections of `app`, which its own `close` leaves to the process. Blocking."""
    from kombu import pools

    # Pools are kept under the hash of a connection's options; `key in group` knows nothing of it.
    key = app.connection_for_write().__eqhash__()
    for group in (pools.producers, pools.connections):
        pool = group.pop(key, None)
        if pool is not None:
            pool.force_close_all()
    app.close()
