"""Writing tasks to a file as CSV or JSON, any number of them, in bounded memory.

The file appears only when it is whole: it is written beside its place and renamed. Blocking; it runs in
a process of its own (`export_process`), and whoever cancels sets an event.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO

from console.core.errors import Cause, ConsoleError
from console.history.model import TaskDetail

# A spreadsheet takes a cell that begins like this for a formula (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Format(StrEnum):
    CSV = "csv"
    JSON = "json"


class Cancelled(Exception):  # noqa: N818 - it is no error
    """Somebody has cancelled; nothing is left of the file."""


@dataclass
class Progress:
    """How far an export is. Written by the thread that exports, read by the one that tells."""

    written: int = 0
    cancelled: threading.Event = field(default_factory=threading.Event)


def _iso(at: datetime | None) -> str | None:
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


_VALUES: dict[str, Callable[[TaskDetail], Any]] = {
    "id": lambda one: one.row.id,
    "task": lambda one: one.row.name,
    "state": lambda one: one.row.state.value,
    "worker": lambda one: one.row.worker,
    "queue": lambda one: one.row.queue,
    "sent": lambda one: _iso(one.row.sent),
    "received": lambda one: _iso(one.row.received),
    "started": lambda one: _iso(one.row.started),
    "ended": lambda one: _iso(one.row.ended),
    "waited": lambda one: one.row.waited_s,
    "runtime": lambda one: one.row.runtime_s,
    "retries": lambda one: one.row.retries,
    "args": lambda one: one.args,
    "kwargs": lambda one: one.kwargs,
    "result": lambda one: one.result,
    "error": lambda one: one.exception,
    "traceback": lambda one: one.traceback,
    "root": lambda one: one.root_id,
    "parent": lambda one: one.parent_id,
    "eta": lambda one: one.eta,
    "expires": lambda one: one.expires,
    "routing_key": lambda one: one.routing_key,
    "pid": lambda one: one.pid,
    "client": lambda one: one.client,
    "reason": lambda one: one.reason,
}
_HEADS = {"waited": "waited_s", "runtime": "runtime_s"}
ALL_COLUMNS = tuple(_VALUES)


def write_tasks(
    target: Path,
    batches: Iterable[Sequence[TaskDetail]],
    *,
    form: Format,
    columns: Sequence[str],
    progress: Progress,
) -> int:
    """Write all of `batches` to `target`; how many there were. `columns` are keys of `ALL_COLUMNS`.

    Instants are ISO 8601 in UTC, durations seconds. Raises `ConsoleError` and `Cancelled`; what stood at
    `target` is then as it was.
    """
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    except OSError as error:
        raise _not_written(target, error) from error
    part = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            write = write_csv if form is Format.CSV else write_json
            write(file, _counted(batches, progress), columns)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        raise _not_written(target, error) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return progress.written


def _counted(batches: Iterable[Sequence[TaskDetail]], progress: Progress) -> Iterator[Sequence[TaskDetail]]:
    for batch in batches:
        if progress.cancelled.is_set():
            raise Cancelled
        yield batch
        progress.written += len(batch)
    if progress.cancelled.is_set():
        raise Cancelled


def write_csv(file: TextIO, batches: Iterable[Sequence[TaskDetail]], columns: Sequence[str]) -> None:
    """A line of heads and a line per task."""
    rows = csv.writer(file)
    rows.writerow([_HEADS.get(key, key) for key in columns])
    values = [_VALUES[key] for key in columns]
    for batch in batches:
        rows.writerows([safe_cell(value(one)) for value in values] for one in batch)


def write_json(file: TextIO, batches: Iterable[Sequence[TaskDetail]], columns: Sequence[str]) -> None:
    """One array of objects, written as it is read: a million tasks need no memory."""
    values = [(_HEADS.get(key, key), _VALUES[key]) for key in columns]
    encode = json.JSONEncoder(ensure_ascii=False).encode
    between = "[\n"
    for batch in batches:
        for one in batch:
            file.write(between + encode({key: value(one) for key, value in values}))
            between = ",\n"
    file.write("\n]\n" if between != "[\n" else "[]\n")


def safe_cell(value: Any) -> Any:
    """`value` as a spreadsheet may open it: text that would be a formula gets an apostrophe in front."""
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def _not_written(target: Path, error: OSError) -> ConsoleError:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return ConsoleError(
                "The disk is full",
                detail=f"{target} was not written, and nothing is left of it.",
                remedy="Make room, or choose another folder.",
                cause=Cause.NO_SPACE,
                retryable=True,
            )
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return ConsoleError(
                "The file cannot be written there",
                detail=f"You have no right to write in {target.parent}.",
                remedy="Choose another folder.",
                cause=Cause.NOT_PERMITTED,
            )
        case errno.ENOENT | errno.ENOTDIR:
            return ConsoleError(
                "The folder is not there",
                detail=f"{target.parent} does not exist.",
                remedy="Choose another folder.",
                cause=Cause.NOT_FOUND,
            )
        case _:
            return ConsoleError(
                "The file could not be written",
                detail=f"{target}: {error.strerror or error}.",
                remedy="Try again, or choose another folder.",
                cause=Cause.NOT_PERMITTED,
                retryable=True,
            )
