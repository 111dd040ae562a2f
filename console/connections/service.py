"""Connections over time: which exist, which is open, and what opening one takes.

The session is made here and handed to whoever listens. Beside it stand the list (`store`), the secrets
(`secrets`), what opening takes (`opening`, `tunnels`) and the watching of the line (`life`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace

from console.broker.address import BrokerAddress, BrokerKind
from console.broker.session import Session
from console.broker.tunnel_errors import UnknownHostKey
from console.connections import sharing
from console.connections.gateway import ConnectionsFile, LastUsedFile, SecretStore
from console.connections.life import LineWatch
from console.connections.model import (
    Connection,
    KeyringState,
    Purpose,
    SecretQuestion,
    Secrets,
    keyring_entry,
    local_stack_connection,
    new_connection_id,
    wanted_secrets,
    without_secrets,
)
from console.connections.opening import LocalStack, Opening, secret_about
from console.connections.secrets import PATIENCE_S, Ask, NotAnswered, SecretKeeper
from console.connections.sharing import ImportKind, ImportPlan
from console.connections.store import ConnectionsStore
from console.connections.tunnels import lacks_route
from console.core.clock import Clock
from console.core.connection import LOCAL_STACK_ID, LinkState, LinkStatus, Rights
from console.core.errors import Cause, ConsoleError
from console.core.happening import Happening
from console.core.home import Home
from console.core.notices import Level, NoticeAction, NoticeBoard
from console.core.redaction import Secret
from console.core.spawn import Tasks

__all__ = ["ConnectionsService", "new_connection_id"]

ENDING_S = 2.5
SCHEDULES_LOGIN = "schedules-login"
TUNNEL_S = 60.0


def _probe_rights(session: Session) -> Rights:
    from console.broker.rights import probe_rights

    return probe_rights(session)


class ConnectionsService:
    """`local` gives the local stack's broker and schedules database while it runs, else None.

    `probe` tells what the broker's user may not do; blocking, on the control lane of an open session.
    """

    def __init__(
        self,
        *,
        home: Home,
        file: ConnectionsFile,
        secrets: SecretStore,
        notices: NoticeBoard,
        clock: Clock,
        local: LocalStack,
        probe: Callable[[Session], Rights] = _probe_rights,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._home = home
        self._notices = notices
        self._clock = clock
        self._local = local
        self._probe = probe
        self._tasks = Tasks("connection")
        self._keeper = SecretKeeper(secrets, notices=notices, tasks=self._tasks, patience_s=patience_s)
        self._store = ConnectionsStore(
            file=file,
            last_used=LastUsedFile(home.last_used_file),
            notices=notices,
            clock=clock,
            tasks=self._tasks,
            changed=self._list_changed,
        )
        self._maker = Opening(
            home=home,
            keeper=self._keeper,
            clock=clock,
            notices=notices,
            tasks=self._tasks,
            local=local,
            waits=self._opening_waits,
            ends=self._ends,
        )
        self._changing = asyncio.Lock()
        self._wish = 0
        self._opening: asyncio.Task[Session | ConsoleError | None] | None = None
        self._opening_status: LinkStatus | None = None
        self._watch: LineWatch | None = None
        self._watching: asyncio.Task[None] | None = None
        self._open_connection: Connection | None = None
        self._endings: set[asyncio.Task[None]] = set()
        self._schedules_told: Session | None = None
        self._left_in_file: set[tuple[str, Purpose, Secret]] = set()
        self.chosen_id = LOCAL_STACK_ID
        self.session: Session | None = None
        self.refused: ConsoleError | None = None
        self.start_local: Callable[[], None] | None = None
        """What the button on "The local stack is not running" does."""
        self.changed: Happening[None] = Happening()
        self.opened: Happening[Session] = Happening()
        self.closing: list[Callable[[], Awaitable[None]]] = []

    # --- What there is -------------------------------------------------------------------------------------

    @property
    def connections(self) -> list[Connection]:
        """The local stack first. One that is open stays among them when another console removes it."""
        listed = self._store.connections
        held = self._open_connection
        if held is None or self.session is None or any(one.id == held.id for one in listed):
            return listed
        return [*listed, held]

    @property
    def chosen(self) -> Connection:
        return self.by_id(self.chosen_id)

    def by_id(self, connection_id: str) -> Connection:
        listed = self.connections
        return next((one for one in listed if one.id == connection_id), listed[0])

    @property
    def unreadable(self) -> ConsoleError | None:
        """Why the file cannot be read: the list is the last good one then, and cannot be changed."""
        return self._store.unreadable

    @property
    def status(self) -> LinkStatus:
        """The state of the line, of one that is about to open too, and why there is none."""
        if self._opening_status is not None:
            return self._opening_status
        if self.session is not None:
            return self.session.status
        return LinkStatus(LinkState.DISCONNECTED, self._clock.now(), error=self.refused)

    @property
    def resolving(self) -> bool:
        """Whether a connection is about to open: a secret is being fetched or a tunnel opened."""
        return self._opening_status is not None

    def local_address(self) -> BrokerAddress | None:
        """Where the local stack's broker listens, while it does."""
        local = self._local()
        return local[0] if local else None

    # --- The list ------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Read the file; a broken one is told and left alone (then nothing is saved over it)."""
        await self._store.load()
        await self._move_passwords_out()

    async def use_last_good(self) -> None:
        """Set an unreadable file aside and go on with the last good list. Raises `ConsoleError`."""
        await self._store.use_last_good()

    def _list_changed(self) -> None:
        """The list is another one, perhaps by another console: what is open goes on, under its new name."""
        session = self.session
        listed = {one.id: one for one in self._store.connections}
        if session is not None and (now := listed.get(session.info.id)) is not None:
            session.info = now.info
            self._open_connection = now
        if self._store.passwords:
            self._tasks.start(self._move_passwords_out(), name="move passwords out of the file")
        self.changed.emit(None)

    async def _move_passwords_out(self) -> None:
        """Passwords that somebody has written into the file go to the keyring, and only then out of it."""
        moved: set[str] = set()
        for connection_id, secrets in list(self._store.passwords.items()):
            found = {(connection_id, purpose, secret) for purpose, secret in secrets.values}
            if found <= self._left_in_file:
                continue
            self._left_in_file |= found
            kept = [
                await self._keeper.keep(keyring_entry(connection_id, purpose), secret)
                for purpose, secret in secrets.values
            ]
            if all(kept):
                moved.add(connection_id)
                self._left_in_file -= found
            else:
                self._notices.post(
                    Level.WARNING,
                    "Passwords stand in the connections file",
                    detail=f"Those of {self.by_id(connection_id).name} could not be moved to the keyring, "
                    "so they were left there. Take them out by hand, or make the keyring usable.",
                    key="passwords-in-file",
                )
        if moved:
            try:
                await self._store.update(
                    lambda found: [without_secrets(one)[0] if one.id in moved else one for one in found]
                )
            except ConsoleError as error:
                self._notices.post_error(error, key="passwords-in-file")

    async def save(self, connection: Connection, secrets: Secrets, *, copy_from: str | None = None) -> None:
        """Add or replace `connection`. Raises `ConsoleError`.

        A secret that is absent stays as it is kept (or is that of `copy_from`), an empty one is removed.
        What is open follows: a new name, environment or mode at once, anything else by a new connection.
        """
        connection, in_addresses = without_secrets(connection)
        secrets = Secrets((*in_addresses.values, *secrets.values))
        before = self._existing(connection.id)
        await self._store.update(lambda found: _with(found, connection))
        if copy_from is not None:
            typed = dict(secrets.values)
            await self._keeper.copy(
                copy_from, connection.id, [one for one in wanted_secrets(connection) if one not in typed]
            )
        await self._keep(connection, secrets)
        if before is not None:
            unwanted = set(wanted_secrets(before)) - set(wanted_secrets(connection))
            await self._keeper.remove(connection.id, unwanted)
        await self._follow(before, connection, new_secret=bool(secrets.values))

    async def _keep(self, connection: Connection, secrets: Secrets) -> None:
        for purpose, secret in secrets.values:
            await self._keeper.keep(keyring_entry(connection.id, purpose), secret)

    def _existing(self, connection_id: str) -> Connection | None:
        return next((one for one in self._store.connections if one.id == connection_id), None)

    async def _follow(self, before: Connection | None, after: Connection, *, new_secret: bool) -> None:
        """Make the open session what its changed connection says."""
        session = self.session
        if session is None or before is None or session.info.id != after.id:
            return
        if new_secret or _reached(before) != _reached(after):
            await self.connect(after.id)
        self.changed.emit(None)

    async def remove(self, connection_id: str) -> None:
        """Forget a connection and its secrets. Raises `ConsoleError`."""
        await self._store.update(lambda found: [one for one in found if one.id != connection_id])
        if self.session is not None and self.session.info.id == connection_id:
            await self.disconnect()
        if self.chosen_id == connection_id:
            self.choose(LOCAL_STACK_ID)
        await self._keeper.remove(connection_id)

    # --- Sharing -------------------------------------------------------------------------------------------

    def export_text(self, ids: Collection[str]) -> str:
        """The connections with these ids as a file's text, without any secret."""
        return sharing.export_text(self.connections, ids)

    def plan_import(self, text: str) -> ImportPlan:
        """What taking in a file's text would change. Raises `ConsoleError` when it is no such file."""
        return sharing.plan_import(text, self.connections)

    async def import_connections(self, plan: ImportPlan) -> None:
        """Do what `plan` says, the whole list at once. Raises `ConsoleError`.

        A password that is kept is not sent to another server because a file says so: it is asked for anew.
        """
        entries = [one for one in plan.entries if one.kind is not ImportKind.SAME]

        def change(found: list[Connection]) -> list[Connection]:
            for entry in entries:
                found = _with(found, entry.connection)
            return found

        before = {one.id: one for one in self._store.connections}
        if entries:
            await self._store.update(change)
        for entry in plan.entries:
            known = before.get(entry.connection.id)
            if known is not None and (moved := sharing.redirected(known, entry.connection)):
                await self._keeper.remove(entry.connection.id, moved)
            await self._keep(entry.connection, entry.secrets)
            await self._follow(
                before.get(entry.connection.id),
                entry.connection,
                new_secret=bool(entry.secrets.values),
            )

    # --- Secrets -------------------------------------------------------------------------------------------

    @property
    def ask_secret(self) -> Ask | None:
        """Asks a person; None: they cancelled. Its task is cancelled when no answer is wanted any more."""
        return self._keeper.ask

    @ask_secret.setter
    def ask_secret(self, ask: Ask | None) -> None:
        self._keeper.ask = ask

    @property
    def keyring_state(self) -> KeyringState:
        return self._keeper.state

    async def probe_keyring(self) -> KeyringState:
        """Have the keyring prove that it keeps secrets; listeners of `changed` hear of the outcome."""
        state = await self._keeper.probe()
        self.changed.emit(None)
        return state

    async def kept(self, connection_id: str) -> Mapping[Purpose, bool]:
        """Which secrets of a connection stand in the keyring."""
        return await self._keeper.kept(connection_id)

    def kept_for_this_run(self, connection_id: str) -> frozenset[Purpose]:
        """Which secrets of a connection are known until the program ends, and not kept."""
        return self._keeper.of_this_run(connection_id)

    async def secrets_for(self, connection: Connection, typed: Secrets) -> Secrets:
        """The `typed` secrets and, for the others that `connection` wants, the kept ones. Nobody is asked."""
        return await self._keeper.known(connection, typed)

    # --- Opening and closing -------------------------------------------------------------------------------

    def choose(self, connection_id: str) -> None:
        """Which connection the bar shows; an open session of another one stays until `connect`."""
        if connection_id != self.chosen_id:
            self.chosen_id = connection_id
            self.refused = None
            self.changed.emit(None)

    async def connect(self, connection_id: str | None = None) -> None:
        """Open the chosen (or the named) connection, closing another. Failures are states and notices."""
        await self._connect(connection_id, why=None)

    async def _connect(self, connection_id: str | None, *, why: ConsoleError | None) -> None:
        if connection_id is not None:
            self.choose(connection_id)
        wish, wanted = self._wish_anew(), self.chosen
        self.refused = None
        self._notices.withdraw("link")
        self._opening_status = LinkStatus(LinkState.CONNECTING, self._clock.now())
        self.changed.emit(None)
        if self.session is not None and self.session.info.id != wanted.id:
            # At once, however long the other takes to open: no page shows one place under another's name.
            async with self._changing:
                await self._close()
            if wish != self._wish:
                return
        # Before the lock: a keyring may ask the person, and whoever waits may want something else.
        opening = self._opening = self._tasks.start(self._maker.session(wanted, why), name="open")
        await asyncio.wait({opening})
        if wish != self._wish or opening.cancelled():
            if not (opening.cancelled() or opening.exception()) and isinstance(
                made := opening.result(), Session
            ):
                self._end(made)
            return  # somebody has wished otherwise meanwhile
        # A bug is told by its task; "Connecting" must not stay behind it.
        outcome = None if opening.exception() else opening.result()
        if not isinstance(outcome, Session):
            await self.disconnect()
            if isinstance(outcome, ConsoleError) and self._wish == wish + 1:
                self._refuse(outcome, wanted)
            return
        async with self._changing:
            if wish != self._wish:
                self._end(outcome)
                return
            await self._close()
            if wish != self._wish:  # features took their time to let go
                self._end(outcome)
                return
            self._begin(outcome, wanted)

    def _wish_anew(self) -> int:
        """From now on something else is wanted; what is being opened is not."""
        self._wish += 1
        self._opening_status = None
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
        return self._wish

    def _begin(self, session: Session, connection: Connection) -> None:
        self._opening_status = self._opening = None
        self.session = session
        self._open_connection = without_secrets(connection)[0]
        session.status_changed.connect(lambda _status: self.changed.emit(None))
        session.schedules_refused.connect(lambda error: self._schedules_refused(session, error))
        self.opened.emit(session)
        self.changed.emit(None)
        self._watch = LineWatch(
            session,
            notices=self._notices,
            probe=self._probe,
            gave_up=lambda error: self._start(self._gave_up(session, error), "give up"),
            connected=lambda: self._start(self._note_use(session.info.id), "note use"),
            rerouted=lambda: self._rerouted(session),
            start=self._start,
        )
        self._watching = self._tasks.start(self._watch.run(), name="watch the line")

    def _start(self, work: Awaitable[None], name: str) -> None:
        async def run() -> None:
            await work

        self._tasks.start(run(), name=name)

    async def disconnect(self) -> None:
        """Close what is open, and what is about to open."""
        self._wish_anew()
        async with self._changing:
            await self._close()
        self.changed.emit(None)

    async def _close(self) -> None:
        session = self.session
        if session is None:
            return
        self.session = self._open_connection = None
        if self._watch is not None:
            self._watch.ended = True
            self._watch = None
        if self._watching is not None:
            self._watching.cancel()  # it would hold the session until its next ping
            self._watching = None
        session.set_status(LinkState.DISCONNECTED)
        for ended in await asyncio.gather(*(close() for close in self.closing), return_exceptions=True):
            if isinstance(ended, Exception):
                context = {"message": "A feature could not let go of its connection", "exception": ended}
                asyncio.get_running_loop().call_exception_handler(context)
        self._end(session)
        for key in ("link", SCHEDULES_LOGIN):
            self._notices.withdraw(key)

    def _end(self, session: Session) -> None:
        """Close a session behind the scene: a stuck thread of it must not hold up the next one."""
        self._ends(self._tasks.start(session.aclose(), name="end the session"))

    def _ends(self, ending: asyncio.Task[None]) -> None:
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    def _opening_waits(self, status: LinkStatus) -> None:
        self._opening_status = status
        self.changed.emit(None)

    def _refuse(self, error: ConsoleError, connection: Connection) -> None:
        self.refused = error
        self._notices.post_error(error, key="link", action=self._way_out(error, connection))
        self.changed.emit(None)

    def _way_out(self, error: ConsoleError, connection: Connection) -> NoticeAction | None:
        """What a person can do about it with one click."""
        if error.cause is Cause.NOT_FOUND and connection.is_local_stack and self.start_local is not None:
            return NoticeAction("Start local stack", self.start_local)
        if isinstance(error, UnknownHostKey):
            line = error.known_hosts_line
            return NoticeAction(
                "Trust this key", lambda: self._start(self._trust(connection.id, line), "trust a key")
            )
        if secret_about(error) is not None and self.ask_secret is not None and not connection.is_local_stack:
            return NoticeAction(
                "Type the password…", lambda: self._start(self._connect(connection.id, why=error), "ask")
            )
        return None

    async def _trust(self, connection_id: str, line: str) -> None:
        try:
            await self._maker.trust(line)
        except ConsoleError as error:
            self._notices.post_error(error, key="link")
            return
        await self.connect(connection_id)

    # --- The open line -------------------------------------------------------------------------------------

    def suspect(self) -> None:
        """Somebody else has seen the line break: ask the broker now instead of at the next ping.

        The ping alone says what the line is: the event stream may have troubles of its own.
        """
        if self._watch is not None and self.session is not None and self.session.connected:
            self._watch.suspect()

    def try_now(self) -> None:
        """Do not wait for the next attempt to reach the broker."""
        self._maker.try_now()
        if self._watch is not None:
            self._watch.try_now()

    async def _gave_up(self, session: Session, error: ConsoleError) -> None:
        """Trying again is of no use, unless somebody knows another password."""
        if session is not self.session:
            return
        connection = self.by_id(session.info.id)
        about, wish = secret_about(error), self._wish
        if about is not None and not connection.is_local_stack:
            if await self._keeper.read_again(keyring_entry(connection.id, about)):
                if wish == self._wish:
                    await self.connect(connection.id)  # another console has kept a new one meanwhile
                return
            if wish != self._wish:
                return
            had = session.address.sentinel_password if about is Purpose.SENTINEL else session.address.password
            if not had and self.ask_secret is not None:
                await self.disconnect()
                if self._wish == wish + 1:
                    await self._connect(connection.id, why=error)
                return
        await self.disconnect()
        if self._wish == wish + 1:
            self._refuse(error, connection)

    def _schedules_refused(self, session: Session, error: ConsoleError) -> None:
        """Told at each attempt of the page, of which one counts: a person is asked where nothing is kept."""
        if session is not self.session or session is self._schedules_told or session.schedules is None:
            return
        self._schedules_told = session
        if self.ask_secret is not None and not self.by_id(session.info.id).is_local_stack:
            typed_before = bool(session.schedules.password)
            self._start(self._schedules_password(session, error, offer=typed_before), "schedules' password")

    async def _schedules_password(self, session: Session, error: ConsoleError, *, offer: bool) -> None:
        """Open the connection anew with another password; `offer` it only, or ask at once."""
        connection = self.by_id(session.info.id)
        entry = keyring_entry(connection.id, Purpose.SCHEDULES)
        found = await self._keeper.read_again(entry)  # another console may have kept one meanwhile
        if not found and not offer:
            with contextlib.suppress(NotAnswered):
                question = SecretQuestion(connection.info, Purpose.SCHEDULES, error)
                found = bool(await self._keeper.asked(question))
        if session is not self.session:
            return
        if found:
            await self.connect(connection.id)
            return
        ask = NoticeAction(
            "Type the password…",
            lambda: self._start(self._schedules_password(session, error, offer=False), "ask"),
        )
        self._notices.post_error(error, key=SCHEDULES_LOGIN, action=ask)

    async def _rerouted(self, session: Session) -> bool:
        """Whether Sentinel names a primary that the tunnel does not lead to yet: then open it all anew."""
        address = session.address
        if session is not self.session or not session.tunnels or address.kind is not BrokerKind.SENTINEL:
            return False
        try:
            if not address.routes or not await session.link.run(lacks_route, address):
                return False
        except ConsoleError:
            return False
        if session is self.session:
            self._start(self.connect(session.info.id), "connect to the new primary")
        return True

    async def _note_use(self, connection_id: str) -> None:
        if self.unreadable is None:
            await self._store.note_use(connection_id, self._clock.now())

    async def aclose(self) -> None:
        await self.disconnect()
        if endings := set(self._endings):
            await asyncio.wait(endings, timeout=ENDING_S)
        await self._tasks.aclose()
        await self._store.aclose()
        await self._keeper.aclose()
        await self._maker.aclose()


def _with(found: list[Connection], connection: Connection) -> list[Connection]:
    """`found` with `connection` added or in its old place. Raises `ConsoleError` when its name is taken."""
    if any(
        one.name == connection.name and one.id != connection.id for one in (local_stack_connection(), *found)
    ):
        raise ConsoleError(f"There is already a connection named {connection.name}", cause=Cause.CONFLICT)
    if any(one.id == connection.id for one in found):
        return [connection if one.id == connection.id else one for one in found]
    return [*found, connection]


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
