"""The opening of a connection: its secrets, its tunnels, and the session that is made of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from console.broker.address import BrokerAddress
from console.broker.database import DatabaseAddress
from console.broker.errors import LoginRefused
from console.broker.session import Session
from console.broker.stream import SentinelRefused
from console.broker.tunnel_errors import PassphraseNeeded
from console.broker.tunnel_hosts import trust
from console.connections.life import is_final, pause_s
from console.connections.model import Connection, Purpose, SecretQuestion, with_secrets
from console.connections.secrets import NotAnswered, SecretKeeper
from console.connections.tunnels import Tunnels, Ways, known_hosts_files
from console.core.clock import Clock
from console.core.connection import LinkState, LinkStatus
from console.core.errors import Cause, ConsoleError
from console.core.home import Home
from console.core.lanes import Lane
from console.core.notices import NoticeBoard
from console.core.spawn import Tasks

TUNNEL_S = 60.0

LocalStack = Callable[[], tuple[BrokerAddress, DatabaseAddress] | None]


class Opening:
    """Makes sessions; each attempt is a task of the service, which cancels it when something else is wanted.

    `waits(status)` hears of a pause before the next attempt, `ends(task)` of what closes behind the scene.
    """

    def __init__(
        self,
        *,
        home: Home,
        keeper: SecretKeeper,
        clock: Clock,
        notices: NoticeBoard,
        tasks: Tasks,
        local: LocalStack,
        waits: Callable[[LinkStatus], None],
        ends: Callable[[asyncio.Task[None]], None],
    ) -> None:
        self._home = home
        self._keeper = keeper
        self._clock = clock
        self._notices = notices
        self._tasks = tasks
        self._local = local
        self._waits = waits
        self._ends = ends
        self._tunnel_lane = Lane("tunnels", threads=2, timeout_s=TUNNEL_S)
        self._ending_lane = Lane("tunnels' end", threads=1, timeout_s=10.0)
        self._try_now = asyncio.Event()

    def try_now(self) -> None:
        """Do not wait for the next attempt."""
        self._try_now.set()

    async def trust(self, line: str) -> None:
        """Remember the key of an SSH server in the console's own file. Raises `ConsoleError`."""
        await self._tunnel_lane.run(trust, self._home.known_hosts_file, line)

    async def session(
        self, connection: Connection, why: ConsoleError | None
    ) -> Session | ConsoleError | None:
        """A session, why there is none, or None: the person was asked for a secret and wants none of it."""
        try:
            if connection.is_local_stack:
                return self._local_session(connection)
            return await self._open(connection, why)
        except ConsoleError as error:
            return error
        except NotAnswered:
            return None

    def _local_session(self, connection: Connection) -> Session:
        local = self._local()
        if local is None:
            raise ConsoleError(
                "The local stack is not running", remedy="Press Start local stack.", cause=Cause.NOT_FOUND
            )
        # The bundled project keeps its results with its schedules.
        return self._session(connection, Ways(local[0], local[1], local[1]))

    async def _open(self, connection: Connection, why: ConsoleError | None) -> Session:
        failures = 0
        while True:
            secrets = await self._keeper.wanted(connection, why, secret_about(why))
            why = None
            known_hosts = known_hosts_files(self._home)
            tunnels = Tunnels(with_secrets(connection, secrets), secrets, known_hosts=known_hosts)
            try:
                ways = await self._ways(connection, tunnels)
            except PassphraseNeeded as error:
                self._end_tunnels(tunnels)
                if self._keeper.ask is None:
                    raise
                why = error
            except ConsoleError as error:
                self._end_tunnels(tunnels)
                if not error.retryable or is_final(error):
                    raise
                await self._pause(error, failures)
                failures += 1
            except BaseException:
                self._end_tunnels(tunnels)
                raise
            else:
                return self._session(with_secrets(connection, secrets), ways, tunnels)

    async def _ways(self, connection: Connection, tunnels: Tunnels) -> Ways:
        """Through all tunnels; who cancels the question for the schedules' key goes on without schedules."""
        ways = await self._tunnel_lane.run(tunnels.reach)
        while isinstance(ways.schedules_problem, PassphraseNeeded) and self._keeper.ask is not None:
            purpose = Purpose.SCHEDULES_TUNNEL
            try:
                typed = await self._keeper.asked(
                    SecretQuestion(connection.info, purpose, ways.schedules_problem)
                )
            except NotAnswered:
                break
            tunnels.learn(purpose, typed)
            ways = await self._tunnel_lane.run(tunnels.reach)
        return ways

    async def _pause(self, error: ConsoleError, failures: int) -> None:
        """The jump host cannot be reached now: say so, and wait before the next attempt."""
        wait_s = pause_s(failures)
        now = self._clock.now()
        status = LinkStatus(LinkState.CONNECTING, now, error=error, retry_at=now + timedelta(seconds=wait_s))
        self._notices.post_error(error, key="link")
        self._waits(status)
        self._try_now.clear()
        try:
            async with asyncio.timeout(wait_s):
                await self._try_now.wait()
        except TimeoutError:
            pass

    def _end_tunnels(self, tunnels: Tunnels) -> None:
        self._ends(self._tasks.start(self._ending_lane.run(tunnels.close), name="end tunnels"))

    def _session(self, connection: Connection, ways: Ways, tunnels: Tunnels | None = None) -> Session:
        session = Session(
            info=connection.info,
            address=ways.broker,
            schedules=ways.schedules,
            history_file=self._home.history_file(connection.id),
            clock=self._clock,
            queue_names=connection.queues,
            results=ways.results,
            tunnels=() if tunnels is None else (tunnels,),
        )
        session.schedules_problem = ways.schedules_problem
        if ways.schedules_problem is not None and tunnels is not None:
            self._tasks.start(self._reach_schedules(session, tunnels), name="reach the schedules")
        if ways.results_problem is not None:
            self._notices.post_error(ways.results_problem, key="results-tunnel")
        return session

    async def _reach_schedules(self, session: Session, tunnels: Tunnels) -> None:
        """Go on trying the tunnel to the schedules database; the broker is open without it."""
        failures = 0
        problem = session.schedules_problem
        while problem is not None and problem.retryable:
            await asyncio.sleep(pause_s(failures))
            failures += 1
            if session.status.state is LinkState.DISCONNECTED:
                return
            try:
                schedules, problem = await self._tunnel_lane.run(tunnels.reach_schedules)
            except ConsoleError as error:
                problem = error
            else:
                session.schedules = schedules
            session.schedules_problem = problem

    async def aclose(self) -> None:
        for lane in (self._tunnel_lane, self._ending_lane):
            await lane.aclose(wait_s=0.2)


def secret_about(error: ConsoleError | None) -> Purpose | None:
    """Which secret, typed anew, may help against `error`. Of the tunnels only the broker's raises."""
    if isinstance(error, LoginRefused):
        return Purpose.BROKER
    if isinstance(error, SentinelRefused):
        return Purpose.SENTINEL
    if isinstance(error, PassphraseNeeded):
        return Purpose.BROKER_TUNNEL
    return None
