"""Django in the console's process: set up once, on the database lane, with the bundled project's models.

The bundled project's own databases are not touched: each open connection registers an alias of its own,
so that two connections never share one and nothing is ever migrated.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote

from console.broker.database import DatabaseAddress, DatabaseKind
from console.broker.libpq_tls import libpq_tls
from console.broker.tls import named_context
from console.core.errors import Cause, ConsoleError

SETTINGS = "bundled_project.settings"
BUSY_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_S = 8

_setting_up = threading.Lock()


def set_up_django() -> None:
    """Import Django and the models. Blocking (about half a second the first time)."""
    with _setting_up:
        from django.apps import apps
        from django.conf import settings

        if apps.ready:
            return
        # A shell's own DJANGO_SETTINGS_MODULE must not win, and must not be lost for our children;
        # celery's Django fix-up puts the working directory on sys.path: files there could be imported.
        # Settings also move the process to TIME_ZONE; the person's own zone is what pages and logs show.
        kept = {name: os.environ.get(name) for name in ("DJANGO_SETTINGS_MODULE", "TZ")}
        path = list(sys.path)
        os.environ["DJANGO_SETTINGS_MODULE"] = SETTINGS
        try:
            import django

            if not settings.configured:
                django.setup()
        finally:
            sys.path[:] = path
            for name, value in kept.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            if hasattr(time, "tzset"):
                time.tzset()


def database_settings(database: DatabaseAddress) -> dict[str, Any]:
    """Django's settings for one connecting to `database`, with a timeout on everything.

    Blocking: it reads the files of TLS and may ask for the host's address, so it is made anew for each
    connecting. Raises `ConsoleError` when the driver is not installed or a file of TLS cannot be used.
    """
    texts = (database.path, database.host, database.name, database.username, database.password.reveal())
    if any("\0" in text for text in texts):
        # A driver takes it for the end of all settings, and connects to somebody else.
        raise ConsoleError(
            "The settings of the schedules database cannot be used",
            detail="One of them holds the character NUL.",
            remedy="Type its user and password again.",
            cause=Cause.INVALID,
        )
    match database.kind:
        case DatabaseKind.SQLITE:
            return _sqlite(database.path)
        case DatabaseKind.POSTGRESQL:
            return _postgresql(database)
        case DatabaseKind.MYSQL:
            return _mysql(database)


def sqlite_file(database: DatabaseAddress) -> Path | None:
    """The file of a SQLite database; None for another kind."""
    return Path(database.path) if database.kind is DatabaseKind.SQLITE else None


def _sqlite(path: str) -> dict[str, Any]:
    # mode=rw: a missing file is an error, never created. No pragmas: a foreign file keeps its journal mode.
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": f"file:{quote(path)}?mode=rw",
        "OPTIONS": {"uri": True, "timeout": BUSY_TIMEOUT_S, "transaction_mode": "IMMEDIATE"},
    }


def _postgresql(database: DatabaseAddress) -> dict[str, Any]:
    _need_driver("psycopg", "PostgreSQL", "postgres")
    limits = f"-c statement_timeout={STATEMENT_TIMEOUT_S * 1000} -c lock_timeout={int(BUSY_TIMEOUT_S * 1000)}"
    options: dict[str, Any] = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "application_name": "celery-console",
        "options": limits,
        "gssencmode": "disable",
        # Off is off: libpq would try TLS by itself, and no TLS after it.
        "sslmode": "disable",
    }
    host, port = database.host, database.port
    if database.tls is not None and not database.is_socket:
        options |= libpq_tls(database.tls)
        host = database.tls.server_name or host
    # libpq checks the certificate against host and connects to hostaddr: so a tunnel keeps the name.
    if database.near is not None:
        options["hostaddr"], port = database.near
    elif host != database.host:
        addresses = _addresses(database.host, port)
        options["hostaddr"] = ",".join(addresses)
        host = ",".join([host] * len(addresses))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": database.name,
        "USER": database.username,
        "PASSWORD": database.password.reveal(),
        "HOST": host,
        "PORT": str(port),
        "OPTIONS": options,
    }


def _addresses(host: str, port: int) -> list[str]:
    from console.schedules.connect_errors import unknown_host

    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise unknown_host(host) from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _mysql(database: DatabaseAddress) -> dict[str, Any]:
    pymysql = _need_driver("pymysql", "MySQL", "mysql")
    with _setting_up:
        if sys.modules.get("MySQLdb") is not pymysql:
            pymysql.install_as_MySQLdb()  # Django asks for MySQLdb, whose API PyMySQL offers
    options: dict[str, Any] = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "read_timeout": STATEMENT_TIMEOUT_S,
        "write_timeout": STATEMENT_TIMEOUT_S,
        "charset": "utf8mb4",
        "isolation_level": "read committed",
        "init_command": f"SET SESSION innodb_lock_wait_timeout = {max(1, int(BUSY_TIMEOUT_S))}",
    }
    if database.tls is None or database.is_socket:
        options["ssl_disabled"] = True  # off is off: PyMySQL would take TLS when it is offered
    else:
        options["ssl"] = named_context(database.tls, database.host)
    host, port = database.near or (database.host, database.port)
    return {
        "ENGINE": "django.db.backends.mysql",
        "NAME": database.name,
        "USER": database.username,
        # As mysql's own client sends it; PyMySQL would take Latin-1 and fail with the rest of the world.
        "PASSWORD": database.password.reveal().encode(),
        "HOST": host,
        "PORT": str(port),
        "OPTIONS": options,
    }


def _need_driver(module: str, what: str, extra: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ConsoleError(
            f"{what} needs one more package",
            detail=f"{module} is not installed with this console.",
            remedy=f"Install it with: pip install 'celery-console[{extra}]'",
            cause=Cause.INVALID,
        ) from error
