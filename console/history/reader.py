"""Reading the history: pages by keyset, one task with its family, counts, minutes and gaps.

Everything here blocks and runs on the history lane; a reader belongs to the thread that uses it and
has a read-only connection. No call scans the whole table: what no index leads to is bounded, and a
statement that takes too long is ended.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from console.history.error_groups import ErrorGroups
from console.history.figure_reading import FigureReading
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
    Names,
    Relative,
    RunFigures,
    TaskDetail,
    TaskRow,
    TaskState,
    WorkerSeen,
)
from console.history.query import Cursor, Sort, TaskQuery
from console.history.schema import ROW_COLUMNS, TEXT_COLUMNS, WordKind
from console.history.statements import COLUMNS
from console.history.writer import WORKER_COLUMNS, worker_from

OWN_COLUMNS = ", ".join(f"tasks.{column}" for column in ROW_COLUMNS)
NEW_AT_MOST = 1000
FAMILY_AT_MOST = 300
MINUTE_S = 60


class HistoryReader(ErrorGroups, FigureReading):
    """The history as the pages and the commands read it."""

    def page(self, query: TaskQuery, after: Cursor | None = None, limit: int = 200) -> list[TaskRow]:
        """At most `limit` rows of `query`, those after `after` (`query.cursor(last_row)`)."""
        return self._rows(self._search(query, after, limit))

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
        return [self._row(row) for row in rows]

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
        found, complete = self._count(query)
        return Counts({state: found.get(CODE_OF[state], 0) for state in STATE_CODES}, complete)

    def ids(self, query: TaskQuery, limit: int) -> list[str]:
        """The ids of at most `limit` tasks of `query`, the newest first."""
        newest = query.sorted_by(Sort.RECEIVED, descending=True)
        rows = self._all(
            "SELECT tasks.id FROM json_each(?) JOIN tasks ON tasks.rowid = json_each.value "
            "ORDER BY json_each.key",
            [json.dumps(self._search(newest, None, limit))],
        )
        return [unpack_id(row[0]) for row in rows]

    def export(self, query: TaskQuery, *, batch: int = 1000) -> Iterator[list[TaskDetail]]:
        """Everything known of every task of `query`, in its order, `batch` of them at a time.

        Each batch is a page of its own: nothing is held between two, and whoever has enough stops.
        """
        after: Cursor | None = None
        while True:
            rowids = self._search(query, after, batch)
            details = self._details(rowids)
            if details:
                yield details
                after = query.cursor(details[-1].row)
            if len(rowids) < batch or not details:
                return

    def detail(self, task_id: str) -> TaskDetail | None:
        """Everything known of one task; None when the history does not have it."""
        found = self._all("SELECT rowid FROM tasks WHERE id = ?", [pack_id(task_id)])
        return next(iter(self._details([row[0] for row in found])), None)

    def _details(self, rowids: Sequence[int]) -> list[TaskDetail]:
        """Everything known of some rows, in their order; those that are gone are left out."""
        columns = ", ".join((*(f"tasks.{column}" for column in ROW_COLUMNS), *TEXT_COLUMNS[1:]))
        rows = self._all(
            f"SELECT {columns} FROM json_each(?) JOIN tasks ON tasks.rowid = json_each.value "  # noqa: S608
            "JOIN texts ON texts.rowid = tasks.rowid ORDER BY json_each.key",
            [json.dumps(list(rowids))],
        )
        return [self._detail(row) for row in rows]

    def _detail(self, row: tuple[Any, ...]) -> TaskDetail:
        values = dict(zip((*ROW_COLUMNS, *TEXT_COLUMNS[1:]), row, strict=True))
        marks = decode_marks(values["marks"])
        parent = unpack_optional(values["parent_id"])
        return TaskDetail(
            row=self._row(row[: len(ROW_COLUMNS)]),
            args=values["args"],
            kwargs=values["kwargs"],
            result=values["result"],
            exception=values["exception"],
            traceback=last_traceback(marks) if values["exception"] is not None else None,
            root_id=unpack_optional(values["root_id"]) or unpack_id(values["id"]),
            # What a worker sends again to retry it names the task itself.
            parent_id=None if parent == unpack_id(values["id"]) else parent,
            eta=values["eta"],
            expires=values["expires"],
            routing_key=values["routing_key"],
            exchange=values["exchange"],
            pid=values["pid"] or None,
            client=values["client"],
            attempts=attempts_of(marks),
            reason=values["reason"],
        )

    def family(self, task_id: str) -> list[Relative]:
        """The tasks with the same root, parents before children, at most 300."""
        own = self._all(
            "SELECT root_id FROM texts WHERE rowid = (SELECT rowid FROM tasks WHERE id = ?)",
            [pack_id(task_id)],
        )
        if not own:
            return []
        root = own[0][0] if own[0][0] is not None else pack_id(task_id)
        rows = self._all(
            f"SELECT {OWN_COLUMNS}, parent_id FROM tasks JOIN texts USING (rowid) WHERE tasks.rowid IN "  # noqa: S608
            "(SELECT rowid FROM tasks WHERE id = ?1 UNION SELECT rowid FROM texts WHERE root_id = ?1) "
            f"ORDER BY at, tasks.rowid LIMIT {FAMILY_AT_MOST}",
            [root],
        )
        return _in_family_order([(self._row(row[:-1]), unpack_optional(row[-1])) for row in rows])

    def workers(self) -> list[WorkerSeen]:
        """Every worker that was ever seen, by name."""
        rows = self._all(f"SELECT {WORKER_COLUMNS} FROM workers ORDER BY hostname")  # noqa: S608
        return [worker_from(row) for row in rows]

    def names(self) -> Names:
        """The distinct task names, workers and queues."""
        kinds = (WordKind.NAME, WordKind.WORKER, WordKind.QUEUE)
        return Names(*(tuple(word for _, word in self._words(kind)) for kind in kinds))

    def queues(self) -> tuple[str, ...]:
        """All queues that a task was sent to."""
        return tuple(word for _, word in self._words(WordKind.QUEUE))

    def failed_by_worker(self) -> dict[str, int]:
        """All failed tasks that the history holds, by worker."""
        rows = self._all(
            "SELECT worker, count(*) FROM tasks INDEXED BY tasks_at WHERE state = ? AND worker > 0 "
            "GROUP BY worker",
            [CODE_OF[TaskState.FAILED]],
        )
        return {self._word(worker) or "": count for worker, count in rows}

    def heard_from(self, workers: Sequence[str], since: datetime) -> frozenset[str]:
        """Which of `workers` have sent a task event since `since`.

        Reconciliation learns of tasks of silent workers too; when they came and began only events tell.
        """
        statement = "SELECT 1 FROM tasks WHERE worker = ? AND at >= ? AND received + started > 0 LIMIT 1"
        numbers = {worker: self._number(WordKind.WORKER, worker) for worker in workers}
        return frozenset(
            worker
            for worker, number in numbers.items()
            if number and self._all(statement, [number, since.timestamp()])
        )

    def last_row(self) -> int:
        """The number of the row that was stored last; 0 when there is none."""
        highest: int | None = self._all("SELECT max(rowid) FROM tasks")[0][0]
        return highest or 0

    def sent_by_queue(self, after_row: int, last_row: int) -> dict[str, int]:
        """Tasks with a sent event among the rows after `after_row` up to `last_row`, by queue."""
        rows = self._all(
            "SELECT queue, count(*) FROM tasks WHERE rowid > ? AND rowid <= ? AND queue > 0 AND sent > 0 "
            "GROUP BY queue",
            [after_row, last_row],
        )
        return {self._word(queue) or "": count for queue, count in rows}

    def known_queues(self, queues: Sequence[str]) -> frozenset[str]:
        """Those of `queues` to which a task in the history was sent."""
        statement = "SELECT 1 FROM tasks WHERE queue = ? LIMIT 1"
        numbers = {queue: self._number(WordKind.QUEUE, queue) for queue in queues}
        return frozenset(
            queue for queue, number in numbers.items() if number and self._all(statement, [number])
        )

    def sent_at(self, ids: Sequence[str]) -> dict[str, datetime]:
        """When the tasks of `ids` (at most some hundred) were sent, for those known."""
        marks = ", ".join("?" * len(ids))
        rows = self._all(
            f"SELECT id, sent FROM tasks WHERE id IN ({marks}) AND sent > 0",  # noqa: S608
            [pack_id(task_id) for task_id in ids],
        )
        return {unpack_id(stored): datetime.fromtimestamp(sent, UTC) for stored, sent in rows}

    def waiting_since(self, queue: str, ready: int, *, looked_at: int) -> datetime | None:
        """When the `ready`-th last task that was sent to `queue` and that no worker received was sent.

        The newest `looked_at` tasks of the queue are looked at; None when fewer wait there.
        """
        rows = self._all(
            "SELECT sent FROM (SELECT sent, received FROM tasks WHERE queue = ? ORDER BY at DESC LIMIT ?) "
            "WHERE sent > 0 AND received = 0 ORDER BY sent DESC LIMIT 1 OFFSET ?",
            [self._number(WordKind.QUEUE, queue), looked_at, ready - 1],
        )
        return datetime.fromtimestamp(rows[0][0], UTC) if rows else None

    def _rows(self, rowids: Sequence[int]) -> list[TaskRow]:
        """Some rows in their order; those that are gone are left out."""
        rows = self._all(
            f"SELECT {OWN_COLUMNS} FROM json_each(?) JOIN tasks ON tasks.rowid = json_each.value "  # noqa: S608
            "ORDER BY json_each.key",
            [json.dumps(list(rowids))],
        )
        return [self._row(row) for row in rows]

    def _row(self, row: tuple[Any, ...]) -> TaskRow:
        """A tuple of `ROW_COLUMNS` as what a list shows."""
        (
            rowid, stored_id, state, name, worker, queue, _at, sent, received, started, ended, waited,
            runtime, retries, change, _error,
        ) = row  # fmt: skip
        return TaskRow(
            rowid=rowid,
            id=unpack_id(stored_id),
            name=self._word(name),
            state=STATE_CODES[state],
            worker=self._word(worker),
            queue=self._word(queue),
            sent=instant(sent),
            received=instant(received),
            started=instant(started),
            ended=instant(ended),
            waited_s=waited if waited >= 0.0 else None,
            runtime_s=runtime if runtime >= 0.0 else None,
            retries=retries,
            change=change,
        )


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
