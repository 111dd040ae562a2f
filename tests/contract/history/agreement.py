"""What must hold of every history at any moment: rows, texts, counts, words and the search agree."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter, defaultdict
from typing import Any

# What the tokenizer takes for one token of plain ASCII text; the rest is not compared.
_TOKENS = re.compile(r"[A-Za-z0-9]+")


def assert_agrees(connection: sqlite3.Connection) -> None:
    """Fail unless all parts of the history say the same of its tasks."""

    def rows(statement: str) -> list[tuple[Any, ...]]:
        return connection.execute(statement).fetchall()

    assert rows("PRAGMA integrity_check") == [("ok",)]
    assert rows("SELECT id FROM tasks GROUP BY id HAVING count(*) > 1") == []
    assert rows("SELECT rowid FROM tasks ORDER BY rowid") == rows("SELECT rowid FROM texts ORDER BY rowid")
    counted = Counter(dict(rows("SELECT state, count(*) FROM tasks GROUP BY state")))
    assert counted == +Counter(dict(rows("SELECT state, n FROM counts")))
    for column in ("name", "worker", "queue", "error"):
        missing = f"SELECT count(*) FROM tasks WHERE {column} > 0 AND {column} NOT IN (SELECT id FROM words)"
        assert rows(missing) == [(0,)], column
    for table, columns in (("call", ("args", "kwargs")), ("outcome", ("result", "exception"))):
        assert_search_agrees(connection, table, columns)


def assert_search_agrees(connection: sqlite3.Connection, table: str, columns: tuple[str, str]) -> None:
    """Fail unless the index of `table` holds each token of each row where it stands, and nothing else."""
    connection.execute(
        f"CREATE VIRTUAL TABLE temp.{table}_terms USING fts5vocab('main', '{table}', 'instance')"
    )
    indexed: defaultdict[tuple[int, str], list[str]] = defaultdict(list)
    for term, doc, column, _offset in connection.execute(
        f"SELECT term, doc, col, offset FROM temp.{table}_terms ORDER BY doc, col, offset"
    ):
        indexed[doc, column].append(term)
    connection.execute(f"DROP TABLE temp.{table}_terms")
    texts: dict[tuple[int, str], list[str]] = {}
    for rowid, *values in connection.execute(f"SELECT rowid, {', '.join(columns)} FROM texts"):
        for column, text in zip(columns, values, strict=True):
            tokens = _TOKENS.findall(text.lower()) if text and text.isascii() else []
            if tokens:
                texts[rowid, column] = tokens
            elif text and not text.isascii():
                indexed.pop((rowid, column), None)
    assert dict(indexed) == texts
