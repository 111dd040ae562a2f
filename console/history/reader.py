"""Reading the history: pages by keyset, one task with its family, counts, minutes and gaps.

Everything here blocks and runs on the history lane; a reader belongs to the thread that uses it and
has a read-only connection. No call scans the whole table: what no index leads to is bounded, and a
statement that takes too long is ended.
"""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from console.core.errors import Cause, ConsoleError
from console.history.buckets import percentiles
from console.history.ids import pack_id, unpack_id, unpack_optional
from console.history.marks import (
    CODE_OF,
    STATE_CODES,
    attempts_of,
    decode_marks,
    instant,
    last_traceback,
)
from console.history.model import (
    Counts,
    ErrorGroup,
    Gap,
    Measure,
    Minute,
    Names,
    NameStat,
    Relative,
    RunFigures,
    TaskDetail,
    TaskRow,
    TaskState,
    WorkerSeen,
)
from console.history.query import Cursor, TaskQuery
from console.history.schema import TASK_COLUMNS, history_error, open_for_reading
from console.history.statements import (
    COLUMNS,
    Condition,
    condition,
    count_statement,
    page_statement,
)
from console.history.writer import WORKER_COLUMNS, gap_from, worker_from

STATEMENT_LIMIT_S = 3.0
COUNTED_AT_MOST = 20_000
FEW = 10_000
NEW_AT_MOST = 1000
FAMILY_AT_MOST = 300
FAILURES_GROUPED = 5000
STEPS_BETWEEN_CHECKS = 20_000
MINUTE_S = 60


class HistoryReader:
    """The history at `path`, read-only.

    Every method raises `ConsoleError`: `Cause.NOT_FOUND` while there is no history, `Cause.TIMEOUT`
    when a statement took more than 3 s. The file is opened at the first use and again after a failure.
    """

    def __init__(self, path: Path, *, now: Callable[[], float] = time.time) -> None:
        self.path = path
        self._now = now
        self._connection: sqlite3.Connection | None = None
        self._deadline_s = 0.0

    def close(self) -> None:
        """Close the file; another call opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def page(self, query: TaskQuery, after: Cursor | None = None, limit: int = 200) -> list[TaskRow]:
        """At most `limit` rows of `query`, those after `after` (`query.cursor(last_row)`)."""
        where = self._condition(query)
        if where.nothing:
            return []
        statement = page_statement(query, where, after, limit, few_states=self._few(where))
        return [task_row(row) for row in self._all(*statement)]

    def newer(self, query: TaskQuery, top: TaskRow) -> int:
        """How many rows of `query` stand before `top`, up to 1,000."""
        turned = query.sorted_by(query.sort, descending=not query.descending)
        return len(self.page(turned, query.cursor(top), NEW_AT_MOST))

    def changed_since(self, change: int, ids: Sequence[str]) -> list[TaskRow]:
        """Those of `ids` (at most some hundred) that were written after change number `change`."""
        marks = ", ".join("?" * len(ids))
        rows = self._all(
            f"SELECT {COLUMNS} FROM tasks WHERE id IN ({marks}) AND change > ?",  # noqa: S608
            [*(pack_id(task_id) for task_id in ids), change],
        )
        return [task_row(row) for row in rows]

    def change(self) -> int:
        """The number of the last stored batch."""
        value: int = self._all("SELECT change FROM run")[0][0]
        return value

    def run(self) -> RunFigures:
        """What the writer tells of itself."""
        return RunFigures(*self._all("SELECT change, alive, events, malformed, lag FROM run")[0])

    def data_version(self) -> int:
        """A number that is another one after anybody else has stored something; it costs next to nothing."""
        value: int = self._all("PRAGMA data_version")[0][0]
        return value

    def totals(self) -> dict[TaskState, int]:
        """All tasks by state."""
        found = dict(self._all("SELECT state, n FROM counts"))
        return {state: found.get(CODE_OF[state], 0) for state in STATE_CODES}

    def counts(self, query: TaskQuery) -> Counts:
        """Tasks by state that fit `query`, its states left out (the numbers on the chips)."""
        if not query.filters:
            return Counts(self.totals())
        where = self._condition(query, states=False)
        if where.nothing:
            return Counts(dict.fromkeys(TaskState, 0))
        found = dict(self._all(*count_statement(where, COUNTED_AT_MOST)))
        by_state = {state: found.get(CODE_OF[state], 0) for state in STATE_CODES}
        complete = sum(by_state.values()) < COUNTED_AT_MOST and not query.searches_text
        return Counts(by_state, complete)

    def detail(self, task_id: str) -> TaskDetail | None:
        """Everything known of one task; None when the history does not have it."""
        columns = ", ".join(TASK_COLUMNS)
        rows = self._all(f"SELECT {columns} FROM tasks WHERE id = ?", [pack_id(task_id)])  # noqa: S608
        if not rows:
            return None
        values = dict(zip(TASK_COLUMNS, rows[0], strict=True))
        marks = decode_marks(values["marks"])
        return TaskDetail(
            row=task_row(rows[0][:15]),
            args=values["args"],
            kwargs=values["kwargs"],
            result=values["result"],
            exception=values["exception"],
            traceback=last_traceback(marks) if values["exception"] is not None else None,
            root_id=unpack_optional(values["root_id"]) or task_id,
            parent_id=unpack_optional(values["parent_id"]),
            eta=values["eta"],
            expires=values["expires"],
            routing_key=values["routing_key"],
            exchange=values["exchange"],
            pid=values["pid"] or None,
            client=values["client"],
            attempts=attempts_of(marks),
        )

    def family(self, task_id: str) -> list[Relative]:
        """The tasks with the same root, parents before children, at most 300."""
        own = self._all("SELECT root_id FROM tasks WHERE id = ?", [pack_id(task_id)])
        if not own:
            return []
        root = own[0][0] if own[0][0] is not None else pack_id(task_id)
        rows = self._all(
            f"SELECT {COLUMNS}, parent_id FROM tasks WHERE id = ?1 OR root_id = ?1 "  # noqa: S608
            f"ORDER BY at, rowid LIMIT {FAMILY_AT_MOST}",
            [root],
        )
        return _in_family_order([(task_row(row[:-1]), unpack_optional(row[-1])) for row in rows])

    def same_error(self, name: str, exception: str, *, since_s: float = 86_400.0) -> ErrorGroup | None:
        """The failures of task `name` with the exception class of `exception` in the last `since_s`."""
        wanted = error_class(exception)
        groups = self.errors(since_s=since_s, name=name)
        return next((group for group in groups if group.error == wanted), None)

    def errors(self, *, since_s: float, name: str | None = None, limit: int = 50) -> list[ErrorGroup]:
        """Failures of the last `since_s` by task and exception class, the most frequent first.

        The newest 5,000 failures are looked at.
        """
        rows = self._all(
            "SELECT name, exception, at, id FROM tasks WHERE state = ? AND at >= ? "  # noqa: S608
            f"ORDER BY at DESC LIMIT {FAILURES_GROUPED}",
            [CODE_OF[TaskState.FAILED], self._now() - since_s],
        )
        groups: dict[tuple[str, str], list[tuple[str, str, float, Any]]] = defaultdict(list)
        for row in rows:
            if name is None or row[0] == name:
                groups[(row[0], error_class(row[1] or ""))].append(row)
        found = [
            ErrorGroup(
                name=task,
                error=error,
                message=failures[0][1] or "",
                count=len(failures),
                first=datetime.fromtimestamp(failures[-1][2], UTC),
                last=datetime.fromtimestamp(failures[0][2], UTC),
                example_id=unpack_id(failures[0][3]),
            )
            for (task, error), failures in groups.items()
        ]
        return sorted(found, key=lambda group: group.count, reverse=True)[:limit]

    def minutes(self, *, since_s: float, name: str | None = None) -> list[Minute]:
        """One entry per minute of the last `since_s`, oldest first, the running minute last."""
        now = self._now()
        last = int(now // MINUTE_S)
        first = int((now - since_s) // MINUTE_S) + 1
        named = "" if name is None else " AND name = ?"
        rows = self._all(
            "SELECT minute, measure, bucket, sum(n) FROM minutes WHERE minute BETWEEN ? AND ?"  # noqa: S608
            f"{named} GROUP BY minute, measure, bucket",
            [first, last, *([] if name is None else [name])],
        )
        known = self._all("SELECT min(minute) FROM minutes")[0][0]
        plain: defaultdict[int, dict[int, int]] = defaultdict(dict)
        spread: defaultdict[tuple[int, int], dict[int, int]] = defaultdict(dict)
        for minute, measure, bucket, count in rows:
            if bucket < 0:
                plain[minute][measure] = count
            else:
                spread[(minute, measure)][bucket] = count
        gaps = [(gap.start.timestamp(), gap.end.timestamp() if gap.end else now) for gap in self.gaps()]

        def one(minute: int) -> Minute:
            counts = plain.get(minute, {})
            start = minute * MINUTE_S
            return Minute(
                start=datetime.fromtimestamp(start, UTC),
                sent=counts.get(Measure.SENT, 0),
                received=counts.get(Measure.RECEIVED, 0),
                succeeded=counts.get(Measure.SUCCEEDED, 0),
                failed=counts.get(Measure.FAILED, 0),
                retried=counts.get(Measure.RETRIED, 0),
                other=counts.get(Measure.OTHER, 0),
                runtime=percentiles(spread.get((minute, Measure.RUNTIME), {})),
                wait=percentiles(spread.get((minute, Measure.WAIT), {})),
                gap=known is None
                or minute < known
                or any(begin < start + MINUTE_S and end > start for begin, end in gaps),
            )

        return [one(minute) for minute in range(first, last + 1)]

    def name_stats(self, *, since_s: float) -> list[NameStat]:
        """Each task name with its ends and runtimes over the last `since_s`."""
        rows = self._all(
            "SELECT name, measure, bucket, sum(n) FROM minutes WHERE minute >= ? "
            "GROUP BY name, measure, bucket",
            [int((self._now() - since_s) // MINUTE_S) + 1],
        )
        plain: defaultdict[str, dict[int, int]] = defaultdict(dict)
        runtimes: defaultdict[str, dict[int, int]] = defaultdict(dict)
        for name, measure, bucket, count in rows:
            if bucket < 0:
                plain[name][measure] = count
            elif measure == Measure.RUNTIME:
                runtimes[name][bucket] = count
        return [
            NameStat(
                name=name,
                succeeded=counts.get(Measure.SUCCEEDED, 0),
                failed=counts.get(Measure.FAILED, 0),
                retried=counts.get(Measure.RETRIED, 0),
                runtime=percentiles(runtimes.get(name, {})),
            )
            for name, counts in sorted(plain.items())
            if name
        ]

    def slowest(self, *, since_s: float, limit: int = 5) -> list[NameStat]:
        """The task names with the highest 95th percentile of runtime."""
        timed = [stat for stat in self.name_stats(since_s=since_s) if stat.runtime.p95_s is not None]
        return sorted(timed, key=lambda stat: stat.runtime.p95_s or 0.0, reverse=True)[:limit]

    def most_failing(self, *, since_s: float, limit: int = 5) -> list[NameStat]:
        """The task names with the most failures; those without any are left out."""
        failing = [stat for stat in self.name_stats(since_s=since_s) if stat.failed]
        return sorted(failing, key=lambda stat: stat.failed, reverse=True)[:limit]

    def gaps(self, *, since_s: float | None = None) -> list[Gap]:
        """Times in which events may have been missed, oldest first; those that touch the last `since_s`."""
        since = 0.0 if since_s is None else self._now() - since_s
        rows = self._all(
            "SELECT start, end, reason, lost FROM gaps WHERE end IS NULL OR end >= ? ORDER BY number", [since]
        )
        return [gap_from(row) for row in rows]

    def workers(self) -> list[WorkerSeen]:
        """Every worker that was ever seen, by name."""
        rows = self._all(f"SELECT {WORKER_COLUMNS} FROM workers ORDER BY hostname")  # noqa: S608
        return [worker_from(row) for row in rows]

    def names(self) -> Names:
        """The distinct task names, workers and queues."""
        return Names(*(tuple(self._words(kind)) for kind in ("task", "worker", "queue")))

    def _condition(self, query: TaskQuery, *, states: bool = True) -> Condition:
        highest = self._all("SELECT max(rowid) FROM tasks")[0][0] or 0
        return condition(query, words=self._words, now=self._now(), highest_rowid=highest, states=states)

    def _few(self, where: Condition) -> bool:
        wanted = where.branches.get("state")
        if wanted is None:
            return False
        totals = self.totals()
        return sum(totals[STATE_CODES[code]] for code in wanted) <= FEW

    def _words(self, kind: str) -> list[str]:
        return [row[0] for row in self._all("SELECT word FROM words WHERE kind = ? ORDER BY word", [kind])]

    def _all(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        connection = self._opened()
        self._deadline_s = time.monotonic() + STATEMENT_LIMIT_S
        try:
            return connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorname", "") == "SQLITE_INTERRUPT":
                raise ConsoleError(
                    "The search took too long",
                    detail=f"It was ended after {STATEMENT_LIMIT_S:.0f} s.",
                    remedy="Narrow it down, for example with since:1h.",
                    cause=Cause.TIMEOUT,
                ) from error
            self.close()
            raise history_error(error, self.path) from error

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = open_for_reading(self.path)
            self._connection.set_progress_handler(self._is_late, STEPS_BETWEEN_CHECKS)
        return self._connection

    def _is_late(self) -> int:
        return int(time.monotonic() > self._deadline_s)


def task_row(row: tuple[Any, ...]) -> TaskRow:
    """A tuple of `ROW_COLUMNS` as what a list shows."""
    (
        rowid, stored_id, name, state, worker, queue, _at, sent, received, started, ended, waited, runtime,
        retries, change,
    ) = row  # fmt: skip
    return TaskRow(
        rowid=rowid,
        id=unpack_id(stored_id),
        name=name or None,
        state=STATE_CODES[state],
        worker=worker or None,
        queue=queue or None,
        sent=instant(sent),
        received=instant(received),
        started=instant(started),
        ended=instant(ended),
        waited_s=waited if waited >= 0.0 else None,
        runtime_s=runtime if runtime >= 0.0 else None,
        retries=retries,
        change=change,
    )


def error_class(exception: str) -> str:
    """`ValueError('no')` is a ValueError."""
    head = exception.split("(", 1)[0].strip()
    return head.rsplit(".", 1)[-1] if head and " " not in head else exception[:80]


def _in_family_order(rows: list[tuple[TaskRow, str | None]]) -> list[Relative]:
    known = {row.id for row, _ in rows}
    children: defaultdict[str | None, list[TaskRow]] = defaultdict(list)
    for row, parent in rows:
        children[parent if parent in known and parent != row.id else None].append(row)
    ordered: list[Relative] = []
    seen: set[str] = set()
    waiting = [(row, 0) for row in reversed(children[None])]
    while waiting:
        row, depth = waiting.pop()
        if row.id in seen:
            continue
        seen.add(row.id)
        ordered.append(Relative(row, depth))
        waiting += [(child, depth + 1) for child in reversed(children.get(row.id, []))]
    # Parents that name each other have no beginning; they are shown all the same.
    ordered += [Relative(row, 0) for row, _ in rows if row.id not in seen]
    return ordered
