"""The application that real workers of these tests run; broker and result backend come from the environment.

With TEST_DATABASE (a SQLite file) results go to django-celery-results' table there.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from celery import Celery, Task, group


def set_up_django(path: str) -> None:
    import django
    from django.conf import settings

    settings.configure(
        INSTALLED_APPS=["django_celery_results"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": path}},
        USE_TZ=True,
    )
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


database = os.environ.get("TEST_DATABASE", "")
if database:
    set_up_django(database)
app = Celery(
    "shop",
    broker=os.environ["TEST_BROKER_URL"],
    backend="django-db" if database else os.environ["TEST_BROKER_URL"],
)
app.conf.update(
    worker_enable_remote_control=True,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
    task_track_started=True,
    result_extended=True,
    result_compression=os.environ.get("TEST_COMPRESSION") or None,
    result_backend_transport_options={"global_keyprefix": os.environ.get("TEST_PREFIX", "")},
)


@app.task(name="shop.total")  # type: ignore[untyped-decorator]
def total(order: int, lines: list[float]) -> dict[str, Any]:
    return {"order": order, "total": sum(lines), "note": 'it\'s "fine"\n\\o/'}


@app.task(name="shop.boom")  # type: ignore[untyped-decorator]
def boom(text: str) -> None:
    raise ValueError(text)


@app.task(name="shop.fan_out", bind=True)  # type: ignore[untyped-decorator]
def fan_out(self: Task) -> str:
    total.apply_async((1, [1.0]), queue=self.request.delivery_info["routing_key"])
    members = [
        total.s(number, [2.0]).set(queue=self.request.delivery_info["routing_key"]) for number in (2, 3)
    ]
    group(members).apply_async()
    return "sent"


@app.task(name="shop.wait_for")  # type: ignore[untyped-decorator]
def wait_for(path: str) -> None:
    """Run until the file is there; beside it stands the number of the process."""
    Path(f"{path}.pid").write_text(str(os.getpid()))
    deadline = time.monotonic() + 60
    while not Path(path).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
