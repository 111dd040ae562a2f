"""Real workers, started once for this folder, on a broker of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from console.broker.address import BrokerAddress
from console.broker.kombu_lines import make_celery_app
from console.workers.gateway import CeleryControl
from console.workers.model import Request
from tests.valkey import ValkeyServer, valkey_server

ROOT = Path(__file__).parents[3]
START_S = 30.0


class Broker(Protocol):
    """Where a worker and the console meet."""

    @property
    def url(self) -> str: ...
    @property
    def address(self) -> BrokerAddress: ...


@contextmanager
def celery_process(broker: Broker, folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """`celery -A tests.contract.workers.app <arguments>` in its own process group."""
    environment = {**os.environ, "TEST_BROKER_URL": broker.url, "PYTHONWARNINGS": "default"}
    with (folder / f"{arguments[0]}-{time.monotonic_ns()}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "tests.contract.workers.app", *arguments],
            cwd=ROOT,
            env=environment,
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


@contextmanager
def worker(broker: Broker, folder: Path, name: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that answers."""
    with celery_process(
        broker, folder, "worker", "-n", name, "-l", "INFO", "--without-mingle", *options
    ) as process:
        wait_for_nodes(broker, name)
        yield process


def wait_for_nodes(broker: Broker, *names: str) -> None:
    app = make_celery_app(broker.address)
    control = CeleryControl(lambda: app, broker.address)
    deadline = time.monotonic() + START_S
    ping = Request("ping", destination=names, expected=frozenset(names))
    try:
        while not ping.expected <= control.ask([ping], timeout_s=0.5).by_request[0].keys():  # type: ignore[operator]
            assert time.monotonic() < deadline, f"{names} do not answer"
    finally:
        control.close()
        app.close()


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A broker with two solo workers on it: `one@test` without task events, `two@test` with them."""
    folder = tmp_path_factory.mktemp("shop")
    with (
        valkey_server(folder / "valkey") as broker,
        worker(broker, folder, "one@test", "--pool", "solo", "-Q", "mail,celery"),
        worker(broker, folder, "two@test", "--pool", "threads", "-c", "3", "-Q", "mail", "-E"),
    ):
        yield broker


@pytest.fixture
def control(shop: ValkeyServer) -> Iterator[CeleryControl]:
    app = make_celery_app(shop.address)
    made = CeleryControl(lambda: app, shop.address)
    yield made
    made.close()
    app.close()
