"""The history file as it is read: opened at first use, statements that end in time, words by number."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from console.core.errors import Cause, ConsoleError
from console.history.schema import WordKind, history_error, open_for_reading

STATEMENT_LIMIT_S = 3.0
STEPS_BETWEEN_CHECKS = 2_000
WORDS_KEPT = 20_000


class HistoryFile:
    """The history at `path`, read-only; it belongs to the thread that uses it.

    Every method raises `ConsoleError`: `Cause.NOT_FOUND` while there is no history, `Cause.TIMEOUT`
    when a statement took more than 3 s. The file is opened at the first use and again after a failure.
    """

    def __init__(self, path: Path, *, now: Callable[[], float] = time.time) -> None:
        self.path = path
        self._now = now
        self._connection: sqlite3.Connection | None = None
        self._deadline_s = 0.0
        self._checks_left = 0
        self._known: dict[int, str] = {}

    def close(self) -> None:
        """Close the file; another call opens it again."""
        connection, self._connection = self._connection, None
        self._known.clear()
        if connection is not None:
            connection.close()

    def interrupt(self) -> None:
        """End the statement that runs, which then raises as if it had taken too long. From any thread."""
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(sqlite3.ProgrammingError):  # closed meanwhile
                connection.interrupt()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _words(self, kind: WordKind) -> list[tuple[int, str]]:
        """All words of a kind with their numbers, in the order of the words."""
        return self._all("SELECT id, word FROM words WHERE kind = ? ORDER BY word", [int(kind)])

    def _word(self, number: int) -> str | None:
        """The word of a number; None for 0. A number never comes to mean another word."""
        if not number:
            return None
        word = self._known.get(number)
        if word is None:
            found = self._all("SELECT word FROM words WHERE id = ?", [number])
            if not found:
                return None
            word = found[0][0]
            if len(self._known) >= WORDS_KEPT:
                self._known.clear()
            self._known[number] = word
        return word

    def _number(self, kind: WordKind, word: str) -> int:
        """The number of a word; 0 when the history does not have it."""
        found = self._all("SELECT id FROM words WHERE kind = ? AND word = ?", [int(kind), word])
        return found[0][0] if found else 0

    def _all(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return [
            row
            for rows in self._batches(statement, values, until=time.monotonic() + STATEMENT_LIMIT_S)
            for row in rows
        ]

    def _batches(
        self,
        statement: str,
        values: Sequence[Any] = (),
        *,
        until: float,
        sizes: Sequence[int] = (5000,),
        checks: int = 10**9,
    ) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of a statement, some at a time: the first `sizes`, then always the last of them.

        Other statements may run in between. Raises `ConsoleError` with `Cause.TIMEOUT` at `until`
        (`time.monotonic`) and after `checks` times `STEPS_BETWEEN_CHECKS` steps of SQLite's machine, which
        is a bound that a busy computer does not move.
        """
        connection = self._opened()
        self._deadline_s, self._checks_left = until, checks
        cursor: sqlite3.Cursor | None = None
        try:
            cursor = connection.execute(statement, values)
            number = 0
            while rows := cursor.fetchmany(sizes[min(number, len(sizes) - 1)]):
                checks = self._checks_left
                yield rows
                number += 1
                self._deadline_s, self._checks_left = until, checks
                if time.monotonic() > until:
                    raise _too_long()
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorname", "") == "SQLITE_INTERRUPT":
                raise _too_long() from error
            self.close()
            raise history_error(error, self.path) from error
        finally:
            if cursor is not None:
                cursor.close()

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = open_for_reading(self.path)
            self._connection.set_progress_handler(self._is_late, STEPS_BETWEEN_CHECKS)
        return self._connection

    def _is_late(self) -> int:
        self._checks_left -= 1
        return int(self._checks_left < 0 or time.monotonic() > self._deadline_s)


def _too_long() -> ConsoleError:
    return ConsoleError(
        "The search took too long",
        detail=f"It was ended after {STATEMENT_LIMIT_S:.0f} s.",
        remedy="Narrow it down, for example with since:1h.",
        cause=Cause.TIMEOUT,
    )
