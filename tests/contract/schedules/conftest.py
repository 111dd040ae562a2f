"""Fixtures: an empty, migrated database per test, on SQLite and on PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.broker.database import parse_database_url
from console.schedules.gateway import ScheduleTables, open_tables
from tests.contract.schedules.databases import Database, migrate
from tests.postgres import PostgresServer

TABLES = (
    "periodictask, django_celery_beat_periodictasks, django_celery_beat_intervalschedule, "
    "django_celery_beat_crontabschedule, django_celery_beat_solarschedule, django_celery_beat_clockedschedule"
)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("schedules")
    migrate(f"sqlite:///{folder / 'migrated.sqlite3'}", folder)
    return folder / "migrated.sqlite3"


@pytest.fixture(scope="session")
def migrated_postgres(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a database with django-celery-beat's tables."""
    url = postgres.make_database("schedules")
    migrate(url, tmp_path_factory.mktemp("postgres"))
    return url


@pytest.fixture
def sqlite(migrated_sqlite: Path, tmp_path: Path) -> Database:
    path = tmp_path / "schedules.sqlite3"
    shutil.copy(migrated_sqlite, path)
    return Database(f"sqlite:///{path}")


@pytest.fixture
def postgresql(migrated_postgres: str) -> Database:
    database = Database(migrated_postgres)
    database.execute(f"TRUNCATE django_celery_beat_{TABLES}")
    return database


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Database:
    found: Database = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def tables(database: Database) -> Iterator[ScheduleTables]:
    opened = open_tables(parse_database_url(database.url))
    yield opened
    opened.close()
