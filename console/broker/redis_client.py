"""redis-py over our own sockets: one connection class for TCP, TLS, Unix sockets, Sentinel and tunnels."""

from __future__ import annotations

import socket
from typing import Any

import redis
from redis.connection import AbstractConnection

from console.broker.address import BrokerAddress
from console.broker.stream import open_stream

CLIENT_NAME = "celery-console"


class DialedConnection(AbstractConnection):
    """A connection to `broker`. For Sentinel each new one goes to the server that is primary then."""

    def __init__(self, *, broker: BrokerAddress, **options: Any) -> None:
        self.broker = broker
        self._name = options.pop("client_name", None)
        self.host, self.port = broker.host, broker.port
        super().__init__(**options)
        # CLIENT SETINFO is from Redis 7.2 on: an ACL that also fits 7.0 cannot even name it.
        self.driver_info = None

    def repr_pieces(self) -> list[tuple[str, Any]]:
        return [("broker", self.broker.shown), ("db", self.db)]

    def _connect(self) -> socket.socket:
        line = open_stream(self.broker, timeout_s=self.socket_connect_timeout)
        line.settimeout(self.socket_timeout)
        return line

    def _host_error(self) -> str:
        return self.broker.place

    def on_connect_check_health(self, check_health: bool = True) -> None:
        """Log in as redis-py does; the name is a courtesy, which a narrow ACL may refuse."""
        super().on_connect_check_health(check_health=check_health)
        if self._name:
            self.send_command("CLIENT", "SETNAME", self._name, check_health=False)  # type: ignore[no-untyped-call]
            try:
                self.read_response()
            except redis.ResponseError:
                pass


def connection_options(address: BrokerAddress) -> dict[str, Any]:
    """What redis-py's pools take to make connections to `address`."""
    return {
        "broker": address,
        "db": address.database,
        "username": address.username or None,
        "password": address.password.reveal() or None,
        "socket_timeout": address.timeout_s,
        "socket_connect_timeout": address.timeout_s,
        "health_check_interval": 0,
    }


def make_redis_client(address: BrokerAddress, *, max_connections: int = 2) -> redis.Redis:
    """A client with timeouts on everything and no retries of its own (the services retry)."""
    pool_class: Any = redis.BlockingConnectionPool
    pool = pool_class(
        connection_class=DialedConnection,
        max_connections=max_connections,
        timeout=address.timeout_s,
        client_name=CLIENT_NAME,
        retry=None,
        **connection_options(address),
    )
    # Not `Redis(connection_pool=pool)`, whose `close` would leave the sockets of the pool open.
    client: redis.Redis = redis.Redis.from_pool(pool)
    return client
