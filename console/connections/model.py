"""A connection that a person has set up. Standard library and addresses only; no secret in it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from console.broker.address import BrokerAddress
from console.broker.database import DatabaseAddress
from console.broker.tunnel_settings import TunnelSettings
from console.core.connection import LOCAL_STACK_ID, ConnectionInfo, Environment, Mode
from console.core.errors import ConsoleError
from console.core.redaction import Secret

LOCAL_STACK_NAME = "Local stack"
LONGEST_NAME = 200
NO_SECRET = Secret("")


class Colour(StrEnum):
    """A mark of a person's own choice; the words of the editor. NONE follows the environment."""

    NONE = "By environment"
    BLUE = "Blue"
    TEAL = "Teal"
    GREEN = "Green"
    AMBER = "Amber"
    RED = "Red"
    VIOLET = "Violet"
    PINK = "Pink"


class Purpose(StrEnum):
    """What a secret of a connection is for; each has an entry of its own in the keyring."""

    BROKER = "broker"
    SENTINEL = "sentinel"
    RESULTS = "results"
    SCHEDULES = "schedules"
    BROKER_TUNNEL = "broker-tunnel"
    RESULTS_TUNNEL = "results-tunnel"
    SCHEDULES_TUNNEL = "schedules-tunnel"


@dataclass(frozen=True, slots=True)
class ResultBackend:
    """Where results are: as the workers say, the Django database, or a Redis of its own.

    `django` means the schedules database, with django-celery-results' tables; `redis` an address.
    """

    django: bool = False
    redis: BrokerAddress | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """All addresses are without passwords; those are in the keyring. `broker` is None for the local stack.

    `queues` are names beside those that the broker tells of. The tunnels are to be reached with the
    ssh-agent or a key file.
    """

    id: str
    name: str
    environment: Environment
    broker: BrokerAddress | None
    schedules: DatabaseAddress | None = None
    mode: Mode = Mode.FULL
    colour: Colour = Colour.NONE
    queues: tuple[str, ...] = ()
    results: ResultBackend = ResultBackend()
    broker_tunnel: TunnelSettings | None = None
    schedules_tunnel: TunnelSettings | None = None
    results_tunnel: TunnelSettings | None = None
    last_used: datetime | None = None

    @property
    def info(self) -> ConnectionInfo:
        return ConnectionInfo(self.id, self.name, self.environment, self.mode)

    @property
    def is_local_stack(self) -> bool:
        return self.id == LOCAL_STACK_ID


@dataclass(frozen=True, slots=True)
class Secrets:
    """Passwords and passphrases of one connection by purpose; what is absent is not known or not wanted."""

    values: tuple[tuple[Purpose, Secret], ...] = ()

    def get(self, purpose: Purpose) -> Secret:
        return dict(self.values).get(purpose, NO_SECRET)

    def with_secret(self, purpose: Purpose, secret: Secret) -> Secrets:
        return Secrets(tuple((dict(self.values) | {purpose: secret}).items()))


@dataclass(frozen=True, slots=True)
class SecretQuestion:
    """What a person is asked for. `why`: what went wrong without it, None when nothing has.

    `waiting`: the keyring has not answered yet (it may show a prompt of its own); when it does, the question
    is withdrawn.
    """

    connection: ConnectionInfo
    purpose: Purpose
    why: ConsoleError | None = None
    waiting: bool = False


@dataclass(frozen=True, slots=True)
class SecretAnswer:
    """What was typed (empty: there is none), and whether the keyring is to keep it."""

    secret: Secret
    keep: bool


@dataclass(frozen=True, slots=True)
class KeyringState:
    """`name` of the keyring in words, or `problem`: why none is used. Neither: it was not tried yet."""

    name: str = ""
    problem: ConsoleError | None = None


def name_error(name: str) -> str:
    """What is wrong with the name of a connection; "" when nothing is.

    A name stands in titles, questions and notices, and is typed to confirm what destroys something: nobody
    may be misled by characters that cannot be seen or that turn the text around.
    """
    if not name.strip():
        return "A name is needed"
    if len(name) > LONGEST_NAME:
        return f"At most {LONGEST_NAME} characters"
    if not all(one.isprintable() for one in name):
        return "It holds a character that cannot be seen"
    return ""


def wanted_secrets(connection: Connection) -> tuple[Purpose, ...]:
    """The purposes for which `connection` may have a secret at all."""
    broker, schedules, redis = connection.broker, connection.schedules, connection.results.redis
    wanted = {
        Purpose.BROKER: broker is not None,
        Purpose.SENTINEL: broker is not None and bool(broker.master_name),
        Purpose.RESULTS: redis is not None,
        Purpose.SCHEDULES: schedules is not None and bool(schedules.host),
        Purpose.BROKER_TUNNEL: _has_key(connection.broker_tunnel),
        Purpose.RESULTS_TUNNEL: _has_key(connection.results_tunnel),
        Purpose.SCHEDULES_TUNNEL: _has_key(connection.schedules_tunnel),
    }
    return tuple(purpose for purpose, is_wanted in wanted.items() if is_wanted)


def without_secrets(connection: Connection) -> tuple[Connection, Secrets]:
    """`connection` as it may be written, and the secrets that stood in its addresses."""
    found: dict[Purpose, Secret] = {}
    broker, schedules, redis = connection.broker, connection.schedules, connection.results.redis
    if broker is not None:
        found |= {Purpose.BROKER: broker.password, Purpose.SENTINEL: broker.sentinel_password}
        broker = replace(
            broker,
            password=NO_SECRET,
            sentinel_password=NO_SECRET,
            management_url=without_login(broker.management_url),
        )
    if schedules is not None:
        found[Purpose.SCHEDULES] = schedules.password
        schedules = schedules.with_password(NO_SECRET)
    if redis is not None:
        found[Purpose.RESULTS] = redis.password
        redis = redis.with_password(NO_SECRET)
    clean = replace(
        connection, broker=broker, schedules=schedules, results=replace(connection.results, redis=redis)
    )
    return clean, Secrets(tuple((purpose, secret) for purpose, secret in found.items() if secret))


def with_secrets(connection: Connection, secrets: Secrets) -> Connection:
    """`connection` with its passwords put in, for the one place that opens the line."""
    broker, schedules, redis = connection.broker, connection.schedules, connection.results.redis
    if broker is not None:
        broker = replace(
            broker,
            password=secrets.get(Purpose.BROKER) or broker.password,
            sentinel_password=secrets.get(Purpose.SENTINEL) or broker.sentinel_password,
        )
    if schedules is not None:
        schedules = schedules.with_password(secrets.get(Purpose.SCHEDULES) or schedules.password)
    if redis is not None:
        redis = redis.with_password(secrets.get(Purpose.RESULTS) or redis.password)
    return replace(
        connection, broker=broker, schedules=schedules, results=replace(connection.results, redis=redis)
    )


def new_connection_id() -> str:
    """A name for files and the keyring that a person's renaming never changes."""
    return uuid.uuid4().hex[:12]


def keyring_entry(connection_id: str, purpose: Purpose) -> str:
    """The keyring's name for a secret. The broker's is the connection's own: its first form was that."""
    return connection_id if purpose is Purpose.BROKER else f"{connection_id}:{purpose}"


def without_login(url: str) -> str:
    """`url` without a user and password before its host: the management API takes the broker's."""
    head, separator, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    return f"{head}{separator}{place.rpartition('@')[2]}{slash}{path}"


def local_stack_connection(last_used: datetime | None = None) -> Connection:
    """The connection that is always there; its broker is known while the stack runs."""
    return Connection(LOCAL_STACK_ID, LOCAL_STACK_NAME, Environment.DEVELOPMENT, None, last_used=last_used)


def _has_key(tunnel: TunnelSettings | None) -> bool:
    return tunnel is not None and bool(tunnel.key_file)
