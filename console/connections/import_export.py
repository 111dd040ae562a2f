"""Connections from elsewhere and for others, as operations: a project, an exported file, an export.

The part of the view model that the sheets of the page talk to. Qt-free.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from console.connections.draft_fields import Draft
from console.connections.exchange import read_shared, write_shared
from console.connections.project import Candidate
from console.connections.project_import import ProjectFound, ProjectImport, draft_from_project
from console.connections.service import ConnectionsService
from console.connections.sharing import ImportPlan
from console.core.lanes import Lane
from console.core.operations import Danger, Operation, Subject


class Exchange:
    """`start` runs an operation."""

    def __init__(self, service: ConnectionsService, start: Callable[[Operation], None]) -> None:
        self._service = service
        self._start = start
        self._projects = ProjectImport()
        self._files = Lane("connection files", threads=1, timeout_s=10.0)

    async def look_at_project(self, folder: Path) -> ProjectFound:
        return await self._projects.look(folder)

    async def read_project(
        self, folder: Path, interpreter: Path, candidate: Candidate, env_file: Path | None
    ) -> tuple[Draft, tuple[str, ...]]:
        """What the project says, as a draft, and what the person should know of it."""
        settings = await self._projects.read(folder, interpreter, candidate, env_file)
        return draft_from_project(settings, folder)

    def plan(self, text: str) -> ImportPlan:
        """What importing this text would do. Raises `ConsoleError`."""
        return self._service.plan_import(text)

    async def plan_file(self, path: Path) -> ImportPlan:
        """What importing this file would do. Raises `ConsoleError`."""
        return self.plan(await self._files.run(read_shared, path))

    def import_plan(self, plan: ImportPlan) -> None:
        """Do what was shown."""
        names = ", ".join(one.connection.name for one in plan.changes)

        async def run() -> str:
            await self._service.import_connections(plan)
            return f"Imported {names}"

        self._start(
            Operation(
                name="Import connections",
                target=names,
                danger=Danger.SAFE,
                run=run,
                changes=frozenset({Subject.CONNECTIONS}),
                broker=False,
            )
        )

    def export(self, ids: Collection[str], path: Path) -> None:
        """Write the connections with these ids into a file, without any secret."""
        names = ", ".join(one.name for one in self._service.connections if one.id in ids)

        async def run() -> str:
            await self._files.run(write_shared, path, self._service.export_text(ids))
            return f"Exported to {path}"

        self._start(
            Operation(name="Export connections", target=names, danger=Danger.SAFE, run=run, broker=False)
        )

    async def aclose(self) -> None:
        await self._projects.aclose()
        await self._files.aclose()
