"""Connections to test, and the checker as the window and the command line have it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from console.app.checker import make_checker
from console.broker.address import BrokerAddress
from console.connections.check_model import CheckStep
from console.connections.model import Connection, Secrets
from console.core.connection import Environment
from console.core.home import Home

Steps = dict[str, CheckStep]
Check = Callable[[Connection], Awaitable[Steps]]


def connection_to(broker: BrokerAddress, **more: object) -> Connection:
    """A connection whose password stands in its address."""
    return Connection("tested", "Tested", Environment.STAGING, broker, **more)  # type: ignore[arg-type]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Takes all steps of a test and gives them by key; the steps told last are those that are returned."""
    checker = make_checker(Home(tmp_path / "home"))

    async def run(connection: Connection) -> Steps:
        told: list[tuple[CheckStep, ...]] = []
        steps = await checker.check(connection, Secrets(), told.append)
        assert told[-1] == steps
        assert all(step.state.ended for step in steps)
        return {step.key: step for step in steps}

    return run
