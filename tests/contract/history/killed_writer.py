"""`python -m tests.contract.history.killed_writer PATH SEED`: folds, stores and trims until it is killed.

Half of its tasks are too old to be kept. Each line it prints is one round that is in the file.
"""

from __future__ import annotations

import random
import sys
import time
import uuid
from pathlib import Path

from console.collector.events import Event
from console.collector.fold import Fold
from console.history.bounds import Retention
from console.history.retention import DAY_S
from console.history.writer import HistoryWriter

WEB = "celery@web-1"
LIVES = 40


def events_of(rng: random.Random, now: float) -> list[Event]:
    """The events of some new tasks, in disorder and with repetitions."""
    events: list[Event] = []
    for _ in range(LIVES):
        own = str(uuid.UUID(int=rng.getrandbits(128)))
        at = now - rng.choice((0.0, 20.0)) * DAY_S
        name, args = f"shop.task_{rng.randrange(5)}", f"('order-{rng.randrange(10**6)}',)"
        life = [
            Event(
                type="task-sent", uuid=own, hostname="gen@api", timestamp=at, name=name, args=args, queue="q"
            ),
            Event(type="task-received", uuid=own, hostname=WEB, timestamp=at + 0.1, name=name, args=args),
            Event(type="task-started", uuid=own, hostname=WEB, timestamp=at + 0.2),
            Event(type="task-succeeded", uuid=own, hostname=WEB, timestamp=at + 0.3, result=f"'{own[:5]}'"),
        ]
        if rng.random() < 0.3:
            exception = f"ValueError('no {rng.randrange(99)}')"
            life.insert(
                3, Event(type="task-retried", uuid=own, hostname=WEB, timestamp=at, exception=exception)
            )
        events += life + rng.sample(life, 1)
    rng.shuffle(events)
    return events


def main(path: Path, seed: int) -> None:
    rng = random.Random(seed)
    writer = HistoryWriter(path)
    fold = Fold(writer)
    trimming = writer.trimming(Retention(days=14))
    change = writer.change()
    while True:
        now = time.time()
        events = events_of(rng, now)
        cut = rng.randrange(len(events))
        for part in (events[:cut], events[cut:]):
            change += 1
            fold.apply(part, received_at=now)
            writer.commit(fold.batch(change=change, alive=now))
            fold.stored()
        while (removed := trimming.step(now)).more:
            fold.removed(removed)
        sys.stdout.write(f"{change}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
