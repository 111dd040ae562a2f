"""The question whether a broker is there: the cheapest that each kind answers to any user who may log in."""

from __future__ import annotations

import time
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from console.broker.errors import broker_errors

if TYPE_CHECKING:
    from console.broker.session import Session


class BrokerPing(Protocol):
    """Blocking, on one thread (the link lane)."""

    def ping(self) -> float:
        """How long the broker took to answer, in milliseconds. Raises `ConsoleError`."""
        ...

    def close(self) -> None:
        """Close what the ping alone has opened."""
        ...


def make_ping(session: Session) -> BrokerPing:
    """The ping for the session's kind of broker."""
    return _RedisPing(session) if session.address.kind.is_redis else _AmqpPing(session)


class _RedisPing:
    """PING, over the session's pool. A user whose ACL lacks it is answered NOPERM, which is an answer too."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def ping(self) -> float:
        redis: Any = import_module("redis")
        started_s = time.perf_counter()
        with broker_errors(self._session.address):
            try:
                if not self._session.redis_client().ping():
                    raise redis.ResponseError("PING was not answered with PONG")
            except redis.exceptions.NoPermissionError:
                pass
        return (time.perf_counter() - started_s) * 1000

    def close(self) -> None:
        """The pool is the session's."""


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
