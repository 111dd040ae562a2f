"""What goes on at a broker while the consoles' lines to it break: events, a worker that answers, messages."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from console.collector.events import envelope
from tests.rabbitmq import RabbitServer
from tests.valkey import ValkeyServer

ROOT = Path(__file__).parents[3]
HELD_QUEUE = "held"
HELD_MESSAGES = 3
BATCHES_PER_S = 100


def task_life(task_id: str, now: float) -> list[dict[str, Any]]:
    """The three events of a task that succeeds at `now`, seconds of the epoch."""
    whose = {"uuid": task_id, "hostname": "celery@web", "pid": 3}
    return [
        {
            "type": "task-received",
            "timestamp": now,
            "name": "shop.send",
            "args": "()",
            "kwargs": "{}",
            **whose,
        },
        {"type": "task-started", "timestamp": now, **whose},
        {"type": "task-succeeded", "timestamp": now, "runtime": 0.01, "result": "1", **whose},
    ]


class Publisher:
    """A thread that publishes 300 events a second, straight to the server."""

    def __init__(self, publish: Callable[[list[dict[str, Any]]], object]) -> None:
        self._publish = publish
        self._ended = threading.Event()
        self.published: list[tuple[str, float]] = []
        """The tasks told of: id and when, in seconds of the epoch."""
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._ended.wait(max(0.0, due_s - time.monotonic())):
            task_id, now = str(uuid.uuid4()), time.time()
            self._publish(task_life(task_id, now))
            self.published.append((task_id, now))
            due_s += 1 / BATCHES_PER_S

    def end(self) -> None:
        self._ended.set()
        self._thread.join(5)
        assert not self._thread.is_alive(), "the publisher still works"


@contextmanager
def events_to_redis(server: ValkeyServer) -> Iterator[Publisher]:
    with server.client() as client:
        publisher = Publisher(lambda events: client.publish("/0.celeryev/task.multi", envelope(events)))
        try:
            yield publisher
        finally:
            publisher.end()


@contextmanager
def events_to_rabbitmq(server: RabbitServer, vhost: str) -> Iterator[Publisher]:
    import amqp

    login = ("console", server.passwords["console"])
    with amqp.Connection(f"127.0.0.1:{server.port}", *login, virtual_host=vhost) as connection:
        channel = connection.channel()
        channel.exchange_declare("celeryev", "topic", durable=True, auto_delete=False)

        def publish(events: list[dict[str, Any]]) -> None:
            body = json.dumps(events)
            message = amqp.Message(body, content_type="application/json", content_encoding="utf-8")
            channel.basic_publish(message, "celeryev", "task.multi")

        publisher = Publisher(publish)
        try:
            yield publisher
        finally:
            publisher.end()


def task_message(task_id: str) -> tuple[str, dict[str, Any]]:
    """The body and the headers of a task as celery's protocol 2 has them."""
    headers = {"lang": "py", "task": "shop.held", "id": task_id, "root_id": task_id, "argsrepr": "()"}
    return json.dumps([[], {}, {}]), headers


def hold_in_redis(server: ValkeyServer) -> None:
    """Messages that nobody takes, in `HELD_QUEUE`."""
    with server.client() as client:
        for number in range(HELD_MESSAGES):
            body, headers = task_message(f"held-{number}")
            message = {
                "body": b64encode(body.encode()).decode(),
                "content-encoding": "utf-8",
                "content-type": "application/json",
                "headers": headers,
                "properties": {
                    "correlation_id": headers["id"],
                    "delivery_mode": 2,
                    "delivery_info": {"exchange": "", "routing_key": HELD_QUEUE},
                    "priority": 0,
                    "body_encoding": "base64",
                    "delivery_tag": str(uuid.uuid4()),
                },
            }
            client.lpush(HELD_QUEUE, json.dumps(message))
        client.sadd("_kombu.binding.held", f"{HELD_QUEUE}\x06\x16\x06\x16{HELD_QUEUE}")


@contextmanager
def worker(url: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A real worker at `url` that answers questions; ended hard at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["worker", "-n", "one@test", "--pool", "threads", "-c", "2", "-Q", "mail", "--without-mingle"]
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "tests.contract.workers.app", *command],
            cwd=ROOT,
            env={**os.environ, "TEST_BROKER_URL": url},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def reply_traces_in_redis(client: redis.Redis) -> list[str]:
    """Reply queues and their bindings that are left behind."""
    keys: Any = client.keys("*reply.celery.pidbox*")
    found: list[str] = []
    for key in keys:
        name = key.decode()
        if name.startswith("_kombu.binding."):
            members: Any = client.smembers(key)
            found += [f"{name}: {member.decode()}" for member in members]
        else:
            found.append(name)
    return found
