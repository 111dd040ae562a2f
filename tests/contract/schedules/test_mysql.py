"""MariaDB on a bad day, and what is particular about it: its clock, its zones, its isolation, PyMySQL.

What the tables do on a good day is the same on every kind of database: test_tables.py.
"""

from __future__ import annotations

import sys
import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pymysql
import pytest
from django.db import OperationalError, connections

from console.broker.database import parse_database_url
from console.core.errors import Cause, ConsoleError
from console.schedules import django_setup
from console.schedules.database_errors import database_errors
from console.schedules.django_setup import database_settings
from console.schedules.gateway import open_tables
from tests.contract.schedules.databases import Database
from tests.contract.schedules.test_logins import failure_of
from tests.mariadb import MariaServer

SOMEWHERE = parse_database_url("mysql://db/shop")


@pytest.fixture
def shop(mysql: Database) -> Database:
    return mysql


def test_a_server_without_beats_tables(mariadb: MariaServer) -> None:
    error = failure_of(parse_database_url(mariadb.make_database("bare")))
    assert error.cause is Cause.NOT_MIGRATED
    assert "migrations" in error.remedy


def test_a_user_who_may_not(shop: Database, mariadb: MariaServer) -> None:
    shop.execute("CREATE OR REPLACE USER guest IDENTIFIED BY 'a-password'")
    guest = parse_database_url(shop.url.replace(f"console:{mariadb.password}", "guest:a-password"))
    assert failure_of(guest).cause is Cause.NOT_PERMITTED
    shop.execute("GRANT SELECT ON schedules.django_celery_beat_intervalschedule TO guest")
    error = failure_of(guest)
    assert error.cause is Cause.NOT_PERMITTED
    assert "django_celery_beat_periodictask" in error.detail
    shop.execute("DROP USER guest")


def test_a_server_that_takes_no_more_connections(shop: Database, mariadb: MariaServer) -> None:
    shop.execute("CREATE OR REPLACE USER guest IDENTIFIED BY 'a-password' WITH MAX_USER_CONNECTIONS 1")
    shop.execute("GRANT SELECT ON schedules.* TO guest")
    guest = parse_database_url(shop.url.replace(f"console:{mariadb.password}", "guest:a-password"))
    first = open_tables(guest)
    first.read()
    error = failure_of(guest)
    assert (error.cause, error.retryable) == (Cause.BUSY, True)
    first.close()
    shop.execute("DROP USER guest")


@pytest.mark.parametrize(
    ("number", "cause", "retryable"),
    [
        (1053, Cause.UNREACHABLE, True),
        (2006, Cause.UNREACHABLE, True),
        (1040, Cause.BUSY, True),
        (1213, Cause.LOCKED, True),
        (1290, Cause.NOT_PERMITTED, False),
        (1114, Cause.NO_SPACE, True),
        (1969, Cause.TIMEOUT, True),
        (1698, Cause.REFUSED_LOGIN, False),
    ],
)
def test_the_server_s_own_numbers(number: int, cause: Cause, retryable: bool) -> None:
    with pytest.raises(ConsoleError) as caught, database_errors(SOMEWHERE):
        raise OperationalError(number, "it says") from pymysql.OperationalError(number, "it says")
    assert (caught.value.cause, caught.value.retryable) == (cause, retryable)
    assert caught.value.detail == "it says."


def test_a_row_that_another_party_holds(shop: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(django_setup, "BUSY_TIMEOUT_S", 1.0)
    key = shop.task("flush", interval_id=shop.interval())
    tables = open_tables(parse_database_url(shop.url))
    address = parse_database_url(shop.url)
    with closing(
        pymysql.connect(
            host=address.host,
            port=address.port,
            user=address.username,
            password=address.password.reveal(),
            database=address.name,
        )
    ) as other:
        other.cursor().execute(
            "SELECT * FROM django_celery_beat_periodictask WHERE id = %s FOR UPDATE", (key,)
        )
        with pytest.raises(ConsoleError) as caught:
            tables.set_enabled([key], enabled=False)
        other.rollback()
    assert (caught.value.cause, caught.value.retryable) == (Cause.LOCKED, True)
    assert shop.row(key)["enabled"]
    assert len(tables.set_enabled([key], enabled=False)) == 1
    tables.close()


def test_a_statement_that_takes_too_long(shop: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(django_setup, "STATEMENT_TIMEOUT_S", 1)
    shop.task("flush", interval_id=shop.interval())
    tables = open_tables(parse_database_url(shop.url))
    with closing(pymysql.connect(**_login(shop))) as other:
        other.cursor().execute("LOCK TABLES django_celery_beat_periodictask WRITE")
        with pytest.raises(ConsoleError) as caught:
            tables.read()
        other.cursor().execute("UNLOCK TABLES")
    assert (caught.value.cause, caught.value.retryable) == (Cause.TIMEOUT, True)
    assert len(tables.read()) == 1
    tables.close()


def test_instants_are_the_same_whatever_zone_the_server_lives_in(shop: Database) -> None:
    """Django writes UTC into columns without a zone; the server's own zone must not matter."""
    key = shop.task(
        "nightly",
        crontab_id=shop.crontab(),
        last_run_at="2026-03-29 01:30:00.123456+00:00",
    )
    shop.execute("SET GLOBAL time_zone = '+05:30'")
    try:
        tables = open_tables(parse_database_url(shop.url))
        (row,) = tables.read()
        assert row.last_run_at == datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=UTC)
        tables.set_enabled([key], enabled=False)
        (row,) = tables.read()
        assert row.date_changed is not None
        assert abs(row.date_changed - datetime.now(UTC)) < timedelta(seconds=5)
        assert abs(shop.signal() - datetime.now(UTC).replace(tzinfo=None)) < timedelta(seconds=5)
        tables.close()
    finally:
        shop.execute("SET GLOBAL time_zone = 'SYSTEM'")


def test_what_others_commit_is_seen_at_once(shop: Database) -> None:
    """Under MySQL's own repeatable read a reading inside a transaction would stay as it was."""
    key = shop.task("flush", interval_id=shop.interval())
    tables = open_tables(parse_database_url(shop.url))
    assert tables.read()[0].enabled
    shop.execute("UPDATE django_celery_beat_periodictask SET enabled = 0 WHERE id = %s", key)
    assert not tables.read()[0].enabled
    with connections[tables._alias].cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute("SELECT @@session.tx_isolation, @@session.innodb_lock_wait_timeout")
        assert cursor.fetchone() == ("READ-COMMITTED", int(django_setup.BUSY_TIMEOUT_S))
    tables.close()


def test_pymysql_stands_in_once_whoever_comes_at_the_same_time(shop: Database) -> None:
    address = parse_database_url(shop.url)
    found: list[object] = []
    start = threading.Barrier(4)

    def come() -> None:
        start.wait()
        found.append(database_settings(address)["ENGINE"])

    threads = [threading.Thread(target=come) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found == ["django.db.backends.mysql"] * 4
    assert sys.modules["MySQLdb"] is pymysql
    # Django's own check of mysqlclient's version, which PyMySQL answers.
    assert pymysql.version_info >= (1, 4, 3)


def test_unicode_in_a_row(shop: Database) -> None:
    key = shop.task("Prüfung 検査 🧾", interval_id=shop.interval(), kwargs='{"an": "Zoë 🙂"}')
    tables = open_tables(parse_database_url(shop.url))
    (row,) = tables.read()
    assert (row.id, row.name, row.kwargs) == (key, "Prüfung 検査 🧾", '{"an": "Zoë 🙂"}')
    assert [one.name for one in tables.set_enabled([key], enabled=False)] == ["Prüfung 検査 🧾"]
    tables.close()


def test_a_unix_socket(shop: Database, mariadb: MariaServer) -> None:
    shop.task("flush", interval_id=shop.interval())
    address = replace(parse_database_url(shop.url), host=str(mariadb.folder / "data" / "socket"))
    tables = open_tables(address)
    assert len(tables.read()) == 1
    tables.close()
    assert failure_of(replace(address, host="/nowhere/socket")).cause is Cause.UNREACHABLE


def _login(shop: Database) -> dict[str, object]:
    address = parse_database_url(shop.url)
    return {
        "host": address.host,
        "port": address.port,
        "user": address.username,
        "password": address.password.reveal(),
        "database": address.name,
    }
