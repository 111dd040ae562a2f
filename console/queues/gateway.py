"""What the Queues page asks of a broker, and who answers it for the kind of broker that is connected."""

from __future__ import annotations

from typing import Protocol

from console.broker.session import Session
from console.queues.messages import Message
from console.queues.model import DepthQuestion, Depths, Discovery


class Queues(Protocol):
    """A broker's queues, read only. Every call blocks (lane threads, one at a time); `ConsoleError`."""

    @property
    def messages_refusal(self) -> str:
        """Why this kind of broker's messages cannot be looked at, in words; "" when they can."""
        ...

    @property
    def tells_missing(self) -> bool:
        """Whether a reading tells which queues do not exist, so that one may ask about any name ever seen."""
        ...

    def discover(self, cursor: int = 0) -> Discovery:
        """Queues that some exchange is bound to; a bounded part of the key space per call.

        Finds nothing where the readings themselves tell all queues, or where nobody can tell.
        """
        ...

    def depths(self, question: DepthQuestion) -> Depths:
        """Ready messages by bucket, unacknowledged messages by queue."""
        ...

    def peek(self, queue: str, *, count: int = 100) -> tuple[tuple[Message, ...], int]:
        """The next messages of `queue` without taking them, at most `count`, and how many wait in all."""
        ...

    def close(self) -> None:
        """Close what these queues alone have opened."""
        ...


def open_queues(session: Session) -> Queues:
    """The queues of a session's broker; nothing connects before the first question."""
    if session.address.kind.is_redis:
        from console.queues.redis_gateway import RedisQueues

        return RedisQueues(session.redis_client, session.address)
    from console.queues.amqp_gateway import AmqpQueues

    return AmqpQueues(session.celery_app, session.address)
