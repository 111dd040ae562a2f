"""An hour that has been: events of a busy shop, folded into a history before the window opens.

The stack that the pictures are made of runs for a minute; charts of an hour want an hour. The events go
through the same fold and the same writer as those that the collector reads.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from console.collector.events import Event
from console.collector.fold import Fold
from console.history.writer import HistoryWriter

MINUTES = 75
SPIKE = range(34, 41)
"""Minutes in which charging fails."""
MIX = (
    ("bundled_project.shop.tasks.send_invoice", "mail", 0.35, 30),
    ("bundled_project.shop.tasks.charge_user", "default", 0.9, 24),
    ("bundled_project.shop.tasks.send_welcome_email", "mail", 0.25, 14),
    ("bundled_project.shop.tasks.add", "default", 0.004, 40),
    ("bundled_project.shop.tasks.build_report", "reports", 6.0, 2),
)
REFUSED = "ConnectionError('payments.shop.example did not answer within 5 s')"


def write_past(history: Path, hostname: str) -> None:
    """An hour of tasks of `hostname` up to now."""
    history.parent.mkdir(parents=True, exist_ok=True)
    writer = HistoryWriter(history)
    fold = Fold(writer)
    now, dice = time.time(), random.Random(7)  # looks the same each time
    for minute in range(MINUTES):
        fold.apply(list(_minute(minute, now, hostname, dice)), received_at=now)
        writer.commit(fold.batch(change=minute + 1, alive=now))
        fold.stored()
    writer.close(alive=now)


def _minute(minute: int, now: float, hostname: str, dice: random.Random) -> Iterator[Event]:
    began = now - (MINUTES - minute) * 60
    for name, queue, runtime, usual in MIX:
        for _ in range(round(usual * dice.uniform(0.75, 1.25) * (1 + 0.4 * (minute % 20 < 6)))):
            sent = began + dice.uniform(0, 58)
            waited, ran = dice.expovariate(1 / 0.08), runtime * dice.lognormvariate(0, 0.5)
            failed = dice.random() < _failing(name, minute)
            yield from _life(name, queue, hostname, (sent, waited, ran), failed=failed)


def _failing(name: str, minute: int) -> float:
    if name.endswith("charge_user"):
        return 0.35 if minute in SPIKE else 0.01
    return 0.004


def _life(
    name: str, queue: str, hostname: str, times: tuple[float, float, float], *, failed: bool
) -> Iterator[Event]:
    task_id, (sent, waited, ran) = str(uuid.uuid4()), times
    received, started = sent + waited, sent + waited + 0.002
    ended = started + ran
    yield Event(type="task-sent", uuid=task_id, name=name, queue=queue, timestamp=sent, root_id=task_id)
    yield Event(type="task-received", uuid=task_id, name=name, hostname=hostname, timestamp=received)
    yield Event(type="task-started", uuid=task_id, hostname=hostname, timestamp=started)
    if failed:
        yield Event(
            type="task-failed", uuid=task_id, hostname=hostname, timestamp=ended, exception=REFUSED,
            traceback=f"Traceback (most recent call last):\n{REFUSED}\n",
        )  # fmt: skip
    else:
        yield Event(
            type="task-succeeded", uuid=task_id, hostname=hostname, timestamp=ended, result="None",
            runtime=ran,
        )  # fmt: skip
