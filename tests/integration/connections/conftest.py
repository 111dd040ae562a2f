"""A connections service of a test's own, closed before the broker counts who is still connected."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.connections.world import Keyring, Setup, make_setup
from tests.valkey import ValkeyServer


@pytest.fixture
def keyring() -> Keyring:
    """Works, unless the test says otherwise."""
    return Keyring()


@pytest.fixture
async def setup(broker: ValkeyServer, tmp_path: Path, keyring: Keyring) -> AsyncIterator[Setup]:
    """Without a connection yet. It asks for the broker so that the service is closed before it is counted."""
    made = make_setup(tmp_path / "home", keyring, patience_s=0.2)
    yield made
    keyring.answering.set()
    await made.service.aclose()
