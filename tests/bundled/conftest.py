"""Brokers and prepared databases for the tests of the bundled project."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bundled.support import Project
from tests.valkey import ValkeyServer, valkey_server

MakeProject = Callable[..., Project]


@pytest.fixture(scope="module")
def durable_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A broker of this module's own that keeps its data when it is killed."""
    folder = tmp_path_factory.mktemp("broker") / "data"
    with valkey_server(folder, "appendonly yes", "appendfsync always") as server:
        yield server


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared database with demo data, to be copied."""
    project = Project("redis://127.0.0.1:1/0", tmp_path_factory.mktemp("prepared"))
    project.run("prepare", "--demo")
    return project.folder / "bundled_project.sqlite3"


@pytest.fixture(scope="module")
def make_project(
    durable_broker: ValkeyServer, prepared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakeProject]:
    """Make projects with a prepared database each, on an empty broker; ends their processes."""
    made: list[Project] = []

    def make(**settings: str) -> Project:
        project = Project(durable_broker.url, tmp_path_factory.mktemp("project"), settings)
        shutil.copy(prepared, project.folder / prepared.name)
        made.append(project)
        return project

    yield make
    for project in made:
        project.end()


@pytest.fixture
def project(
    make_project: MakeProject, durable_broker: ValkeyServer, request: pytest.FixtureRequest
) -> Iterator[Project]:
    """A project for one test on the module's broker, emptied; a marker ``settings`` sets its environment."""
    with durable_broker.client() as client:
        client.flushall()
    made = make_project(**getattr(request, "param", {}))
    yield made
    made.end()
