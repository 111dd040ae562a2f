"""What the history keeps, and how the rest goes: by age and by size, in pieces that hold nobody up.

The writer asks for one piece of work at a time between two batches; each is a transaction of its own that
takes some hundredths of a second. The oldest tasks go first, with their texts, their words in the search and
their share of the counts. Then what the search still remembers of them is merged away, and free pages are
given back to the disk (incremental vacuum, so the stream never waits for a rewrite of the file).
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from console.history.bounds import Retention
from console.history.figures import SPANS_S, prune_figures
from console.history.ids import unpack_id
from console.history.marks import STATE_CODES
from console.history.model import TaskState
from console.history.schema import WordKind, history_error

DAY_S = 86_400.0
LEAST_BYTES = 16 * 1024 * 1024
ENOUGH = 0.95
"""The share of the size that is kept once there was too much, so that it is not always a little too much."""
MERGED_SHARE = 0.2
MERGED_LEAST = 5_000
FREE_SHARE = 0.02
FREE_LEAST = 256
AIMED_S = 0.03
FIGURES_SHARE = 0.3
TIDIED_EVERY_S = 3600.0
OTHER_GAPS = 5_000


_DATED = "SELECT rowid, id, state FROM tasks WHERE at > 0 AND at < ? ORDER BY at LIMIT ?"
# A task of which no instant is known goes when all that have one came after it.
_UNDATED = (
    "SELECT rowid, id, state FROM tasks WHERE at = 0 "
    "AND rowid < (SELECT rowid FROM tasks WHERE at > 0 ORDER BY at LIMIT 1) LIMIT ?"
)
_REST = "SELECT rowid, id, state FROM tasks WHERE at = 0 ORDER BY rowid LIMIT ?"


@dataclass(slots=True)
class Removed:
    """What one piece of work removed. `more`: there is something left to do now; `words`: words went, too."""

    ids: list[str] = field(default_factory=list)
    by_state: Counter[TaskState] = field(default_factory=Counter)
    words: bool = False
    more: bool = False


class _Pace:
    """How much is done at once so that it takes about `AIMED_S`."""

    def __init__(self, amount: int, *, least: int, most: int) -> None:
        self.amount = amount
        self._least, self._most = least, most

    def took(self, seconds: float) -> None:
        wanted = self.amount * AIMED_S / max(seconds, AIMED_S / 2)
        self.amount = max(self._least, min(self._most, int(wanted)))


class Trimming:
    """Keeps the history within `retention`; works on the connection of the writer, between its transactions.

    Nothing that is folded may be waiting while it works: it changes counts. A call may raise `ConsoleError`,
    and then nothing of that piece is done.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        retention: Retention,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._path = path
        self._retention = retention
        self._clock = clock
        self._rows = _Pace(200, least=50, most=2_000)
        self._merged = _Pace(64, least=8, most=1_024)
        self._pages = _Pace(256, least=64, most=8_192)
        self._shrinking = False
        self._dead = 0
        self._merging: list[str] = []
        self._first_merge = True
        self._giving_back = False
        self._pruned_s = self._tidied_s = float("-inf")

    def step(self, now_s: float) -> Removed:
        """One piece of work, at `now_s` (seconds of the epoch)."""
        try:
            for work in (self._prune, self._remove, self._merge, self._give_back, self._tidy):
                done = work(now_s)
                if done is not None:
                    return done
        except sqlite3.Error as error:
            raise history_error(error, self._path) from error
        return Removed()

    def _prune(self, now_s: float) -> Removed | None:
        """Once an hour, and before tasks have to go: figures that are too old or too many."""
        if abs(self._clock() - self._pruned_s) < TIDIED_EVERY_S:
            return None
        at_most = int(max(self._retention.max_bytes, LEAST_BYTES) * FIGURES_SHARE)
        self._transaction(lambda: prune_figures(self._connection, now_s, at_most_bytes=at_most))
        self._pruned_s = self._clock()
        return Removed(more=True)

    def _remove(self, now_s: float) -> Removed | None:
        """The oldest tasks that are too old or too many."""
        cutoff = now_s - self._retention.days * DAY_S
        if self._is_too_large():
            cutoff = float("inf")
        rows = self._all(_UNDATED, self._rows.amount) or self._all(_DATED, cutoff, self._rows.amount)
        if not rows and cutoff == float("inf"):
            rows = self._all(_REST, self._rows.amount)
        if not rows:
            return None
        began_s = self._clock()
        removed = Removed([unpack_id(row[1]) for row in rows], more=True)
        removed.by_state.update(STATE_CODES[row[2]] for row in rows)
        numbers = json.dumps([row[0] for row in rows])
        states = Counter(row[2] for row in rows)
        self._transaction(lambda: self._remove_rows(numbers, states))
        self._dead += len(rows)
        if len(rows) == self._rows.amount:
            self._rows.took(self._clock() - began_s)
        return removed

    def _remove_rows(self, numbers: str, states: Counter[int]) -> None:
        among = "rowid IN (SELECT value FROM json_each(?))"
        for table, one, other in (("call", "args", "kwargs"), ("outcome", "result", "exception")):
            self._all(
                f"INSERT INTO {table} ({table}, rowid, {one}, {other}) "  # noqa: S608
                f"SELECT 'delete', rowid, {one}, {other} FROM texts "
                f"WHERE {among} AND ({one} IS NOT NULL OR {other} IS NOT NULL)",
                numbers,
            )
        self._all(f"DELETE FROM texts WHERE {among}", numbers)  # noqa: S608
        self._all(f"DELETE FROM tasks WHERE {among}", numbers)  # noqa: S608
        for state, count in states.items():
            self._all("UPDATE counts SET n = n - ? WHERE state = ?", count, state)

    def _is_too_large(self) -> bool:
        """Whether the size asks for removals: from the bound on, until there is some room again."""
        bound = max(self._retention.max_bytes, LEAST_BYTES)
        used = (self._number("page_count") - self._number("freelist_count")) * self._number("page_size")
        self._shrinking = used > (bound * ENOUGH if self._shrinking else bound)
        return self._shrinking

    def _merge(self, _now_s: float) -> Removed | None:
        """The search keeps a note of each text it has to forget; merging its parts does away with both."""
        if not self._merging:
            kept: int = self._all("SELECT ifnull(sum(n), 0) FROM counts")[0][0]
            if self._dead < max(MERGED_LEAST, kept * MERGED_SHARE):
                return None
            self._merging, self._first_merge, self._dead = ["call", "outcome"], True, 0
        table, began_s = self._merging[0], self._clock()
        # A negative number asks for all parts to become one; positive ones go on with that.
        pages = -self._merged.amount if self._first_merge else self._merged.amount
        before = self._connection.total_changes
        self._all(f"INSERT INTO {table} ({table}, rank) VALUES ('merge', ?)", pages)  # noqa: S608
        self._first_merge = False
        if self._connection.total_changes - before < 2:  # so FTS5 says that nothing is left to merge
            self._merging, self._first_merge = self._merging[1:], True
        self._merged.took(self._clock() - began_s)
        return Removed(more=True)

    def _give_back(self, _now_s: float) -> Removed | None:
        """Free pages go back to the disk, but for some that the next tasks take anyway."""
        free, pages = self._number("freelist_count"), self._number("page_count")
        spare = max(FREE_LEAST, int(pages * FREE_SHARE))
        if free <= (spare if self._giving_back else 2 * spare) or self._number("auto_vacuum") == 0:
            if self._giving_back:
                self._giving_back = False
                self._all("PRAGMA wal_checkpoint(PASSIVE)")  # only then does the file become shorter
            return None
        self._giving_back = True
        began_s = self._clock()
        # As a script, because only that is run to its end: there is a row without columns for each page.
        self._connection.executescript(f"PRAGMA incremental_vacuum({min(free - spare, self._pages.amount)})")
        self._pages.took(self._clock() - began_s)
        return Removed(more=True)

    def _tidy(self, now_s: float) -> Removed | None:
        """Once an hour: gaps and workers that are too old, and words that nothing uses any more."""
        if abs(self._clock() - self._tidied_s) < TIDIED_EVERY_S:
            return None
        cutoff = now_s - self._retention.days * DAY_S
        unused = self._unused_words()

        def tidy() -> None:
            self._all("DELETE FROM gaps WHERE end < ?", cutoff)
            self._all(
                "DELETE FROM gaps WHERE end IS NOT NULL AND number < (SELECT max(number) FROM gaps) - ?",
                OTHER_GAPS,
            )
            self._all("DELETE FROM workers WHERE last_heartbeat < ?", cutoff)
            self._all("DELETE FROM words WHERE id IN (SELECT value FROM json_each(?))", json.dumps(unused))

        self._transaction(tidy)
        self._tidied_s = self._clock()
        return Removed(words=bool(unused))

    def _unused_words(self) -> list[int]:
        """Words without a task. The newest word stays, so that no number ever comes to mean another word."""
        unused: list[int] = []
        for kind, column in (
            (WordKind.NAME, "name"),
            (WordKind.WORKER, "worker"),
            (WordKind.QUEUE, "queue"),
            (WordKind.ERROR, "error"),
        ):
            indexed = " AND tasks.error > 0" if kind is WordKind.ERROR else ""
            found = self._all(
                f"SELECT id, word FROM words WHERE kind = ? AND id < (SELECT max(id) FROM words) "  # noqa: S608
                f"AND NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.{column} = words.id{indexed})",
                int(kind),
            )
            if found and kind in (WordKind.NAME, WordKind.QUEUE):
                # Whatever is counted is counted in its day, too, and days are few and kept the longest.
                counted = self._all(
                    "SELECT DISTINCT word FROM figures WHERE span = ? AND kind = ?",
                    SPANS_S[-1],
                    1 if kind is WordKind.NAME else 2,
                )
                used = {row[0] for row in counted}
                found = [row for row in found if row[0] not in used]
            if found and kind is WordKind.WORKER:
                known = {row[0] for row in self._all("SELECT hostname FROM workers")}
                found = [row for row in found if row[1] not in known]
            unused += [row[0] for row in found]
        return unused

    def _transaction(self, work: Callable[[], None]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            work()
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _number(self, pragma: str) -> int:
        value: int = self._all(f"PRAGMA {pragma}")[0][0]
        return value

    def _all(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, values).fetchall()
