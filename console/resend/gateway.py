"""Publishing a resend: one message through the connection's own Celery application.

Blocking; runs on the queues lane. The id is made before, so that what may have left can be looked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from console.broker.sending import send_task
from console.broker.session import Session


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
    send_task(
        session.celery_app(),
        session.address,
        message.task,
        kwargs=message.arguments,
        task_id=message.id,
        queue=message.queue,
        declare=[],
    )
