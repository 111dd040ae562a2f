"""The application that real workers of these tests run; its broker comes from the environment."""

from __future__ import annotations

import os
import time
from pathlib import Path

from celery import Celery

app = Celery("shop", broker=os.environ["TEST_BROKER_URL"], backend="disabled://")
app.conf.update(
    worker_enable_remote_control=True,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
    beat_enable_remote_control=True,
    task_ignore_result=True,
    worker_pool_restarts=os.environ.get("TEST_POOL_RESTARTS") == "1",
    accept_content=["json", *os.environ.get("TEST_ACCEPT_TOO", "").split()],
)


@app.task(name="shop.wait_for")  # type: ignore[untyped-decorator]
def wait_for(path: str) -> None:
    """Run until the file is there."""
    deadline = time.monotonic() + 60
    while not Path(path).exists() and time.monotonic() < deadline:
        time.sleep(0.02)


@app.task(name="shop.add", rate_limit="10/s")  # type: ignore[untyped-decorator]
def add(x: int, y: int) -> int:
    return x + y
