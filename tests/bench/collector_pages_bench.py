"""How long pages of the history take when it holds a million tasks.

Run by `python -m tests.bench.collector_pages_bench`. A script and no test: its figures depend on the
machine. Prints one JSON line per kind of read: the median and the worst of a first page and of keyset
pages of 200 rows.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from console.history.ids import pack_id
from console.history.marks import CODE_OF, RECEIVED, STARTED, SUCCEEDED, encode_marks
from console.history.model import TaskState
from console.history.query import Sort, parse_query
from console.history.reader import HistoryReader
from console.history.writer import Batch, HistoryWriter

PAGES = 20
PER_BATCH = 20_000


def fill(path: Path, tasks: int) -> None:
    """`tasks` rows: ninety-five of a hundred succeeded, twenty names, eight workers, five queues."""
    rng = random.Random(1)
    writer = HistoryWriter(path)
    now = time.time()
    states = [TaskState.SUCCEEDED] * 95 + [TaskState.FAILED] * 4 + [TaskState.SENT]
    words = [("task", f"shop.tasks.task_{number}") for number in range(20)]
    words += [("worker", f"celery@web-{number}") for number in range(8)]
    words += [("queue", f"queue-{number}") for number in range(5)]
    totals = dict.fromkeys(TaskState, 0)
    for first in range(0, tasks, PER_BATCH):
        rows: list[tuple[Any, ...]] = []
        for number in range(first, min(first + PER_BATCH, tasks)):
            at = now - (tasks - number) * 0.05
            state, host = rng.choice(states), f"celery@web-{rng.randrange(8)}"
            totals[state] += 1
            runtime = rng.lognormvariate(-1, 1)
            marks = encode_marks(
                [
                    (RECEIVED, at, host, 1, 0, 3),
                    (STARTED, at + 0.1, host, 1, None, None),
                    (SUCCEEDED, at + 0.2, host, 1, runtime, None),
                ]
            )
            task_id = pack_id(str(uuid.UUID(int=rng.getrandbits(128))))
            name = f"shop.tasks.task_{rng.randrange(20)}"
            queue = f"queue-{rng.randrange(5)}"
            rows.append(
                (number + 1, task_id, name, CODE_OF[state], host, queue, at, at, at, at + 0.1, at + 0.2, 0.1,
                 runtime, 0, 1, 1, f"({number}, 'a@example.org')", "{}", "'ok'", None, None, None, None, None,
                 queue, "", "gen@api", marks)
            )  # fmt: skip
        writer.commit(Batch(change=1, alive=now, inserts=rows, counts=totals, words=words))
    writer.close(alive=now)


def timed(reader: HistoryReader, text: str, sort: Sort) -> dict[str, Any]:
    """A first page and the keyset pages after it."""
    query = parse_query(text).sorted_by(sort, descending=True)
    took_ms: list[float] = []
    cursor = None
    for _ in range(PAGES):
        began_s = time.perf_counter()
        page = reader.page(query, cursor)
        took_ms.append((time.perf_counter() - began_s) * 1000)
        if not page:
            break
        cursor = query.cursor(page[-1])
    began_s = time.perf_counter()
    reader.counts(query)
    counted_ms = (time.perf_counter() - began_s) * 1000
    return {
        "query": text,
        "sort": sort.value,
        "first_ms": round(took_ms[0], 2),
        "median_ms": round(sorted(took_ms)[len(took_ms) // 2], 2),
        "worst_ms": round(max(took_ms), 2),
        "counts_ms": round(counted_ms, 2),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Fill a history and read it; `arguments` are those of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.sqlite3"
        began_s = time.perf_counter()
        fill(path, options.tasks)
        filled_s = time.perf_counter() - began_s
        size = path.stat().st_size
        sys.stdout.write(
            json.dumps(
                {
                    "tasks": options.tasks,
                    "fill_s": round(filled_s, 1),
                    "bytes_per_task": size // options.tasks,
                }
            )
            + "\n"
        )
        reader = HistoryReader(path)
        reader.totals()
        for text, sort in (
            *(("", sort) for sort in Sort),
            ("state:failed", Sort.RECEIVED),
            ("state:succeeded", Sort.RECEIVED),
            ("name:task_3", Sort.RECEIVED),
            ("name:task_3 state:failed", Sort.RECEIVED),
            ("name:*task* state:failed worker:web-1 queue:queue-2", Sort.RECEIVED),
            ("since:1h", Sort.RECEIVED),
            ("a@example", Sort.RECEIVED),
            ("nothing-like-it", Sort.RECEIVED),
            ("state:lost", Sort.RUNTIME),
        ):
            sys.stdout.write(json.dumps(timed(reader, text, sort)) + "\n")
        reader.close()


if __name__ == "__main__":
    main()
