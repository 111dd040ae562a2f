"""The computer sleeps: the console and its collector stand still while their lines die, and wake up."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from console.broker.redis_client import CLIENT_NAME
from console.connections.life import PING_S, SLEPT_S
from console.core.home import Home
from console.history.model import Gap
from console.history.reader import HistoryReader
from tests.e2e.atspi import Bus, wait_until
from tests.e2e.processes import described, processes_of
from tests.e2e.test_real_window import close, console
from tests.integration.life.desk import figure
from tests.integration.life.load import events_to_redis
from tests.proxy import Proxy
from tests.valkey import ValkeyServer

SLEEP_S = SLEPT_S + PING_S + 1.0
"""However long the console meant to wait anyway, it comes late by what it takes for a sleep."""
BACK_S = 5.0
GAP_S = 20.0


@pytest.fixture
def bus() -> Iterator[Bus]:
    bus = Bus()
    yield bus
    bus.close()


@pytest.mark.parametrize("trouble", [Proxy.half_open, Proxy.reset], ids=["half-open", "reset"])
def test_sleep_and_wake(
    tmp_path: Path, bus: Bus, own_broker: ValkeyServer, trouble: Callable[[Proxy], None]
) -> None:
    """Lines whose far ends forgot them are replaced at once, and what was missed is marked from its begin."""
    home = tmp_path / "home"
    with Proxy("127.0.0.1", own_broker.port) as proxy, events_to_redis(own_broker) as publisher:
        _write_connection(home, own_broker, proxy.port)
        with console(home, "--connection", "Shop") as process:
            window = bus.application(process.pid)
            window.find("Connected", within_s=20)
            wait_until(lambda: _newest(home) > time.time() - 2, 20, "events are read")
            frozen = processes_of(home)
            _send(frozen, signal.SIGSTOP)
            slept_at = time.time()
            accepted = proxy.accepted
            trouble(proxy)
            time.sleep(SLEEP_S)
            woke_at = time.time()
            _send(frozen, signal.SIGCONT)
            answered_s = wait_until(
                lambda: proxy.accepted > accepted and _answered_since(own_broker, woke_at),
                BACK_S,
                "an answer",
            )
            window.find("Connected", within_s=BACK_S - answered_s)
            back_s = time.time() - woke_at
            reading_s = wait_until(lambda: _newest(home) > woke_at, GAP_S, "events are read again")
            gaps = _gaps(home)
            figure(
                f"{trouble.__name__}: asleep for {SLEEP_S:.0f} s, Connected {back_s:.2f} s after waking,"
                f" events read {back_s + reading_s:.2f} s after, gaps"
                f" {[(round(g.start.timestamp() - slept_at, 1), _end(g, slept_at)) for g in gaps]}"
            )
            assert any(
                gap.start.timestamp() < slept_at + 1 and gap.end is not None and gap.end.timestamp() > woke_at
                for gap in gaps
            )
            close(process)
        assert publisher.published
    assert described(processes_of(home)) == []


def _write_connection(home: Path, server: ValkeyServer, port: int) -> None:
    home.mkdir(parents=True)
    url = server.url.replace(f":{server.port}/", f":{port}/")
    entry = {"id": "shop", "name": "Shop", "environment": "Staging", "broker_url": url}
    (home / "connections.json").write_text(json.dumps({"version": 1, "connections": [entry]}))


def _send(processes: list[psutil.Process], number: signal.Signals) -> None:
    for one in processes:
        one.send_signal(number)


def _answered_since(server: ValkeyServer, at: float) -> bool:
    """Whether a line of the console's is younger than `at` and has asked something."""
    with server.client() as client:
        return any(
            str(one["name"]).startswith(CLIENT_NAME) and int(one["age"]) <= time.time() - at
            for one in client.client_list()
        )


def _gaps(home: Path) -> list[Gap]:
    reader = HistoryReader(Home(home).history_file("shop"))
    try:
        return reader.gaps()
    finally:
        reader.close()


def _newest(home: Path) -> float:
    """When the newest task in the history was received, seconds of the epoch; 0.0 when there is none."""
    file = Home(home).history_file("shop")
    if not file.exists():
        return 0.0
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        try:
            (newest,) = database.execute("SELECT max(received) FROM tasks").fetchone()
        except sqlite3.OperationalError:  # it is being made
            return 0.0
    return float(newest or 0.0)


def _end(gap: Gap, since: float) -> float | None:
    return None if gap.end is None else round(gap.end.timestamp() - since, 1)
