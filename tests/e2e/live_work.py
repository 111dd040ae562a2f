"""A Celery application for real workers: what `celery -A live_work` runs. Task events only with `-E`."""

from __future__ import annotations

import os
import time
from typing import Any

from celery import Celery

app = Celery("live_work", broker=os.environ["WORK_BROKER"])
app.conf.update(broker_connection_retry_on_startup=True, worker_proc_alive_timeout=30)


@app.task(name="shop.nap")  # type: ignore[untyped-decorator]
def nap(seconds: float = 0.0) -> str:
    time.sleep(seconds)
    return "slept"


@app.task(name="shop.charge", bind=True, max_retries=1)  # type: ignore[untyped-decorator]
def charge(self: Any, order: int) -> None:
    try:
        raise ValueError(f"order {order} has no lines")
    except ValueError as error:
        raise self.retry(exc=error, countdown=0) from error
