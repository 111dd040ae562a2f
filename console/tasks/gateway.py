"""The outside of the Tasks page: revoking and terminating by remote control, and publishing.

Revoking is only a word to the workers: it counts when they answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from console.broker.address import BrokerAddress
from console.broker.session import NEVER_RESTORE_S
from console.core.errors import Cause, ConsoleError
from console.tasks.model import SendRequest

if TYPE_CHECKING:
    from celery import Celery

ANSWER_S = 1.5
LINE_OPTIONS = {
    "visibility_timeout": NEVER_RESTORE_S,
    # A broker that is away is said at once; the person tries again when it is back.
    "max_retries": 1,
    "interval_start": 0.1,
    "interval_step": 0.0,
    "interval_max": 0.1,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What one worker said."""

    hostname: str
    ok: bool
    text: str


class TaskControl(Protocol):
    """All calls block (lane threads) and raise `ConsoleError`."""

    def revoke(self, task_id: str, *, terminate: bool, expected: int | None) -> list[Answer]:
        """Tell the workers not to run a task (`terminate`: to kill its process); their answers.

        Waits for `expected` answers, at most 1.5 s after the last one.
        """
        ...

    def send(self, task_id: str, request: SendRequest) -> None:
        """Publish a task under `task_id`."""
        ...


class CeleryTaskControl:
    """`TaskControl` through celery's own application of the session."""

    def __init__(self, app: Callable[[], Celery], address: BrokerAddress) -> None:
        self._app = app
        self._address = address

    def revoke(self, task_id: str, *, terminate: bool, expected: int | None) -> list[Answer]:
        with self._words("Workers cannot be told"):
            app = self._app()
            with app.connection_for_write(transport_options=LINE_OPTIONS) as connection:
                mailbox = app.control.mailbox(connection)
                # Otherwise the command goes out through the application's pool, whose sockets stay open.
                mailbox.producer_pool = None
                replies = mailbox.multi_call(
                    "revoke",
                    {"task_id": task_id, "terminate": terminate, "signal": "SIGTERM"},
                    timeout=ANSWER_S,
                    limit=expected,
                )
        return [answer for reply in replies or [] for answer in _answers(reply)]

    def send(self, task_id: str, request: SendRequest) -> None:
        with self._words("The task was not sent"):
            app = self._app()
            # Without it the history would hear of the task only when a worker takes it.
            app.conf.task_send_sent_event = True
            connecting = app.connection_for_write(transport_options=LINE_OPTIONS)
            with connecting as connection, app.amqp.Producer(connection) as producer:
                app.send_task(
                    request.name,
                    tuple(request.args),  # its display text then looks as it does from `delay`
                    request.kwargs,
                    task_id=task_id,
                    queue=request.queue or None,
                    producer=producer,
                    retry=False,
                    ignore_result=False,
                )

    @contextmanager
    def _words(self, title: str) -> Iterator[None]:
        import redis
        from kombu.exceptions import KombuError

        from console.broker.errors import redis_error

        try:
            yield
        except (redis.RedisError, KombuError, OSError) as error:
            seen: BaseException | None = error
            while seen is not None:
                if isinstance(seen, redis.RedisError):
                    raise redis_error(seen, self._address) from error
                seen = seen.__cause__ or seen.__context__
            raise ConsoleError(
                title,
                detail=f"{type(error).__name__}: {error}",
                remedy="Check that the broker runs and that this machine may reach it.",
                cause=Cause.UNREACHABLE,
                retryable=True,
            ) from error


def _answers(reply: object) -> list[Answer]:
    """A reply is `{hostname: {"ok": text}}` or `{hostname: {"error": text}}`."""
    if not isinstance(reply, dict):
        return []
    answers: list[Answer] = []
    for hostname, said in reply.items():
        value = said if isinstance(said, dict) else {}
        answers.append(Answer(str(hostname), "ok" in value, str(value.get("ok", value.get("error", said)))))
    return answers
