"""The fields of the editor of a connection, as values: all that can be typed, ticked and chosen there.

Apart from what follows from typing (`draft`), so that the list of fields is read at one glance.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from console.broker.address import DEFAULT_PORTS, DEFAULT_TIMEOUT_S, BrokerKind
from console.broker.tunnel_settings import SSH_PORT
from console.connections.model import Colour, Purpose
from console.core.connection import Environment, Mode
from console.core.redaction import Secret


class ResultsChoice(StrEnum):
    """Where results are; the words of the editor."""

    WORKERS = "As the workers say"
    DJANGO = "Django database"
    REDIS = "Redis"


class SchedulesChoice(StrEnum):
    """Which schedules database; the words of the editor."""

    NONE = "None"
    SQLITE = "SQLite"
    POSTGRESQL = "PostgreSQL"
    MYSQL = "MySQL"


class TunnelChoice(StrEnum):
    """How something is reached; the words of the editor."""

    DIRECT = "Directly"
    SAME = "Same as the broker's"
    OWN = "Through an SSH tunnel"


class TunnelLogin(StrEnum):
    AGENT = "Use the agent"
    KEY = "Key file"


class Typed:
    """What stands in a secret's field. Not a `Secret` yet: each of those is taken out of all that is written,
    and a password that is typed would be one after each key. An empty one asks to forget what is kept.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def secret(self) -> Secret:
        return Secret(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Typed) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Typed(••••)" if self._value else "Typed()"


@dataclass(frozen=True, slots=True)
class Draft:
    """The fields of the editor. The secrets are None while their field was left alone.

    `broker_url` and `schedules_url` say the same as the fields below them, and only while they cannot be read
    something else. They may hold a password for as long as they are being typed, so they are not in the repr.
    """

    name: str = ""
    environment: Environment = Environment.PRODUCTION
    colour: Colour = Colour.NONE
    mode: Mode = Mode.FULL
    kind: BrokerKind = BrokerKind.REDIS
    broker_url: str = field(default="", repr=False)
    host: str = ""
    port: str = str(DEFAULT_PORTS[BrokerKind.REDIS])
    database: str = "0"
    vhost: str = "/"
    key_prefix: str = ""
    username: str = ""
    password: Typed | None = None
    socket_path: str = ""
    sentinels: str = ""
    master_name: str = ""
    sentinel_username: str = ""
    sentinel_password: Typed | None = None
    tls: bool = False
    verify: bool = True
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    server_name: str = ""
    timeout_s: str = f"{DEFAULT_TIMEOUT_S:g}"
    queues: str = ""
    management_url: str = ""
    results: ResultsChoice = ResultsChoice.WORKERS
    results_url: str = field(default="", repr=False)
    results_password: Typed | None = None
    schedules: SchedulesChoice = SchedulesChoice.NONE
    schedules_url: str = field(default="", repr=False)
    schedules_path: str = ""
    schedules_host: str = ""
    schedules_port: str = ""
    schedules_name: str = ""
    schedules_username: str = ""
    schedules_password: Typed | None = None
    schedules_tls: bool = False
    schedules_verify: bool = True
    schedules_ca_file: str = ""
    schedules_cert_file: str = ""
    schedules_key_file: str = ""
    schedules_server_name: str = ""
    broker_tunnel: TunnelChoice = TunnelChoice.DIRECT
    broker_tunnel_host: str = ""
    broker_tunnel_port: str = str(SSH_PORT)
    broker_tunnel_user: str = ""
    broker_tunnel_login: TunnelLogin = TunnelLogin.AGENT
    broker_tunnel_key_file: str = ""
    broker_tunnel_passphrase: Typed | None = None
    results_tunnel: TunnelChoice = TunnelChoice.DIRECT
    results_tunnel_host: str = ""
    results_tunnel_port: str = str(SSH_PORT)
    results_tunnel_user: str = ""
    results_tunnel_login: TunnelLogin = TunnelLogin.AGENT
    results_tunnel_key_file: str = ""
    results_tunnel_passphrase: Typed | None = None
    schedules_tunnel: TunnelChoice = TunnelChoice.DIRECT
    schedules_tunnel_host: str = ""
    schedules_tunnel_port: str = str(SSH_PORT)
    schedules_tunnel_user: str = ""
    schedules_tunnel_login: TunnelLogin = TunnelLogin.AGENT
    schedules_tunnel_key_file: str = ""
    schedules_tunnel_passphrase: Typed | None = None


Value = str | bool | Typed | None

SECRET_FIELDS = {
    "password": Purpose.BROKER,
    "sentinel_password": Purpose.SENTINEL,
    "results_password": Purpose.RESULTS,
    "schedules_password": Purpose.SCHEDULES,
    "broker_tunnel_passphrase": Purpose.BROKER_TUNNEL,
    "results_tunnel_passphrase": Purpose.RESULTS_TUNNEL,
    "schedules_tunnel_passphrase": Purpose.SCHEDULES_TUNNEL,
}
"""The field of each secret."""
