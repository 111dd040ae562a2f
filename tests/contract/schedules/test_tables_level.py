"""Which release a database was migrated to, on real databases: newest, old, too old, foreign, forbidden."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from console.broker.database import parse_database_url
from console.core.errors import Cause, ConsoleError
from console.core.redaction import Secret
from console.schedules.tables_level import TablesLevel, read_tables_level
from tests.contract.schedules.databases import ROOT, Database, environment_for
from tests.postgres import PostgresServer


def _level(database: Database) -> TablesLevel:
    return read_tables_level(parse_database_url(database.url))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mysql"])
def test_the_newest_tables(kind: str, request: pytest.FixtureRequest) -> None:
    database: Database = request.getfixturevalue(kind)
    level = _level(database)
    assert (level.beat, level.schedules, level.problem) == ("2.7 or later", 0, None)


@pytest.mark.parametrize(
    ("migration", "beat", "fits"),
    [
        ("0001", "1.0", False),
        ("0005", "1.1", False),
        ("0011", "1.5", False),
        ("0012", "1.6", True),
        ("0014", "2.1", True),
        ("0018", "2.5", True),
    ],
)
def test_older_tables(tmp_path: Path, migration: str, beat: str, *, fits: bool) -> None:
    url = f"sqlite:///{tmp_path / 'old.sqlite3'}"
    subprocess.run(
        [sys.executable, "-m", "bundled_project", "migrate", "django_celery_beat", migration, "-v", "0"],
        cwd=ROOT,
        env=environment_for(url, tmp_path),
        check=True,
        timeout=60,
    )
    level = _level(Database(url))
    assert level.beat == beat
    if fits:
        assert (level.problem, level.schedules) == (None, 0)
    else:
        assert level.problem is not None
        assert level.problem.title == "The tables of django-celery-beat are too old"
        assert f"release {beat}" in level.problem.detail


def test_without_the_list_of_migrations_the_rows_still_count(sqlite: Database) -> None:
    sqlite.execute("DROP TABLE django_migrations")
    assert _level(sqlite) == TablesLevel("", 0)


def test_a_database_without_the_tables(sqlite: Database) -> None:
    sqlite.execute("ALTER TABLE django_celery_beat_periodictask RENAME TO other")
    level = _level(sqlite)
    assert level.problem is not None
    assert level.problem.cause is Cause.NOT_MIGRATED


def test_a_user_who_may_read_nothing_or_not_the_schedules(
    postgres: PostgresServer, postgresql: Database
) -> None:
    postgresql.execute("DROP ROLE IF EXISTS narrow")
    postgresql.execute("CREATE ROLE narrow LOGIN PASSWORD 'narrow-word'")
    address = replace(parse_database_url(postgresql.url), username="narrow", password=Secret("narrow-word"))
    level = read_tables_level(address)
    assert level.problem is not None
    assert level.problem.title == "The schedules may not be read"
    postgresql.execute("GRANT SELECT ON django_celery_beat_periodictask TO narrow")
    assert read_tables_level(address) == TablesLevel("", 0)
    postgresql.execute("GRANT SELECT ON django_migrations TO narrow")
    assert read_tables_level(address) == TablesLevel("2.7 or later", 0)
    postgresql.execute("REVOKE ALL ON django_celery_beat_periodictask, django_migrations FROM narrow")


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        ({"password": Secret("wrong-password")}, Cause.REFUSED_LOGIN),
        ({"name": "missing"}, Cause.NOT_FOUND),
        ({"host": "no-such-host.invalid"}, Cause.UNREACHABLE),
    ],
    ids=["password", "database", "host"],
)
def test_what_keeps_one_out_is_said(
    kind: str, wrong: dict[str, Any], cause: Cause, request: pytest.FixtureRequest
) -> None:
    database: Database = request.getfixturevalue(kind)
    with pytest.raises(ConsoleError) as caught:
        read_tables_level(replace(parse_database_url(database.url), **wrong))
    assert caught.value.cause is cause
    assert "wrong-password" not in str(caught.value)
