"""What a real worker of the bundled project tells, and that nothing of the question stays in the broker."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from console.broker.database import parse_database_url
from console.broker.session import Session
from console.core.clock import SystemClock
from console.core.connection import ConnectionInfo, Environment
from console.schedules.celery_broker import CeleryScheduleBroker
from console.schedules.routing import queue_for
from tests.contract.schedules.databases import ROOT, Database
from tests.unit.schedules.samples import schedule
from tests.valkey import ValkeyServer


@contextmanager
def worker(database: Database, broker: ValkeyServer, folder: Path) -> Iterator[None]:
    environment = {
        **os.environ,
        "DATABASE_URL": database.url,
        "CELERY_BROKER_URL": broker.url,
        "BUNDLED_PROJECT_DATA": str(folder),
    }
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    command = [sys.executable, "-m", "celery", "-A", "bundled_project", "worker", "-P", "solo", "-l", "ERROR"]
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            process.terminate()
            process.wait(20)


@pytest.mark.timeout(90)
async def test_routes_and_code_schedules(sqlite: Database, broker: ValkeyServer, tmp_path: Path) -> None:
    session = Session(
        info=ConnectionInfo("c", "Local", Environment.DEVELOPMENT),
        address=broker.address,
        schedules=parse_database_url(sqlite.url),
        history_file=tmp_path / "history.sqlite3",
        clock=SystemClock(),
    )
    asked = CeleryScheduleBroker(session)
    try:
        await ask_and_run(session, asked, sqlite, broker, tmp_path)
    finally:
        await session.aclose()


async def ask_and_run(
    session: Session, asked: CeleryScheduleBroker, sqlite: Database, broker: ValkeyServer, tmp_path: Path
) -> None:
    assert await session.control.run(asked.worker_settings) is None
    with worker(sqlite, broker, tmp_path):
        deadline = time.monotonic() + 40
        while (settings := await session.control.run(asked.worker_settings)) is None:
            assert time.monotonic() < deadline, (tmp_path / "worker.log").read_text()
        assert queue_for("bundled_project.shop.tasks.send_invoice", settings) == "mail"
        assert queue_for("bundled_project.shop.tasks.flush_counters", settings) == "default"

        row = schedule(name="By hand", task="bundled_project.shop.tasks.flush_counters")
        task_id = await session.queues.run(lambda: asked.run_now(row, queue="default"))
        with broker.client() as client:
            while client.exists("default"):
                assert time.monotonic() < deadline, f"{task_id} was not taken"
                time.sleep(0.02)
            assert [key for key in client.keys("*reply.celery.pidbox") if b"binding" not in key] == []
