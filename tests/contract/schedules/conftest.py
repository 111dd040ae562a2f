"""Fixtures: an empty, migrated database per test, on SQLite, on PostgreSQL and on MariaDB."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.broker.database import parse_database_url
from console.schedules.gateway import ScheduleTables, open_tables
from tests.contract.schedules.databases import Database, migrate
from tests.mariadb import MariaServer
from tests.postgres import PostgresServer

TABLES = tuple(
    f"django_celery_beat_{name}"
    for name in (
        *("periodictask", "periodictasks", "intervalschedule", "crontabschedule"),
        *("solarschedule", "clockedschedule"),
    )
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


@pytest.fixture(scope="session")
def migrated_mariadb(mariadb: MariaServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same on MariaDB."""
    url = mariadb.make_database("schedules")
    migrate(url, tmp_path_factory.mktemp("mariadb"))
    return url


@pytest.fixture
def sqlite(migrated_sqlite: Path, tmp_path: Path) -> Database:
    path = tmp_path / "schedules.sqlite3"
    shutil.copy(migrated_sqlite, path)
    return Database(f"sqlite:///{path}")


@pytest.fixture
def postgresql(migrated_postgres: str) -> Database:
    database = Database(migrated_postgres)
    database.execute(f"TRUNCATE {', '.join(TABLES)}")
    return database


@pytest.fixture
def mysql(migrated_mariadb: str) -> Database:
    database = Database(migrated_mariadb)
    database.execute_all("SET foreign_key_checks = 0", *(f"DELETE FROM {name}" for name in TABLES))
    return database


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def database(request: pytest.FixtureRequest) -> Database:
    found: Database = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def tables(database: Database) -> Iterator[ScheduleTables]:
    opened = open_tables(parse_database_url(database.url))
    yield opened
    opened.close()
