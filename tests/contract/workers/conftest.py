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
from console.broker.kombu_lines import close_celery_app, make_celery_app
from console.workers.gateway import CeleryControl
from console.workers.model import Request
from tests.contract.rabbitmq.places import Place
from tests.rabbitmq import RabbitServer
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
    environment = {
        **os.environ,
        "TEST_BROKER_URL": broker.url,
        "PYTHONWARNINGS": "default",
        "C_FORCE_ROOT": "1",
    }
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


@contextmanager
def two_workers(broker: Broker, folder: Path) -> Iterator[None]:
    """`one@test`, solo, without task events, and `two@test`, threads, with them."""
    with (
        worker(broker, folder, "one@test", "--pool", "solo", "-Q", "mail,celery"),
        worker(broker, folder, "two@test", "--pool", "threads", "-c", "3", "-Q", "mail", "-E"),
    ):
        yield


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A broker with two workers on it."""
    folder = tmp_path_factory.mktemp("shop")
    with valkey_server(folder / "valkey") as broker, two_workers(broker, folder):
        yield broker


@pytest.fixture(scope="session")
def rabbit_shop(rabbitmq: RabbitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A vhost of RabbitMQ with the same two workers."""
    rabbitmq.add_vhost("two/workers")
    place = Place(rabbitmq, "two/workers")
    with two_workers(place, tmp_path_factory.mktemp("rabbit")):
        yield place
    rabbitmq.delete_vhost("two/workers")


@pytest.fixture
def control(shop: ValkeyServer) -> Iterator[CeleryControl]:
    """Remote control over Redis."""
    yield from control_of(shop)


@pytest.fixture(params=["redis", "rabbitmq"])
def any_control(request: pytest.FixtureRequest) -> Iterator[CeleryControl]:
    """Remote control over each kind of broker."""
    broker: Broker = request.getfixturevalue("shop" if request.param == "redis" else "rabbit_shop")
    yield from control_of(broker)


def control_of(broker: Broker) -> Iterator[CeleryControl]:
    """Remote control over `broker`, closed when the iterator ends."""
    app = make_celery_app(broker.address)
    made = CeleryControl(lambda: app, broker.address)
    yield made
    made.close()
    close_celery_app(app)
