"""django-celery-results' table read by the plain drivers: no Django, as the collector's process has none."""

from __future__ import annotations

import logging
import os
import socket
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from importlib import import_module
from typing import Any
from urllib.parse import quote

from console.broker.database import DatabaseAddress, DatabaseKind
from console.broker.libpq_tls import libpq_tls
from console.broker.results import AT_ONCE, MAX_BYTES, TABLE, BackendResult, chunks
from console.broker.results_content import result_of_row
from console.broker.tls import named_context
from console.core.errors import Cause, ConsoleError
from console.core.redaction import redact

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_S = 8
ANSWER_WITHIN_S = 2
# Columns by age of the table: `worker` came with migration 0005, `task_name` with 0002.
_PLAIN = ("task_id", "status", "content_type", "content_encoding", "date_done", "worker", "task_name")
_LONG = ("result", "traceback", "meta", "task_args", "task_kwargs")


class SqlResults:
    """One connection for one `read`, closed with it; nothing is ever written."""

    def __init__(self, address: DatabaseAddress) -> None:
        self._address = address
        self.place = address.summary

    def read(self, task_ids: Sequence[str]) -> dict[str, BackendResult]:
        found: dict[str, BackendResult] = {}
        if not task_ids:
            return found
        with _told(self._address), closing(_connect(self._address)) as line:
            cursor = line.cursor()
            with _bounded(line, self._address):
                cursor.execute(f"SELECT * FROM {TABLE} WHERE 1 = 0")  # noqa: S608 - our own names
            has = {str(column[0]) for column in cursor.description}
            for ids in chunks(list(dict.fromkeys(task_ids)), AT_ONCE):
                with _bounded(line, self._address):
                    cursor.execute(*self._query(has, ids))
                    rows = cursor.fetchall()
                names = [str(column[0]) for column in cursor.description]
                for values in rows:
                    row = dict(zip(names, values, strict=True))
                    found[row["task_id"]] = result_of_row(row["task_id"], row)
        return found

    def _query(self, has: set[str], ids: Sequence[str]) -> tuple[str, list[str]]:
        mark = "?" if self._address.kind is DatabaseKind.SQLITE else "%s"
        wanted = [name for name in _PLAIN if name in has]
        wanted += [f"SUBSTR({name}, 1, {MAX_BYTES + 1}) AS {name}" for name in _LONG if name in has]
        places = ", ".join([mark] * len(ids))
        return f"SELECT {', '.join(wanted)} FROM {TABLE} WHERE task_id IN ({places})", list(ids)  # noqa: S608


def _connect(address: DatabaseAddress) -> Any:
    match address.kind:
        case DatabaseKind.SQLITE:
            # mode=ro: never created, never changed.
            return sqlite3.connect(f"file:{quote(address.path)}?mode=ro", uri=True, timeout=CONNECT_TIMEOUT_S)
        case DatabaseKind.POSTGRESQL:
            return _postgresql(address)
        case DatabaseKind.MYSQL:
            return _mysql(address)


def _postgresql(address: DatabaseAddress) -> Any:
    psycopg = _driver("psycopg", "PostgreSQL", "postgres")
    options: dict[str, Any] = {"sslmode": "disable", "gssencmode": "disable"}
    host, port = address.host, address.port
    if address.tls is not None and not address.is_socket:
        options |= libpq_tls(address.tls)
        host = address.tls.server_name or host
    # libpq checks the certificate against host and connects to hostaddr.
    if address.near is not None:
        options["hostaddr"], port = address.near
    elif host != address.host:
        options["hostaddr"] = socket.getaddrinfo(address.host, port, type=socket.SOCK_STREAM)[0][4][0]
    line = psycopg.connect(
        host=host,
        port=port,
        dbname=address.name,
        user=address.username,
        password=address.password.reveal(),
        connect_timeout=CONNECT_TIMEOUT_S,
        application_name="celery-console",
        autocommit=True,
        **options,
    )
    try:
        with _bounded(line, address):
            # Not as an option of the start, which poolers refuse.
            line.execute(f"SET statement_timeout = {STATEMENT_TIMEOUT_S * 1000}")
    except BaseException:
        line.close()
        raise
    return line


@contextmanager
def _bounded(line: Any, address: DatabaseAddress) -> Iterator[None]:
    """psycopg waits for ever for a server, or a tunnel to it, that stopped answering; the others do not."""
    if address.kind is not DatabaseKind.POSTGRESQL:
        yield
        return
    watch = threading.Timer(STATEMENT_TIMEOUT_S + ANSWER_WITHIN_S, _cut, [line])
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()


def _cut(line: Any) -> None:
    """End the connection under whoever waits for it."""
    try:
        with socket.socket(fileno=os.dup(line.fileno())) as own:
            own.shutdown(socket.SHUT_RDWR)
    except Exception as error:  # it has ended by itself
        log.debug("The line was closed already: %s", type(error).__name__)


def _mysql(address: DatabaseAddress) -> Any:
    pymysql = _driver("pymysql", "MySQL", "mysql")
    options: dict[str, Any] = {"ssl_disabled": True}
    if address.tls is not None and not address.is_socket:
        options = {"ssl": named_context(address.tls, address.host)}
    if address.is_socket:
        options["unix_socket"] = address.host
    host, port = address.near or ("" if address.is_socket else address.host, address.port)
    return pymysql.connect(
        host=host or "localhost",
        port=port,
        user=address.username,
        password=address.password.reveal().encode(),
        database=address.name,
        charset="utf8mb4",
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=STATEMENT_TIMEOUT_S,
        write_timeout=STATEMENT_TIMEOUT_S,
        autocommit=True,
        **options,
    )


def _driver(module: str, what: str, extra: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ConsoleError(
            f"{what} needs one more package",
            detail=f"{module} is not installed with this console.",
            remedy=f"Install it with: pip install 'celery-console[{extra}]'",
            cause=Cause.INVALID,
        ) from error


@contextmanager
def _told(address: DatabaseAddress) -> Iterator[None]:
    """What a driver raises, in words. All of them derive from an `Error` of PEP 249 in their own module."""
    try:
        yield
    except ConsoleError:
        raise
    except Exception as error:
        if not (isinstance(error, OSError | UnicodeError) or _is_driver_error(error)):
            raise
        raise _failure(error, address) from error


def _is_driver_error(error: Exception) -> bool:
    return any(
        kind.__name__ == "Error" and kind.__module__.partition(".")[0] in ("sqlite3", "psycopg", "pymysql")
        for kind in type(error).__mro__
    )


def _failure(error: Exception, address: DatabaseAddress) -> ConsoleError:
    text = redact(str(error.args[-1] if error.args else error).partition("\n")[0])[:300]
    detail = f"{address.place}: {text}"
    if TABLE in text or "no such table" in text:
        return ConsoleError(
            "The database has no table of results",
            detail=detail,
            remedy="Run django-celery-results' migrations, or set another result backend in Connections.",
            cause=Cause.NOT_MIGRATED,
        )
    if any(word in text.lower() for word in ("password", "access denied", "authentication")):
        return ConsoleError(
            "The result database refused the login",
            detail=detail,
            remedy="Check the user and the password of the connection.",
            cause=Cause.REFUSED_LOGIN,
        )
    if "permission denied" in text.lower() or "command denied" in text.lower():
        return ConsoleError(
            "The database user may not read results",
            detail=detail,
            remedy=f"Grant it SELECT on {TABLE}.",
            cause=Cause.NOT_PERMITTED,
        )
    return ConsoleError(
        "The result database cannot be read",
        detail=detail,
        remedy="Check that it runs and can be reached.",
        cause=Cause.UNREACHABLE,
        retryable=True,
    )
