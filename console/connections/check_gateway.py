"""The outside of a connection's test: each step of reaching a broker, one at a time, on a socket of its own.

Blocking; on the checker's lane, except `close`, which any thread may call to end what waits. Nothing here
changes anything in the broker: rights are asked about in transactions that are dropped, and the queue of the
answers to the one question to workers is removed.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import hiredis
import redis

from console.broker.acl import mend
from console.broker.address import BrokerAddress, BrokerKind, Endpoint, endpoint_text
from console.broker.errors import broker_errors, redis_error, refused_login
from console.broker.management import ManagementApi
from console.broker.needs import REDIS_NEEDS, Need
from console.broker.redis_client import make_redis_client
from console.broker.rights import Probed, probe_rabbitmq, probe_redis, redis_rights
from console.broker.sending import ask_workers
from console.broker.stream import ask, dial, find_primary, login_words, not_redis, open_stream, unreachable
from console.broker.tls import tls_error, wrap
from console.connections.check_model import StepState
from console.connections.model import Connection, ResultBackend, Secrets
from console.connections.tunnels import Tunnels
from console.core.connection import Mode, Right, Rights
from console.core.errors import Cause, ConsoleError

ASK_S = 1.0
FEW_DAYS = 14
DAY_S = 86_400
OLDEST_REDIS = (6, 2)
HANG_UP_S = 0.5
VERDICT_S = 0.3
# AMQP 0-9-1, 4.2.2: the server answers with a method frame on channel 0, or with the version it wants.
AMQP_HELLO = b"AMQP\x00\x00\x09\x01"
AMQP_ANSWERS = (b"\x01\x00\x00", b"AMQP")


@dataclass(frozen=True, slots=True)
class Found:
    """What a step found when it did not fail outright; the words of `CheckStep`."""

    says: str
    state: StepState = StepState.PASSED
    error: ConsoleError | None = None
    command: str = ""


class BrokerCheck:
    """The steps towards one broker, in their order; each raises `ConsoleError` when it fails."""

    def __init__(self, connection: Connection, secrets: Secrets, *, known_hosts: Sequence[Path]) -> None:
        if connection.broker is None:
            raise ValueError("the local stack's broker is known while it runs")
        # Only the broker's own way: the schedules database has a step, and a tunnel, of its own.
        self._connection = replace(
            connection, schedules=None, schedules_tunnel=None, results=ResultBackend(), results_tunnel=None
        )
        self._secrets = secrets
        self._known_hosts = tuple(known_hosts)
        self.address: BrokerAddress = connection.broker
        self._endpoint: Endpoint = (self.address.host, self.address.port)
        self._tunnels: Tunnels | None = None
        self._line: socket.socket | None = None
        self._reader = hiredis.Reader()
        self._client: redis.Redis | None = None
        self._app: Any = None
        self._app_address: BrokerAddress | None = None
        self._server: dict[str, str] = {}
        self._closed = False
        self.rights: Rights = {}

    def close(self) -> None:
        """Close every socket; what waits on one ends at once. Twice does no harm."""
        self._closed = True
        line, client, app, tunnels = self._line, self._client, self._app, self._tunnels
        if line is not None:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.close()
        if client is not None:
            client.connection_pool.disconnect()
            client.close()
        if app is not None:
            from console.broker.kombu_lines import close_celery_app

            close_celery_app(app)
        if tunnels is not None:
            tunnels.close()

    def prepare(self) -> None:
        """Import what the later steps take, so that no step's time holds it."""
        self._app_now()

    def open_tunnel(self) -> Found:
        settings = self._connection.broker_tunnel
        if settings is None:
            raise ValueError("no tunnel is set")
        # Behind Sentinel the way to the primary needs Sentinel's word, which is a step of its own.
        broker = replace(self.address, kind=BrokerKind.REDIS) if self._is_sentinel else self.address
        self._reach(replace(self._connection, broker=broker))
        user = f"{settings.user}@" if settings.user else ""
        return Found(f"{user}{endpoint_text((settings.host, settings.port))} lets us through")

    def _reach(self, connection: Connection) -> BrokerAddress:
        if self._tunnels is not None:
            self._tunnels.close()
        self._tunnels = Tunnels(connection, self._secrets, known_hosts=self._known_hosts)
        address = self._tunnels.reach().broker
        if not self._is_sentinel:
            self.address = address
        return address

    @property
    def _is_sentinel(self) -> bool:
        return self.address.kind is BrokerKind.SENTINEL

    def ask_sentinel(self) -> Found:
        if self._connection.broker_tunnel is not None:
            self.address = self._reach(self._connection)
        with self._told():
            self._endpoint = find_primary(self.address, timeout_s=self.address.timeout_s)
        return Found(f"primary is {endpoint_text(self._endpoint)}")

    def resolve(self) -> Found:
        host, port = self._endpoint
        with self._told():
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        places = list(dict.fromkeys(str(one[4][0]) for one in found))
        if places == [host]:
            return Found(f"{host} is an address, not a name")
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        return Found(f"{host} is {places[0]}{more}")

    def open_socket(self) -> Found:
        """For a Unix socket."""
        self._line = open_stream(self.address)
        return Found(f"{self.address.socket_path} answers")

    def connect(self) -> Found:
        near = self.address.near(self._endpoint)
        self._line = dial(near, shown=endpoint_text(self._endpoint), timeout_s=self.address.timeout_s)
        self._may_go_on()
        if near != self._endpoint:
            self._await_far_end(self._line)
            return Found(f"port {self._endpoint[1]} answers through the tunnel")
        return Found(f"port {self._endpoint[1]} answers")

    def _await_far_end(self, line: socket.socket) -> None:
        """The near end of a tunnel always takes the connection, and hangs up when the far end does not."""
        line.settimeout(HANG_UP_S)
        try:
            ended = line.recv(1, socket.MSG_PEEK) == b""
        except TimeoutError:
            ended = False  # nobody speaks before we do
        except OSError:
            ended = True
        line.settimeout(self.address.timeout_s)
        if ended:
            behind = self._tunnels.failure if self._tunnels is not None else None
            raise behind or unreachable(endpoint_text(self._endpoint), "The SSH server could not reach it")

    def secure(self) -> Found:
        tls, line = self.address.tls, self._line
        if tls is None or line is None:
            raise ValueError("no TLS is set")
        shown, expected = endpoint_text(self._endpoint), tls.server_name or self._endpoint[0]
        try:
            secured = wrap(line, tls, self._endpoint[0], shown=shown)
        except ConsoleError as error:
            if error.cause is Cause.TIMEOUT and self._answers_in_plain():
                raise no_tls_here(shown) from error
            raise
        self._line = secured
        try:
            self._wait_for_verdict(secured)
        except OSError as error:
            raise tls_error(error, shown=shown, expected=expected) from error
        version = (secured.version() or "").removeprefix("TLSv")
        if not tls.verify:
            return Found(f"{version}, certificate not verified", StepState.WARNING, _not_verified(shown))
        days = days_left(secured, time.time())
        says = f"{version}, certificate matches, {days} {'day' if days == 1 else 'days'} left"
        if days >= FEW_DAYS:
            return Found(says)
        return Found(says, StepState.WARNING, _ends_soon(shown, days))

    def _wait_for_verdict(self, line: ssl.SSLSocket) -> None:
        """In TLS 1.3 a server refuses our certificate only after the handshake: give it a moment to.

        A server that is content mostly says so too (a session ticket), so that this rarely waits.
        """
        select.select([line], [], [], VERDICT_S)
        line.setblocking(False)
        try:
            line.recv(1)
        except (ssl.SSLWantReadError, BlockingIOError):
            pass
        finally:
            line.settimeout(self.address.timeout_s)

    def _answers_in_plain(self) -> bool:
        """Whether a Redis listens there without TLS: it waits for the end of a line that TLS never sends."""
        if not self.address.kind.is_redis:
            return False
        near, limit_s = self.address.near(self._endpoint), self.address.timeout_s
        try:
            with contextlib.closing(dial(near, shown="", timeout_s=limit_s)) as line:
                ask(line, hiredis.Reader(), "PING", timeout_s=limit_s)
        except (OSError, ConsoleError, hiredis.HiredisError):
            return False
        return True

    def log_in(self, how: str) -> Found:
        """`how` the password came: "password from the keyring"."""
        with self._told():
            if self.address.kind.is_redis:
                self._redis_login()
            else:
                self._amqp_login()
        user = self.address.username or ("guest" if not self.address.kind.is_redis else "")
        with_password = how if self.address.password else "without a password"
        return Found(f"as {user}, {with_password}" if user else with_password)

    def _redis_login(self) -> None:
        address, line = self.address, self._line
        if line is None:
            raise ConnectionError("the line was closed")
        try:
            if login := login_words(address.username, address.password):
                answer = self._ask(*login)
                if isinstance(answer, hiredis.ReplyError):
                    # Redis before 6, or one without any password, says so; all the others say no more.
                    raise _no_password_wanted(address, str(answer)) or refused_login(address)
            self._raise_refusal(self._ask("PING"), but="NOPERM")
            if address.database:
                self._raise_refusal(self._ask("SELECT", str(address.database)))
        except hiredis.HiredisError as error:
            raise not_redis(address.place) from error

    def _ask(self, *words: str) -> Any:
        if self._line is None:
            raise ConnectionError("the line was closed")
        return ask(self._line, self._reader, *words, timeout_s=self.address.timeout_s)

    def _raise_refusal(self, answer: Any, *, but: str = " ") -> None:
        if isinstance(answer, hiredis.ReplyError) and not str(answer).startswith(but):
            raise redis_error(redis.ResponseError(str(answer)), self.address)

    def _amqp_login(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()
        connection = self._app_now().connection_for_write()
        try:
            try:
                with broker_errors(self.address):
                    connection.connect()
            except ConsoleError as error:
                if error.cause in (Cause.UNREACHABLE, Cause.TIMEOUT) and self._greets_otherwise():
                    raise not_amqp(self.address.place) from error
                raise
            properties = connection.connection.server_properties
            self._server = {key: _text(value) for key, value in properties.items()}
        finally:
            connection.collect(socket_timeout=HANG_UP_S)

    def _greets_otherwise(self) -> bool:
        """Whether something answers there that is not AMQP; silence tells nothing."""
        try:
            with contextlib.closing(open_stream(self.address)) as line:
                line.sendall(AMQP_HELLO)
                said = line.recv(4)
        except (OSError, ConsoleError):
            return False
        return bool(said) and not said.startswith(AMQP_ANSWERS)

    def permissions(self) -> Found:
        with self._told():
            if not self.address.kind.is_redis:
                self.rights = probe_rabbitmq(self._app_now(), self.address)
                return _rabbitmq_permissions(self.rights)
            probed = probe_redis(self._client_now(), self.address, self._connection.queues)
        self.rights = redis_rights(probed)
        return redis_permissions(probed, self.address, self._connection.mode)

    def version(self) -> Found:
        with self._told():
            if not self.address.kind.is_redis:
                return self._rabbitmq_version()
            return redis_version(redis_facts(self._client_now()), self.address)

    def _rabbitmq_version(self) -> Found:
        name = self._server.get("product", "AMQP broker")
        says = f"{name} {self._server.get('version', '')}".strip()
        api = ManagementApi(self.address)
        try:
            nodes = api.get("/api/nodes?columns=name,mem_alarm,disk_free_alarm")
        except ConsoleError as error:
            known = error.cause is Cause.NOT_PERMITTED
            return Found(f"{says}, management API {'not for this user' if known else 'not reachable'}")
        finally:
            api.close()
        return rabbitmq_alarms(nodes, f"{says}, management API answers")

    def workers(self) -> Found:
        answers = ask_workers(self._app_now(), self.address, "ping", {}, timeout_s=ASK_S)
        if not answers:
            return Found("none answered", StepState.WARNING, _no_workers())
        return Found(f"{len(answers)} answered")

    def _client_now(self) -> redis.Redis:
        self._may_go_on()
        if self._client is None:
            self._client = make_redis_client(self.address, max_connections=2)
        return self._client

    def _app_now(self) -> Any:
        self._may_go_on()
        if self._app is None or self._app_address is not self.address:
            lines: Any = import_module("console.broker.kombu_lines")
            self._app = lines.make_celery_app(self.address)
            self._app_address = self.address
        return self._app

    def _may_go_on(self) -> None:
        if self._closed:
            raise ConsoleError("The test was stopped", cause=Cause.BUSY)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Failures in words; a tunnel's own reason comes before what it looks like from this side."""
        try:
            with broker_errors(self.address):
                yield
        except ConsoleError as error:
            behind = self._tunnels.failure if self._tunnels is not None else None
            if behind is not None:
                raise behind from error
            raise


def days_left(line: ssl.SSLSocket, now_s: float) -> int:
    """Whole days until the server's certificate ends; only for one that was verified."""
    certificate: Any = line.getpeercert() or {}
    ends = certificate.get("notAfter")
    if not isinstance(ends, str):
        return 0
    return int((ssl.cert_time_to_seconds(ends) - now_s) // DAY_S)


def redis_permissions(probed: Probed, address: BrokerAddress, mode: Mode) -> Found:
    """How many commands are allowed, what suffers from the others, and what an administrator runs.

    Only what the connection's mode lets a person do counts: reading must be allowed, changing may not be.
    """
    wanted = [need for need in REDIS_NEEDS if _counts(need, mode)]
    refused = [one for one in probed.refused if one.need in wanted]
    names = list(dict.fromkeys(need.command for need in wanted))
    missing = list(dict.fromkeys(one.need.command for one in refused))
    unknown = {need.command for need in wanted if need not in probed.known} - set(missing)
    says = f"{len(names) - len(missing) - len(unknown)} of {len(names)} commands allowed"
    if unknown:
        says += f", {len(unknown)} cannot be asked about"
    if not refused:
        return Found(says)
    if probed.replica and all(one.replica for one in refused):
        return Found("reading only, the server is a replica", StepState.WARNING, _replica(address))
    shows = list(dict.fromkeys(one.need.shows for one in refused))
    # "asking and telling workers, sending tasks" says nothing where both are there by themselves.
    suffers = [one for one in shows if ", " not in one or not set(one.split(", ")) <= set(shows)]
    reading = any(not one.need.changes for one in refused)
    error = ConsoleError(
        f"{_listed(missing)} {'is' if len(missing) == 1 else 'are'} refused",
        detail=f"This does not work: {_listed(suffers)}. Everything else works.",
        remedy="To allow it, an administrator runs:",
        cause=Cause.NOT_PERMITTED,
    )
    command = mend(replace(probed, refused=tuple(refused)), address)
    return Found(says, StepState.FAILED if reading else StepState.WARNING, error, command)


def _counts(need: Need, mode: Mode) -> bool:
    if need.rights == (Right.CHANGE_QUEUES,):
        return False
    return mode is not Mode.READ_ONLY or not need.changes


def _rabbitmq_permissions(rights: Rights) -> Found:
    if not rights:
        return Found("events, asking workers and sending tasks are allowed")
    error = ConsoleError(
        f"{_listed([str(right).capitalize() for right in rights])} is not allowed",
        detail=" ".join(f"{reason}." for reason in rights.values()),
        remedy="The rules that ship for RabbitMQ allow it: see Rights in the editor.",
        cause=Cause.NOT_PERMITTED,
    )
    failed = Right.READ_EVENTS in rights
    says = f"{len(rights)} of 3 rights missing"
    return Found(says, StepState.FAILED if failed else StepState.WARNING, error)


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """What a server tells of itself; `policy` is empty where that is not readable."""

    name: str
    version: str
    role: str
    policy: str = ""


def redis_facts(client: redis.Redis) -> RedisFacts:
    """By INFO, or by HELLO, which every user may send."""
    asking: Any = client
    try:
        info: dict[str, Any] = asking.info()
    except redis.ResponseError:
        connection: Any = client.connection_pool.get_connection()
        try:
            connection.send_command("HELLO")
            answer = connection.read_response()
        except redis.ResponseError:
            answer = {}
        finally:
            client.connection_pool.release(connection)
        pairs = answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2], strict=False)
        hello = {_text(key): _text(value) for key, value in pairs}
        name = hello.get("server", "redis")
        return RedisFacts(name.capitalize(), hello.get("version", ""), hello.get("role", ""))
    name = str(info.get("server_name", "redis"))
    version = str(info.get(f"{name}_version") or info.get("redis_version", ""))
    return RedisFacts(
        name.capitalize(), version, str(info.get("role", "")), str(info.get("maxmemory_policy", ""))
    )


def redis_version(facts: RedisFacts, address: BrokerAddress) -> Found:
    """The version and role in words, and what is wrong with them."""
    role = {"master": ", primary", "slave": ", replica", "replica": ", replica"}.get(facts.role, "")
    says = f"{facts.name} {facts.version or 'of unknown version'}{role}"
    if role == ", replica":
        return Found(says, StepState.WARNING, _replica(address))
    if facts.name == "Redis" and facts.version and _version(facts.version) < OLDEST_REDIS:
        error = ConsoleError(
            "This Redis is too old for current workers",
            detail="kombu 5.7 needs Redis 6.2 or later.",
            remedy="Update the server.",
        )
        return Found(says, StepState.WARNING, error)
    if facts.policy not in ("", "noeviction"):
        error = ConsoleError(
            "Redis may throw tasks away when its memory is full",
            detail=f"maxmemory-policy is {facts.policy}.",
            remedy="Set it to noeviction, and give a cache a server of its own.",
        )
        return Found(f"{says}, {facts.policy}", StepState.WARNING, error)
    return Found(says)


def rabbitmq_alarms(nodes: object, says: str) -> Found:
    """A warning when a node keeps publishers waiting; `nodes` is what the management API answered."""
    known = [node for node in nodes if isinstance(node, dict)] if isinstance(nodes, list) else []
    words = {"mem_alarm": "memory", "disk_free_alarm": "disk space"}
    short = [what for key, what in words.items() if any(node.get(key) is True for node in known)]
    if not short:
        return Found(says)
    error = ConsoleError(
        "RabbitMQ keeps everybody who sends waiting",
        detail=f"An alarm is on: too little {_listed(short)}.",
        remedy="Its administrator must give it more, or empty queues.",
        cause=Cause.NO_SPACE,
    )
    return Found(f"{says}, alarm: {_listed(short)}", StepState.WARNING, error)


def check_results(address: BrokerAddress) -> Found:
    """A result backend of its own: whether it lets us in. Blocking. Raises `ConsoleError`."""
    client = make_redis_client(address, max_connections=1)
    try:
        with broker_errors(address):
            facts = redis_facts(client)
    finally:
        client.close()
    return Found(f"{facts.name} {facts.version} at {address.place}")


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _no_password_wanted(address: BrokerAddress, said: str) -> ConsoleError | None:
    if "without any password" not in said and "Client sent AUTH, but no password is set" not in said:
        return None
    return ConsoleError(
        "The broker has no password",
        detail=f"{address.place} refuses a login with one.",
        remedy="Empty the password of the connection.",
        cause=Cause.REFUSED_LOGIN,
    )


def no_tls_here(shown: str) -> ConsoleError:
    return ConsoleError(
        "The server does not speak TLS on this port",
        detail=f"{shown} answers without TLS.",
        remedy="Turn Use TLS off, or use the server's TLS port.",
        cause=Cause.PROTOCOL,
    )


def not_amqp(shown: str) -> ConsoleError:
    return ConsoleError(
        "The server does not speak AMQP",
        detail=f"{shown} answers with something else.",
        remedy="Check host, port and TLS of the connection.",
        cause=Cause.PROTOCOL,
    )


def _not_verified(shown: str) -> ConsoleError:
    return ConsoleError(
        "Anybody could answer in the server's place",
        detail=f"The certificate of {shown} is not verified.",
        remedy="Turn verification on, with the file of its certificate authority if need be.",
        cause=Cause.CERTIFICATE,
    )


def _ends_soon(shown: str, days: int) -> ConsoleError:
    return ConsoleError(
        "The server's certificate ends soon",
        detail=f"{shown}: {days} {'day' if days == 1 else 'days'} left.",
        remedy="Its administrator must renew it.",
        cause=Cause.CERTIFICATE,
    )


def _no_workers() -> ConsoleError:
    return ConsoleError(
        "No worker answered within a second",
        detail="None runs on this broker, or all of them are too busy, or remote control is off.",
        remedy="Check the database or vhost, and that workers run.",
    )


def _replica(address: BrokerAddress) -> ConsoleError:
    return ConsoleError(
        "The server is a replica",
        detail=f"{address.place} follows another server and takes no changes.",
        remedy="Connect to the primary, or through Sentinel, which knows it.",
        cause=Cause.NOT_PERMITTED,
    )
