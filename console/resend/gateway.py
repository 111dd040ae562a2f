"""Publishing a resend: one message through the connection's own Celery application.

Blocking; runs on the queues lane. The id is made before, so that what may have left can be looked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from console.broker.errors import redis_error
from console.broker.session import Session
from console.core.errors import Cause, ConsoleError


@dataclass(frozen=True, slots=True)
class Message:
    """A task to publish. `arguments` are its keyword arguments, JSON values only."""

    id: str
    task: str
    queue: str
    arguments: Mapping[str, Any]


def send_message(session: Session, message: Message) -> None:
    """Publish `message` to its queue. Raises `ConsoleError`.

    The queue is not declared: that would write a binding of the console's own making into the broker.
    """
    app = session.celery_app()
    import redis
    from kombu.exceptions import KombuError

    try:
        app.send_task(
            message.task,
            kwargs=dict(message.arguments),
            task_id=message.id,
            queue=message.queue,
            declare=[],
            retry=False,
        )
    except redis.RedisError as error:
        raise redis_error(error, session.address) from error
    except (KombuError, OSError) as error:
        if isinstance(error.__cause__, redis.RedisError):
            raise redis_error(error.__cause__, session.address) from error
        raise ConsoleError(
            "The broker did not take the message",
            detail=f"{type(error).__name__}.",
            remedy="Check the connection and try again.",
            cause=Cause.UNREACHABLE,
            retryable=True,
        ) from error
