"""Connections over time: which exist, which is open, and whether its line is up.

The session is made here and handed to whoever listens; the ping here is the one place that decides
between Connected and Reconnecting.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace

from console.broker.address import BrokerAddress
from console.broker.database import DatabaseAddress
from console.broker.session import Session
from console.connections.gateway import ConnectionsFile, SecretStore
from console.connections.model import (
    Connection,
    Purpose,
    Secrets,
    keyring_entry,
    local_stack_connection,
    wanted_secrets,
    with_secrets,
    without_secrets,
)
from console.core.clock import Clock
from console.core.connection import LOCAL_STACK_ID, LinkState
from console.core.errors import Cause, ConsoleError
from console.core.happening import Happening
from console.core.home import Home
from console.core.lanes import Lane
from console.core.notices import Level, NoticeAction, NoticeBoard
from console.core.redaction import Secret
from console.core.spawn import Tasks

PING_S = 2.0
SUSPECT_S = 0.1
RETRY_S = (0.5, 1.0, 2.0)  # then 2 s for good: Connected within 5 s of the broker's return
_FINAL_CAUSES = frozenset({Cause.REFUSED_LOGIN, Cause.NOT_PERMITTED, Cause.INVALID, Cause.CERTIFICATE})


class ConnectionsService:
    """`local` gives the local stack's broker and schedules database while it runs, else None."""

    def __init__(
        self,
        *,
        home: Home,
        file: ConnectionsFile,
        secrets: SecretStore,
        notices: NoticeBoard,
        clock: Clock,
        local: Callable[[], tuple[BrokerAddress, DatabaseAddress] | None],
    ) -> None:
        self._home = home
        self._file = file
        self._secrets = secrets
        self._notices = notices
        self._clock = clock
        self._local = local
        self._files = Lane("connections file", threads=1, timeout_s=10.0)
        self._keyring = Lane("keyring", threads=1, timeout_s=120.0)
        self._passwords: dict[str, Secret] = {}
        self._tasks = Tasks("connection")
        self._changing = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._wish = 0
        self._suspected = asyncio.Event()
        self._unreadable: ConsoleError | None = None
        self.connections: list[Connection] = [local_stack_connection()]
        self.chosen_id = LOCAL_STACK_ID
        self.session: Session | None = None
        self.refused: ConsoleError | None = None
        self.start_local: Callable[[], None] | None = None
        """What the button on "The local stack is not running" does."""
        self.resolving = False
        """Whether a connection is about to open: its password is being fetched, which may take a prompt."""
        self.changed: Happening[None] = Happening()
        self.opened: Happening[Session] = Happening()
        self.closing: list[Callable[[], Awaitable[None]]] = []

    @property
    def chosen(self) -> Connection:
        return self.by_id(self.chosen_id)

    def by_id(self, connection_id: str) -> Connection:
        return next((one for one in self.connections if one.id == connection_id), self.connections[0])

    def local_address(self) -> BrokerAddress | None:
        """Where the local stack's broker listens, while it does."""
        local = self._local()
        return local[0] if local else None

    async def load(self) -> None:
        """Read the file; a broken one is told and left alone (then nothing is saved over it)."""
        try:
            stored = await self._files.run(self._file.read)
        except ConsoleError as error:
            self._unreadable = error
            self._notices.post_error(error, key="connections-file")
            return
        local = next((one for one in stored if one.is_local_stack), None)
        others = [one for one in stored if not one.is_local_stack]
        self.connections = [local_stack_connection(local.last_used if local else None), *others]
        await self._move_passwords_out()
        self.changed.emit(None)

    async def _move_passwords_out(self) -> None:
        """Passwords that somebody has written into the file go to the keyring, and out of the file."""
        cleaned: list[Connection] = []
        for one in self.connections:
            clean, secrets = without_secrets(one)
            for purpose, secret in secrets.values:
                await self._keep(keyring_entry(one.id, purpose), secret)
            cleaned.append(clean)
        if cleaned != self.connections:
            async with self._writing:
                await self._write(cleaned)

    async def save(self, connection: Connection, secrets: Secrets) -> None:
        """Add or replace `connection`. Raises `ConsoleError`.

        A secret that is absent stays as it is kept, an empty one is removed. What is open follows: a new
        name, environment or mode at once, anything else by a new connection.
        """
        connection, in_addresses = without_secrets(connection)
        secrets = Secrets((*in_addresses.values, *secrets.values))
        before = self._existing(connection.id)
        async with self._writing:
            names = {one.name for one in self.connections if one.id != connection.id}
            if connection.name in names:
                raise ConsoleError(
                    f"There is already a connection named {connection.name}", cause=Cause.CONFLICT
                )
            rest = [one for one in self.connections if one.id != connection.id]
            ids = [one.id for one in self.connections]
            position = ids.index(connection.id) if before else len(rest)
            await self._write([*rest[:position], connection, *rest[position:]])
        for purpose, secret in secrets.values:
            await self._keep(keyring_entry(connection.id, purpose), secret)
        await self._follow(before, connection, new_secret=bool(secrets.values))

    def _existing(self, connection_id: str) -> Connection | None:
        return next((one for one in self.connections if one.id == connection_id), None)

    async def _follow(self, before: Connection | None, after: Connection, *, new_secret: bool) -> None:
        """Make the open session what its changed connection says."""
        session = self.session
        if session is None or before is None or session.info.id != after.id:
            return
        session.info = after.info
        if new_secret or _reached(before) != _reached(after):
            await self.connect(after.id)
        self.changed.emit(None)

    async def remove(self, connection_id: str) -> None:
        """Forget a connection and its password. Raises `ConsoleError`."""
        if self.session is not None and self.session.info.id == connection_id:
            await self.disconnect()
        async with self._writing:
            await self._write([one for one in self.connections if one.id != connection_id])
        if self.chosen_id == connection_id:
            self.choose(LOCAL_STACK_ID)
        try:
            for purpose in Purpose:
                entry = keyring_entry(connection_id, purpose)
                self._passwords.pop(entry, None)
                await self._keyring.run(self._secrets.remove, entry)
        except ConsoleError as error:
            self._notices.post(Level.WARNING, "Its password may still be in the keyring", detail=error.detail)

    async def _write(self, connections: list[Connection]) -> None:
        if self._unreadable is not None:
            raise self._unreadable  # what cannot be read is not written over
        await self._files.run(self._file.write, connections)
        self.connections = connections
        self.changed.emit(None)

    async def _keep(self, entry: str, password: Secret) -> None:
        self._passwords[entry] = password
        try:
            if password:
                await self._keyring.run(self._secrets.set, entry, password)
            else:
                await self._keyring.run(self._secrets.remove, entry)
        except ConsoleError as error:
            self._notices.post(
                Level.WARNING, "The password is kept for this run only", detail=error.detail, key="keyring"
            )

    def choose(self, connection_id: str) -> None:
        """Which connection the bar shows; an open session of another one stays until `connect`."""
        if connection_id != self.chosen_id:
            self.chosen_id = connection_id
            self.refused = None
            self.changed.emit(None)

    async def connect(self, connection_id: str | None = None) -> None:
        """Open the chosen (or the named) connection, closing another. Failures are states and notices."""
        if connection_id is not None:
            self.choose(connection_id)
        self._wish += 1
        wish, wanted = self._wish, self.chosen
        self.refused = None
        self._notices.withdraw("link")
        self.resolving = True
        self.changed.emit(None)
        try:
            # Before the lock: a keyring may ask the person, and whoever waits may want something else.
            opening = await self._opening(wanted)
        except ConsoleError as error:
            if wish == self._wish:
                await self.disconnect()
                self._refuse(error)
            return
        finally:
            if wish == self._wish:
                self.resolving = False
        async with self._changing:
            if wish != self._wish:
                return  # somebody has wished otherwise meanwhile
            await self._close()
            self.session = opening
            self.session.status_changed.connect(lambda _status: self.changed.emit(None))
            self.opened.emit(self.session)
            self.changed.emit(None)
            self._tasks.start(self._watch(self.session), name="watch the line")

    async def disconnect(self) -> None:
        """Close what is open, and what is about to open."""
        self._wish += 1
        self.resolving = False
        async with self._changing:
            await self._close()
        self.changed.emit(None)

    async def _close(self) -> None:
        session = self.session
        if session is None:
            return
        self.session = None
        session.set_status(LinkState.DISCONNECTED)
        for ended in await asyncio.gather(*(close() for close in self.closing), return_exceptions=True):
            if isinstance(ended, Exception):
                context = {"message": "A feature could not let go of its connection", "exception": ended}
                asyncio.get_running_loop().call_exception_handler(context)
        await session.aclose()
        self._notices.withdraw("link")

    def _refuse(self, error: ConsoleError) -> None:
        self.refused = error
        start = None
        if error.cause is Cause.NOT_FOUND and self.start_local is not None:
            start = NoticeAction("Start local stack", self.start_local)
        self._notices.post_error(error, key="link", action=start)
        self.changed.emit(None)

    async def _opening(self, connection: Connection) -> Session:
        if connection.is_local_stack:
            local = self._local()
            if local is None:
                raise ConsoleError(
                    "The local stack is not running", remedy="Press Start local stack.", cause=Cause.NOT_FOUND
                )
            address: BrokerAddress = local[0]
            schedules: DatabaseAddress | None = local[1]
        else:
            secrets = Secrets(
                tuple(
                    [
                        (purpose, await self._password(keyring_entry(connection.id, purpose)))
                        for purpose in wanted_secrets(connection)
                    ]
                )
            )
            connection = with_secrets(connection, secrets)
            if connection.broker is None:
                raise RuntimeError("a connection of a person's has a broker")
            address, schedules = connection.broker, connection.schedules
        return Session(
            info=connection.info,
            address=address,
            schedules=schedules,
            history_file=self._home.history_file(connection.id),
            clock=self._clock,
            queue_names=connection.queues,
            results=connection.results.redis or (schedules if connection.results.django else None),
        )

    async def _password(self, entry: str) -> Secret:
        known = self._passwords.get(entry)
        if known is None:
            try:
                known = await self._keyring.run(self._secrets.get, entry, timeout_s=60.0) or Secret("")
            except ConsoleError as error:
                self._notices.post(Level.WARNING, error.title, detail=error.detail, key="keyring")
                known = Secret("")
            else:
                self._passwords[entry] = known
        return known

    def suspect(self) -> None:
        """Somebody else has seen the line break: ask the broker now instead of at the next ping.

        The ping alone says what the line is: the event stream may have troubles of its own.
        """
        if self.session is not None and self.session.connected:
            self._suspected.set()

    async def _watch(self, session: Session) -> None:
        """Ping for as long as the session is open, and say what the line is."""
        failures = 0
        used = False
        self._suspected.clear()
        while session is self.session:
            try:
                latency_ms = await session.link.run(session.ping)
            except ConsoleError as error:
                if session is not self.session:
                    return
                if error.cause in _FINAL_CAUSES:
                    self._tasks.start(self._give_up(error), name="give up")
                    return
                session.set_status(LinkState.RECONNECTING, error=error)
                self._notices.post_error(error, key="link")
                pause_s = RETRY_S[min(failures, len(RETRY_S) - 1)]
                failures += 1
            else:
                if session is not self.session:
                    return
                if failures:
                    self._notices.post(Level.OK, "Connected again", detail=session.info.name, key="link")
                failures = 0
                session.set_status(LinkState.CONNECTED, latency_ms=latency_ms)
                if not used:
                    used = True
                    self._tasks.start(self._note_use(session.info.id), name="note use")
                await self._suspected_within(PING_S)
                continue
            await asyncio.sleep(pause_s)

    async def _suspected_within(self, within_s: float) -> None:
        try:
            async with asyncio.timeout(within_s):
                await self._suspected.wait()
                await asyncio.sleep(SUSPECT_S)  # a stream of suspicions is one question a while
        except TimeoutError:
            pass
        self._suspected.clear()

    async def _give_up(self, error: ConsoleError) -> None:
        await self.disconnect()
        self._refuse(error)

    async def _note_use(self, connection_id: str) -> None:
        if self._unreadable is not None:
            return
        now = self._clock.now()
        async with self._writing:
            used = [
                replace(one, last_used=now) if one.id == connection_id else one for one in self.connections
            ]
            await self._write(used)

    async def aclose(self) -> None:
        await self.disconnect()
        await self._tasks.aclose()
        await self._files.aclose()
        await self._keyring.aclose(wait_s=0.2)


def _reached(connection: Connection) -> Connection:
    """What of `connection` decides how it is reached: a new name alone opens nothing anew."""
    plain = local_stack_connection()
    return replace(
        connection,
        name=plain.name,
        environment=plain.environment,
        mode=plain.mode,
        colour=plain.colour,
        last_used=None,
    )


def new_connection_id() -> str:
    """A name for files and the keyring that a person's renaming never changes."""
    return uuid.uuid4().hex[:12]
