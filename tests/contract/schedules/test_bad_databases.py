"""Databases on a bad day: each is a `ConsoleError` with its own cause; nothing is made or half-written."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from console.broker.database import parse_database_url
from console.core.errors import Cause, ConsoleError
from console.schedules import django_setup
from console.schedules.gateway import open_tables
from tests.contract.schedules.databases import Database
from tests.read_only import make_read_only


def failing_read(url: str) -> ConsoleError:
    with pytest.raises(ConsoleError) as caught:
        read(url)
    return caught.value


def read(url: str) -> None:
    tables = open_tables(parse_database_url(url))
    try:
        tables.read()
    finally:
        tables.close()


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "none" / "db.sqlite3"
    assert failing_read(f"sqlite:///{path}").cause is Cause.NOT_FOUND
    assert failing_read(f"sqlite:///{tmp_path / 'db.sqlite3'}").cause is Cause.NOT_FOUND
    assert list(tmp_path.iterdir()) == []


def test_a_database_without_beats_tables(tmp_path: Path) -> None:
    path = tmp_path / "empty.sqlite3"
    path.touch()
    error = failing_read(f"sqlite:///{path}")
    assert error.cause is Cause.NOT_MIGRATED
    assert "migrations" in error.remedy


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("shopping list " * 100)
    assert failing_read(f"sqlite:///{path}").cause is Cause.INVALID


def test_a_locked_database(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(django_setup, "BUSY_TIMEOUT_S", 0.05)
    key = sqlite.task("flush", interval_id=sqlite.interval())
    before = sqlite.row(key)
    tables = open_tables(parse_database_url(sqlite.url))
    with closing(sqlite3.connect(sqlite.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ConsoleError) as caught:
            tables.set_enabled([key], enabled=False)
        other.execute("ROLLBACK")
    assert caught.value.cause is Cause.LOCKED
    assert caught.value.retryable
    assert sqlite.row(key) == before
    assert len(tables.set_enabled([key], enabled=False)) == 1
    tables.close()


def test_a_read_only_file(sqlite: Database) -> None:
    key = sqlite.task("flush", interval_id=sqlite.interval())
    make_read_only(sqlite.path)
    tables = open_tables(parse_database_url(sqlite.url))
    assert [row.name for row in tables.read()] == ["flush"]
    with pytest.raises(ConsoleError) as caught:
        tables.set_enabled([key], enabled=False)
    tables.close()
    assert caught.value.cause is Cause.NOT_PERMITTED


@pytest.mark.parametrize("url", ["", "shop.sqlite3", "mssql://u:secret@host/shop", "postgresql://h:port/x"])
def test_an_url_that_is_none(url: str) -> None:
    error = failing_read(url)
    assert error.cause is Cause.INVALID
    assert "secret" not in str(error)


def test_a_server_that_is_away() -> None:
    error = failing_read("postgresql://shop:secret@127.0.0.1:1/shop")
    assert error.cause is Cause.UNREACHABLE
    assert "secret" not in str(error)


def test_a_file_that_is_replaced_is_opened_anew(sqlite: Database, migrated_sqlite: Path) -> None:
    sqlite.task("old", interval_id=sqlite.interval())
    tables = open_tables(parse_database_url(sqlite.url))
    assert [row.name for row in tables.read()] == ["old"]
    sqlite.path.unlink()
    with pytest.raises(ConsoleError):
        tables.fingerprint()
    shutil.copy(migrated_sqlite, sqlite.path)
    sqlite.task("new", interval_id=sqlite.interval())
    assert [row.name for row in tables.read()] == ["new"]
    tables.close()
