"""The tables on a PostgreSQL server that asks for a password: read, switch, the signal, and its bad days."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from console.core.errors import Cause, ConsoleError
from console.schedules import django_setup
from console.schedules.gateway import ScheduleTables, open_tables
from console.schedules.model import Crontab, Interval
from tests.contract.schedules.databases import Database, migrate

if TYPE_CHECKING:
    from tests.postgres import PostgresServer

pytest_plugins = ("tests.postgres",)

RAN = "2026-01-02 03:04:05+00:00"


@pytest.fixture(scope="module")
def migrated(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a database with django-celery-beat's tables and nothing in them."""
    url = postgres.make_database("schedules")
    migrate(url, tmp_path_factory.mktemp("schedules"))
    return url


@pytest.fixture
def shop(migrated: str) -> Database:
    database = Database(migrated)
    database.execute("TRUNCATE django_celery_beat_periodictask CASCADE")
    for table in ("periodictasks", "intervalschedule", "crontabschedule"):
        database.execute(f"TRUNCATE django_celery_beat_{table} CASCADE")
    return database


@pytest.fixture
def opened(shop: Database) -> Iterator[ScheduleTables]:
    tables = open_tables(shop.url)
    yield tables
    tables.close()


def signal(database: Database) -> datetime:
    """Beat's change signal as beat reads it."""
    at = database.signal()
    assert isinstance(at, datetime)
    return at


def test_reads_rows_with_their_timing_and_instants(shop: Database, opened: ScheduleTables) -> None:
    shop.task("a flush", interval_id=shop.interval(), last_run_at=RAN, total_run_count=7)
    shop.task("b report", crontab_id=shop.crontab(zone="Europe/Berlin"), enabled=False, queue="reports")

    flush, report = opened.read()

    assert (flush.name, flush.enabled, flush.timing) == ("a flush", True, Interval(60, "seconds"))
    assert flush.last_run_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert flush.total_run_count == 7
    assert (report.enabled, report.queue) == (False, "reports")
    assert report.timing == Crontab("30", "2", "*", "*", "*", "Europe/Berlin")


def test_switching_writes_its_columns_and_moves_the_signal(shop: Database, opened: ScheduleTables) -> None:
    key = shop.task("flush", interval_id=shop.interval(), last_run_at=RAN, total_run_count=7)
    other = shop.row(shop.task("other", interval_id=shop.interval(5)))
    first = opened.fingerprint()

    switched = opened.set_enabled([key], enabled=False)

    row, disabled = shop.row(key), signal(shop)
    assert (row["enabled"], row["total_run_count"], row["last_run_at"].isoformat(" ")) == (False, 7, RAN)
    assert abs(disabled - datetime.now(UTC)) < timedelta(seconds=5)
    second = opened.fingerprint()
    assert second != first

    opened.set_enabled([key], enabled=True)

    row = shop.row(key)
    assert (row["enabled"], row["last_run_at"]) == (True, None)
    assert signal(shop) > disabled
    assert opened.fingerprint() not in (first, second)
    assert shop.row(other["id"]) == other
    assert [one.name for one in switched] == ["flush"]


def test_what_another_party_does_is_seen_at_the_next_look(shop: Database, opened: ScheduleTables) -> None:
    key = shop.task("flush", interval_id=shop.interval())
    first = opened.fingerprint()
    shop.execute("UPDATE django_celery_beat_periodictask SET total_run_count = 1 WHERE id = %s", key)
    assert opened.fingerprint() != first
    assert [row.total_run_count for row in opened.read()] == [1]


def test_nothing_is_half_written_when_the_signal_cannot_be_given(
    shop: Database, opened: ScheduleTables
) -> None:
    key = shop.task("flush", interval_id=shop.interval())
    before = shop.row(key)
    shop.execute("ALTER TABLE django_celery_beat_periodictasks RENAME TO away")
    try:
        with pytest.raises(ConsoleError) as caught:
            opened.set_enabled([key], enabled=False)
    finally:
        shop.execute("ALTER TABLE away RENAME TO django_celery_beat_periodictasks")
    assert caught.value.cause is Cause.NOT_MIGRATED
    assert shop.row(key) == before


def test_a_row_that_another_party_holds(shop: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(django_setup, "BUSY_TIMEOUT_S", 0.1)
    key = shop.task("flush", interval_id=shop.interval())
    tables = open_tables(shop.url)
    with psycopg.connect(shop.url) as other:
        other.execute("SELECT * FROM django_celery_beat_periodictask WHERE id = %s FOR UPDATE", (key,))
        with pytest.raises(ConsoleError) as caught:
            tables.set_enabled([key], enabled=False)
    assert (caught.value.cause, caught.value.retryable) == (Cause.LOCKED, True)
    assert shop.row(key)["enabled"]
    assert len(tables.set_enabled([key], enabled=False)) == 1
    tables.close()


def test_a_cut_line_is_told_and_opened_again(shop: Database, opened: ScheduleTables) -> None:
    shop.task("flush", interval_id=shop.interval())
    assert len(opened.read()) == 1
    shop.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'celery-console' AND datname = current_database()"
    )
    with pytest.raises(ConsoleError) as caught:
        opened.read()
    assert caught.value.retryable
    assert len(opened.read()) == 1


def test_a_wrong_password_is_a_refused_login(migrated: str, postgres: PostgresServer) -> None:
    for url in (
        migrated.replace(postgres.password, "not-the-password"),
        migrated.replace(f":{postgres.password}", ""),
    ):
        tables = open_tables(url)
        with pytest.raises(ConsoleError) as caught:
            tables.read()
        tables.close()
        assert caught.value.cause is Cause.REFUSED_LOGIN
        assert "password" not in caught.value.title
        assert postgres.password not in str(caught.value)
        assert "not-the-password" not in str(caught.value)


def test_a_tls_demand_that_the_server_cannot_meet(migrated: str) -> None:
    tables = open_tables(f"{migrated}?sslmode=require")
    with pytest.raises(ConsoleError) as caught:
        tables.read()
    tables.close()
    assert caught.value.cause is Cause.UNREACHABLE
    assert "SSL" in caught.value.detail


def test_nobody_skips_these_tests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from tests import postgres

    monkeypatch.setattr(postgres, "INSTALLED", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="apt-get install"):
        postgres.program("initdb")
