"""A Celery application for tests with a real worker: one task that sleeps, one that fails and retries."""

from __future__ import annotations

import os
import time
from typing import Any

from celery import Celery

app = Celery("work", broker=os.environ["WORK_BROKER"])
app.conf.update(worker_send_task_events=True, broker_connection_retry_on_startup=True)


@app.task(name="work.nap")  # type: ignore[untyped-decorator]
def nap(seconds: float = 0.0) -> str:
    time.sleep(seconds)
    return "slept"


@app.task(name="work.fragile", bind=True, max_retries=1)  # type: ignore[untyped-decorator]
def fragile(self: Any) -> None:
    try:
        raise ValueError("no")
    except ValueError as error:
        raise self.retry(exc=error, countdown=0) from error
