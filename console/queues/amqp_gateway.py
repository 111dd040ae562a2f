"""Queues of RabbitMQ: all of them with everything by the management API, else the known ones by AMQP.

AMQP itself tells of a queue only what a passive declaration answers: ready messages and consumers, for a
name that one knows. It needs no permission and makes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from console.broker.address import BrokerAddress
from console.broker.errors import broker_errors
from console.broker.management import ManagementApi, QueueFigures
from console.core.errors import Cause, ConsoleError
from console.queues.messages import Message
from console.queues.model import DepthQuestion, Depths, Discovery, Unacked

if TYPE_CHECKING:
    from celery import Celery

LOOKED_AT_S = 2.0
HIDDEN_S = 5.0
"""RabbitMQ itself counts every 5 s (`collect_statistics_interval`): asking more often shows little new."""
MANAGEMENT_S = 3.0
RETRY_S = 10.0
RETRY_MOST_S = 300.0
DECLARING_S = 3.0
"""A round of passive declarations costs one round trip a name; the rest follows in the next reading."""
NOT_SHOWN = (
    "RabbitMQ shows a message only by taking it and giving it back. That would mark it as redelivered, and a "
    "quorum queue drops a message that was given back too often. So messages are not shown here."
)


class _Silent(Enum):
    """Why a queue has no counts."""

    MISSING = auto()
    NOT_TOLD = auto()


_Counts = tuple[int, int] | _Silent
"""Ready messages and consumers."""


class AmqpQueues:
    """`Queues` over RabbitMQ; at most one HTTP or one AMQP connection of its own."""

    messages_refusal = NOT_SHOWN
    tells_missing = True

    def __init__(
        self,
        app: Callable[[], Celery],
        address: BrokerAddress,
        *,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._address = address
        self._clock_s = clock_s
        quick = replace(address, timeout_s=min(address.timeout_s, MANAGEMENT_S))
        self._management = ManagementApi(quick)
        self._refusal = ""
        self._ask_again_s = 0.0
        self._pause_s = RETRY_S
        self._last: tuple[float, frozenset[str], Depths] | None = None
        self._connection: Any = None
        self._channel: Any = None
        self._declared: dict[str, _Counts] = {}

    def discover(self, cursor: int = 0) -> Discovery:  # noqa: ARG002 - the protocol's
        return Discovery(frozenset(), {}, 0)

    def depths(self, question: DepthQuestion) -> Depths:
        now_s = self._clock_s()
        asked = frozenset(question.queues)
        pause_s = LOOKED_AT_S if question.heads else HIDDEN_S
        if self._last is not None and now_s - self._last[0] < pause_s and asked <= self._last[1]:
            return self._last[2]
        depths = self._by_management(asked, now_s)
        if depths is None:
            try:
                depths = self._by_declaring(question.queues)
            except ConsoleError:
                self._ask_again_s = 0.0  # it is the whole broker that is away, not the plugin
                raise
        self._last = (now_s, asked, depths)
        return depths

    def peek(self, queue: str, *, count: int = 100) -> tuple[tuple[Message, ...], int]:  # noqa: ARG002
        raise ConsoleError("Messages of RabbitMQ are not shown", detail=NOT_SHOWN, cause=Cause.INVALID)

    def close(self) -> None:
        self._management.close()
        self._hang_up()

    def _by_management(self, asked: frozenset[str], now_s: float) -> Depths | None:
        """A reading by the API; None while it cannot be used, with the reason in `_refusal`."""
        if now_s < self._ask_again_s:
            return None
        try:
            figures = self._management.queues()
        except ConsoleError as error:
            self._refusal = (
                f"{error.title} ({error.detail.rstrip('.')}): unacknowledged messages are not known."
            )
            self._ask_again_s = self._clock_s() + self._pause_s
            self._pause_s = min(self._pause_s * 2, RETRY_MOST_S)
            return None
        self._pause_s = RETRY_S
        self._hang_up()
        return _depths(figures.queues, asked, complete=figures.complete)

    def _by_declaring(self, names: Sequence[str]) -> Depths:
        deadline_s = time.monotonic() + DECLARING_S
        self._declared = {name: counts for name, counts in self._declared.items() if name in names}
        # First those that were not reached last time; a dict keeps the others in the order of their reading.
        waiting = [name for name in names if name not in self._declared] + list(self._declared)
        reused = self._channel is not None
        try:
            self._declare_all(waiting, deadline_s)
        except ConsoleError as error:
            if not reused or error.cause is not Cause.UNREACHABLE:
                raise
            self._declare_all(waiting, deadline_s)  # the line died since the last reading: on another one
        told = {name: counts for name, counts in self._declared.items() if isinstance(counts, tuple)}
        missing = frozenset(name for name, counts in self._declared.items() if counts is _Silent.MISSING)
        return Depths(
            ready={name: ready for name, (ready, _) in told.items() if ready},
            unacked=None,
            missing=missing,
            unknown=frozenset(names) - told.keys() - missing,
            consumers={name: consumers for name, (_, consumers) in told.items()},
            note=self._refusal,
        )

    def _declare_all(self, names: Sequence[str], deadline_s: float) -> None:
        with broker_errors(self._address):
            try:
                for name in names:
                    self._declare(name)
                    if time.monotonic() > deadline_s:
                        return
            except BaseException:
                self._hang_up()
                raise

    def _declare(self, name: str) -> None:
        import amqp

        self._declared.pop(name, None)
        if self._channel is None:
            self._connection = self._app().connection_for_read()
            self._channel = self._connection.channel()
        try:
            answer = self._channel.queue_declare(name, passive=True)
        except amqp.NotFound:  # RabbitMQ closed the channel; py-amqp has opened it again
            self._declared[name] = _Silent.MISSING
        except (amqp.ResourceLocked, amqp.AccessRefused):
            self._declared[name] = _Silent.NOT_TOLD
        else:
            self._declared[name] = (answer.message_count, answer.consumer_count)

    def _hang_up(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            connection.collect()


def _depths(found: Sequence[QueueFigures], asked: frozenset[str], *, complete: bool) -> Depths:
    names = frozenset(queue.name for queue in found)
    not_told = frozenset(queue.name for queue in found if queue.ready is None)
    absent = asked - names
    held = {queue.name: queue.unacked for queue in found if queue.unacked is not None}
    return Depths(
        ready={queue.name: queue.ready for queue in found if queue.ready},
        unacked=Unacked(sum(held.values()), held, complete=complete and len(held) == len(names)),
        queues=names,
        missing=absent if complete else frozenset(),
        unknown=not_told if complete else not_told | absent,
        consumers={queue.name: queue.consumers for queue in found if queue.consumers is not None},
        rates={queue.name: (queue.in_per_s, queue.out_per_s) for queue in found},
        oldest={queue.name: queue.oldest for queue in found if queue.oldest is not None},
        note="" if complete else f"Only the first {len(names):,} queues are shown.",
    )
