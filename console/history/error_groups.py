"""Failures that have the same fingerprint, as one: how many, since when, until when, in which tasks."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from console.history.errors import fingerprint
from console.history.ids import unpack_id
from console.history.model import ErrorGroup
from console.history.plan_counts import TaskCounts
from console.history.plan_terms import Fixed
from console.history.query import Sort, TaskQuery
from console.history.schema import WordKind

GROUPED_AT_MOST = 20_000
LOOKED_AT = 200
NAMES_AT_MOST = 5
_CLASSED = re.compile(r"([A-Za-z_]\w*)(?:: |$)(.*)", re.DOTALL)

# When it failed; a task that goes on to retry has not ended yet.
_SEEN = "CASE WHEN ended > 0 THEN ended ELSE at END"


class ErrorGroups(TaskCounts):
    """The failures of the history by what they have in common."""

    def error_groups(self, query: TaskQuery, limit: int = 100) -> list[ErrorGroup]:
        """The tasks of `query` that failed, by fingerprint, the most frequent first.

        Where texts are part of the query the newest 20,000 tasks that fit are grouped.
        """
        where = self._where(query)
        if isinstance(where.tree, Fixed) and not where.tree.holds:
            return []
        if not where.texts:
            return self._groups(
                f"tasks INDEXED BY tasks_error WHERE error > 0 AND {where.sql}", where.values, limit
            )
        newest = query.sorted_by(Sort.RECEIVED, descending=True)
        some = json.dumps(self._search(newest, None, GROUPED_AT_MOST))
        return self._groups(
            "tasks WHERE error > 0 AND rowid IN (SELECT value FROM json_each(?))", (some,), limit
        )

    def same_error(self, name: str, exception: str, *, since_s: float = 86_400.0) -> ErrorGroup | None:
        """The failures of task `name` like `exception` in the last `since_s`."""
        error_id = self._number(WordKind.ERROR, fingerprint(exception))
        found = self._groups(
            "tasks INDEXED BY tasks_error WHERE error > 0 AND error = ? AND at >= ? AND name = ?",
            (error_id, self._now() - since_s, self._number(WordKind.NAME, name)),
            1,
        )
        return found[0] if found else None

    def _groups(self, source: str, values: Sequence[Any], limit: int) -> list[ErrorGroup]:
        rows = self._all(
            f"SELECT error, count(*), min({_SEEN}), max({_SEEN}) FROM {source} "  # noqa: S608
            f"GROUP BY error ORDER BY count(*) DESC, max({_SEEN}) DESC LIMIT {int(limit)}",
            values,
        )
        return [self._group(row, source, values) for row in rows]

    def _group(self, row: tuple[Any, ...], source: str, values: Sequence[Any]) -> ErrorGroup:
        error_id, count, first, last = row
        newest = self._all(
            f"SELECT id, name FROM {source} AND error = ? ORDER BY at DESC LIMIT {LOOKED_AT}",  # noqa: S608
            (*values, error_id),
        )
        numbers = list(dict.fromkeys(number for _, number in newest))[:NAMES_AT_MOST]
        names = tuple(self._word(number) or "" for number in numbers)
        word = self._word(error_id) or ""
        classed = _CLASSED.match(word)
        return ErrorGroup(
            name=names[0],
            error=classed[1] if classed is not None else "",
            message=classed[2] if classed is not None else word,
            count=count,
            first=datetime.fromtimestamp(first, UTC),
            last=datetime.fromtimestamp(last, UTC),
            example_id=unpack_id(newest[0][0]),
            error_id=error_id,
            names=names,
        )
