"""The steps towards the schedules database and the results in it, beside a broker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from console.app.checker import make_checker
from console.broker.database import parse_database_url
from console.broker.tunnel_settings import TunnelSettings
from console.connections.check_model import StepState
from console.connections.model import ResultBackend, Secrets
from console.core.home import Home
from tests.contract.schedules.databases import COLUMNS, ROOT, Database, environment_for, migrate
from tests.integration.check.conftest import Check, connection_to
from tests.postgres import PostgresServer
from tests.sshd import SshServer
from tests.valkey import ValkeyServer, free_port


def _insert(database: Database, name: str) -> None:
    every = database.insert("intervalschedule", every=10, period="seconds")
    database.insert("periodictask", **COLUMNS, name=name, task="shop.add", interval_id=every)


@pytest.fixture
def whole_project(tmp_path: Path) -> str:
    """The URL of a database with all tables of a project, results too."""
    url = f"sqlite:///{tmp_path / 'db.sqlite3'}"
    subprocess.run(
        [sys.executable, "-m", "bundled_project", "migrate", "-v", "0"],
        cwd=ROOT,
        env=environment_for(url, tmp_path),
        check=True,
        timeout=60,
    )
    return url


async def test_schedules_and_results_in_one_database(
    broker: ValkeyServer, whole_project: str, tmp_path: Path, check: Check
) -> None:
    url = whole_project
    database = Database(url)
    _insert(database, "one")
    before = (tmp_path / "db.sqlite3").read_bytes()
    connection = connection_to(
        broker.address, schedules=parse_database_url(url), results=ResultBackend(django=True)
    )
    steps = await check(connection)
    assert steps["schedules"].says.startswith("django-celery-beat 2.7 or later, ")
    assert steps["results"].says == "the table of django-celery-results is there"
    assert steps["schedules"].state is steps["results"].state is StepState.PASSED
    assert (tmp_path / "db.sqlite3").read_bytes() == before


@pytest.fixture(scope="module")
def migrated(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Database:
    url = postgres.make_database("checked")
    migrate(url, tmp_path_factory.mktemp("checked"))
    database = Database(url)
    _insert(database, "one")
    _insert(database, "two")
    return database


async def test_postgresql_through_a_tunnel_of_its_own(
    broker: ValkeyServer, migrated: Database, sshd: SshServer, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    home.known_hosts_file.write_text(sshd.known_hosts_line())
    tunnel = TunnelSettings(sshd.host, sshd.port, sshd.user, str(sshd.key.file))
    connection = connection_to(
        broker.address, schedules=parse_database_url(migrated.url), schedules_tunnel=tunnel
    )
    checker = make_checker(home)
    steps = await checker.check(connection, Secrets(), lambda _steps: None)
    assert steps[-1].says == "django-celery-beat 2.7 or later, 2 schedules, through the SSH tunnel"
    sshd.kill()
    steps = await checker.check(connection, Secrets(), lambda _steps: None)
    assert steps[-1].state is StepState.FAILED
    assert steps[-1].error is not None
    assert "SSH" in str(steps[-1].error)
    assert steps[0].state is StepState.PASSED


async def test_a_database_that_is_away(broker: ValkeyServer, check: Check) -> None:
    away = parse_database_url(f"postgresql://console@127.0.0.1:{free_port()}/shop")
    steps = await check(connection_to(broker.address, schedules=away))
    assert steps["schedules"].says == "The schedules database cannot be reached"
