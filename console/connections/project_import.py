"""Reading a project for the editor: its lane, and from its settings to what the editor is filled with.

Stands between the gateway that reads and the page: walking files and running the project's interpreter take
their time, and a person may stop them.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, replace
from pathlib import Path

from console.broker.database import parse_database_url
from console.broker.url import parse_broker_url
from console.connections.draft import with_broker, with_database
from console.connections.draft_fields import Draft, ResultsChoice, Typed
from console.connections.project import DJANGO_RESULTS, Candidate, ProjectSettings, ProjectUrl
from console.connections.project_gateway import read_env_file, read_project, require_candidates
from console.connections.project_search import find_env_files, find_interpreters
from console.core.errors import ConsoleError
from console.core.lanes import Lane
from console.core.redaction import Secret

LANE_S = 60.0
"""More than the gateway's own limit, with the end of the processes."""


@dataclass(frozen=True, slots=True)
class ProjectFound:
    """What a folder offers: the likeliest first."""

    folder: Path
    candidates: tuple[Candidate, ...]
    interpreters: tuple[Path, ...]
    env_files: tuple[Path, ...]


class ProjectImport:
    """All methods raise `ConsoleError` in words."""

    def __init__(self) -> None:
        self._lane = Lane("project", threads=1, timeout_s=LANE_S, bound=4)

    async def look(self, folder: Path) -> ProjectFound:
        """What in `folder` can be read, and with what; executes nothing."""

        def look() -> ProjectFound:
            candidates = require_candidates(folder)
            return ProjectFound(folder, candidates, find_interpreters(folder), find_env_files(folder))

        return await self._lane.run(look)

    async def read(
        self, folder: Path, interpreter: Path, candidate: Candidate, env_file: Path | None
    ) -> ProjectSettings:
        """Run the project's settings code and read what it says; a cancelled wait ends the reading."""
        stop = threading.Event()

        def read() -> ProjectSettings:
            environment = read_env_file(env_file) if env_file is not None else {}
            return read_project(folder, interpreter, candidate, environment=environment, stop=stop)

        try:
            return await self._lane.run(read)
        except asyncio.CancelledError:
            stop.set()
            raise

    async def aclose(self) -> None:
        await self._lane.aclose(wait_s=0.5)


def draft_from_project(settings: ProjectSettings, folder: Path) -> tuple[Draft, tuple[str, ...]]:
    """The editor filled with what a project says, and sentences on what could not be taken over."""
    notes = list(settings.notes)
    draft = replace(
        Draft(),
        name=folder.name.replace("_", " ").replace("-", " ").strip().capitalize(),
        queues=", ".join(name for name in settings.queues if name != settings.default_queue),
    )
    draft = _with_project_broker(draft, settings, notes)
    database = settings.schedules or settings.database
    if database is not None:
        try:
            address = parse_database_url(database.url)
        except ConsoleError as error:
            notes.append(f"The database {database.alias} was not taken over: {error.detail}")
        else:
            draft = with_database(draft, replace(address, password=database.password))
            if database.tls is not None and draft.schedules_tls is False:
                draft = with_database(draft, replace(address, password=database.password, tls=database.tls))
    return _with_project_results(draft, settings, notes), tuple(notes)


def _with_project_broker(draft: Draft, settings: ProjectSettings, notes: list[str]) -> Draft:
    if not settings.broker_urls:
        notes.append("The project names no broker: fill it in by hand.")
        return draft
    urls = settings.broker_urls
    is_sentinel = urls[0].url.startswith("sentinel")
    if len(urls) > 1 and not is_sentinel:
        notes.append("The project names several brokers: the first was taken.")
    whole = ";".join(one.url for one in urls) if is_sentinel else urls[0].url
    try:
        broker = parse_broker_url(whole)
    except ConsoleError as error:
        notes.append(f"The broker was not taken over: {error.detail}")
        return draft
    password = next((one.password for one in urls if one.password), Secret(""))
    return with_broker(
        draft,
        replace(
            broker,
            password=password,
            tls=settings.broker_tls or broker.tls,
            key_prefix=settings.key_prefix,
            master_name=settings.sentinel_master or broker.master_name,
            sentinel_username=settings.sentinel_username,
            sentinel_password=settings.sentinel_password,
        ),
    )


def _with_project_results(draft: Draft, settings: ProjectSettings, notes: list[str]) -> Draft:
    backend: ProjectUrl = settings.result_backend
    if backend.url.startswith(DJANGO_RESULTS):
        return replace(draft, results=ResultsChoice.DJANGO)
    if not backend.url.startswith(("redis://", "rediss://")):
        return draft
    if backend in settings.broker_urls:
        return draft  # the same Redis: the workers' own word is enough
    password = Typed(backend.password.reveal()) if backend.password else None
    try:
        url = parse_broker_url(backend.url).url
    except ConsoleError as error:
        notes.append(f"The result backend was not taken over: {error.detail}")
        return draft
    return replace(draft, results=ResultsChoice.REDIS, results_url=url, results_password=password)
