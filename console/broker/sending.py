"""What is said to a broker now and then, each time over a connection of its own: a task, a question.

A connection that is kept for the rare press of a button is dead by then as likely as not, and whoever finds
that out while publishing cannot tell whether the message has left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from console.broker.address import BrokerAddress
from console.broker.errors import broker_errors
from console.broker.session import NEVER_RESTORE_S

if TYPE_CHECKING:
    from celery import Celery

LINE_OPTIONS = {
    "visibility_timeout": NEVER_RESTORE_S,
    # RabbitMQ then says of each message that it has it, or gives it back; Redis does not know the word.
    "confirm_publish": True,
    # A broker that is away is said at once; the person tries again when it is back.
    "max_retries": 1,
    "interval_start": 0.1,
    "interval_step": 0.0,
    "interval_max": 0.1,
}

# By application: the reply queues that stand in the broker, or were left there when the line broke.
_owed: WeakKeyDictionary[Celery, set[str]] = WeakKeyDictionary()
LAST_TRY_S = 0.5


def owe_reply_queue(app: Celery, oid: str) -> None:
    """A reply queue with the routing key `oid` is about to be made."""
    _owed.setdefault(app, set()).add(oid)


def paid_reply_queue(app: Celery, oid: str) -> None:
    """It was deleted."""
    _owed.get(app, set()).discard(oid)


def delete_owed_reply_queues(app: Celery, address: BrokerAddress) -> None:
    """Delete what a cut left behind in Redis, where nothing expires it; RabbitMQ does it by itself.

    Blocking, briefly: a broker that is away at the very end keeps a few bytes. Raises `ConsoleError`.
    """
    oids = _owed.pop(app, None)
    if not oids or not address.kind.is_redis:
        return
    from console.broker.kombu_lines import close_celery_app, make_celery_app

    kombu: Any = import_module("kombu")
    brief = make_celery_app(replace(address, timeout_s=min(address.timeout_s, LAST_TRY_S)))
    exchange = brief.control.mailbox.reply_exchange
    try:
        with line_of_its_own(brief, address) as connection:
            channel = connection.channel()
            for oid in oids:
                queue = kombu.Queue(
                    f"{oid}.{exchange.name}",
                    exchange=exchange,
                    routing_key=oid,
                    durable=False,
                    auto_delete=True,
                    channel=channel,
                )
                queue.declare()
                queue.delete()
    finally:
        close_celery_app(brief)


@contextmanager
def line_of_its_own(app: Celery, address: BrokerAddress) -> Iterator[Any]:
    """A kombu connection for one occasion. Blocking. What goes wrong inside is raised as `ConsoleError`."""
    with broker_errors(address):
        connection = app.connection_for_write(transport_options=LINE_OPTIONS)
        try:
            yield connection
        except BaseException:
            hang_up(connection, address)
            raise
        connection.release()


def hang_up(connection: Any, address: BrokerAddress) -> None:
    """Close a connection that has failed; AMQP's good manners would wait for an answer once more."""
    if address.kind.is_redis:
        connection.release()
    else:
        connection.collect()


def send_task(
    app: Celery,
    address: BrokerAddress,
    task: str,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    **options: Any,
) -> str:
    """Publish a task with the `options` of Celery's `apply_async`; its id. Blocking. Raises `ConsoleError`.

    On RabbitMQ nothing is declared (a queue made by the console could differ from the one a worker wants),
    and a message that no queue takes is an error instead of being lost in silence.
    """
    if not address.kind.is_redis:
        options |= {"declare": [], "mandatory": True}
    with line_of_its_own(app, address) as connection, app.amqp.Producer(connection) as producer:
        sent = app.send_task(task, args, dict(kwargs or {}), producer=producer, retry=False, **options)
    return str(sent.id)


def ask_workers(
    app: Celery,
    address: BrokerAddress,
    command: str,
    arguments: Mapping[str, Any],
    *,
    timeout_s: float,
    limit: int | None = None,
) -> list[Any]:
    """What workers answer to a remote control command, each `{hostname: value}`, at most `limit` of them.

    Waits at most `timeout_s` after the last answer. Blocking. Raises `ConsoleError`.
    """
    with line_of_its_own(app, address) as connection:
        mailbox = app.control.mailbox(connection)
        # Otherwise the command goes out through the application's pool, whose sockets stay open.
        mailbox.producer_pool = None
        # RabbitMQ 4.3 refuses a queue that is neither durable nor exclusive.
        mailbox.queue_exclusive = True
        owe_reply_queue(app, mailbox.oid)
        channel = connection.default_channel
        try:
            answers = mailbox.multi_call(
                command, dict(arguments), timeout=timeout_s, limit=limit, channel=channel
            )
        except AttributeError as error:
            # kombu publishes over a new channel when the line breaks, and listens on the one that is closed.
            if channel.connection is not None:
                raise
            raise ConnectionError("the line broke") from error
        # What arrives after the last answer that was waited for would stay in Redis for ever.
        channel.queue_delete(mailbox.reply_queue.name)
        paid_reply_queue(app, mailbox.oid)
    return list(answers or ())
