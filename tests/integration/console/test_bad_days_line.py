"""Bad days of the line to the broker, in the real console: away, refused, silent, senseless, killed."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication

from console.app.wiring import Console
from console.core.connection import LinkState
from console.history.model import CollectorState, TaskState
from console.stack.model import ServiceName, ServiceState
from console.widgets.data_table import DataTable
from console.window.main_window import NAV
from tests.e2e.processes import described, processes_of
from tests.integration.collector.conftest import publish
from tests.integration.console.bad_days import (
    bad_day,
    bar_word,
    connect,
    connected,
    figure,
    life,
    login_failures,
    newest_gap,
    notices,
    said,
    server_that,
    state,
)
from tests.running import until
from tests.valkey import ValkeyServer

RETURN_S = 5.0


async def look_at_every_page(console: Console) -> None:
    """A window that can be used: every page opens."""
    for item in NAV:
        console.window.show_page(item.noun)
        await asyncio.sleep(0.06)
        assert console.window.noun == item.noun


def test_a_broker_that_is_away_is_waited_for(
    qapp: QApplication, tmp_path: Path, own_broker: ValkeyServer
) -> None:
    own_broker.kill()

    async def scenario(console: Console) -> None:
        await connect(console, own_broker.port, own_broker.password)
        await until(lambda: state(console) is LinkState.RECONNECTING, 3, "reconnecting")
        assert bar_word(console) == "Reconnecting…"
        assert any(
            "Broker cannot be reached" in one and str(own_broker.port) in one for one in notices(console)
        )
        await look_at_every_page(console)
        await asyncio.to_thread(own_broker.start)
        took_s = await connected(console, RETURN_S)
        figure(f"away, then Connected {took_s:.2f} s after its return")
        assert bar_word(console) == "Connected"
        assert not any("cannot be reached" in one for one in notices(console))

    bad_day(qapp, tmp_path / "home", scenario)


def test_a_wrong_password_is_named_and_not_tried_again(
    qapp: QApplication, tmp_path: Path, own_broker: ValkeyServer
) -> None:
    async def scenario(console: Console) -> None:
        await connect(console, own_broker.port, "not the password")
        await until(lambda: console.connections.refused is not None, 5, "refused")
        assert bar_word(console) == "Disconnected"
        assert "password" in notices(console)[-1]
        assert console.collector.pid is None
        tried = login_failures(own_broker)
        await look_at_every_page(console)
        await asyncio.sleep(1.5)
        assert login_failures(own_broker) == tried
        figure(f"wrong password: {tried} logins tried")
        assert tried <= 4

    bad_day(qapp, tmp_path / "home", scenario)


def test_a_password_that_changes_under_way(
    qapp: QApplication, tmp_path: Path, own_broker: ValkeyServer
) -> None:
    """First only the reader of events is thrown out, then everybody."""

    async def scenario(console: Console) -> None:
        await connect(console, own_broker.port, own_broker.password)
        await connected(console)
        with own_broker.client() as client:
            client.config_set("requirepass", "another password")
            client.client_kill_filter(_type="pubsub")
        own_broker.password = "another password"
        await until(
            lambda: "refused the login" in console.collector.summary.error, 5, "the reader is refused"
        )
        assert console.collector.summary.state is CollectorState.FAILED
        before = login_failures(own_broker)
        await asyncio.sleep(4.0)
        figure(f"the reader alone: {login_failures(own_broker) - before} logins in 4 s")
        assert login_failures(own_broker) - before <= 2
        with own_broker.client() as client:
            client.client_kill_filter(_type="normal", skipme=True)
        await until(lambda: console.connections.refused is not None, 10, "the line is refused")
        assert bar_word(console) == "Disconnected"
        assert "password" in notices(console)[-1]
        before = login_failures(own_broker)
        await asyncio.sleep(1.5)
        assert login_failures(own_broker) == before

    bad_day(qapp, tmp_path / "home", scenario)


@pytest.mark.parametrize(
    ("answers", "words", "ends"),
    [
        (None, "does not answer in time", LinkState.RECONNECTING),
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "does not speak", LinkState.DISCONNECTED),
    ],
)
def test_a_server_that_is_no_broker(
    qapp: QApplication, tmp_path: Path, answers: bytes | None, words: str, ends: LinkState
) -> None:
    async def scenario(console: Console) -> None:
        began_s = time.monotonic()
        await connect(console, port, "secret")
        assert bar_word(console) == "Connecting…"
        await look_at_every_page(console)
        await until(lambda: state(console) is ends, 8, "a clear state")
        figure(f"{words}: told after {time.monotonic() - began_s:.1f} s: {notices(console)[-1]}")
        assert any(words in one for one in notices(console))
        if ends is LinkState.RECONNECTING:
            console.window.bar.disconnect_pressed.emit()
        await until(lambda: bar_word(console) == "Disconnected", 5, "disconnected")

    with server_that(answers=answers) as port:
        bad_day(qapp, tmp_path / "home", scenario)


def test_a_broker_that_is_killed_leaves_a_gap_that_is_shown(
    qapp: QApplication, tmp_path: Path, own_broker: ValkeyServer
) -> None:
    async def scenario(console: Console) -> None:
        console.window.show_page("tasks")
        await connect(console, own_broker.port, own_broker.password)
        await connected(console)
        publish(own_broker, life())
        await until(lambda: len(console.task_list.snapshot.rows or ()) == 1, 5, "a row")
        own_broker.kill()
        await until(lambda: bar_word(console) == "Reconnecting…", 5, "reconnecting")
        await until(lambda: "As of" in said(console.window.page("tasks")), 5, "as of")
        assert len(console.task_list.snapshot.rows or ()) == 1
        await asyncio.to_thread(own_broker.start)
        took_s = await connected(console, RETURN_S)
        publish(own_broker, life())
        await until(lambda: len(console.task_list.snapshot.rows or ()) == 2, 5, "the rows go on")
        await until(lambda: "Events were missed from" in said(console.window.page("tasks")), 5, "the gap")
        gap = newest_gap(console)
        assert gap is not None
        assert gap.end is not None
        figure(f"killed: Connected {took_s:.2f} s after its return, gap of {gap.end - gap.start}")
        console.window.show_page("overview")
        page = console.window.page("overview")
        assert page is not None
        await until(lambda: bool(console.overview.snapshot.history.gaps), 5, "the overview has read")
        (attention,) = [
            table for table in page.findChildren(DataTable) if table.accessibleName() == "Attention"
        ]
        # Nothing is said in the first 10 s of a connection.
        await until(lambda: bool(attention.rows()), 20, "attention is asked for")
        rows = [row.cells["what"].text for row in attention.rows()]
        start, end = (one.astimezone().strftime("%H:%M:%S") for one in (gap.start, gap.end))
        assert any(start in what and end in what for what in rows), rows

    bad_day(qapp, tmp_path / "home", scenario)


def test_the_broker_is_killed_under_traffic(qapp: QApplication, tmp_path: Path) -> None:
    """The stack's own broker, with demo traffic: started and connected again, the gap marked, tasks go on."""

    def succeeded(console: Console) -> int:
        return console.collector.summary.counts[TaskState.SUCCEEDED]

    async def scenario(console: Console) -> None:
        console.window.show_page("tasks")
        console.stack_view.start()
        await until(lambda: console.stack.snapshot.took_s is not None, 30, "the stack is ready")
        await connected(console, 10)
        console.stack_view.set_demo_rate("as fast as possible")
        await until(lambda: succeeded(console) > 100, 30, "traffic")
        pid = console.stack.snapshot.service(ServiceName.BROKER).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: bar_word(console) == "Reconnecting…", 5, "reconnecting")

        def is_back() -> bool:
            broker = console.stack.snapshot.service(ServiceName.BROKER)
            return broker.state is ServiceState.READY and broker.pid != pid

        await until(is_back, 10, "started again")
        took_s = await connected(console, RETURN_S)
        before = succeeded(console)
        await until(lambda: "Events were missed from" in said(console.window.page("tasks")), 5, "the gap")
        gap = newest_gap(console)
        assert gap is not None
        assert gap.end is not None
        lasted_s = (gap.end - gap.start).total_seconds()
        figure(f"killed under traffic: Connected {took_s:.2f} s after its return, gap of {lasted_s:.2f} s")
        console.stack_view.set_demo_rate("as fast as possible")
        await until(lambda: succeeded(console) > before + 50, 20, "tasks go on")
        console.window.show_page("overview")
        await until(lambda: any(row.gap for row in console.overview.snapshot.attention), 5, "on the overview")

    # The first start of a stack in a process imports much; test_whole_console measures it.
    bad_day(qapp, tmp_path / "home", scenario, limit_s=0.2)
    assert described(processes_of(tmp_path / "home")) == []
