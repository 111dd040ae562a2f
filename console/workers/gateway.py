"""Remote control of workers: celery's mailbox protocol over one connection of our own.

Celery's own `control.broadcast` asks one question per reply queue; a look at the workers needs several,
so they share a queue here and cost a third. The reply queue is deleted after each round, because
nobody else ever deletes it. Protocol: kombu.pidbox.Mailbox; commands: celery.worker.control.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from uuid import uuid4

from console.broker.address import BrokerAddress
from console.broker.errors import broker_error, broker_errors
from console.broker.sending import hang_up, owe_reply_queue, paid_reply_queue
from console.broker.session import NEVER_RESTORE_S
from console.core.errors import Cause
from console.workers.model import Replies, Reply, Request

if TYPE_CHECKING:
    from celery import Celery

log = logging.getLogger(__name__)

T = TypeVar("T")

LEAVE_WITHIN_S = 0.1
ONCE = frozenset({"pool_grow", "pool_shrink", "pool_restart"})
"""Said twice they do it twice; of all others the second does nothing more."""


class Control(Protocol):
    """Remote control. Calls block (lane threads) and raise `ConsoleError`."""

    def ask(self, requests: Sequence[Request], *, timeout_s: float = 1.0) -> Replies:
        """Send all `requests` at once and collect answers until those expected came, or `timeout_s`."""
        ...

    def tell(self, request: Request) -> None:
        """Send one command that nobody answers."""
        ...

    def leave(self) -> None:
        """Wait for no more answers: a round under way ends soon. Does not block, from any thread."""
        ...

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        ...


class CeleryControl:
    """`Control` through kombu; one round at a time over at most three sockets."""

    def __init__(self, app: Callable[[], Celery], address: BrokerAddress) -> None:
        self._app = app
        self._address = address
        self._lock = threading.Lock()
        self._leaving = threading.Event()
        self._oid = str(uuid4())
        self._connection: Any = None
        self._channel: Any = None

    def ask(self, requests: Sequence[Request], *, timeout_s: float = 1.0) -> Replies:
        once = any(request.method in ONCE for request in requests)
        return self._with_channel(lambda: self._round(requests, timeout_s), fresh=once)

    def tell(self, request: Request) -> None:
        self._with_channel(lambda: self._publish(request, ticket=None))

    def leave(self) -> None:
        self._leaving.set()

    def close(self) -> None:
        with self._lock:
            self._drop()
            self._leaving.clear()

    def _with_channel(self, act: Callable[[], T], *, fresh: bool = False) -> T:
        """Run `act` with an open channel; an idle connection that died is replaced once.

        A `fresh` one is never tried twice: what it has sent may have arrived.
        """
        with self._lock, broker_errors(self._address):
            if fresh:
                self._drop()
            reused = self._channel is not None
            try:
                return self._act(act)
            except Exception as error:
                # One that has not answered in time is not asked again: that would take as long once more.
                said = broker_error(error, self._address)
                if not reused or said is None or said.cause is not Cause.UNREACHABLE:
                    raise
            return self._act(act)

    def _act(self, act: Callable[[], T]) -> T:
        try:
            self._open()
            return act()
        except BaseException:
            connection, self._connection, self._channel = self._connection, None, None
            if connection is not None:
                with contextlib.suppress(Exception):
                    hang_up(connection, self._address)
            raise

    def _open(self) -> None:
        if self._channel is None:
            if not self._address.kind.is_redis:
                # A line that died in silence still holds its exclusive queue at the other end.
                self._oid = str(uuid4())
            # An option of Redis's; AMQP passes over it.
            options = {"visibility_timeout": NEVER_RESTORE_S}
            self._connection = self._app().connection_for_write(transport_options=options)
            self._channel = self._connection.channel()

    def _drop(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            try:
                connection.release()
            except Exception:
                log.debug("closing the control connection failed", exc_info=True)

    def _round(self, requests: Sequence[Request], timeout_s: float) -> Replies:
        kombu: Any = import_module("kombu")
        exchange = self._app().control.mailbox.reply_exchange
        queue = kombu.Queue(
            f"{self._oid}.{exchange.name}",
            exchange=exchange,
            routing_key=self._oid,
            durable=False,
            auto_delete=True,
            # RabbitMQ 4.3 refuses a queue that is neither durable nor exclusive.
            exclusive=True,
        )
        collected = _Collected([str(uuid4()) for _ in requests], requests)
        consumer = kombu.Consumer(
            self._channel,
            [queue],
            callbacks=[collected.take],
            on_decode_error=collected.skip,
            accept=["json"],
            no_ack=True,
        )
        owe_reply_queue(self._app(), self._oid)
        with consumer:
            for request, ticket in zip(requests, collected.tickets, strict=True):
                self._publish(request, ticket=ticket, reply_to=exchange.name)
            self._drain(collected, time.monotonic() + timeout_s)
        # Not after a failure: the line is gone then, and the next round uses and deletes the same queue.
        self._channel.queue_delete(queue.name)
        if collected.complete:
            # Else who answers this very moment may make it anew: it is deleted once more at the end.
            paid_reply_queue(self._app(), self._oid)
        return collected.replies()

    def _drain(self, collected: _Collected, deadline_s: float) -> None:
        while not collected.complete and (left_s := deadline_s - time.monotonic()) > 0:
            if self._leaving.is_set():
                return
            try:
                self._connection.drain_events(timeout=min(left_s, LEAVE_WITHIN_S))
            except TimeoutError:
                continue
            except (ValueError, TypeError, KeyError, AttributeError):
                # An envelope that is not kombu's: somebody wrote into our reply queue.
                collected.malformed += 1

    def _publish(self, request: Request, *, ticket: str | None, reply_to: str = "") -> None:
        kombu: Any = import_module("kombu")
        app = self._app()
        message: dict[str, object] = {
            "method": request.method,
            "arguments": dict(request.arguments),
            "destination": None if request.destination is None else list(request.destination),
            "pattern": request.pattern,
            "matcher": "glob" if request.pattern else None,
        }
        if ticket is not None:
            message |= {"ticket": ticket, "reply_to": {"exchange": reply_to, "routing_key": self._oid}}
        exchange = app.control.mailbox.exchange
        kombu.Producer(self._channel, auto_declare=False).publish(
            message,
            exchange=exchange.name,
            declare=[exchange],
            headers={"clock": app.clock.forward(), "expires": 0},
            serializer="json",
            retry=False,
        )


class _Collected:
    """The answers of one round as they come in."""

    def __init__(self, tickets: Sequence[str], requests: Sequence[Request]) -> None:
        self.tickets = list(tickets)
        self.malformed = 0
        self._requests = requests
        self._answers: list[dict[str, Reply]] = [{} for _ in requests]
        self._started_s = time.monotonic()

    @property
    def complete(self) -> bool:
        return all(
            request.expected is not None and request.expected <= answers.keys()
            for request, answers in zip(self._requests, self._answers, strict=True)
        )

    def take(self, body: object, message: Any) -> None:
        headers = message.headers if isinstance(message.headers, dict) else {}
        ticket = headers.get("ticket")
        if ticket not in self.tickets:
            return  # an answer to an earlier round that came too late
        if not isinstance(body, dict) or not body or not all(isinstance(node, str) for node in body):
            self.malformed += 1
            return
        took_s = time.monotonic() - self._started_s
        answers = self._answers[self.tickets.index(ticket)]
        for node, value in body.items():
            answers[node] = Reply(node, value, took_s)

    def skip(self, _message: Any, _error: Exception) -> None:
        self.malformed += 1

    def replies(self) -> Replies:
        return Replies(tuple(self._answers), self.malformed)
