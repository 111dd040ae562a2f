"""How long first pages, searches and counts take when the history holds a million tasks.

Run by `python -m tests.bench.collector_pages_bench`. A script and no test: its figures depend on the
machine. The history is one of a large deployment: 2,000 task names, 3,000 workers, 300 queues, unevenly
used; texts with frequent, rare and unique words; failures that have runtimes of their own. Prints one JSON
line per query and order (the median of three reads), and at the end p50, p95 and the worst, which are held
against the limit of 50 ms at p95. `--cold` reads each query once only.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from console.core.errors import ConsoleError
from console.history.errors import fingerprint
from console.history.marks import CODE_OF, RECEIVED, STARTED, SUCCEEDED, encode_marks
from console.history.model import TaskState
from console.history.query import Sort, parse_query
from console.history.reader import HistoryReader
from console.history.schema import WordKind
from console.history.writer import Batch, HistoryWriter

LIMIT_MS = 50.0
PER_BATCH = 20_000
NAMES, WORKERS, QUEUES = 2000, 3000, 300
PLANS = ("free", "pro", "team", "enterprise")
ALL, SOME = tuple(Sort), (Sort.RECEIVED, Sort.RUNTIME, Sort.TASK)
FEW = (Sort.RECEIVED, Sort.RUNTIME)

QUERIES: tuple[tuple[str, tuple[Sort, ...]], ...] = (
    ("", ALL),
    ("state:failed", ALL),
    ("state:lost", ALL),
    ("state:succeeded", SOME),
    ("-state:succeeded", SOME),
    ("state:failed,lost,retrying", SOME),
    ("name:shop.part_0.task_0", SOME),
    ("name:task_1999", SOME),
    ("name:*task_1*", SOME),
    ("-name:*task_1*", SOME),
    ("name:*task_77* state:failed", FEW),
    ("worker:pod-0", SOME),
    ("worker:*pod-1* state:failed", SOME),
    ("worker:pod-2999 state:failed", FEW),
    ("queue:queue-0", FEW),
    ("queue:queue-299", FEW),
    ("queue:queue-1* -state:succeeded name:*task_5*", SOME),
    ("name:task_0 state:failed worker:pod-0 queue:queue-0", SOME),
    ("name:task_3 worker:pod-7 queue:queue-2", ALL),
    ("runtime:>5s", SOME),
    ("runtime:>5s state:succeeded", SOME),
    ("runtime:<10ms", SOME),
    ("runtime:1s..2s name:task_4", SOME),
    ("runtime:>1s since:1h", SOME),
    ("runtime:>30s state:failed", SOME),
    ("waited:>2s", SOME),
    ("waited:>900ms state:failed name:task_0", SOME),
    ("retries:>0", SOME),
    ("retries:>2 state:failed", SOME),
    ("since:1m", SOME),
    ("since:1h", SOME),
    ("since:12h", SOME),
    ("before:12h", SOME),
    ("since:1h state:failed", SOME),
    ("since:1h name:*task_1* -worker:pod-0", SOME),
    ("id:ab", SOME),
    ("id:abcd", FEW),
    ("abcd12", FEW),
    ("fingerprint:{error}", SOME),
    ("order", SOME),
    ("o", SOME),
    ("us", SOME),
    ("use", FEW),
    ("user", FEW),
    ("user1", FEW),
    ("user77", FEW),
    ("user7777", SOME),
    ("1", SOME),
    ("12", FEW),
    ("123", FEW),
    ("1234", FEW),
    ("e", FEW),
    ("ex", FEW),
    ("example.org", SOME),
    ("A-123456", SOME),
    ('"A-777777"', SOME),
    ("nothinglikeit", SOME),
    ("task_17", FEW),
    ("connection", SOME),
    ("timed out", SOME),
    ('"timed out after 7 s"', SOME),
    ("timeout state:succeeded", FEW),
    ("connection state:failed name:task_0", SOME),
    ("order state:lost", SOME),
    ("order state:lost name:task_1", FEW),
    ("ok state:failed", FEW),
    ("result:ok", SOME),
    ("result:ok -state:succeeded", FEW),
    ("error:timed", SOME),
    ("error:t", FEW),
    ("error:connection since:1h", FEW),
    ("error:keyerror worker:pod-0", FEW),
    ("args:user77 state:failed", SOME),
    ("args:A-77", FEW),
    ("args.order:A-123456", SOME),
    ("args.user.plan:enterprise", SOME),
    ("args.user.plan:enterprise state:failed", SOME),
    ("args.0:77", FEW),
    ("args.total:9*", FEW),
    ("args.nothing:x", FEW),
    ("user77 or user78", FEW),
    ("user7777 or A-5", SOME),
    ("user7777 example", FEW),
    ("user7777 state:succeeded runtime:>1s", FEW),
    ("user7777 A-123456", FEW),
    ("-user", FEW),
    ("-order state:failed", FEW),
    ("-connection state:failed", SOME),
    ("order -state:succeeded", SOME),
    ("name:task_3 or connection", SOME),
    ("state:lost or name:task_1999", SOME),
    ("-(state:succeeded or name:*task_1*)", SOME),
    ("(state:failed runtime:>1s) or (state:lost queue:queue-0)", SOME),
    ("rarely", SOME),
    ("rarely state:failed", FEW),
    ("rarely user77", FEW),
    ("pro", FEW),
    ("enterprise state:failed worker:pod-3", SOME),
)


def fill(path: Path, tasks: int) -> None:
    """`tasks` rows in about a day and a half, in the order in which events come."""
    rng = random.Random(1)
    writer = HistoryWriter(path)
    now = time.time()
    names = [f"shop.part_{number % 40}.task_{number}" for number in range(NAMES)]
    workers = [f"celery@pod-{number}" for number in range(WORKERS)]
    queues = [f"queue-{number}" for number in range(QUEUES)]
    words = [(number + 1, int(WordKind.NAME), word) for number, word in enumerate(names)]
    words += [(NAMES + number + 1, int(WordKind.WORKER), word) for number, word in enumerate(workers)]
    words += [(NAMES + WORKERS + number + 1, int(WordKind.QUEUE), word) for number, word in enumerate(queues)]
    errors: dict[str, int] = {}
    uneven = [
        list(accumulate(1 / (number + 3) for number in range(size))) for size in (NAMES, WORKERS, QUEUES)
    ]
    states = list(TaskState)
    shares = list(accumulate((0.3, 0.2, 0.5, 93.0, 4.5, 0.8, 0.4, 0.1, 0.2)))
    totals = dict.fromkeys(TaskState, 0)
    for first in range(0, tasks, PER_BATCH):
        batch = Batch(change=1, alive=now, words=words if not first else [])
        new_errors: list[tuple[int, int, str]] = []
        size = min(PER_BATCH, tasks - first)
        picked = [rng.choices(range(len(one)), cum_weights=one, k=size) for one in uneven]
        chosen = rng.choices(states, cum_weights=shares, k=size)
        for place, number in enumerate(range(first, first + size)):
            at = now - (tasks - number) * 0.13
            state = chosen[place]
            totals[state] += 1
            failed = state is TaskState.FAILED
            done = failed or state is TaskState.SUCCEEDED
            runtime = rng.lognormvariate(2 if failed else -1, 1) if done else -1.0
            user = number * 7919 % 50_000
            args = f"({user}, 'user{user}@example.org')"
            kwargs = (
                f"{{'order': 'A-{number}', 'total': {rng.randrange(10_000) / 100}, "
                f"'user': {{'plan': '{PLANS[min(3, int(rng.expovariate(1.2)))]}'}}}}"
            )
            result = (
                ("'ok'" if rng.random() < 0.9 else "{'rarely': True}" if rng.random() < 0.01 else "None")
                if done and not failed
                else None
            )
            exception = None
            error = 0
            if failed:
                exception = (
                    f"ConnectionError('Connection to 10.0.0.{number % 250} timed out after {number % 60} s')"
                    if rng.random() < 0.6
                    else f"KeyError('field_{'abcdefgh'[number % 8]}')"
                    if rng.random() < 0.8
                    else f"ValueError('Order A-{number} has no {'xyz'[number % 3]}{'abcdefgh'[number % 8]}')"
                )
                word = fingerprint(exception)
                if word not in errors:
                    errors[word] = NAMES + WORKERS + QUEUES + len(errors) + 1
                    new_errors.append((errors[word], int(WordKind.ERROR), word))
                error = errors[word]
            name, worker, queue = (column[place] for column in picked)
            marks = encode_marks(
                [
                    (RECEIVED, at, workers[worker], 1, 0, 3),
                    (STARTED, at + 0.1, workers[worker], 1, None, None),
                    (SUCCEEDED, at + 0.2, workers[worker], 1, runtime, None),
                ]
            )
            started = state not in (TaskState.SENT, TaskState.RECEIVED)
            batch.inserts.append(
                (number + 1, uuid.UUID(int=rng.getrandbits(128)).bytes, CODE_OF[state], name + 1,
                 NAMES + worker + 1 if state is not TaskState.SENT else 0, NAMES + WORKERS + queue + 1,
                 at, at, at, at + 0.1, at + 0.2, rng.expovariate(2) if started else -1.0, runtime,
                 min(5, int(rng.expovariate(3))), 1, error)
            )  # fmt: skip
            batch.texts.append(
                (
                    number + 1,
                    1,
                    args,
                    kwargs,
                    result,
                    exception,
                    *[None] * 4,
                    "q",
                    "",
                    "gen1@api",
                    None,
                    marks,
                )
            )
            batch.call.append((number + 1, args, kwargs))
            if result or exception:
                batch.outcome.append((number + 1, result, exception))
        batch.counts = totals
        batch.words = [*batch.words, *new_errors]
        writer.commit(batch)
    writer.close(alive=now)


def read(reader: HistoryReader, text: str, sort: Sort, times: int) -> dict[str, Any]:
    """The first page, the one after it, and how many there are."""
    query = parse_query(text).sorted_by(sort, descending=sort not in (Sort.TASK, Sort.WORKER, Sort.QUEUE))
    first_ms, cpu_ms, count_ms, next_ms, rows = [], [], [], 0.0, 0
    complete, total = True, 0
    for _ in range(times):
        began_s, began_cpu_s = time.perf_counter(), time.thread_time()
        try:
            page = reader.page(query)
        except ConsoleError:  # it took 3 s, which is far over any limit
            page = []
        first_ms.append((time.perf_counter() - began_s) * 1000)
        cpu_ms.append((time.thread_time() - began_cpu_s) * 1000)
        rows = len(page)
        if sort is Sort.RECEIVED:
            began_s = time.perf_counter()
            counts = reader.counts(query)
            count_ms.append((time.perf_counter() - began_s) * 1000)
            complete, total = counts.complete, counts.total
        if page:
            began_s = time.perf_counter()
            reader.page(query, query.cursor(page[-1]))
            next_ms = (time.perf_counter() - began_s) * 1000
    found: dict[str, Any] = {
        "query": text,
        "sort": sort.value,
        "rows": rows,
        "first_ms": middle(first_ms),
        "cpu_ms": middle(cpu_ms),
        "next_ms": round(next_ms, 1),
    }
    if count_ms:
        found |= {"counts_ms": middle(count_ms), "total": total, "complete": complete}
    return found


def middle(values: list[float]) -> float:
    return round(sorted(values)[len(values) // 2], 2)


def share(values: list[float], part: float) -> float:
    return round(sorted(values)[min(len(values) - 1, int(len(values) * part))], 2)


def say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def measure(path: Path, *, times: int) -> bool:
    """Read everything; whether the limit was kept."""
    reader = HistoryReader(path)
    errors = reader.error_groups(parse_query(""))
    began_s = time.perf_counter()
    reader.error_groups(parse_query(""))
    say({"error_groups_ms": round((time.perf_counter() - began_s) * 1000, 1), "groups": len(errors)})
    firsts: list[float] = []
    cpus: list[float] = []
    nexts: list[float] = []
    counts: list[float] = []
    for text, sorts in QUERIES:
        for sort in sorts:
            found = read(
                reader, text.format(error=errors[0].error_id) if "{error}" in text else text, sort, times
            )
            say(found)
            firsts.append(found["first_ms"])
            cpus.append(found["cpu_ms"])
            nexts.append(found["next_ms"])
            if "counts_ms" in found:
                counts.append(found["counts_ms"])
    reader.close()
    p95 = share(firsts, 0.95)
    for what, values in (
        ("first pages", firsts),
        ("their CPU", cpus),
        ("next pages", nexts),
        ("counts", counts),
    ):
        say({"what": what, "number": len(values), "p50_ms": share(values, 0.5), "p95_ms": share(values, 0.95),
             "worst_ms": max(values)})  # fmt: skip
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    say({"limit_ms": LIMIT_MS, "p95_ms": p95, "kept": p95 <= LIMIT_MS, "resident_mib": round(kib / 1024)})
    return p95 <= LIMIT_MS


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill a history and read it; `arguments` are those of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--cold", action="store_true", help="read each query once")
    parser.add_argument("--file", type=Path, help="keep the history there; an existing one is read as it is")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = options.file or Path(folder) / "history.sqlite3"
        if not path.exists():
            began_s = time.perf_counter()
            fill(path, options.tasks)
            say({"tasks": options.tasks, "fill_s": round(time.perf_counter() - began_s, 1),
                 "bytes_per_task": path.stat().st_size // options.tasks})  # fmt: skip
        return 0 if measure(path, times=1 if options.cold else 3) else 1


if __name__ == "__main__":
    sys.exit(main())
