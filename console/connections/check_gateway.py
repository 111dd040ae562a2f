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
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import hiredis
import redis

from console.broker.address import BrokerAddress, BrokerKind, Endpoint, endpoint_text
from console.broker.errors import broker_errors, not_amqp, redis_error, refused_login
from console.broker.management import ManagementApi
from console.broker.redis_client import make_redis_client
from console.broker.rights import probe_rabbitmq, probe_redis, redis_rights
from console.broker.sending import ask_workers
from console.broker.stream import ask, dial, find_primary, login_words, not_redis, open_stream, unreachable
from console.broker.tls import no_tls_here, tls_error, wrap
from console.connections.check_model import Found, StepState
from console.connections.check_rights import rabbitmq_permissions, redis_permissions
from console.connections.check_server import rabbitmq_alarms, redis_facts, redis_version, text_of
from console.connections.check_words import (
    ends_soon,
    no_password_wanted,
    no_workers,
    not_verified,
)
from console.connections.model import Connection, ResultBackend, Secrets
from console.connections.tunnels import Tunnels
from console.core.connection import Rights
from console.core.errors import Cause, ConsoleError

ASK_S = 1.0
FEW_DAYS = 14
DAY_S = 86_400
HANG_UP_S = 0.5
VERDICT_S = 0.3
# AMQP 0-9-1, 4.2.2: the server answers with a method frame on channel 0, or with the version it wants.
AMQP_HELLO = b"AMQP\x00\x00\x09\x01"
AMQP_ANSWERS = (b"\x01\x00\x00", b"AMQP")


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
                raise no_tls_here(f"{shown} answers without TLS.") from error
            raise
        self._line = secured
        try:
            self._wait_for_verdict(secured)
        except OSError as error:
            raise tls_error(error, shown=shown, expected=expected) from error
        version = (secured.version() or "").removeprefix("TLSv")
        if not tls.verify:
            return Found(f"{version}, certificate not verified", StepState.WARNING, not_verified(shown))
        days = days_left(secured, time.time())
        says = f"{version}, certificate matches, {days} {'day' if days == 1 else 'days'} left"
        if days >= FEW_DAYS:
            return Found(says)
        return Found(says, StepState.WARNING, ends_soon(shown, days))

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
                    raise no_password_wanted(address, str(answer)) or refused_login(address)
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
            self._server = {key: text_of(value) for key, value in properties.items()}
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
                return rabbitmq_permissions(self.rights, self._connection.mode)
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
            return Found("none answered", StepState.WARNING, no_workers())
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
