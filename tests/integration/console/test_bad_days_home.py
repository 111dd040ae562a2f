"""Bad days of what stands on disk: the schedules database, a full disk, a lost activity log, and secrets."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest
from PySide6.QtWidgets import QApplication

from console.app.wiring import Console
from console.connections.model import Purpose, Secrets
from console.core.connection import LinkState
from console.core.redaction import Secret
from console.history.model import CollectorState, TaskState
from console.tasks.model import SendRequest
from tests.contract.schedules.databases import Database, migrate
from tests.integration.collector.conftest import publish
from tests.integration.console.bad_days import (
    SHOP,
    bad_day,
    connect,
    connected,
    figure,
    life,
    notices,
    said,
    state,
)
from tests.running import until
from tests.valkey import ValkeyServer

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held_by_another_process(file: Path) -> Iterator[None]:
    """An exclusive transaction on `file`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"held\n"
        yield
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 12 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


async def send_a_task(console: Console) -> bool:
    request = SendRequest("shop.send", "mail", [1], {})
    return await console.runner.run(console.task_list.send(request, sent=lambda _id: None))


def waiting(server: ValkeyServer) -> int:
    with server.client() as client:
        return int(client.llen("mail"))


def test_a_bad_schedules_database_is_named_until_it_is_mended(
    qapp: QApplication, tmp_path: Path, broker: ValkeyServer
) -> None:
    good, file = tmp_path / "good.sqlite3", tmp_path / "schedules.sqlite3"
    migrate(f"sqlite:///{good}", tmp_path)
    with closing(sqlite3.connect(good)) as database:
        database.execute("PRAGMA journal_mode = DELETE")  # with a WAL a writer would not keep us from reading
    url = f"sqlite:///{file}"

    async def shows(console: Console, *words: str) -> None:
        page = console.window.page("schedules")
        console.schedules.refresh()
        began_s = time.monotonic()
        await until(lambda: all(one in said(page) for one in words), 12, f"{words} in {said(page)!r}")
        figure(f"schedules: {words[0]} after {time.monotonic() - began_s:.1f} s")

    async def scenario(console: Console) -> None:
        console.window.show_page("schedules")
        await connect(console, broker.port, broker.password, schedules_url=url)
        await connected(console)
        await shows(console, "The schedules database does not exist", "Check its name")
        assert not file.exists()
        file.touch()
        await shows(console, "no usable beat tables", "Run the project's migrations")
        await asyncio.to_thread(file.write_bytes, b"this is no database at all\n" * 200)
        await shows(console, "The schedules database cannot be read", "names the right file")
        await asyncio.to_thread(shutil.copy, good, file)
        schedules = Database(url)
        await asyncio.to_thread(lambda: schedules.task("nightly", interval_id=schedules.interval()))
        console.schedules.refresh()
        await until(lambda: len(console.schedules.snapshot.rows or ()) == 1, 10, "the rows")
        assert console.schedules.snapshot.error is None
        with held_by_another_process(file):
            await shows(console, "The schedules database is locked", "As of")
            assert len(console.schedules.snapshot.rows or ()) == 1
        console.schedules.refresh()
        await until(lambda: console.schedules.snapshot.error is None, 10, "goes on")
        assert state(console) is LinkState.CONNECTED

    # Django is imported here for the first time in this process.
    bad_day(qapp, tmp_path / "home", scenario, limit_s=0.2)


def test_what_cannot_be_recorded_is_not_done(
    qapp: QApplication, tmp_path: Path, broker: ValkeyServer
) -> None:
    home = tmp_path / "home"

    async def scenario(console: Console) -> None:
        await connect(console, broker.port, broker.password)
        await connected(console)
        assert await send_a_task(console)
        assert waiting(broker) == 1
        file = console.home.activity_file
        with held_by_another_process(file):
            assert not await send_a_task(console)
            assert any("activity log cannot be used" in one for one in notices(console))
            assert waiting(broker) == 1
        assert await send_a_task(console)
        for name in (file.name, f"{file.name}-wal", f"{file.name}-shm"):
            (file.parent / name).unlink()
        assert await send_a_task(console), "a log that was taken away begins anew"
        with closing(sqlite3.connect(file)) as log:
            assert log.execute("SELECT count(*) FROM ending").fetchone() == (1,)

    bad_day(qapp, home, scenario, limit_s=0.2)


def test_a_full_disk(qapp: QApplication, tmp_path: Path, broker: ValkeyServer, small_disk: Path) -> None:
    async def scenario(console: Console) -> None:
        console.window.show_page("tasks")
        await connect(console, broker.port, broker.password)
        await connected(console)
        publish(broker, life())
        await until(lambda: len(console.task_list.snapshot.rows or ()) == 1, 5, "a row")
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file:
            for size in (65_536, 4_096, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    continue
        assert not await send_a_task(console)
        assert any("activity log cannot be used" in one for one in notices(console))
        assert waiting(broker) == 0
        for _ in range(40):
            publish(broker, [one for _ in range(20) for one in life(args="a" * 2_000)])
        await until(lambda: console.collector.summary.state is CollectorState.FAILED, 10, "told")
        assert "No space for the task history" in console.collector.summary.error
        await until(lambda: "No space" in said(console.window.page("tasks")), 5, "the page says so")
        assert state(console) is LinkState.CONNECTED
        for noun in ("overview", "activity", "workers", "tasks"):
            console.window.show_page(noun)
            await asyncio.sleep(0.1)
        filler.unlink()
        began_s = time.monotonic()
        await until(lambda: console.collector.summary.counts[TaskState.SUCCEEDED] == 801, 10, "all rows")
        figure(f"full disk: goes on {time.monotonic() - began_s:.1f} s after there is room")
        assert console.collector.summary.state is CollectorState.READING
        assert console.collector.restarts == 0
        assert await send_a_task(console)
        assert waiting(broker) == 1

    bad_day(qapp, small_disk / "home", scenario, limit_s=0.2)


def test_a_password_is_nowhere(qapp: QApplication, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Connected, a task sent, disconnected, refused: no file, argument, environment, log or notice has it."""
    marker, wrong = "marker-Zk3qW9-of-the-broker", "marker-Xv7pQ2-that-is-wrong"
    server = ValkeyServer(tmp_path / "valkey", password=marker)
    server.folder.mkdir()
    home = tmp_path / "home"
    found: list[str] = []

    def look(when: str) -> None:
        needles = (marker.encode(), wrong.encode())
        for process in psutil.process_iter():
            for name in ("cmdline", "environ"):
                try:
                    data = Path(f"/proc/{process.pid}/{name}").read_bytes()
                except OSError:
                    continue
                if any(needle in data for needle in needles):
                    found.append(f"{when}: {name} of {process.pid}")
        for folder in (home, Path.home()):
            files = [file for file in folder.rglob("*") if file.is_file()]
            held = [file for file in files if any(needle in file.read_bytes() for needle in needles)]
            found.extend(f"{when}: {file}" for file in held)

    async def scenario(console: Console) -> None:
        await connect(console, server.port, marker)
        await connected(console)
        assert await send_a_task(console)
        for noun in ("workers", "queues", "tasks", "connections", "activity"):
            console.window.show_page(noun)
            await asyncio.sleep(0.1)
        await asyncio.to_thread(look, "connected")
        await console.connections.disconnect()
        await console.connections.save(
            console.connections.by_id(SHOP), Secrets(((Purpose.BROKER, Secret(wrong)),))
        )
        await console.connections.connect(SHOP)
        await until(lambda: console.connections.refused is not None, 5, "refused")
        await asyncio.to_thread(look, "refused")
        texts = [*notices(console), console.window.windowTitle(), repr(console.connections.connections)]
        texts += [said(console.window.page(noun)) for noun in ("connections", "activity", "tasks")]
        assert not [text for text in texts if marker in text or wrong in text]

    server.start()
    try:
        bad_day(qapp, home, scenario, limit_s=0.3)
    finally:
        server.kill()
    look("closed")
    assert found == []
    assert marker not in caplog.text
    assert wrong not in caplog.text
