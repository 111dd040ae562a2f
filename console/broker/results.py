"""Reads what a result backend holds of tasks: a Redis of Celery's, or django-celery-results' table.

Stands beside the broker because two features need it: the Tasks page shows a stored result, and the collector
asks for the end of tasks of which no event came. The meaning is AsyncResult's (celery/result.py): what the
backend does not know is PENDING there, which says nothing, so it is simply absent here. Only JSON is read;
nothing is unpickled, and no class is looked up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import redis

from console.broker.address import BrokerAddress
from console.broker.database import DatabaseAddress
from console.broker.errors import broker_errors
from console.broker.redis_client import make_redis_client
from console.core.errors import Cause, ConsoleError

MAX_BYTES = 1_000_000
"""The longest content that is read of one result; of a longer one only the state is told."""
AT_ONCE = 50
TABLE = "django_celery_results_taskresult"


@dataclass(frozen=True, slots=True)
class BackendResult:
    """What a result backend says of one task.

    - `state`: Celery's own word (SUCCESS, FAILURE, RETRY, REVOKED, STARTED, ...); "" when it is stored in a
      form that is not read.
    - `result_text`: the returned value as JSON; None where there is none, or it is not read.
    - `exception`: as events write it, `ValueError('no')`; only of a task that failed, retries or is revoked.
    - `date_done`: aware; the backend writes it only for ended tasks (django-db: at each change).
    - `children`: ids of tasks that this one has sent, those inside groups too.
    - `args_text`, `kwargs_text`: only with `result_extended`; JSON of real values from Redis (exact but for
      tuples, which are lists), from django-db JSON of a display text (FACTS 3.1, rows 3 and 4).
    - `problem`: why something is not read, in words; "" when all is.
    """

    task_id: str
    state: str
    result_text: str | None = None
    exception: str | None = None
    traceback: str | None = None
    date_done: datetime | None = None
    worker: str | None = None
    name: str | None = None
    queue: str | None = None
    retries: int | None = None
    parent_id: str | None = None
    group_id: str | None = None
    args_text: str | None = None
    kwargs_text: str | None = None
    children: tuple[str, ...] = ()
    problem: str = ""


class ResultReader(Protocol):
    """Lines are opened for one call and closed with it, so that any thread may call at any time."""

    @property
    def place(self) -> str:
        """Where it reads, for sentences; no secret in it."""
        ...

    def read(self, task_ids: Sequence[str]) -> dict[str, BackendResult]:
        """What is known of `task_ids`; an absent one is unknown to the backend.

        Blocking, every wait bounded by the address's timeouts. Raises `ConsoleError`.
        """
        ...


def open_results(address: BrokerAddress | DatabaseAddress) -> ResultReader:
    """The reader for a result backend. Connects to nothing yet. Raises `ConsoleError` (`INVALID`)."""
    if isinstance(address, DatabaseAddress):
        from console.broker.results_sql import SqlResults

        return SqlResults(address)
    if not address.kind.is_redis:
        raise ConsoleError(
            "This result backend cannot be read",
            detail="A result sent through RabbitMQ goes to who asked for it and to nobody else.",
            remedy="Set a Redis or the Django database as the result backend in Connections.",
            cause=Cause.INVALID,
        )
    return RedisResults(address)


class RedisResults:
    """Celery's Redis backend: a string of JSON at `celery-task-meta-<id>` (celery/backends/base.py)."""

    def __init__(self, address: BrokerAddress) -> None:
        self._address = address
        self.place = f"{address.place}, database {address.database}"

    def read(self, task_ids: Sequence[str]) -> dict[str, BackendResult]:
        found: dict[str, BackendResult] = {}
        if not task_ids:
            return found
        with broker_errors(self._address):
            client = make_redis_client(self._address, max_connections=1)
            try:
                for ids in chunks(list(dict.fromkeys(task_ids)), AT_ONCE):
                    found |= self._read(client, ids)
            finally:
                client.close()
        return found

    def _read(self, client: redis.Redis, task_ids: Sequence[str]) -> dict[str, BackendResult]:
        from console.broker.results_content import result_of_payload

        prefix = key_prefix(self._address.key_prefix)
        asking = client.pipeline(transaction=False)
        for task_id in task_ids:
            asking.getrange(f"{prefix}celery-task-meta-{task_id}", 0, MAX_BYTES)
        answers: list[Any] = asking.execute(raise_on_error=False)
        found: dict[str, BackendResult] = {}
        for task_id, answer in zip(task_ids, answers, strict=True):
            if isinstance(answer, redis.ResponseError) and str(answer).startswith("WRONGTYPE"):
                found[task_id] = BackendResult(task_id, "", problem="Its key holds something else")
            elif isinstance(answer, Exception):
                raise answer
            elif answer:
                found[task_id] = result_of_payload(task_id, answer)
        return found


def key_prefix(global_prefix: str) -> str:
    """Celery puts an underscore after a prefix that has no separator of its own (`_add_global_keyprefix`)."""
    if not global_prefix or global_prefix[-1] in ":_-.":
        return global_prefix
    return f"{global_prefix}_"


def chunks(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """`ids` in pieces of at most `size`."""
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
