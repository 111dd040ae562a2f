"""An SSH tunnel: local ports behind which a broker or a database stands that only a jump host can reach.

The tunnel lives on one thread with an event loop of its own, because encryption must not run on the
window's loop; everybody else calls it blocking, from a lane. The clients (redis, amqp, a database driver)
connect to a port on 127.0.0.1 that never changes, so they need to know nothing about SSH, and a
connection that was lost is made again when the next of them comes.

Such a port is open to every local user of this computer, as with `ssh -L`: whoever connects to it stands
before the broker's own login, and no closer.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import threading
from collections.abc import Collection, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from console.broker import tunnel_errors as errors
from console.broker.tunnel_login import Login
from console.broker.tunnel_settings import TunnelSettings
from console.core.errors import ConsoleError
from console.core.redaction import Secret
from console.core.spawn import Tasks

if TYPE_CHECKING:
    import asyncssh

__all__ = ["SshTunnel", "Target", "TunnelSettings"]

log = logging.getLogger(__name__)

T = TypeVar("T")
Target = tuple[str, int]
"""Host and port as seen from the SSH server; for `SshTunnel.forward`'s answer, from here."""

KEEPALIVE_S = 5.0
KEEPALIVES_MISSED = 3
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
CHUNK_BYTES = 64 * 1024
CLOSE_S = 2.0


class SshTunnel:
    """One SSH connection and the local ports that lead through it.

    All methods block, and all may be called from any thread but the tunnel's own. Each step (the agent,
    the login, the opening of a way to a target) takes at most `timeout_s`; a connection that has become
    silent is noticed after `keepalive_s` times four. Methods raise `ConsoleError`; after a failed `open`
    nothing is left behind, and `open` may be called again.
    """

    def __init__(
        self,
        settings: TunnelSettings,
        *,
        passphrase: Secret,
        known_hosts: Sequence[Path],
        timeout_s: float = 5.0,
        keepalive_s: float = KEEPALIVE_S,
    ) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._login = Login(
            settings,
            passphrase=passphrase,
            known_hosts=known_hosts,
            timeout_s=timeout_s,
            keepalive_s=keepalive_s,
            keepalives_missed=KEEPALIVES_MISSED,
        )
        self._changing = threading.Lock()
        self._thread: _TunnelThread | None = None

    @property
    def alive(self) -> bool:
        """Whether the SSH connection stands now, as far as anybody has noticed."""
        thread = self._thread
        return thread is not None and thread.link.alive

    @property
    def failure(self) -> ConsoleError | None:
        """Why the last client of a local port was turned away; None once one was served again."""
        return self.failure_among(None)

    def failure_among(self, targets: Collection[Target] | None) -> ConsoleError | None:
        """As `failure`, of the clients on their way to one of these targets (None: to any)."""
        thread = self._thread
        outcomes = [] if thread is None else list(thread.link.outcomes.items())
        return next(
            (failure for target, failure in reversed(outcomes) if targets is None or target in targets), None
        )

    def open(self) -> None:
        """Log in, unless that is done and still stands."""
        with self._changing:
            started = self._thread is None
            if self._thread is None:
                self._thread = _TunnelThread(self._settings, self._login, self._timeout_s)
            try:
                self._thread.ask(self._thread.link.connection(now=True))
            except BaseException:
                if started:
                    self._end()
                raise

    def forward(self, target: Target) -> Target:
        """The local address that leads to `target`: the same at every call, until `close`."""
        thread = self._running()
        return thread.ask(thread.link.listen(target))

    def check(self, target: Target) -> None:
        """Have the SSH server connect to `target` once, and hang up."""
        thread = self._running()
        thread.ask(thread.link.check(target))

    def close(self) -> None:
        """End the ports, the clients on them, the SSH connection and the thread. Twice does no harm."""
        # Not under the lock at first: an `open` that still waits must be ended, not waited for.
        if (thread := self._thread) is not None:
            thread.end()
        with self._changing:
            self._end()

    def _end(self) -> None:
        if self._thread is not None:
            self._thread.end()
            self._thread = None

    def _running(self) -> _TunnelThread:
        if (thread := self._thread) is None:
            raise errors.closed()
        return thread


class _TunnelThread:
    """The thread, its loop and what lives on it."""

    def __init__(self, settings: TunnelSettings, login: Login, timeout_s: float) -> None:
        # Not the policy's loop: the window's process may have set one for Qt.
        self._runner = asyncio.Runner(loop_factory=asyncio.SelectorEventLoop)
        self._ended = asyncio.Event()
        self._waiting: set[concurrent.futures.Future[Any]] = set()
        self.link = _Link(settings, login, timeout_s)
        started = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(started,), name=f"tunnel-{settings.host}", daemon=True
        )
        self._thread.start()
        started.wait()

    def _run(self, started: threading.Event) -> None:
        with self._runner:
            self.loop = self._runner.get_loop()
            started.set()
            self._runner.run(self._live())

    async def _live(self) -> None:
        await self._ended.wait()
        await self.link.aclose()

    def ask(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` on the loop and wait for its answer; `ConsoleError` when the thread ends first."""
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        except RuntimeError as error:  # the loop is closed
            coroutine.close()
            raise errors.closed() from error
        self._waiting.add(future)
        try:
            return future.result()  # what is asked has timeouts of its own
        except concurrent.futures.CancelledError as error:
            raise errors.closed() from error
        finally:
            self._waiting.discard(future)

    def end(self) -> None:
        """Bounded; from any thread, any number of times."""
        with contextlib.suppress(RuntimeError):  # the loop is closed already
            self.loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            log.warning("%s did not end within %.0f s", self._thread.name, CLOSE_S)
        for future in list(self._waiting):  # one that came when the loop no longer ran
            future.cancel()


class _Link:
    """The SSH connection, made when somebody needs it, and the listeners. All of it on the tunnel's loop."""

    def __init__(self, settings: TunnelSettings, login: Login, timeout_s: float) -> None:
        self._server = errors.server(settings.host, settings.port)
        self._login = login
        self._timeout_s = timeout_s
        self._tasks = Tasks(f"tunnel {settings.host}", on_failure=self._failed)
        self._connection: asyncssh.SSHClientConnection | None = None
        self._attempt: asyncio.Task[asyncssh.SSHClientConnection] | None = None
        self._listeners: dict[Target, asyncio.Server] = {}
        self._refusal: ConsoleError | None = None
        self._pause_s = 0.0
        self._not_before_s = 0.0
        # What became of the last client of each target, the latest at the end: None was served.
        self.outcomes: dict[Target, ConsoleError | None] = {}

    @property
    def alive(self) -> bool:
        return self._connection is not None

    async def connection(self, *, now: bool = False) -> asyncssh.SSHClientConnection:
        """The connection that stands, or a new one: one attempt for all who wait.

        After a failure the next attempt must wait, and until then everybody is told that failure again,
        except who says `now` (a person).
        """
        if self._connection is not None:
            return self._connection
        if self._attempt is None:
            if self._refusal and not now and asyncio.get_running_loop().time() < self._not_before_s:
                raise self._refusal.with_traceback(None)
            self._attempt = self._tasks.start(self._connect(), name="log in")
        return await asyncio.shield(self._attempt)

    async def _connect(self) -> asyncssh.SSHClientConnection:
        quiet_asyncssh()
        loop = asyncio.get_running_loop()
        try:
            made = await self._login.log_in(self._lost)
        except ConsoleError as error:
            self._refusal = error
            self._pause_s = min(max(self._pause_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
            self._not_before_s = loop.time() + self._pause_s
            raise
        else:
            self._refusal = None
            self._pause_s = 0.0
            self._connection = None if made.is_closed() else made
            return made
        finally:
            self._attempt = None

    def _lost(self) -> None:
        if self._connection is not None:
            log.info("the SSH connection to %s has ended", self._server)
        self._connection = None

    def _failed(self, error: BaseException) -> None:
        """A task has failed. A refusal is told to whoever waited, so only a bug is worth the log."""
        if isinstance(error, ConsoleError):
            log.debug("SSH tunnel to %s: %s", self._server, error)
        else:
            log.error("SSH tunnel to %s failed", self._server, exc_info=error)

    async def way_to(self, target: Target, *, now: bool = False) -> tuple[Any, Any]:
        """A reader and a writer whose other end is `target` (asyncssh's, of bytes)."""
        import asyncssh

        connection = await self.connection(now=now)
        shown = errors.server(*target)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await connection.open_connection(*target)
        except TimeoutError as error:
            raise errors.target_silent(shown, self._timeout_s) from error
        except asyncssh.ChannelOpenError as error:
            if connection.is_closed():
                raise errors.hung_up(self._server, "the connection was lost") from error
            if error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
                raise errors.forwarding_forbidden(shown) from error
            raise errors.target_unreachable(shown, error.reason or "no reason given") from error
        except (asyncssh.Error, OSError) as error:
            raise errors.hung_up(self._server, str(error) or "the connection was lost") from error

    async def check(self, target: Target) -> None:
        _reader, writer = await self.way_to(target, now=True)
        writer.channel.abort()

    async def listen(self, target: Target) -> Target:
        if target not in self._listeners:

            def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                self._tasks.start(self._serve(target, reader, writer), name="client")

            listener = await asyncio.start_server(accept, "127.0.0.1", 0, limit=CHUNK_BYTES)
            self._listeners[target] = listener
        address: Target = self._listeners[target].sockets[0].getsockname()[:2]
        return address

    async def _serve(
        self, target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """One client of a local port, from its coming to its end."""
        try:
            far_reader, far_writer = await self.way_to(target)
        except ConsoleError as error:
            if str(error) != str(self.outcomes.get(target)):  # once for an outage, not for every client
                log.info("SSH tunnel to %s, %s: %s", self._server, errors.server(*target), error)
            self._note(target, error)
            writer.transport.abort()
            return
        except BaseException:
            writer.transport.abort()
            raise
        self._note(target, None)
        await _relay(reader, writer, far_reader, far_writer)

    def _note(self, target: Target, failure: ConsoleError | None) -> None:
        outcomes = {one: known for one, known in self.outcomes.items() if one != target}
        self.outcomes = outcomes | {target: failure}  # anew: other threads read it

    async def aclose(self) -> None:
        for listener in self._listeners.values():
            listener.close()
        await self._tasks.aclose()
        if (connection := self._connection) is not None:
            connection.abort()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S / 2):
                    await connection.wait_closed()
        for listener in self._listeners.values():
            await listener.wait_closed()


async def _relay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, far_reader: Any, far_writer: Any
) -> None:
    """Both directions until both have ended, or one has broken.

    An end of data is passed on as one, the other direction goes on. A channel that is closed altogether
    takes no more, so the client, which may have nothing to say for long, is not waited for.
    """
    import asyncssh

    async def outwards() -> None:
        await _pump(reader, far_writer)

    async def homewards(other: asyncio.Task[None]) -> None:
        await _pump(far_reader, writer)
        await far_writer.channel.wait_closed()
        other.cancel()

    whole = False
    try:
        async with asyncio.TaskGroup() as group:
            other = group.create_task(outwards())
            group.create_task(homewards(other))
        whole = True
    except* (asyncssh.Error, OSError) as broken:
        log.debug("a client of the tunnel has ended: %s", broken.exceptions)
    finally:
        far_writer.channel.abort()
        if whole:
            writer.close()  # what is still in the buffer is sent first
        else:
            writer.transport.abort()


async def _pump(source: Any, sink: Any) -> None:
    """Everything from `source` to `sink`, no faster than that takes it, and then the end of it."""
    while data := await source.read(CHUNK_BYTES):
        sink.write(data)
        await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()


def quiet_asyncssh() -> None:
    """asyncssh tells every key exchange at INFO; only its warnings are for our log."""
    logging.getLogger("asyncssh").setLevel(logging.WARNING)
