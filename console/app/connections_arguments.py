"""What the arguments of `celery-console connections add` say, as a connection.

What is not named stays as it was in the connection that is replaced, and is a default in a new one. An empty
value takes away: `--schedules ""`, `--ssh ""`.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from console.app.connections_command import MODES
from console.broker.address import DEFAULT_TIMEOUT_S, BrokerAddress, BrokerKind
from console.broker.database import DatabaseAddress, parse_database_url
from console.broker.tls import TlsOptions
from console.broker.tunnel_settings import SSH_PORT, TunnelSettings
from console.broker.url import parse_broker_url
from console.connections.file_format import dump_connections, load_connections
from console.connections.model import Colour, Connection, ResultBackend, new_connection_id
from console.core.connection import Environment, Mode
from console.core.errors import Cause, ConsoleError
from console.core.redaction import Secret

_FILES = ("ca_file", "cert_file", "key_file")


def connection_of(wanted: argparse.Namespace, before: Connection | None = None) -> Connection:
    """A new connection, or `before` with what is named changed. Raises `ConsoleError`."""
    base = before or Connection(new_connection_id(), "", Environment.DEVELOPMENT, None)
    connection = replace(
        base,
        name=wanted.name.strip(),
        broker=_broker(wanted, base.broker),
        schedules=_schedules(wanted, base.schedules),
        results=_results(wanted.result_backend, base.results),
        broker_tunnel=_tunnel(wanted.ssh, wanted.ssh_key, "--ssh", base.broker_tunnel),
        schedules_tunnel=_tunnel(
            wanted.schedules_ssh, wanted.schedules_ssh_key, "--schedules-ssh", base.schedules_tunnel
        ),
        results_tunnel=_tunnel(
            wanted.results_ssh, wanted.results_ssh_key, "--results-ssh", base.results_tunnel
        ),
    )
    if wanted.environment is not None:
        connection = replace(connection, environment=Environment(wanted.environment.capitalize()))
    if wanted.mode is not None:
        connection = replace(connection, mode=Mode(MODES[wanted.mode]))
    if wanted.colour is not None:
        connection = replace(connection, colour=Colour(wanted.colour.replace("-", " ").capitalize()))
    if wanted.queue is not None:
        connection = replace(connection, queues=tuple(one for one in wanted.queue if one))
    # What the file refuses to read must not get into it: the reader is the one judge.
    [checked] = load_connections(dump_connections([connection]))
    return checked


def check_files(connection: Connection, before: Connection | None) -> None:
    """Raises `ConsoleError` when a file that is newly named is not there; a new machine has it first."""
    known = _named_files(before) if before is not None else {}
    for file, what in _named_files(connection).items():
        if file not in known and not Path(file).is_file():
            raise ConsoleError(
                f"The file of the {what} is not there",
                detail=f"{file}.",
                remedy="Check the path, or put the file there first.",
                cause=Cause.NOT_FOUND,
            )


def _named_files(connection: Connection) -> dict[str, str]:
    """Every file that the connection needs beside a database's, and what it is."""
    ends = (connection.broker, connection.schedules, connection.results.redis)
    found: dict[str, str] = {}
    for tls in (end.tls for end in ends if end is not None and end.tls is not None):
        found |= {
            tls.ca_file: "certificate authority",
            tls.cert_file: "client certificate",
            tls.key_file: "client key",
        }
    for tunnel in (connection.broker_tunnel, connection.schedules_tunnel, connection.results_tunnel):
        if tunnel is not None:
            found[tunnel.key_file] = "SSH key"
    found.pop("", None)
    return found


def _broker(wanted: argparse.Namespace, before: BrokerAddress | None) -> BrokerAddress:
    if wanted.url is None and before is None:
        raise ConsoleError(
            "Where the broker is was not said", remedy="Say --url redis://host/0.", cause=Cause.INVALID
        )
    if wanted.url is not None:
        broker = parse_broker_url(wanted.url)
        _no_password(broker.password, "--url")
        before = broker if before is None else _carried(broker, before)
    if before is None:
        raise ValueError("one of the two is there")
    broker = before
    if named := _tls(wanted, ""):
        if broker.tls is None and broker.kind is not BrokerKind.SENTINEL:
            raise ConsoleError(
                "TLS is set for a broker without TLS",
                detail=f"{broker.url} does not use it.",
                remedy="Use rediss:// or amqps://.",
                cause=Cause.INVALID,
            )
        broker = replace(broker, tls=_with_named(broker.tls, named))
    more = {
        "key_prefix": wanted.key_prefix,
        "management_url": wanted.management_url,
        "master_name": wanted.sentinel_master,
        "sentinel_username": wanted.sentinel_user,
        "timeout_s": wanted.timeout,
    }
    return replace(broker, **{name: value for name, value in more.items() if value is not None})


def _carried(broker: BrokerAddress, before: BrokerAddress) -> BrokerAddress:
    """`broker`, as a URL says it, with what options have said of the one before and no URL says."""
    if broker.timeout_s == DEFAULT_TIMEOUT_S:
        broker = replace(broker, timeout_s=before.timeout_s)
    if broker.kind.is_redis and before.kind.is_redis:
        broker = replace(broker, key_prefix=broker.key_prefix or before.key_prefix)
    if broker.kind is before.kind is BrokerKind.RABBITMQ:
        broker = replace(broker, management_url=before.management_url)
    if broker.kind is before.kind is BrokerKind.SENTINEL:
        broker = replace(
            broker,
            master_name=broker.master_name or before.master_name,
            sentinel_username=before.sentinel_username,
            tls=broker.tls or before.tls,
        )
    return replace(broker, tls=before.tls) if broker.tls == TlsOptions() and before.tls else broker


def _schedules(wanted: argparse.Namespace, before: DatabaseAddress | None) -> DatabaseAddress | None:
    schedules, text = before, wanted.schedules
    if text is not None:
        schedules = parse_database_url(text) if text else None
    if schedules is not None:
        _no_password(schedules.password, "--schedules")
        silent = text is not None and "ssl" not in urlsplit(text).query
        if silent and before is not None and schedules.host and not schedules.is_socket:
            schedules = replace(schedules, tls=before.tls)
    named = _tls(wanted, "schedules_")
    if not named:
        return schedules
    if schedules is None:
        raise ConsoleError(
            "TLS is set for a schedules database, and there is none",
            remedy="Say --schedules.",
            cause=Cause.INVALID,
        )
    return replace(schedules, tls=_with_named(schedules.tls, named))


def _tls(wanted: argparse.Namespace, prefix: str) -> dict[str, str | bool]:
    """What the options of one group say; empty when none of them is given. Files become absolute."""
    named = {name: getattr(wanted, f"{prefix}{name}") for name in (*_FILES, "server_name", "verify")}
    return {
        name: _absolute(value) if name in _FILES else value
        for name, value in named.items()
        if value is not None
    }


def _with_named(before: TlsOptions | None, named: dict[str, str | bool]) -> TlsOptions:
    options: TlsOptions = replace(before or TlsOptions(), **named)  # type: ignore[arg-type]
    return options


def _absolute(file: str) -> str:
    return str(Path(file).expanduser().absolute()) if file else ""


def _results(text: str | None, before: ResultBackend) -> ResultBackend:
    if text is None:
        return before
    if not text:
        return ResultBackend()
    if text == "django-db":
        return ResultBackend(django=True)
    redis = parse_broker_url(text)
    _no_password(redis.password, "--result-backend")
    if not redis.kind.is_redis:
        raise ConsoleError(
            "This result backend cannot be read", detail="Redis, or django-db.", cause=Cause.INVALID
        )
    return ResultBackend(redis=redis)


def _tunnel(
    text: str | None, key_file: str | None, option: str, before: TunnelSettings | None
) -> TunnelSettings | None:
    if text == "":
        return None
    key = _absolute(key_file) if key_file is not None else before.key_file if before is not None else ""
    if text is None:
        if before is None and key:
            raise ConsoleError(
                f"{option}-key is for a tunnel, and there is none",
                remedy=f"Say {option}.",
                cause=Cause.INVALID,
            )
        return before and replace(before, key_file=key)
    try:
        parts = urlsplit(f"ssh://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.path or parts.password is not None:
        raise ConsoleError(
            f"{option} cannot be read", detail="It looks like deploy@jump.example:22.", cause=Cause.INVALID
        )
    return TunnelSettings(host, port or SSH_PORT, parts.username or "", key)


def _no_password(password: Secret, option: str) -> None:
    if password:
        raise ConsoleError(
            f"{option} holds a password, and arguments are visible to everybody on this machine",
            remedy="Leave it out of the URL and say --password-stdin, --ask-passwords or --secrets-stdin."
            " Change the password if others may have seen it.",
            cause=Cause.INVALID,
        )
