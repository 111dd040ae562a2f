"""The question whether a broker is there: the cheapest that each kind answers to any user who may log in."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any, Protocol

import hiredis
import redis

from console.broker.address import BrokerAddress, BrokerKind, Endpoint
from console.broker.errors import broker_errors, redis_error, refused_login
from console.broker.redis_client import CLIENT_NAME
from console.broker.stream import ask, find_primary, login_words, not_redis, open_endpoint, open_stream
from console.core.errors import Cause, ConsoleError

if TYPE_CHECKING:
    from console.broker.session import Session


SENTINEL_EVERY = 2
"""So many pings make one question to Sentinel."""


class BrokerPing(Protocol):
    """Blocking, on one thread (the link lane)."""

    def ping(self) -> float:
        """How long the broker took to answer, in milliseconds. Raises `ConsoleError`.

        Connecting, TLS and login included it takes at most the address's `timeout_s`.
        """
        ...

    def close(self) -> None:
        """Close what the ping alone has opened."""
        ...


def make_ping(session: Session) -> BrokerPing:
    """The ping for the session's kind of broker."""
    return RedisPing(session.address) if session.address.kind.is_redis else _AmqpPing(session)


class RedisPing:
    """PING, on a line of its own, so that one deadline holds for connecting, TLS, login and answer.

    A user whose ACL lacks PING is answered NOPERM, which is an answer too. ROLE tells of a primary that
    was made a replica and kept its connections; who may not ask that is told nothing. An old primary says
    it is one for up to ten seconds after Sentinel has promoted another, so Sentinel is asked as well.
    Source: redis.io/docs/latest/develop/reference/sentinel-clients, "Step 3: verify with ROLE".
    """

    def __init__(self, address: BrokerAddress) -> None:
        self._address = address
        self._line: socket.socket | None = None
        self._reader = hiredis.Reader()
        self._may_ask_role = True
        self._was_primary = address.kind is BrokerKind.SENTINEL
        self._primary: Endpoint | None = None
        self._pings = 0

    def ping(self) -> float:
        address = self._address
        deadline_s = time.monotonic() + address.timeout_s
        with broker_errors(address):
            try:
                if self._line is None:
                    self._open(deadline_s)
                started_s = time.perf_counter()
                self._ask(deadline_s, "PING", refusable=True)
                took_ms = (time.perf_counter() - started_s) * 1000
                self._check_role(deadline_s)
            except TimeoutError as error:
                self.close()
                raise redis.TimeoutError("no answer in time") from error
            except hiredis.HiredisError as error:
                self.close()
                raise not_redis(address.place) from error
            except BaseException:
                self.close()
                raise
        return took_ms

    def _open(self, deadline_s: float) -> None:
        address = self._address
        self._reader = hiredis.Reader()
        self._may_ask_role = True
        if address.kind is BrokerKind.SENTINEL:
            self._primary = find_primary(address, timeout_s=address.timeout_s)
            left_s = max(deadline_s - time.monotonic(), 0.05)
            self._line = open_endpoint(address, self._primary, timeout_s=left_s)
        else:
            self._line = open_stream(address)
        if login := login_words(address.username, address.password):
            try:
                self._ask(deadline_s, *login)
            except ConsoleError as error:
                # Whatever else a server answers to AUTH (no password set, no such user), the login failed.
                raise error if error.retryable else refused_login(address) from error
        self._ask(deadline_s, "CLIENT", "SETNAME", CLIENT_NAME, refusable=True)
        if address.database:
            self._ask(deadline_s, "SELECT", str(address.database))

    def _check_role(self, deadline_s: float) -> None:
        self._pings += 1
        if self._primary is not None and self._pings % SENTINEL_EVERY == 0:
            try:
                named = find_primary(self._address, timeout_s=max(deadline_s - time.monotonic(), 0.05))
            except ConsoleError:
                named = self._primary  # without a sentinel the primary can do its work
            if named != self._primary:
                raise self._replaced()
        if not self._may_ask_role:
            return
        answer = self._ask(deadline_s, "ROLE", refusable=True)
        if not isinstance(answer, list) or not answer:
            self._may_ask_role = False
            return
        primary = answer[0] == b"master"
        if self._was_primary and not primary:
            raise self._replaced()
        self._was_primary = self._was_primary or primary

    def _replaced(self) -> ConsoleError:
        return ConsoleError(
            "The server has become a replica",
            detail=f"{self._address.place} follows another server now and takes no changes.",
            remedy="The console looks for the new primary.",
            cause=Cause.UNREACHABLE,
            retryable=True,
        )

    def _ask(self, deadline_s: float, *words: str, refusable: bool = False) -> Any:
        """The answer to a command; a refusal of this user's rights is one too when `refusable`."""
        if self._line is None:
            raise ConnectionError("the line was closed")
        left_s = max(deadline_s - time.monotonic(), 0.01)
        answer = ask(self._line, self._reader, *words, timeout_s=left_s)
        if not isinstance(answer, hiredis.ReplyError):
            return answer
        text = str(answer)
        # "unknown command": who renames commands away in redis.conf has decided about them as well.
        if refusable and text.startswith(("NOPERM", "ERR unknown command", "ERR unknown subcommand")):
            return None
        raise redis_error(redis.ResponseError(text), self._address)

    def close(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()


class _AmqpPing:
    """Opening a channel and closing it again, on a connection of its own: no permission is needed for it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._connection: Any = None

    def ping(self) -> float:
        with broker_errors(self._session.address):
            try:
                if self._connection is None:
                    self._connection = self._session.celery_app().connection_for_write()
                    self._connection.connect()
                started_s = time.perf_counter()
                self._connection.channel().close()
            except BaseException:
                self.close()
                raise
        return (time.perf_counter() - started_s) * 1000

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.collect(socket_timeout=0.1)
