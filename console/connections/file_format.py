"""Connections as JSON: the file of the home folder and what is exported, which are the same form.

Version 2 (version 1 of the first releases is read too). Hand-edited files are expected: whatever is wrong is
said with its entry and field. A password in a URL is taken out by the caller; `dump_connections` never
writes one, unless it is handed an entry as somebody else wrote it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from console.broker.address import DEFAULT_TIMEOUT_S, BrokerAddress
from console.broker.database import DatabaseAddress, parse_database_url
from console.broker.tls import TlsOptions
from console.broker.tunnel_settings import SSH_PORT, TunnelSettings
from console.broker.url import parse_broker_url
from console.connections.model import (
    Colour,
    Connection,
    ResultBackend,
    local_stack_connection,
    name_error,
    without_login,
)
from console.core.connection import LOCAL_STACK_ID, Environment, Mode
from console.core.errors import Cause, ConsoleError

FILE_VERSION = 2
LONGEST_TIMEOUT_S = 120.0
MOST_ENTRIES = 1_000

# An id names files (the history, the collector's log): nothing that could lead out of their folder.
_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """A connection and its text as it stands in the file, as JSON has it."""

    connection: Connection
    written: Mapping[str, Any]


def dump_connections(
    connections: Sequence[Connection], *, as_written: Mapping[str, Mapping[str, Any]] | None = None
) -> str:
    """The text of the file: without any secret, and without when a connection was last used.

    `as_written` holds, by id, the entries that are to stay as a person wrote them.
    """
    kept = as_written or {}
    entries = [kept.get(one.id) or _entry_out(one) for one in connections]
    return json.dumps({"version": FILE_VERSION, "connections": entries}, indent=2, ensure_ascii=False) + "\n"


def load_connections(text: str) -> list[Connection]:
    """The connections in a file's text. Raises `ConsoleError` that says which entry and field is wrong."""
    return [entry.connection for entry in load_entries(text)]


def load_entries(text: str) -> list[Entry]:
    """As `load_connections`, each with its text."""
    found, errors = read_entries(text)
    if errors:
        raise errors[0]
    for what, keys in (
        ("id", [one.connection.id for one in found]),
        ("name", [one.connection.name for one in found]),
    ):
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise _wrong(f"Two entries have the {what} {twice}.")
    return found


def read_entries(text: str) -> tuple[list[Entry], list[ConsoleError]]:
    """What can be read of `text`, and for each entry that cannot, why: one wrong entry spoils no other.

    Raises `ConsoleError` when the whole is not a file of connections.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise _wrong(f"It is not JSON, or was cut short{where}.") from error
    if not isinstance(data, dict) or not isinstance(data.get("connections"), list):
        raise _wrong("The list of connections is missing.")
    if len(data["connections"]) > MOST_ENTRIES:
        raise _wrong(f"It holds more than {MOST_ENTRIES:,} connections.")
    version = data.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise _wrong("Its version is missing.")
    if version > FILE_VERSION:
        raise _wrong(
            f"It was written by a newer console (version {version}; this one knows {FILE_VERSION}).",
            remedy="Update this console. The file is left as it is.",
        )
    found: list[Entry] = []
    errors: list[ConsoleError] = []
    for position, entry in enumerate(data["connections"], 1):
        try:
            found.append(Entry(_entry_in(entry, position), entry))
        except ConsoleError as error:
            errors.append(error)
    return found, errors


def _entry_out(one: Connection) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": one.id,
        "name": one.name,
        "environment": one.environment.value,
        "mode": one.mode.value,
        "colour": one.colour.value,
        "broker": None if one.broker is None else _broker_out(one.broker),
        "queues": list(one.queues),
        "results": _results_out(one.results),
        "schedules": None if one.schedules is None else _database_out(one.schedules),
    }
    for key in ("broker_tunnel", "results_tunnel", "schedules_tunnel"):
        entry[key] = _tunnel_out(getattr(one, key))
    return entry


def _broker_out(broker: BrokerAddress) -> dict[str, Any]:
    return {
        "url": broker.url,
        "tls": _tls_out(broker.tls),
        "key_prefix": broker.key_prefix,
        "master_name": broker.master_name,
        "sentinel_username": broker.sentinel_username,
        "timeout_s": broker.timeout_s,
        "management_url": without_login(broker.management_url),
    }


def _results_out(results: ResultBackend) -> Any:
    if results.redis is not None:
        return _broker_out(results.redis)
    return "django-db" if results.django else None


def _database_out(database: DatabaseAddress) -> dict[str, Any]:
    return {"url": database.url, "tls": _tls_out(database.tls)}


def _tls_out(tls: TlsOptions | None) -> dict[str, Any] | None:
    if tls is None:
        return None
    return {
        "verify": tls.verify,
        "ca_file": tls.ca_file,
        "cert_file": tls.cert_file,
        "key_file": tls.key_file,
        "server_name": tls.server_name,
    }


def _tunnel_out(tunnel: TunnelSettings | None) -> dict[str, Any] | None:
    if tunnel is None:
        return None
    return {"host": tunnel.host, "port": tunnel.port, "user": tunnel.user, "key_file": tunnel.key_file}


class _FieldError(ValueError):
    """What is wrong with one field; `field` is its name."""

    def __init__(self, field: str, what: str) -> None:
        super().__init__(what)
        self.field = field


def _entry_in(entry: Any, position: int) -> Connection:
    if not isinstance(entry, dict):
        raise _wrong(f"Entry {position} is not an object.")
    name = entry.get("name")
    plain = isinstance(name, str) and not name_error(name)
    called = f"Entry {position} ({name})" if plain else f"Entry {position}"
    try:
        return _connection_in(entry)
    except _FieldError as error:
        raise _wrong(f"{called}, {error.field}: {error}") from error


def _connection_in(entry: Mapping[str, Any]) -> Connection:
    last_used = _read(entry, "last_used", lambda text: datetime.fromisoformat(text) if text else None)
    if last_used is not None and last_used.tzinfo is None:
        raise _FieldError("last_used", "A time zone is missing.")
    if entry.get("id") == LOCAL_STACK_ID:
        return local_stack_connection(last_used)
    old = "broker_url" in entry  # version 1
    broker = _old_broker_in(entry) if old else _nested(entry, "broker", _broker_in)
    if broker is None:
        raise _FieldError("broker", "It is missing.")
    return Connection(
        id=_id(entry),
        name=_name(entry),
        environment=_choice(entry, "environment", Environment, Environment.PRODUCTION),
        mode=_choice(entry, "mode", Mode, Mode.FULL),
        colour=_choice(entry, "colour", Colour, Colour.NONE),
        broker=broker,
        queues=_texts(entry, "queues"),
        results=_results_in(entry),
        schedules=_old_schedules_in(entry) if old else _nested(entry, "schedules", _database_in),
        broker_tunnel=_nested(entry, "broker_tunnel", _tunnel_in),
        results_tunnel=_nested(entry, "results_tunnel", _tunnel_in),
        schedules_tunnel=_nested(entry, "schedules_tunnel", _tunnel_in),
        last_used=last_used,
    )


def _id(entry: Mapping[str, Any]) -> str:
    found = _text(entry, "id", needed=True)
    if not _ID.fullmatch(found):
        raise _FieldError("id", "Up to 64 letters, digits, - and _ are expected.")
    return found


def _name(entry: Mapping[str, Any]) -> str:
    found = _text(entry, "name", needed=True)
    if error := name_error(found):
        raise _FieldError("name", f"{error}.")
    return found


def _old_broker_in(entry: Mapping[str, Any]) -> BrokerAddress:
    url = _text(entry, "broker_url", needed=True)
    broker = _read({"broker_url": url}, "broker_url", parse_broker_url)
    return replace(broker, key_prefix=_text(entry, "key_prefix"))


def _old_schedules_in(entry: Mapping[str, Any]) -> DatabaseAddress | None:
    url = _text(entry, "schedules_url")
    return _read({"schedules_url": url}, "schedules_url", parse_database_url) if url else None


def _broker_in(values: Mapping[str, Any]) -> BrokerAddress:
    timeout_s = values.get("timeout_s", DEFAULT_TIMEOUT_S)
    if (
        not isinstance(timeout_s, int | float)
        or isinstance(timeout_s, bool)
        or not 0 < timeout_s <= LONGEST_TIMEOUT_S
    ):
        raise _FieldError("timeout_s", f"A number of seconds up to {LONGEST_TIMEOUT_S:.0f} is expected.")
    broker = _read(values, "url", parse_broker_url)
    tls = _nested(values, "tls", _tls_in)
    management_url = _text(values, "management_url")
    if without_login(management_url) != management_url:
        raise _FieldError("management_url", "It may hold no user and password: the broker's are used.")
    return replace(
        broker,
        tls=tls if tls is not None else broker.tls,
        key_prefix=_text(values, "key_prefix"),
        master_name=_text(values, "master_name") or broker.master_name,
        sentinel_username=_text(values, "sentinel_username"),
        timeout_s=float(timeout_s),
        management_url=management_url,
    )


def _results_in(entry: Mapping[str, Any]) -> ResultBackend:
    value = entry.get("results")
    if value is None:
        return ResultBackend()
    if value == "django-db":
        return ResultBackend(django=True)
    redis = _nested(entry, "results", _broker_in)
    if redis is not None and not redis.kind.is_redis:
        raise _FieldError("results.url", "A redis:// or rediss:// URL is expected.")
    return ResultBackend(redis=redis)


def _database_in(values: Mapping[str, Any]) -> DatabaseAddress:
    database = _read(values, "url", parse_database_url)
    tls = _nested(values, "tls", _tls_in)
    return replace(database, tls=tls if tls is not None else database.tls)


def _tls_in(values: Mapping[str, Any]) -> TlsOptions:
    verify = values.get("verify", True)
    if not isinstance(verify, bool):
        raise _FieldError("verify", "true or false is expected.")
    texts = {key: _text(values, key) for key in ("ca_file", "cert_file", "key_file", "server_name")}
    return TlsOptions(verify=verify, **texts)


def _tunnel_in(values: Mapping[str, Any]) -> TunnelSettings:
    port = values.get("port", SSH_PORT)
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65_536:
        raise _FieldError("port", "A number from 1 to 65535 is expected.")
    return TunnelSettings(
        host=_text(values, "host", needed=True),
        port=port,
        user=_text(values, "user"),
        key_file=_text(values, "key_file"),
    )


def _nested(values: Mapping[str, Any], key: str, read: Callable[[Mapping[str, Any]], T]) -> T | None:
    value = values.get(key)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _FieldError(key, "An object in { } is expected.")
    try:
        return read(value)
    except _FieldError as error:
        raise _FieldError(f"{key}.{error.field}", str(error)) from error


def _read(values: Mapping[str, Any], key: str, read: Callable[[str], T]) -> T:
    try:
        return read(_text(values, key))
    except ConsoleError as error:
        raise _FieldError(key, error.detail) from error
    except ValueError as error:
        if isinstance(error, _FieldError):
            raise
        raise _FieldError(key, "It cannot be read.") from error


def _choice(values: Mapping[str, Any], key: str, choices: Callable[[str], T], default: T) -> T:
    value = values.get(key)
    if value is None:
        return default
    try:
        return choices(value)
    except ValueError as error:
        raise _FieldError(key, f"{value!r} is none of the known words.") from error


def _texts(values: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = values.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise _FieldError(key, "A list of names is expected.")
    return tuple(found)


def _text(values: Mapping[str, Any], key: str, *, needed: bool = False) -> str:
    value = values.get(key)
    if value is None:
        value = ""
    if not isinstance(value, str):
        raise _FieldError(key, "A text is expected.")
    if needed and not value:
        raise _FieldError(key, "It is missing.")
    return value


def _wrong(detail: str, *, remedy: str = "") -> ConsoleError:
    return ConsoleError(
        "The connections file cannot be read",
        detail=detail,
        remedy=remedy or "It is left as it is. Mend it, or go on with the last good one.",
        cause=Cause.INVALID,
    )
