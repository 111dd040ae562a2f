"""A connection that a person has set up, and its form in the file. Standard library only; no secret in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from console.core.connection import LOCAL_STACK_ID, ConnectionInfo, Environment, Mode
from console.core.errors import Cause, ConsoleError

FILE_VERSION = 1
LOCAL_STACK_NAME = "Local stack"


@dataclass(frozen=True, slots=True)
class Connection:
    """`broker_url` and `schedules_url` are without passwords; those are in the keyring."""

    id: str
    name: str
    environment: Environment
    broker_url: str
    schedules_url: str = ""
    key_prefix: str = ""
    mode: Mode = Mode.FULL
    last_used: datetime | None = None

    @property
    def info(self) -> ConnectionInfo:
        return ConnectionInfo(self.id, self.name, self.environment, self.mode)

    @property
    def is_local_stack(self) -> bool:
        return self.id == LOCAL_STACK_ID


def without_password(url: str) -> tuple[str, str]:
    """`url` without the password in it, and that password (decoded; "" when there is none).

    Raises ValueError for what is no URL.
    """
    parts = urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    user, _colon, password = login.partition(":")
    netloc = f"{user}@{host}" if at and user else host
    return urlunsplit(parts._replace(netloc=netloc)), unquote(password)


def with_password(url: str, password: str) -> str:
    """`url` with `password` put in, for the one place that opens the line."""
    parts = urlsplit(url)
    login, _at, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{login}:{quote(password, safe='')}@{host}"))


def local_stack_connection(last_used: datetime | None = None) -> Connection:
    """The connection that is always there; its broker is known while the stack runs."""
    return Connection(LOCAL_STACK_ID, LOCAL_STACK_NAME, Environment.DEVELOPMENT, "", last_used=last_used)


def dump_connections(connections: list[Connection]) -> str:
    """The text of the connections file."""
    entries = [
        {
            "id": one.id,
            "name": one.name,
            "environment": one.environment.value,
            "broker_url": one.broker_url,
            "schedules_url": one.schedules_url,
            "key_prefix": one.key_prefix,
            "mode": one.mode.value,
            "last_used": one.last_used.isoformat() if one.last_used else None,
        }
        for one in connections
    ]
    return json.dumps({"version": FILE_VERSION, "connections": entries}, indent=2) + "\n"


def load_connections(text: str) -> list[Connection]:
    """The connections in a file's text. Raises `ConsoleError` that says which entry is wrong."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise _wrong(f"It is not JSON: {error}.") from error
    if not isinstance(data, dict) or not isinstance(data.get("connections"), list):
        raise _wrong("The list of connections is missing.")
    version = data.get("version")
    if not isinstance(version, int) or version > FILE_VERSION:
        raise _wrong(f"It is of version {version!r}; this console knows {FILE_VERSION}.")
    return [_connection(entry, position) for position, entry in enumerate(data["connections"], 1)]


def _connection(entry: Any, position: int) -> Connection:
    if not isinstance(entry, dict):
        raise _wrong(f"Entry {position} is not an object.")
    try:
        for key in ("broker_url", "schedules_url"):
            urlsplit(str(entry.get(key, "")))  # what is no URL is said here
        last_used = entry.get("last_used")
        return Connection(
            id=_text(entry, "id"),
            name=_text(entry, "name"),
            environment=Environment(entry.get("environment", Environment.PRODUCTION.value)),
            broker_url=str(entry.get("broker_url", "")),
            schedules_url=str(entry.get("schedules_url", "")),
            key_prefix=str(entry.get("key_prefix", "")),
            mode=Mode(entry.get("mode", Mode.FULL.value)),
            last_used=datetime.fromisoformat(last_used) if last_used else None,
        )
    except (ValueError, TypeError) as error:
        raise _wrong(f"Entry {position} cannot be read: {error}.") from error


def _text(entry: dict[str, Any], key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key} is missing")
    return value


def _wrong(detail: str) -> ConsoleError:
    return ConsoleError(
        "The connections file cannot be read",
        detail=detail,
        remedy="It is left as it is. Mend it or move it away, then start the console again.",
        cause=Cause.INVALID,
    )
