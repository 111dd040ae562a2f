"""Sessions of users with few rights, and everything that the pages send, gateway by gateway."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from console.broker.address import BrokerAddress
from console.broker.session import Session
from console.collector.event_line import Subscribed
from console.collector.redis_line import RedisEventLine
from console.core.clock import SystemClock
from console.core.connection import ConnectionInfo, Environment, Right
from console.core.errors import ConsoleError
from console.core.redaction import Secret
from console.queues.model import DepthQuestion
from console.queues.redis_gateway import RedisQueues
from console.resend.gateway import Message, send_message
from console.schedules.celery_broker import CeleryScheduleBroker
from console.tasks.gateway import CeleryTaskControl
from console.tasks.model import SendRequest
from console.workers.gateway import CeleryControl
from console.workers.model import Request
from tests.valkey import ValkeyServer

PASSWORD = "a password of tests"
DEADLINE_S = 10.0
QUEUE = "orders"


def session_of(address: BrokerAddress, *, queues: tuple[str, ...] = ()) -> Session:
    """A session like the window's; close it with `aclose`."""
    info = ConnectionInfo("rights", "Rights", Environment.STAGING)
    return Session(
        info=info,
        address=address,
        schedules=None,
        history_file=Path("/nowhere/history.sqlite3"),
        clock=SystemClock(),
        queue_names=queues,
    )


def user_address(server: ValkeyServer, user: str, **more: Any) -> BrokerAddress:
    """The server as `user`, whose password is `PASSWORD`."""
    return replace(server.address, username=user, password=Secret(PASSWORD), **more)


def add_user(server: ValkeyServer, user: str, *rules: str) -> None:
    """Make `user` with `rules` and `PASSWORD`."""
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", user, *rules, f">{PASSWORD}")


def fill(server: ValkeyServer, prefix: str = "", database: int = 0) -> None:
    """A bound queue with a message, one held message, and a key of somebody else's."""
    message = '{"body": "W10=", "headers": {"id": "1", "task": "shop.add"}, "properties": {}}'
    with server.client() as client:
        client.select(database)
        client.lpush(f"{prefix}{QUEUE}", message, message)
        client.sadd(f"{prefix}_kombu.binding.{QUEUE}", f"{QUEUE}\x06\x16\x06\x16{QUEUE}")
        client.hset(f"{prefix}unacked", "tag", f'[{message}, "", "{QUEUE}"]')
        client.set(f"{prefix}session:1", "somebody's own")


def read_queues(session: Session) -> None:
    queues = RedisQueues(session.redis_client, session.address)
    queues.discover()
    queues.depths(DepthQuestion((QUEUE,), heads=False, unacked=True))


def read_messages(session: Session) -> None:
    queues = RedisQueues(session.redis_client, session.address)
    messages, total = queues.peek(QUEUE)
    assert len(messages) == total
    queues.depths(DepthQuestion((QUEUE,), filled=frozenset({QUEUE}), heads=True))


def read_events(session: Session) -> None:
    line = RedisEventLine(session.address)
    line.start()
    try:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            line.wait(0.1)
            for item in line.take(1 << 20):
                if isinstance(item, Subscribed):
                    return
                if error := getattr(item, "error", None):
                    raise error
        raise AssertionError("never subscribed")
    finally:
        line.stop()


def ask_workers(session: Session) -> None:
    control = CeleryControl(session.celery_app, session.address)
    try:
        control.ask([Request("ping")], timeout_s=0.1)
        control.tell(Request("enable_events"))
    finally:
        control.close()
    CeleryTaskControl(session.celery_app, session.address).tell(["1"], signal=None, expected=0)
    CeleryScheduleBroker(session).worker_settings()


def send_tasks(session: Session) -> None:
    control = CeleryTaskControl(session.celery_app, session.address)
    control.send(str(uuid.uuid4()), SendRequest("shop.add", QUEUE, [1, 2], {}))
    send_message(session, Message(str(uuid.uuid4()), "shop.add", QUEUE, {}))


USES: dict[Right, Callable[[Session], None]] = {
    Right.READ_QUEUES: read_queues,
    Right.READ_MESSAGES: read_messages,
    Right.READ_EVENTS: read_events,
    Right.ASK_WORKERS: ask_workers,
    Right.SEND_TASKS: send_tasks,
}
"""What the pages do by each right."""


def works(session: Session, right: Right) -> bool:
    """Whether the pages' own code can use `right`."""
    try:
        USES[right](session)
    except ConsoleError:
        return False
    return True


class Monitor:
    """What a server is sent, by MONITOR, from the start to `stop`."""

    def __init__(self, server: ValkeyServer) -> None:
        self._client = server.client()
        self._marker = server.client()
        self._marker.ping()  # its login must not be among what is read
        self._monitor: Any = cast(Any, self._client).monitor()
        self._monitor.__enter__()
        self.commands: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._end = uuid.uuid4().hex
        self._thread.start()

    def _read(self) -> None:
        while True:
            command = self._monitor.next_command()["command"]
            if self._end in command:
                return
            self.commands.append(command)

    def stop(self) -> list[str]:
        self._marker.echo(self._end)
        self._thread.join(DEADLINE_S)
        self._monitor.__exit__(None, None, None)
        self._client.close()
        self._marker.close()
        return self.commands
