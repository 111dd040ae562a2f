"""The state of the Connections page, and its writes as operations."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QObject, Signal

from console.connections.model import Connection, Secrets
from console.connections.service import ConnectionsService
from console.core.operations import Danger, Operation, OperationRunner, Subject
from console.core.spawn import Tasks

CHANGES = frozenset({Subject.CONNECTIONS})


class ConnectionsViewModel(QObject):
    """Rows come from the service; the open one is marked."""

    changed = Signal()

    def __init__(self, service: ConnectionsService, runner: OperationRunner) -> None:
        super().__init__()
        self._service = service
        self._runner = runner
        self._tasks = Tasks("connections page")
        service.changed.connect(lambda _none: self.changed.emit())

    @property
    def connections(self) -> list[Connection]:
        return self._service.connections

    @property
    def open_id(self) -> str | None:
        session = self._service.session
        return session.info.id if session else None

    def shown_broker(self, connection: Connection) -> str:
        """The broker as the table names it; None-like while the local stack is down."""
        if not connection.is_local_stack:
            return connection.broker.shown if connection.broker else "–"
        address = self._service.local_address()
        return address.shown if address else "–"

    def shown_database(self, connection: Connection) -> str:
        if connection.is_local_stack:
            return "SQLite, bundled project"
        return connection.schedules.summary if connection.schedules else "–"

    def save(self, connection: Connection, secrets: Secrets, *, new: bool) -> None:
        async def run() -> str:
            await self._service.save(connection, secrets)
            return f"Saved {connection.name}"

        self._start(
            Operation(
                name="Add connection" if new else "Edit connection",
                target=connection.name,
                danger=Danger.SAFE,
                run=run,
                changes=CHANGES,
                broker=False,
            )
        )

    def delete(self, connection_id: str) -> None:
        connection = self._service.by_id(connection_id)

        async def run() -> str:
            await self._service.remove(connection_id)
            return f"Deleted {connection.name}"

        self._start(
            Operation(
                name="Delete connection",
                target=connection.name,
                danger=Danger.DISRUPTIVE,
                run=run,
                verb="Delete",
                question=f"Delete {connection.name}?",
                consequence="Its settings and its password go. The history on this computer stays.",
                changes=CHANGES,
                broker=False,
            )
        )

    def duplicate(self, connection: Connection, new_id: str) -> Connection:
        """A copy to be edited; its name is free."""
        names = {one.name for one in self.connections}
        name = f"{connection.name} copy"
        while name in names:
            name += " copy"
        return replace(connection, id=new_id, name=name, last_used=None)

    def open(self, connection_id: str) -> None:
        self._tasks.start(self._service.connect(connection_id), name="connect")

    def _start(self, operation: Operation) -> None:
        self._tasks.start(self._runner.run(operation), name=operation.name)

    async def aclose(self) -> None:
        await self._tasks.aclose()
