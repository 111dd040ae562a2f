"""Real workers on a broker of their own: prefork with results in Redis, threads with results in SQLite."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from console.broker.address import BrokerAddress
from console.broker.database import DatabaseAddress, DatabaseKind
from console.broker.kombu_lines import close_celery_app, make_celery_app
from console.broker.sending import ask_workers, send_task
from tests.valkey import ValkeyServer, valkey_server

ROOT = Path(__file__).parents[3]
START_S = 40.0
PREFIX = "shop"


@contextmanager
def worker(broker: ValkeyServer, folder: Path, *options: str, **environment: str) -> Iterator[None]:
    """`celery -A tests.contract.tasks.app worker`, ended hard with its children."""
    with (folder / f"{options[1]}.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "-A", "tests.contract.tasks.app", "worker"),
                *("--without-mingle", "--without-gossip", "-l", "INFO", "-E", *options),
            ],
            cwd=ROOT,
            env={**os.environ, "TEST_BROKER_URL": broker.url, **environment},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


@dataclass(frozen=True, slots=True)
class Shop:
    """What the tests reach: queue `redis` is worked off by prefork@test, `django` by threads@test."""

    broker: ValkeyServer
    folder: Path

    @property
    def redis_results(self) -> BrokerAddress:
        return replace(self.broker.address, key_prefix=PREFIX)

    @property
    def django_results(self) -> DatabaseAddress:
        return DatabaseAddress(DatabaseKind.SQLITE, path=str(self.folder / "results.sqlite3"))

    def send(self, task_id: str, name: str, *arguments: object, queue: str) -> None:
        app = make_celery_app(self.broker.address)
        try:
            send_task(
                app,
                self.broker.address,
                name,
                arguments,
                {},
                task_id=task_id,
                queue=queue,
                ignore_result=False,
            )
        finally:
            close_celery_app(app)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("tasks")
    with ExitStack() as running:
        broker = running.enter_context(valkey_server(folder / "valkey"))
        running.enter_context(
            worker(broker, folder, "-n", "prefork@test", "-Q", "redis", "-c", "2", TEST_PREFIX=PREFIX)
        )
        running.enter_context(
            worker(
                *(broker, folder, "-n", "threads@test", "-Q", "django", "-c", "2", "--pool", "threads"),
                TEST_DATABASE=str(folder / "results.sqlite3"),
            )
        )
        running.enter_context(
            worker(
                *(broker, folder, "-n", "packing@test", "-Q", "packed", "--pool", "solo"),
                TEST_COMPRESSION="gzip",
                TEST_PREFIX=PREFIX,
            )
        )
        _await_workers(broker, 3)
        yield Shop(broker, folder)


def _await_workers(broker: ValkeyServer, count: int) -> None:
    app = make_celery_app(broker.address)
    deadline = time.monotonic() + START_S
    try:
        while len(ask_workers(app, broker.address, "ping", {}, timeout_s=1.0, limit=count)) < count:
            assert time.monotonic() < deadline, "the workers do not answer"
    finally:
        close_celery_app(app)
