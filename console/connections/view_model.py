"""The state of the Connections page: the rows, what is on the desk, what its test said; writes as operations.

Nothing that is typed is lost by looking elsewhere: each connection with unsaved changes keeps its draft until
it is saved or cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from console.broker.address import BrokerAddress
from console.broker.tunnel_errors import UnknownHostKey
from console.broker.tunnel_hosts import trust
from console.connections.check_model import CheckStep, all_passed, summary
from console.connections.check_run import CheckRuns, CheckShown, ConnectionChecker
from console.connections.draft import broker_url_of, with_broker
from console.connections.draft_check import named_files, shared_passphrases
from console.connections.draft_fields import Draft, Value
from console.connections.editing import Editing, editing_of, new_editing
from console.connections.files_seen import FilesSeen
from console.connections.import_export import Exchange
from console.connections.model import Colour, Connection, Purpose, Secrets, new_connection_id
from console.connections.service import ConnectionsService
from console.core.clock import Clock
from console.core.connection import Environment
from console.core.errors import ConsoleError
from console.core.lanes import Lane
from console.core.notices import Level, NoticeBoard
from console.core.operations import Danger, Operation, OperationRunner, Subject
from console.core.redaction import Secret
from console.core.spawn import Tasks

CHANGES = frozenset({Subject.CONNECTIONS})
NEW_NAME = "New connection"
_SOME = Secret("•")


@dataclass(frozen=True, slots=True)
class ConnectionRow:
    """A line of the table; `state` is "", "Changed" or "Not saved"."""

    id: str
    name: str
    environment: Environment
    colour: Colour
    broker: str
    database: str
    last_used: datetime | None
    is_open: bool
    state: str


class ConnectionsViewModel(QObject):
    """`changed`: the rows; `editing_changed`: what is on the desk; `check_changed`: what a test says.

    `focus_wanted` carries the field in which a person has to do something next; "" means the first.
    """

    changed = Signal()
    editing_changed = Signal()
    check_changed = Signal()
    focus_wanted = Signal(str)

    def __init__(
        self,
        service: ConnectionsService,
        runner: OperationRunner,
        *,
        checker: ConnectionChecker,
        notices: NoticeBoard,
        clock: Clock,
        known_hosts_file: Path,
    ) -> None:
        super().__init__()
        self._service = service
        self._runner = runner
        self._notices = notices
        self._known_hosts_file = known_hosts_file
        self._tasks = Tasks("connections page")
        self._desk: dict[str, Editing] = {}
        self._selected = ""
        self._keyring_asked = False
        self._kept: dict[str, frozenset[Purpose]] = {}
        self._checks = CheckRuns(checker, clock.now, self.check_changed.emit)
        self.exchange = Exchange(service, self._start)
        self._files = Lane("connection files", threads=1, timeout_s=10.0)
        self._seen = FilesSeen()
        self.ask_unsaved: Callable[[tuple[str, ...]], Awaitable[bool]] | None = None
        """Asks whether the named unsaved connections may be lost; None asks nobody."""
        service.changed.connect(lambda _none: self._on_service())

    # The rows

    @property
    def connections(self) -> list[Connection]:
        return self._service.connections

    @property
    def rows(self) -> tuple[ConnectionRow, ...]:
        """Those that are kept, then those that are not saved yet."""
        kept = [self._row(one) for one in self.connections]
        return (*kept, *(_new_row(one) for one in self._desk.values() if one.is_new))

    def _row(self, connection: Connection) -> ConnectionRow:
        editing = self._desk.get(connection.id)
        session = self._service.session
        database = "–"
        if connection.is_local_stack:
            database = "SQLite, bundled project"
        elif connection.schedules is not None:
            database = connection.schedules.summary
        return ConnectionRow(
            connection.id,
            connection.name,
            connection.environment,
            connection.colour,
            self._broker(connection),
            database,
            connection.last_used,
            session is not None and session.info.id == connection.id,
            "Changed" if editing is not None and editing.is_changed else "",
        )

    def _broker(self, connection: Connection) -> str:
        address = connection.broker
        if connection.is_local_stack:
            address = self.local_address()
        if address is None:
            return "–"
        has_password = Purpose.BROKER in self._kept.get(connection.id, frozenset())
        return _shown(address, has_password=has_password)

    def local_address(self) -> BrokerAddress | None:
        return self._service.local_address()

    @property
    def unreadable(self) -> ConsoleError | None:
        """Why the file of the connections cannot be read."""
        return self._service.unreadable

    # The desk

    @property
    def selected_id(self) -> str:
        return self._selected

    @property
    def selected(self) -> Connection | None:
        """The chosen connection as it is kept, or would be; None without a choice."""
        if self._selected in self._desk:
            return self._desk[self._selected].base
        return next((one for one in self.connections if one.id == self._selected), None)

    @property
    def editing(self) -> Editing | None:
        """What is on the desk; None for the local stack, which sets itself up."""
        found = self._desk.get(self._selected)
        if found is None and (connection := self.selected) is not None and not connection.is_local_stack:
            found = editing_of(connection)
        return found

    @property
    def errors(self) -> dict[str, str]:
        editing = self.editing
        missing = self._seen.missing
        return {} if editing is None else editing.shown_errors(self._names_beside(self._selected), missing)

    @property
    def kept(self) -> frozenset[Purpose]:
        """For which purposes there is a secret of the chosen connection, in the keyring or for this run."""
        editing = self.editing
        source = editing.copy_from if editing is not None and editing.copy_from else self._selected
        return self._kept.get(source, frozenset())

    @property
    def keyring_refusal(self) -> str:
        """Why secrets are kept for this run only; empty while there is a keyring."""
        problem = self._service.keyring_state.problem
        return "" if problem is None else problem.detail or problem.title

    @property
    def keyring_name(self) -> str:
        """The keyring's name in words; empty while nobody has asked it."""
        return self._service.keyring_state.name

    def select(self, connection_id: str) -> None:
        """Put a connection on the desk. What was there stays as it was typed; a blank new one goes."""
        if connection_id == self._selected:
            return
        before = self._desk.get(self._selected)
        if before is not None and not before.is_changed:
            del self._desk[self._selected]
        self._selected = connection_id
        self._look_for_kept(connection_id)
        self._tell()

    def edit(self, name: str, value: Value) -> None:
        """A person has typed into a field."""
        if (editing := self.editing) is not None:
            self._put(editing.typed(name, value))

    def leave(self, name: str) -> None:
        """A person has left a field."""
        if (editing := self.editing) is not None and (self._selected in self._desk or editing.is_changed):
            self._put(editing.left(name))
            self._with_files_seen(editing, self.editing_changed.emit)

    def _with_files_seen(self, editing: Editing, go_on: Callable[[], None]) -> None:
        """Go on once the files that are named have been looked at; at once where none is."""
        paths = named_files(editing.draft).values()
        if not paths:
            go_on()
            return

        async def look() -> None:
            await self._seen.look(paths)
            go_on()

        self._tasks.start(look(), name="look for files")

    def new(self, draft: Draft | None = None, *, copy_from: str = "") -> None:
        """A new connection on the desk, blank or filled."""
        blank = Connection(new_connection_id(), "", Environment.PRODUCTION, None)
        self._desk[blank.id] = new_editing(blank, draft, copy_from=copy_from)
        self.select(blank.id)
        self.focus_wanted.emit("name")

    def new_blank(self) -> None:
        """A new connection on the desk, to be filled in."""
        self.new()

    def duplicate(self) -> None:
        """A copy of the chosen connection on the desk; saved, it takes the secrets along."""
        editing = self.editing
        if editing is None:
            return
        names = {one.name for one in self.connections}
        name = f"{editing.draft.name.strip()} copy"
        while name in names:
            name += " copy"
        self.new(replace(editing.draft, name=name), copy_from=editing.copy_from or editing.base.id)

    def new_from_url(self, broker: BrokerAddress) -> None:
        """A new connection to this broker, to be named."""
        self.new(with_broker(Draft(), broker))

    def cancel(self) -> None:
        """Back to what is kept; a new connection goes."""
        editing = self._desk.pop(self._selected, None)
        if editing is not None and editing.is_new:
            self._checks.forget(editing.base.id)
            self._selected = editing.copy_from or (self.connections[0].id if self.connections else "")
        self._tell()

    def save(self) -> None:
        """Keep what is on the desk, or say at the fields what is wrong."""
        if (editing := self.editing) is not None:
            self._with_files_seen(editing, lambda: self._save_what_is_right(editing))

    def _save_what_is_right(self, editing: Editing) -> None:
        checked = editing.checked(self._names_beside(editing.base.id), self._seen.missing)
        if checked.connection is None:
            self._ask_for(editing, checked.errors)
            return
        connection, is_new = checked.connection, editing.is_new
        self._start(
            Operation(
                name="Add connection" if is_new else "Edit connection",
                target=connection.name,
                danger=Danger.SAFE,
                run=lambda: self._save(editing, connection, checked.secrets),
                changes=CHANGES,
                broker=False,
            )
        )

    async def _save(self, editing: Editing, connection: Connection, secrets: Secrets) -> str:
        shared = [one for one in shared_passphrases(editing.draft) if not secrets.get(one)]
        if shared and editing.draft.broker_tunnel_passphrase is None:
            known = await self._service.secrets_for(
                replace(connection, id=editing.copy_from or connection.id), secrets
            )
            for purpose in shared:
                if passphrase := known.get(Purpose.BROKER_TUNNEL):
                    secrets = secrets.with_secret(purpose, passphrase)
        await self._service.save(connection, secrets, copy_from=editing.copy_from or None)
        now = self._desk.get(connection.id)
        if now is not None and now.draft == editing.draft:
            del self._desk[connection.id]
        elif now is not None:  # typed on while it was being saved
            self._desk[connection.id] = now.saved(connection)
        self._checks.saved(connection.id, editing.draft, editing_of(connection).draft)
        self._look_for_kept(connection.id)
        self._tell()
        return f"Saved {connection.name}"

    def _ask_for(self, editing: Editing, errors: dict[str, str]) -> None:
        """Say it at the fields; of a connection that was left meanwhile, when a person comes back to it."""
        is_here = editing.base.id == self._selected
        now = self._desk.get(editing.base.id, editing if is_here else None)
        if now is not None:
            self._put(replace(now, asked=True))
        if is_here:
            self.focus_wanted.emit(next(iter(errors)))

    def _put(self, editing: Editing) -> None:
        before = self._desk.get(editing.base.id)
        if editing.is_changed or editing.is_new or editing.asked or editing.touched:
            self._desk[editing.base.id] = editing
        else:
            self._desk.pop(editing.base.id, None)
        # The rows only when one of them is another: with each key they would be the same again.
        was_changed = before is not None and before.is_changed
        if editing.is_new or editing.is_changed != was_changed:
            self.changed.emit()
        self.editing_changed.emit()

    def _names_beside(self, connection_id: str) -> set[str]:
        return {one.name for one in self.connections if one.id != connection_id}

    def _tell(self) -> None:
        self.changed.emit()
        self.editing_changed.emit()

    def _on_service(self) -> None:
        current = {one.id: one for one in self.connections}
        for key, editing in list(self._desk.items()):
            if key in current:
                self._desk[key] = editing.rebased(current[key])
            elif editing.is_new:
                continue
            elif editing.is_changed:  # gone elsewhere: what was typed here can still be saved anew
                self._desk[key] = new_editing(editing.base, editing.draft)
            else:
                del self._desk[key]
        if self.selected is None:
            self._selected = ""
        self._tell()

    def _look_for_kept(self, connection_id: str) -> None:
        async def look() -> None:
            kept = await self._service.kept(connection_id)
            found = frozenset(purpose for purpose, is_kept in kept.items() if is_kept)
            found |= self._service.kept_for_this_run(connection_id)
            if found != self._kept.get(connection_id):
                self._kept[connection_id] = found
                self._tell()

        if any(one.id == connection_id and not one.is_local_stack for one in self.connections):
            self._tasks.start(look(), name="look for secrets")

    def activate(self) -> None:
        """The page is looked at: ask the keyring once whether it is one, to say so at the passwords."""
        if not self._keyring_asked:
            self._keyring_asked = True
            self._tasks.start(self._ask_keyring(), name="ask the keyring")

    async def _ask_keyring(self) -> None:
        await self._service.probe_keyring()

    # Leaving

    @property
    def unsaved(self) -> tuple[str, ...]:
        """The names of the connections with changes that are not saved."""
        return tuple(one.draft.name.strip() or NEW_NAME for one in self._desk.values() if one.is_changed)

    async def may_close(self) -> bool:
        """Whether the program may end: a person is asked about what is not saved."""
        if not self.unsaved or self.ask_unsaved is None:
            return True
        return await self.ask_unsaved(self.unsaved)

    # Connections as wholes

    def open(self, connection_id: str) -> None:
        if any(one.id == connection_id for one in self.connections):
            self._tasks.start(self._service.connect(connection_id), name="connect")

    def delete(self, connection_id: str) -> None:
        """Forget a connection; the page has asked."""
        editing = self._desk.get(connection_id)
        if editing is not None and editing.is_new:
            self.cancel()
            return
        connection = self._service.by_id(connection_id)

        async def run() -> str:
            await self._service.remove(connection_id)
            self._desk.pop(connection_id, None)
            self._checks.forget(connection_id)
            self._tell()
            return f"Deleted {connection.name}"

        self._start(
            Operation(
                name="Delete connection",
                target=connection.name,
                danger=Danger.SAFE,
                run=run,
                changes=CHANGES,
                broker=False,
            )
        )

    def use_last_good(self) -> None:
        """Go on with the last file of connections that could be read."""
        self._start(
            Operation(
                name="Use the last good connections file",
                target="Connections",
                danger=Danger.SAFE,
                run=self._use_last_good,
                changes=CHANGES,
                broker=False,
            )
        )

    async def _use_last_good(self) -> str:
        await self._service.use_last_good()
        return "The last good connections are back"

    # The test

    @property
    def check(self) -> CheckShown | None:
        return self._checks.shown(self._selected)

    @property
    def check_is_old(self) -> bool:
        """Whether the draft was changed after its test."""
        check, editing = self.check, self.editing
        return check is not None and editing is not None and check.of != editing.draft

    @property
    def test_refusal(self) -> str:
        """Why the chosen connection cannot be tested now."""
        selected = self.selected
        if selected is None:
            return "Select a connection first"
        if selected.is_local_stack and self.local_address() is None:
            return "The local stack is not running"
        return ""

    def test(self) -> None:
        """Test what is on the desk, saved or not; a test that runs is begun anew."""
        selected, editing = self.selected, self.editing
        if selected is None or self.test_refusal:
            return
        if editing is None:
            connection = replace(selected, broker=self.local_address())
            self._tasks.start(self._check(connection, Secrets(), None, ""), name="test")
            return
        self._with_files_seen(editing, lambda: self._test_what_is_right(editing))

    def _test_what_is_right(self, editing: Editing) -> None:
        # The name is no matter of the test.
        named = replace(editing, draft=replace(editing.draft, name=editing.draft.name or NEW_NAME))
        checked = named.checked((), self._seen.missing)
        if checked.connection is None:
            self._ask_for(editing, checked.errors)
            return
        work = self._check(checked.connection, checked.secrets, editing.draft, editing.copy_from)
        self._tasks.start(work, name="test")

    def stop_test(self) -> None:
        self._checks.stop(self._selected)

    def trust_key(self, step: CheckStep) -> None:
        """The person has compared the fingerprint of an SSH server: remember its key, and test again."""
        if isinstance(step.error, UnknownHostKey):
            self._tasks.start(self._trust_and_test(step.error), name="trust a key")

    async def _trust_and_test(self, error: UnknownHostKey) -> None:
        try:
            await self._files.run(trust, self._known_hosts_file, error.known_hosts_line)
        except ConsoleError as failure:
            self._notices.post_error(failure)
        else:
            self.test()

    async def _check(self, connection: Connection, typed: Secrets, of: Draft | None, copy_from: str) -> None:
        secrets = typed
        if not connection.is_local_stack:
            try:
                secrets = await self._service.secrets_for(
                    replace(connection, id=copy_from or connection.id), typed
                )
            except ConsoleError as error:
                self._notices.post_error(error)
                return
        given = [purpose for purpose, secret in typed.values if secret]
        shown = await self._checks.run(connection, secrets, of, given)
        level = Level.OK if all_passed(shown.steps) else Level.WARNING
        words = f"Test of {connection.name}: {summary(shown.steps)}"
        self._notices.post(level, words, key="connection-test")

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run what a dialog of the page waits for."""
        return self._tasks.start(work, name=name)

    def _start(self, operation: Operation) -> None:
        self._tasks.start(self._runner.run(operation), name=operation.name)

    async def aclose(self) -> None:
        await self._tasks.aclose()
        await self.exchange.aclose()
        await self._files.aclose()
        await self._seen.aclose()


def _shown(address: BrokerAddress, *, has_password: bool) -> str:
    """The URL as the table has it: dots where the keyring has a password."""
    return (address.with_password(_SOME) if has_password else address).shown


def _new_row(editing: Editing) -> ConnectionRow:
    """One that is not saved. Its URL is that of the fields: what is being typed may hold a password."""
    draft = editing.draft
    return ConnectionRow(
        editing.base.id,
        draft.name.strip() or NEW_NAME,
        draft.environment,
        draft.colour,
        broker_url_of(draft) or "–",
        "–",
        None,
        False,
        "Not saved",
    )
