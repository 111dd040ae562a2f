"""The test of a connection, step by step: what is tried in which order, and what is left out because of what.

It only reads. All that blocks runs on a lane of the test's own, which ends with it; a test that is cancelled
closes its sockets, so that what waits on them ends too.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from console.broker.address import DEFAULT_TIMEOUT_S, BrokerAddress, BrokerKind
from console.broker.database import DatabaseAddress
from console.connections.check_gateway import BrokerCheck
from console.connections.check_model import CheckStep, Found, StepState, TablesFound
from console.connections.check_server import check_results
from console.connections.model import Connection, Purpose, ResultBackend, Secrets, with_secrets
from console.connections.tunnels import Tunnels
from console.core.connection import Right
from console.core.errors import Cause, ConsoleError
from console.core.lanes import Lane

MORE_S = 1.0
"""A step's gateway has the connection's timeout; the lane waits a little longer before it gives up on it."""
DATABASE_S = 20.0
TUNNEL_STEPS = 4
"""The agent, the connection, the login and the way to the target each have the timeout."""
IMPORTS_S = 30.0
CLOSE_S = 3.0

OnSteps = Callable[[tuple[CheckStep, ...]], None]
ReadTables = Callable[[DatabaseAddress], TablesFound]


@dataclass(frozen=True, slots=True)
class _Step:
    """A step before it is taken: `needs` are the keys of those without which it makes no sense."""

    key: str
    title: str
    take: Callable[[], Found]
    needs: tuple[str, ...] = ()
    limit_s: float = DEFAULT_TIMEOUT_S + MORE_S


class ConnectionChecker:
    """Tests connections; any number at once, each on threads of its own.

    - `known_hosts`: the files with the keys of SSH servers, as for connecting.
    - `tables`: reads what a schedules database holds; blocking. Raises `ConsoleError`.
    - `local`: the local stack's broker and database while it runs.
    """

    def __init__(
        self,
        *,
        known_hosts: Sequence[Path],
        tables: ReadTables,
        local: Callable[[], tuple[BrokerAddress, DatabaseAddress] | None] = lambda: None,
    ) -> None:
        self._known_hosts = tuple(known_hosts)
        self._tables = tables
        self._local = local

    async def check(
        self,
        connection: Connection,
        secrets: Secrets,
        on_steps: OnSteps,
        *,
        typed: Collection[Purpose] = (),
    ) -> tuple[CheckStep, ...]:
        """Take all steps, telling `on_steps` of each change; never raises what the world did.

        `typed` are the secrets that do not come from the keyring.
        """
        if connection.is_local_stack and (local := self._local()) is not None:
            connection = replace(connection, broker=local[0], schedules=local[1])
        connection = with_secrets(connection, secrets)
        if connection.broker is None:
            steps = (_no_local_stack(),)
            on_steps(steps)
            return steps
        broker = BrokerCheck(connection, secrets, known_hosts=self._known_hosts)
        elsewhere = _Elsewhere(connection, secrets, self._known_hosts, self._tables)
        how = "typed password" if Purpose.BROKER in typed else "password from the keyring"
        plan = (*_broker_steps(connection, broker, how), *_other_steps(connection, elsewhere))
        lane = Lane("check", threads=2)
        run = _Run(plan, lane, on_steps, broker)
        try:
            with contextlib.suppress(ConsoleError):
                await lane.run(broker.prepare, timeout_s=IMPORTS_S)
            return await run.all()
        finally:
            await asyncio.shield(_end(lane, broker, elsewhere))


async def _end(lane: Lane, broker: BrokerCheck, elsewhere: _Elsewhere) -> None:
    for close in (broker.close, elsewhere.close):
        with contextlib.suppress(ConsoleError):
            await lane.run(close, timeout_s=CLOSE_S)
    await lane.aclose(wait_s=0.5)


class _Run:
    """The steps of one test as they stand."""

    def __init__(self, plan: Sequence[_Step], lane: Lane, on_steps: OnSteps, broker: BrokerCheck) -> None:
        self._plan = plan
        self._lane = lane
        self._on_steps = on_steps
        self._broker = broker
        self._steps = {one.key: CheckStep(one.key, one.title, StepState.WAITING) for one in plan}

    async def all(self) -> tuple[CheckStep, ...]:
        self._tell()
        for step in self._plan:
            reason = self._left_out(step)
            if reason:
                self._put(replace(self._steps[step.key], state=StepState.SKIPPED, says=reason))
            else:
                await self._take(step)
        return tuple(self._steps.values())

    def _left_out(self, step: _Step) -> str:
        for key in step.needs:
            before = self._steps.get(key)
            if before is None:
                continue
            if before.state is StepState.FAILED and key != "permissions":
                return f"because {before.title} failed"
            if before.state is StepState.SKIPPED:
                return before.says
        if step.key == "workers":
            return self._broker.rights.get(Right.ASK_WORKERS, "")
        return ""

    async def _take(self, step: _Step) -> None:
        waiting = self._steps[step.key]
        self._put(replace(waiting, state=StepState.RUNNING))
        started_s = time.perf_counter()
        try:
            found = await self._lane.run(step.take, timeout_s=step.limit_s)
        except ConsoleError as error:
            # The lane's own word is about its threads; a gateway's names the library's error.
            given_up = error.cause is Cause.TIMEOUT and error.__cause__ is None and self._lane.stuck
            said = _too_slow(step) if given_up else error
            ended = replace(waiting, state=StepState.FAILED, says=said.title, error=said)
        else:
            ended = replace(
                waiting, state=found.state, says=found.says, error=found.error, command=found.command
            )
        self._put(replace(ended, took_s=time.perf_counter() - started_s))

    def _put(self, step: CheckStep) -> None:
        self._steps[step.key] = step
        self._tell()

    def _tell(self) -> None:
        self._on_steps(tuple(self._steps.values()))


def _broker_steps(connection: Connection, broker: BrokerCheck, how: str) -> list[_Step]:
    address = broker.address
    limit_s = address.timeout_s + MORE_S
    steps: list[_Step] = []

    def add(key: str, title: str, take: Callable[[], Found], *, limit_s: float = limit_s) -> None:
        # Each of these stands on the one before it.
        steps.append(_Step(key, title, take, (steps[-1].key,) if steps else (), limit_s))

    if address.kind is BrokerKind.SOCKET:
        add("socket", "Socket", broker.open_socket)
    else:
        through_tunnel = connection.broker_tunnel is not None
        tunnel_s = TUNNEL_STEPS * address.timeout_s + MORE_S
        if through_tunnel:
            add("tunnel", "SSH tunnel", broker.open_tunnel, limit_s=tunnel_s)
        if address.kind is BrokerKind.SENTINEL:
            add("sentinel", "Sentinel", broker.ask_sentinel, limit_s=tunnel_s if through_tunnel else limit_s)
        if not through_tunnel:
            add("name", "Name resolution", broker.resolve)
        add("tcp", "TCP", broker.connect)
        if address.tls is not None:
            # A plain port takes the time twice: it is asked once more, without TLS.
            add("tls", "TLS", broker.secure, limit_s=2 * address.timeout_s + MORE_S)
    # kombu gives the connection and each answer of AMQP the timeout anew.
    login_s = limit_s if address.kind.is_redis else TUNNEL_STEPS * address.timeout_s + MORE_S
    add("login", "Login", lambda: broker.log_in(how), limit_s=login_s)
    needs = ("login",)
    steps.append(_Step("permissions", "Permissions", broker.permissions, needs, 3 * limit_s))
    steps.append(_Step("version", "Broker version", broker.version, needs, 2 * limit_s))
    steps.append(_Step("workers", "Workers", broker.workers, needs, 3 * limit_s))
    return steps


class _Elsewhere:
    """The result backend and the schedules database, which do not stand on the broker's steps."""

    def __init__(
        self, connection: Connection, secrets: Secrets, known_hosts: Sequence[Path], tables: ReadTables
    ) -> None:
        self._connection = connection
        self._secrets = secrets
        self._known_hosts = known_hosts
        self._tables = tables
        self._open: list[Tunnels] = []
        self._found: TablesFound | None = None

    def close(self) -> None:
        for tunnels in self._open:
            tunnels.close()

    def results(self) -> Found:
        redis = self._connection.results.redis
        if redis is None:
            found = self._tables_found()
            if found.problem is not None and not found.results:
                raise found.problem
            if not found.results:
                raise _no_results()
            return Found("the table of django-celery-results is there")
        if (settings := self._connection.results_tunnel) is not None:
            # As if it were a broker: the tunnels know the way to any Redis.
            way = replace(
                self._connection,
                broker=redis,
                broker_tunnel=settings,
                schedules=None,
                schedules_tunnel=None,
                results=ResultBackend(),
            )
            secrets = self._secrets.with_secret(
                Purpose.BROKER_TUNNEL, self._secrets.get(Purpose.RESULTS_TUNNEL)
            )
            return check_results(self._tunnels(way, secrets).reach().broker)
        return check_results(redis)

    def schedules(self) -> Found:
        found = self._tables_found()
        if found.problem is not None:
            raise found.problem
        rows = found.schedules or 0
        beat = f"django-celery-beat {found.beat}" if found.beat else "django-celery-beat of unknown version"
        through = ", through the SSH tunnel" if self._connection.schedules_tunnel is not None else ""
        database = self._connection.schedules
        secured = ", TLS" if database is not None and database.tls is not None else ""
        return Found(f"{beat}, {rows} {'schedule' if rows == 1 else 'schedules'}{through}{secured}")

    def _tables_found(self) -> TablesFound:
        if self._found is None:
            database = self._connection.schedules
            if database is None:
                raise _no_database()
            if self._connection.schedules_tunnel is not None:
                reached, problem = self._tunnels(self._connection, self._secrets).reach_schedules()
                if problem is not None or reached is None:
                    raise problem or _no_database()
                database = reached
            self._found = self._tables(database)
        return self._found

    def _tunnels(self, connection: Connection, secrets: Secrets) -> Tunnels:
        tunnels = Tunnels(connection, secrets, known_hosts=self._known_hosts)
        self._open.append(tunnels)
        return tunnels


def _other_steps(connection: Connection, elsewhere: _Elsewhere) -> list[_Step]:
    steps: list[_Step] = []
    results = connection.results
    limit_s = DATABASE_S
    if results.redis is not None:
        limit_s = (1 + TUNNEL_STEPS) * results.redis.timeout_s + MORE_S
    if results.django or results.redis is not None:
        steps.append(_Step("results", "Result backend", elsewhere.results, (), limit_s))
    if connection.schedules is not None:
        steps.append(_Step("schedules", "Schedules tables", elsewhere.schedules, (), DATABASE_S))
    return steps


def _too_slow(step: _Step) -> ConsoleError:
    return ConsoleError(
        f"{step.title} did not end in time",
        detail=f"There was no answer within {step.limit_s:.0f} s.",
        remedy="The network drops packets, or a name server does not answer.",
        cause=Cause.TIMEOUT,
        retryable=True,
    )


def _no_local_stack() -> CheckStep:
    error = ConsoleError(
        "The local stack is not running", remedy="Press Start local stack.", cause=Cause.NOT_FOUND
    )
    return CheckStep("stack", "Local stack", StepState.FAILED, error.title, None, error)


def _no_database() -> ConsoleError:
    return ConsoleError(
        "No schedules database is set",
        detail="The results are said to be in the Django database.",
        remedy="Set Schedules database, which it is.",
        cause=Cause.INVALID,
    )


def _no_results() -> ConsoleError:
    return ConsoleError(
        "The database has no table of django-celery-results",
        remedy="Run the project's migrations for django_celery_results, or choose another result backend.",
        cause=Cause.NOT_MIGRATED,
    )
