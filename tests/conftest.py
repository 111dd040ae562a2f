"""Fixtures that every kind of test shares, and the rule that a test leaves nothing behind."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.valkey import ValkeyServer, valkey_server

if "DISPLAY" not in os.environ:
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


@pytest.fixture(scope="session")
def shared_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """One server for the whole run; use `broker`, which empties it first."""
    with valkey_server(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def broker(shared_valkey: ValkeyServer) -> ValkeyServer:
    """A real, empty broker. Do not kill this one: `own_broker` is for that."""
    with shared_valkey.client() as client:
        client.flushall()
        client.config_resetstat()
    return shared_valkey


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
        if thread not in before and thread.name.startswith(("lane-", "collector-"))
    ]
    for thread in left:
        thread.join(2.0)
    assert not [thread for thread in left if thread.is_alive()], f"threads left behind: {left}"
