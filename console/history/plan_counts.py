"""How many tasks fit a query, by state: exactly where that is quick, else as many as time allows to see."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence, Set
from typing import Any

from console.core.errors import Cause, ConsoleError
from console.history.history_file import STATEMENT_LIMIT_S
from console.history.plan import CHECKED_AT_ONCE, FIRST_CHECKS, SAMPLE, Found, TaskSearch, Where
from console.history.plan_terms import Fixed
from console.history.query import Sort, TaskQuery
from console.history.statements import ORDERS, covering

COUNTING_CHECKS = 6_000
COUNTING_S = 0.050


class TaskCounts(TaskSearch):
    """The numbers on the chips."""

    def _count(self, query: TaskQuery) -> tuple[dict[int, int], bool]:
        """Tasks by state code that fit, the states of the chips left out; whether these are all."""
        where = self._where(query, states=False)
        if isinstance(where.tree, Fixed):
            return dict(self._all("SELECT state, n FROM counts") if where.tree.holds else ()), True
        walked = Found(SAMPLE, len(where.texts))
        if where.texts:
            walked = self._walk(where, ORDERS[Sort.RECEIVED], None, True, SAMPLE, checks=FIRST_CHECKS)
        bounded = self._bounded_set(where, walked)
        if bounded is not None:
            return self._count_set(where, bounded.rowids)
        index = covering(where.needs)
        if not where.texts and index is not None:
            try:
                return self._count_scanned(where, index), True
            except ConsoleError as error:
                if error.cause is not Cause.TIMEOUT:
                    raise
        return self._count_newest(where)

    def _count_scanned(self, where: Where, index: str) -> dict[int, int]:
        """Two walks over an index: grouping the rows of the most frequent state would cost more."""
        source = f"FROM tasks INDEXED BY {index} WHERE {where.sql}"
        most = max(self._all("SELECT n, state FROM counts"), default=(0, 0))[1]
        rows = self._in_time(
            f"SELECT state, count(*) {source} AND state != {most} GROUP BY state", where.values
        )
        total: int = self._in_time(f"SELECT count(*) {source}", where.values)[0][0]
        return {**dict(rows), most: total - sum(count for _, count in rows)}

    def _in_time(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        until = time.monotonic() + STATEMENT_LIMIT_S
        batches = self._batches(statement, values, until=until, checks=COUNTING_CHECKS)
        return [row for rows in batches for row in rows]

    def _count_set(self, where: Where, rowids: Set[int]) -> tuple[dict[int, int], bool]:
        source = "FROM tasks NOT INDEXED WHERE rowid IN (SELECT value FROM json_each(?))"
        some = json.dumps(list(rowids))
        if not where.texts:
            rows = self._all(
                f"SELECT state, count(*) {source} AND {where.sql} GROUP BY state",
                (some, *where.values),
            )
            return dict(rows), True
        statement = f"SELECT rowid, state {source} AND {where.sql} ORDER BY rowid DESC"
        return self._count_checked(where, statement, (some, *where.values))

    def _count_newest(self, where: Where) -> tuple[dict[int, int], bool]:
        statement = (
            f"SELECT rowid, state FROM tasks INDEXED BY tasks_at "  # noqa: S608
            f"WHERE {where.sql} ORDER BY at DESC"
        )
        return self._count_checked(where, statement, where.values)

    def _count_checked(
        self, where: Where, statement: str, values: Sequence[Any]
    ) -> tuple[dict[int, int], bool]:
        """As many as can be looked at in `COUNTING_S`."""
        by_state: dict[int, int] = {}
        try:
            until = time.monotonic() + COUNTING_S
            for rows in self._batches(statement, values, until=until, sizes=CHECKED_AT_ONCE):
                fitting = {row[0] for row in rows}
                if where.texts:
                    found = Found(len(rows), len(where.texts))
                    self._check(where, rows, found)
                    fitting = set(found.rowids)
                for row in rows:
                    if row[0] in fitting:
                        by_state[row[-1]] = by_state.get(row[-1], 0) + 1
        except ConsoleError as error:
            if error.cause is not Cause.TIMEOUT:
                raise
            return by_state, False
        return by_state, True
