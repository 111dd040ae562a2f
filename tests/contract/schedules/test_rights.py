"""What the database lets its user change is known before the click, and without changing anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from console.broker.database import parse_database_url
from console.core.errors import Cause, ConsoleError
from console.schedules.gateway import ScheduleTables, open_tables
from tests.contract.schedules.databases import Database
from tests.mariadb import MariaServer
from tests.postgres import PostgresServer
from tests.read_only import make_read_only

TASKS = "django_celery_beat_periodictask"
SIGNAL = "django_celery_beat_periodictasks"
COLUMNS = "(enabled, date_changed, last_run_at)"
SELECTS = ("", "s", "intervalschedule", "crontabschedule", "solarschedule", "clockedschedule")


@dataclass
class Clerk:
    """Somebody who may read beat's tables, and what is granted besides."""

    database: Database
    url: str
    grant: Callable[[str, str], None]

    @contextmanager
    def tables(self) -> Iterator[ScheduleTables]:
        opened = open_tables(parse_database_url(self.url))
        try:
            yield opened
        finally:
            opened.close()

    def why(self) -> str:
        with self.tables() as tables:
            return tables.why_no_changes()

    def switches(self) -> bool:
        """Whether a switch is really done."""
        key = self.database.task("flush", interval_id=self.database.interval())
        before = self.database.row(key)
        with self.tables() as tables:
            try:
                return len(tables.set_enabled([key], enabled=False)) == 1
            except ConsoleError as error:
                if error.cause is not Cause.NOT_PERMITTED or self.database.row(key) != before:
                    raise
                return False


@pytest.fixture
def postgres_clerk(postgresql: Database, postgres: PostgresServer) -> Iterator[Clerk]:
    postgresql.execute("CREATE ROLE clerk LOGIN PASSWORD 'a-password'")

    def grant(what: str, table: str) -> None:
        postgresql.execute(f"GRANT {what} ON {table} TO clerk")

    try:
        for name in (SIGNAL, TASKS, *(f"django_celery_beat_{one}" for one in SELECTS[2:])):
            grant("SELECT", name)
        url = postgresql.url.replace(f"console:{postgres.password}", "clerk:a-password")
        yield Clerk(postgresql, url, grant)
    finally:
        postgresql.execute("DROP OWNED BY clerk")
        postgresql.execute("DROP ROLE clerk")


@pytest.fixture
def mysql_clerk(mysql: Database, mariadb: MariaServer) -> Iterator[Clerk]:
    mysql.execute("CREATE OR REPLACE USER clerk IDENTIFIED BY 'a-password'")

    def grant(what: str, table: str) -> None:
        mysql.execute(f"GRANT {what} ON schedules.{table} TO clerk")

    try:
        grant("SELECT", "*")
        yield Clerk(mysql, mysql.url.replace(f"console:{mariadb.password}", "clerk:a-password"), grant)
    finally:
        mysql.execute("DROP USER clerk")


@pytest.fixture(params=["postgres_clerk", "mysql_clerk"])
def clerk(request: pytest.FixtureRequest) -> Clerk:
    found: Clerk = request.getfixturevalue(request.param)
    return found


def test_who_may_do_everything(tables: ScheduleTables) -> None:
    assert tables.why_no_changes() == ""


def test_who_may_only_read(clerk: Clerk) -> None:
    why = clerk.why()
    assert why.startswith("The database user may not change schedules: ")
    assert f"refuses UPDATE on {TASKS}" in why
    assert not clerk.switches()
    with clerk.tables() as tables:
        assert len(tables.read()) == 1


def test_who_may_not_give_the_signal(clerk: Clerk) -> None:
    clerk.grant("UPDATE", TASKS)
    assert f"UPDATE on {SIGNAL}" in clerk.why()
    assert not clerk.switches()


def test_who_may_write_whole_tables(clerk: Clerk) -> None:
    clerk.grant("UPDATE", TASKS)
    clerk.grant("UPDATE, INSERT", SIGNAL)
    assert clerk.why() == ""
    assert clerk.database.signal() is None
    assert clerk.switches()
    assert clerk.database.signal() is not None


def test_who_may_write_just_the_columns_that_are_written(clerk: Clerk) -> None:
    clerk.grant(f"UPDATE {COLUMNS}", TASKS)
    clerk.grant("UPDATE (last_update)", SIGNAL)
    clerk.grant("INSERT", SIGNAL)
    assert clerk.why() == ""
    assert clerk.switches()


def test_who_may_write_one_column_too_few(clerk: Clerk) -> None:
    clerk.grant("UPDATE (enabled, date_changed)", TASKS)
    clerk.grant("UPDATE, INSERT", SIGNAL)
    assert f"UPDATE on {TASKS}" in clerk.why()


def test_a_right_by_a_role(mysql_clerk: Clerk) -> None:
    mysql_clerk.database.execute_all(
        "CREATE OR REPLACE ROLE switcher",
        f"GRANT UPDATE ON schedules.{TASKS} TO switcher",
        f"GRANT UPDATE, INSERT ON schedules.{SIGNAL} TO switcher",
        "GRANT switcher TO clerk",
        "SET DEFAULT ROLE switcher FOR clerk",
    )
    try:
        assert mysql_clerk.why() == ""
        assert mysql_clerk.switches()
    finally:
        mysql_clerk.database.execute("DROP ROLE switcher")


def test_a_first_signal_must_be_inserted(clerk: Clerk) -> None:
    clerk.grant("UPDATE", TASKS)
    clerk.grant("UPDATE", SIGNAL)
    assert f"INSERT on {SIGNAL}" in clerk.why()
    assert not clerk.switches()
    clerk.database.execute(
        f"INSERT INTO {SIGNAL} (ident, last_update) VALUES (1, %s)", "2026-01-01 00:00:00+00:00"
    )
    assert clerk.why() == ""


def test_a_role_that_postgres_lets_only_read(postgresql: Database) -> None:
    with psycopg.connect(postgresql.url, autocommit=True) as pg:
        pg.execute("ALTER ROLE console SET default_transaction_read_only = on")
        try:
            tables = open_tables(parse_database_url(postgresql.url))
            assert tables.why_no_changes() == "The schedules database lets this user only read"
            tables.close()
        finally:
            pg.execute("SET default_transaction_read_only = off")
            pg.execute("ALTER ROLE console RESET default_transaction_read_only")


def test_a_mariadb_that_is_a_replica(mysql: Database) -> None:
    mysql.execute("SET GLOBAL read_only = ON")
    try:
        tables = open_tables(parse_database_url(mysql.url))
        assert tables.why_no_changes() == "The schedules database is a replica: it takes no changes"
        tables.close()
    finally:
        mysql.execute("SET GLOBAL read_only = OFF")


def test_a_file_that_may_only_be_read(sqlite: Database) -> None:
    make_read_only(sqlite.path)
    tables = open_tables(parse_database_url(sqlite.url))
    assert tables.why_no_changes() == (
        "The database user may not change schedules: schedules.sqlite3 is marked as for reading only"
    )
    tables.close()


def test_a_file_whose_permissions_say_so(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write whatever the permissions say, so the answer of the system is given here."""
    tables = open_tables(parse_database_url(sqlite.url))
    forbidden: list[Path] = []
    monkeypatch.setattr("os.access", lambda path, _mode: path not in forbidden)
    forbidden.append(sqlite.path)
    assert tables.why_no_changes().endswith("schedules.sqlite3 may only be read")
    forbidden[:] = [sqlite.path.parent]
    assert tables.why_no_changes().endswith("where SQLite needs a journal")
    tables.close()
