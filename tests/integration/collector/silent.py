"""A Celery application whose tasks fall silent in every way there is; real workers of the tests run it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from celery import Celery

app = Celery("silent", broker=os.environ["SILENT_BROKER"], backend=os.environ.get("SILENT_RESULTS") or None)
app.conf.update(
    broker_connection_retry_on_startup=True,
    worker_prefetch_multiplier=4,
    task_ignore_result=not os.environ.get("SILENT_RESULTS"),
    broker_transport_options={"visibility_timeout": int(os.environ.get("SILENT_VISIBILITY", "3600"))},
)


@app.task(name="silent.wait_for")  # type: ignore[untyped-decorator]
def wait_for(path: str) -> str:
    """Run until the file is there."""
    return _wait_for(path)


@app.task(name="silent.wait_for_late", acks_late=True)  # type: ignore[untyped-decorator]
def wait_for_late(path: str) -> str:
    return _wait_for(path)


@app.task(name="silent.answer")  # type: ignore[untyped-decorator]
def answer() -> int:
    return 42


@app.task(name="silent.fail")  # type: ignore[untyped-decorator]
def fail() -> None:
    raise ValueError("no such order")


@app.task(name="silent.die")  # type: ignore[untyped-decorator]
def die() -> None:
    os._exit(3)


def _wait_for(path: str) -> str:
    deadline = time.monotonic() + 60
    while not Path(path).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return "done"
