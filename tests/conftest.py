"""Fixtures that every kind of test shares, and the rule that a test leaves nothing behind.

Nothing: no thread of a lane, no connection to the shared broker, no change of the environment, which every
worker, beat and collector that later tests start would inherit.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.certificates import Certificates
from tests.valkey import ValkeyServer, valkey_server

# The others import from tests.postgres, which pytest must see first to rewrite its assertions.
pytest_plugins = (
    "tests.postgres",
    "tests.mariadb",
    "tests.rabbitmq",
    "tests.second_look",
    "tests.sentinel",
    "tests.sshd",
)

if "DISPLAY" not in os.environ:
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
# A developer's shell may name a Django project; the workers that tests start must not load it.
os.environ.pop("DJANGO_SETTINGS_MODULE", None)

GOING_S = 5.0
"""How long a thread or a connection that was closed may take to be gone."""


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


_before_collection: dict[str, str] = {}


def _moved(before: dict[str, str]) -> list[str]:
    """The names of what differs; not the values, which may be secret."""
    now = _environment()
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def pytest_sessionstart() -> None:
    """Remember the environment, now that Qt has set its own variables."""
    _before_collection.update(_environment())


def pytest_collection_finish() -> None:
    """Importing the test modules must not change the environment either."""
    moved = _moved(_before_collection)
    if moved:
        raise pytest.UsageError(f"an import of a test module changed the environment: {moved}")


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """One authority for the whole run; issue what the test needs."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def shared_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """One server for the whole run; use `broker`, which empties it first."""
    with valkey_server(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def broker(shared_valkey: ValkeyServer) -> Iterator[ValkeyServer]:
    """A real, empty broker. Do not kill this one: `own_broker` is for that."""
    with shared_valkey.client() as client:
        client.flushall()
        client.config_resetstat()
        yield shared_valkey
        left = _left_connections(client)
        for one in left:
            client.client_kill_filter(_id=one["id"])
    assert not left, f"connections left behind: {left}"


def _left_connections(client: redis.Redis) -> list[dict[str, str]]:
    """Everybody who is still connected after a while, besides `client`."""
    mine = str(client.client_id())
    deadline = time.monotonic() + GOING_S
    while True:
        left = [one for one in client.client_list() if one["id"] != mine]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.01)


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A real broker of this test's own, to be killed and started again."""
    with valkey_server(tmp_path / "valkey") as server:
        yield server


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    """A lane that a test opened must be closed by it."""
    before = set(threading.enumerate())
    yield
    left = [
        thread
        for thread in threading.enumerate()
        if thread not in before and thread.name.startswith(("lane-", "collector-", "tunnel-"))
    ]
    for thread in left:
        thread.join(GOING_S)
    assert not [thread for thread in left if thread.is_alive()], f"threads left behind: {left}"


@pytest.fixture(autouse=True)
def same_environment() -> Iterator[None]:
    """A test must not change what later tests and their processes inherit (`monkeypatch.setenv` undoes)."""
    before = _environment()
    yield
    moved = _moved(before)
    for name in moved:
        if name in before:
            os.environ[name] = before[name]
        else:
            del os.environ[name]
    assert not moved, f"the environment was changed: {moved}"
