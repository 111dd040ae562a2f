"""Turns ``DATABASE_URL`` into Django's database settings: a SQLite path or a PostgreSQL URL."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

SQLITE_PRAGMAS = (
    # Readers and the one writer do not block each other; NORMAL is safe in WAL when a process is killed.
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=NORMAL",
    "PRAGMA foreign_keys=ON",
)


def database_from_url(url: str, *, busy_timeout_s: float) -> dict[str, Any]:
    """Return the settings of one database.

    ``url`` is a file path, ``sqlite:///relative/path``, ``sqlite:////absolute/path`` or
    ``postgres[ql]://user:password@host:port/name?option=value``. Raises ``ValueError`` for anything else.
    """
    scheme, separator, _rest = url.partition("://")
    if not separator:
        return _sqlite(url, busy_timeout_s=busy_timeout_s)
    if scheme == "sqlite":
        return _sqlite(unquote(url.removeprefix("sqlite:///")), busy_timeout_s=busy_timeout_s)
    if scheme in {"postgres", "postgresql"}:
        return _postgresql(url)
    message = f"DATABASE_URL: {scheme}:// is not supported, use sqlite:/// or postgresql://"
    raise ValueError(message)


def _sqlite(path: str, *, busy_timeout_s: float) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(Path(path).expanduser().absolute()),
        "OPTIONS": {
            "timeout": busy_timeout_s,
            # A transaction that reads first and writes later cannot wait for the lock, it fails at once
            # ("database is locked"); taking the write lock at its start makes it wait its turn.
            "transaction_mode": "IMMEDIATE",
            "init_command": ";".join(SQLITE_PRAGMAS),
        },
    }


def _postgresql(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": str(parts.port or ""),
        "OPTIONS": {"connect_timeout": 10, **dict(parse_qsl(parts.query))},
        "CONN_HEALTH_CHECKS": True,
    }
