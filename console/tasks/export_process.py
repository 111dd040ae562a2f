"""`python -m console.tasks.export_process`: writes tasks to a file, in a process of its own.

Reading and writing a million tasks is a minute of Python: inside the window's process it made frames wait
for up to 150 ms. The order is one line of JSON on standard input; how far it is comes on standard output,
a line several times a second, and the last line says how it ended. When standard input closes, because
somebody cancels or the window is gone, nothing is left of the file. It loads no Qt.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from console.core.errors import Cause, ConsoleError
from console.history.model import TaskDetail
from console.history.query import Sort, parse_query
from console.history.reader import HistoryReader
from console.tasks.export import Cancelled, Format, Progress, write_tasks

TELL_EVERY_S = 0.2
BATCH = 1000
NICENESS = 5


def order_line(
    *, history: Path, target: Path, form: Format, columns: Sequence[str], text: str, sort: Sort,
    descending: bool, ids: Sequence[str],
) -> bytes:  # fmt: skip
    """What the process is to do; without `ids` what matches `text`."""
    order = {
        "history": str(history),
        "target": str(target),
        "form": form.value,
        "columns": list(columns),
        "text": text,
        "sort": sort.value,
        "descending": descending,
        "ids": list(ids),
    }
    return json.dumps(order).encode() + b"\n"


def error_from(said: dict[str, Any]) -> ConsoleError:
    """The error that the process told of."""
    return ConsoleError(
        said["title"],
        detail=said["detail"],
        remedy=said["remedy"],
        cause=Cause(said["cause"]),
        retryable=said["retryable"],
    )


def main() -> int:
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    logging.disable()
    order = json.loads(sys.stdin.buffer.readline())
    progress, ended = Progress(), threading.Event()
    threading.Thread(target=_watch_input, args=(progress,), daemon=True).start()
    teller = threading.Thread(target=_tell_progress, args=(progress, ended), daemon=True)
    teller.start()
    try:
        outcome: dict[str, Any] = {"done": _write(order, progress)}
    except Cancelled:
        outcome = {"cancelled": True}
    except ConsoleError as error:
        outcome = {
            "error": {
                "title": error.title,
                "detail": error.detail,
                "remedy": error.remedy,
                "cause": error.cause.value,
                "retryable": error.retryable,
            }
        }
    ended.set()
    teller.join()
    _say(outcome)
    return 0


def _write(order: dict[str, Any], progress: Progress) -> int:
    reader = HistoryReader(Path(order["history"]))
    try:
        query = parse_query(order["text"]).sorted_by(Sort(order["sort"]), descending=order["descending"])
        return write_tasks(
            Path(order["target"]),
            _by_ids(reader, order["ids"]) if order["ids"] else reader.export(query, batch=BATCH),
            form=Format(order["form"]),
            columns=order["columns"],
            progress=progress,
        )
    finally:
        with contextlib.suppress(ConsoleError):
            reader.close()


def _by_ids(reader: HistoryReader, ids: Sequence[str]) -> Iterator[list[TaskDetail]]:
    for first in range(0, len(ids), BATCH):
        found = [reader.detail(task_id) for task_id in ids[first : first + BATCH]]
        yield [one for one in found if one is not None]


def _watch_input(progress: Progress) -> None:
    """Whoever gave the order holds the other end; it is never written to again."""
    sys.stdin.buffer.read()
    progress.cancelled.set()


def _tell_progress(progress: Progress, ended: threading.Event) -> None:
    while not ended.wait(TELL_EVERY_S):
        _say({"written": progress.written})


def _say(value: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more; the end of the input says so as well
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
