"""Where a broker is and how one gets in, with every password kept apart from everything printable."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from urllib.parse import quote

from console.broker.tls import TlsOptions
from console.core.errors import Cause, ConsoleError
from console.core.redaction import MASK, Secret

DEFAULT_TIMEOUT_S = 5.0

Endpoint = tuple[str, int]
"""A host and a TCP port."""


class BrokerKind(StrEnum):
    """What listens there; the words of the editor."""

    REDIS = "Redis"
    SOCKET = "Redis, Unix socket"
    SENTINEL = "Redis Sentinel"
    RABBITMQ = "RabbitMQ"

    @property
    def is_redis(self) -> bool:
        return self is not BrokerKind.RABBITMQ


DEFAULT_PORTS = {BrokerKind.REDIS: 6379, BrokerKind.SENTINEL: 26379, BrokerKind.RABBITMQ: 5672}
TLS_PORTS = DEFAULT_PORTS | {BrokerKind.RABBITMQ: 5671}


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """A broker.

    - `host`, `port`: for Sentinel those of the first of `sentinels`; empty and 0 for a Unix socket.
    - `database` of Redis (0-15 as a rule), `vhost` of RabbitMQ.
    - `tls`: None without. With Sentinel it holds for the sentinels as for the servers behind them.
    - `key_prefix`: kombu's `global_keyprefix`.
    - `timeout_s`: for connecting and for each answer.
    - `management_url`: of RabbitMQ's management API; empty: the broker's host, port 15672 (15671 with TLS).
    - `routes`: where to connect instead (the near ends of a tunnel), by what would be connected to.
    """

    host: str
    port: int
    database: int = 0
    username: str = ""
    password: Secret = field(default_factory=lambda: Secret(""))
    tls: TlsOptions | None = None
    key_prefix: str = ""
    kind: BrokerKind = BrokerKind.REDIS
    socket_path: str = ""
    vhost: str = "/"
    sentinels: tuple[Endpoint, ...] = ()
    master_name: str = ""
    sentinel_username: str = ""
    sentinel_password: Secret = field(default_factory=lambda: Secret(""))
    timeout_s: float = DEFAULT_TIMEOUT_S
    management_url: str = ""
    routes: tuple[tuple[Endpoint, Endpoint], ...] = ()

    @property
    def shown(self) -> str:
        """The URL for people: the password as dots."""
        return self._url(MASK if self.password else "")

    @property
    def url(self) -> str:
        """The URL without a password: what files and exports hold."""
        return self._url("")

    @property
    def place(self) -> str:
        """Host and port (or the socket) for sentences."""
        if self.kind is BrokerKind.SOCKET:
            return self.socket_path
        return endpoint_text((self.host, self.port))

    def reveal_url(self) -> str:
        """The URL with the password in it: only for the environment or the standard input of a child."""
        return self._url(quote(self.password.reveal(), safe=""))

    def _url(self, password: str) -> str:
        login = f"{quote(self.username, safe='')}{':' if password else ''}{password}"
        login = f"{login}@" if login else ""
        match self.kind:
            case BrokerKind.SOCKET:
                return f"redis+socket://{login}{quote(self.socket_path)}?virtual_host={self.database}"
            case BrokerKind.SENTINEL:
                hosts = [endpoint_text(one) for one in self.sentinels or ((self.host, self.port),)]
                first, *others = hosts
                urls = [f"sentinel://{login}{first}", *(f"sentinel://{other}" for other in others)]
                return f"{';'.join(urls)}/{self.database}"
            case BrokerKind.RABBITMQ:
                scheme = "amqps" if self.tls else "amqp"
                return (
                    f"{scheme}://{login}{endpoint_text((self.host, self.port))}/{quote(self.vhost, safe='')}"
                )
            case BrokerKind.REDIS:
                scheme = "rediss" if self.tls else "redis"
                return f"{scheme}://{login}{endpoint_text((self.host, self.port))}/{self.database}"

    def with_password(self, password: Secret) -> BrokerAddress:
        return replace(self, password=password)

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What may be connected to, as far as it is known without asking: for tunnels."""
        if self.kind is BrokerKind.SOCKET:
            return ()
        return self.sentinels or ((self.host, self.port),)

    def near(self, endpoint: Endpoint) -> Endpoint:
        """Where to connect for `endpoint`: itself, or the near end of a tunnel.

        Raises `ConsoleError` for what the tunnel does not lead to (yet): its name or address means another
        machine on this side, and a password must not go to a stranger.
        """
        if not self.routes:
            return endpoint
        near = dict(self.routes).get(endpoint)
        if near is None:
            raise ConsoleError(
                "The SSH tunnel does not lead to this server",
                detail=f"{endpoint_text(endpoint)} is not reached through the SSH tunnel.",
                remedy="The console opens a way to it when it connects anew.",
                cause=Cause.UNREACHABLE,
                retryable=True,
            )
        return near


def endpoint_text(endpoint: Endpoint) -> str:
    """`host:port`, an IPv6 address in brackets."""
    host, port = endpoint
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
