"""kombu's transports over our own sockets, and the Celery application that uses them.

kombu knows neither our tunnels nor a TLS server name for Redis, and its Sentinel client keeps asking servers
that a tunnel hides: so its two transports get their sockets from `console.broker.stream` as well.
Importing this module imports celery and kombu: lane threads only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import amqp
from amqp.transport import TCPTransport
from celery import Celery
from kombu.transport import pyamqp
from kombu.transport import redis as kombu_redis

from console.broker.address import DEFAULT_PORTS, BrokerAddress
from console.broker.redis_client import CLIENT_NAME, DialedConnection, connection_options
from console.broker.session import NEVER_RESTORE_S
from console.broker.stream import open_stream


class _NeverRestoring(kombu_redis.QoS):
    """Who consumes with kombu also hands back what others hold too long, under a lock in the broker."""

    def restore_visible(self, *_args: object, **_named: object) -> None:
        """That is the workers' business: a question to them must neither take the lock nor need the right."""


class _RedisChannel(kombu_redis.Channel):
    QoS = _NeverRestoring
    connection_class: Any = DialedConnection
    broker: BrokerAddress

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        params: dict[str, Any] = super()._connparams(asynchronous=asynchronous)  # type: ignore[no-untyped-call]
        for name in ("host", "port", "socket_keepalive", "socket_keepalive_options", "retry_on_timeout"):
            params.pop(name, None)
        return params | connection_options(self.broker)

    def close(self) -> None:
        """kombu would first wait for the answer to its BRPOP, up to a second; the socket goes anyway.

        Nothing is lost by it: the console takes messages from its own reply queues only.
        """
        self._in_poll = False
        super().close()  # type: ignore[no-untyped-call]


class _AmqpLine(TCPTransport):  # type: ignore[misc]
    """py-amqp's transport on a socket that is connected, and made safe, by us."""

    broker: BrokerAddress

    def _connect(self, _host: str, _port: int, timeout: float | None) -> None:
        self.sock = open_stream(self.broker, timeout_s=timeout)

    def _init_socket(self, *_settings: object) -> None:
        # py-amqp would make the socket wait for ever; a line that died in silence must be noticed.
        self.sock.settimeout(self.broker.timeout_s)
        self._setup_transport()
        self._write(amqp.transport.AMQP_PROTOCOL_HEADER)


def kombu_transport(address: BrokerAddress) -> type[Any]:
    """The transport class for `address`; a class, because kombu makes instances of it by itself."""
    if address.kind.is_redis:
        channel = type("Channel", (_RedisChannel,), {"broker": address})
        return type("Transport", (kombu_redis.Transport,), {"Channel": channel})
    line = type("Line", (_AmqpLine,), {"broker": address})

    def make_line(
        _self: object, host: str, connect_timeout: float, *_others: object, **_named: object
    ) -> Any:
        return line(host, connect_timeout=connect_timeout)

    connection = type("Connection", (pyamqp.Connection,), {"Transport": make_line})
    # kombu would try once more after 2 s, and with a server that is silent wait twice as long as was said.
    never_again = {"recoverable_connection_errors": (), "recoverable_channel_errors": ()}
    return type("Transport", (pyamqp.Transport,), {"Connection": connection, **never_again})


def make_celery_app(address: BrokerAddress) -> Celery:
    """A Celery application of our own for `address`, with bounded waits and JSON only.

    kombu keeps one pool of connections per set of options for the whole process, so that closing one
    application would close another's pool to the same broker: its own transport class tells them apart.
    """
    app = Celery("celery-console", set_as_current=False)
    options: dict[str, Any] = {}
    if address.kind.is_redis:
        options = {
            "socket_timeout": address.timeout_s,
            "socket_connect_timeout": address.timeout_s,
            "global_keyprefix": address.key_prefix,
            "client_name": CLIENT_NAME,
            "max_connections": 4,
            "visibility_timeout": NEVER_RESTORE_S,
        }
    app.conf.update(
        broker_url=_url_for_kombu(address),
        broker_transport=kombu_transport(address),
        broker_connection_timeout=address.timeout_s,
        broker_connection_retry=False,
        broker_pool_limit=2,
        broker_heartbeat=0,
        broker_transport_options=options,
        accept_content=["json"],
        task_serializer="json",
        task_send_sent_event=True,
        result_backend="disabled://",
        # A reply queue that expires costs kombu a Lua script, which a narrow ACL forbids; ours are deleted.
        control_queue_expires=None,
        enable_utc=True,
    )
    return app


def _url_for_kombu(address: BrokerAddress) -> str:
    """What kombu reads login and vhost from; where the socket goes is not its business."""
    if address.kind.is_redis:
        return f"redis://broker/{address.database}"
    return replace(address, host="broker", port=DEFAULT_PORTS[address.kind], tls=None).reveal_url()


def close_celery_app(app: Celery) -> None:
    """Close the connections of `app`, which its own `close` leaves to the process. Blocking."""
    from kombu import pools

    # Pools are kept under the hash of a connection's options; `key in group` knows nothing of it.
    key = app.connection_for_write().__eqhash__()
    for group in (pools.producers, pools.connections):
        pool = group.pop(key, None)
        if pool is not None:
            pool.force_close_all()
    app.close()
