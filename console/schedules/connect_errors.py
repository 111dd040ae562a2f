"""Why a database server lets nobody in, in words: name, line, TLS, login, in that order.

libpq tells of a certificate only that it was refused, so the server is asked for TLS once more with Python's
own, which knows why. PyMySQL's TLS is Python's already.
"""

from __future__ import annotations

import re
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InterfaceError, NotSupportedError

from console.broker.database import DatabaseAddress, DatabaseKind
from console.broker.tls import TlsOptions, tls_error, wrap
from console.core.errors import Cause, ConsoleError
from console.core.redaction import redact
from console.schedules.database_errors import cause_of, failure, first_line, first_os_error, text_of

PROBE_S = 3.0
# SSLRequest: its length and 80877103, https://www.postgresql.org/docs/current/protocol-message-formats.html
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_LIBPQ_PREFIX = re.compile(r"^(connection failed: )?(connection to server (at|on) .*? failed: )?", re.DOTALL)
# How libpq and PyMySQL find that somebody else listens.
_OTHER_PROTOCOL = (
    "received invalid response to SSL negotiation",
    "expected authentication request from server",
    "Packet sequence number wrong",
)
_NO_TLS = ("server does not support SSL", "SSL is required but the server doesn't support it")
# PostgreSQL's words, and MySQL's for ER_SECURE_TRANSPORT_REQUIRED.
_TLS_WANTED = ("no encryption", "require_secure_transport")
# PgBouncer's words, https://www.pgbouncer.org/config.html (ignore_startup_parameters).
_POOLER_REFUSES = "unsupported startup parameter"


def connect(connection: Any, database: DatabaseAddress) -> None:
    """Open Django's `connection` to `database`. Blocking. Raises `ConsoleError`."""
    with connect_errors(database):
        try:
            connection.ensure_connection()
        except DatabaseError as error:
            if _POOLER_REFUSES not in str(error):
                raise
            # A pooler takes no settings at the start unless told to; `line_bounded` holds without them.
            connection.settings_dict["OPTIONS"].pop("options")
            connection.ensure_connection()


@contextmanager
def connect_errors(database: DatabaseAddress) -> Iterator[None]:
    """Inside it, whatever keeps one from connecting to `database` becomes a `ConsoleError`. Blocking."""
    try:
        yield
    except NotSupportedError as error:
        raise ConsoleError(
            "The schedules database is too old for this console",
            detail=first_line(str(error)),
            remedy="Upgrade the server; django-celery-beat itself needs it too with a current Django.",
            cause=Cause.INVALID,
        ) from error
    except (DatabaseError, InterfaceError) as error:
        raise connect_error(error, database) from error
    except (struct.error, IndexError, AssertionError) as error:
        raise _other_protocol(database) from error  # PyMySQL reading what is no greeting of MySQL's
    except (ValueError, TypeError, ImproperlyConfigured) as error:
        raise ConsoleError(
            "The settings of the schedules database cannot be used",
            detail=redact(first_line(str(error))),
            remedy="Check its name, user, password and server name in the connection.",
            cause=Cause.INVALID,
        ) from error


def connect_error(error: Exception, database: DatabaseAddress) -> ConsoleError:
    """What `error` says about `database`. Blocking: a refused certificate is looked at once more."""
    text = _LIBPQ_PREFIX.sub("", text_of(error))
    if database.kind is DatabaseKind.SQLITE:
        return failure(cause_of(error, database), first_line(text))
    cause = first_os_error(error)
    if isinstance(cause, ssl.SSLError) and database.tls is not None:
        expected = database.tls.server_name or database.host
        return tls_error(cause, shown=database.place, expected=expected)
    if isinstance(cause, socket.gaierror) or "failed to resolve host" in text:
        return unknown_host(database.host)
    if cause is not None and cause.strerror:
        text = cause.strerror  # PyMySQL's own words name the near end of a tunnel
    if any(part in text for part in _OTHER_PROTOCOL):
        return _other_protocol(database)
    if any(part in text for part in _NO_TLS):
        return ConsoleError(
            "The server does not speak TLS",
            detail=f"{database.place} offers none.",
            remedy="Turn Use TLS off, or have its administrator turn it on.",
            cause=Cause.PROTOCOL,
        )
    if database.tls is None and any(part in text for part in _TLS_WANTED):
        return ConsoleError(
            "The server lets nobody in without TLS",
            detail=f"{database.place}: {first_line(text)}",
            remedy="Turn Use TLS on for the schedules database.",
            cause=Cause.PROTOCOL,
        )
    if database.tls is not None and ("SSL" in text or "certificate" in text or "private key" in text):
        told = _certificate_words(text, database, database.tls)
        if told is not None:
            return told
    found = failure(cause_of(error, database), f"{database.place}: {redact(first_line(text))}")
    if found.cause is Cause.REFUSED_LOGIN and database.kind is DatabaseKind.MYSQL and database.tls is None:
        # MariaDB's answer to whom it lets in with TLS only is the one to a wrong password.
        found.remedy = "Check its user and password. If the server demands TLS, turn Use TLS on."
    return found


def unknown_host(host: str) -> ConsoleError:
    return ConsoleError(
        "The host's name cannot be resolved",
        detail=f"No address is known for {host}.",
        remedy="Check the spelling, the network and the VPN.",
        cause=Cause.UNREACHABLE,
        retryable=True,
    )


def _other_protocol(database: DatabaseAddress) -> ConsoleError:
    return ConsoleError(
        f"No {database.kind} answers on this port",
        detail=f"{database.place} answered with something else.",
        remedy="Check the port: another program listens there.",
        cause=Cause.PROTOCOL,
    )


def _certificate_words(text: str, database: DatabaseAddress, tls: TlsOptions) -> ConsoleError | None:
    """PostgreSQL: why the certificate of either side is refused; None when it is about something else."""
    if "valid client certificate" in text or "certificate required" in text:
        return ConsoleError(
            "The server wants a client certificate",
            detail=f"{database.place}: {first_line(text)}",
            remedy="Choose Client certificate and Client key under TLS.",
            cause=Cause.CERTIFICATE,
        )
    if "private key file" in text:
        return ConsoleError(
            "The file of the client key cannot be used",
            detail=first_line(text),
            remedy=f"Others may read it; close it with: chmod 600 {tls.key_file}",
            cause=Cause.INVALID,
        )
    try:
        _shake_hands(database, tls)
    except ConsoleError as error:
        return error
    except OSError:
        return None
    return ConsoleError(
        "The TLS handshake failed",
        detail=f"{database.place}: {first_line(text)}",
        remedy="Check the certificates under TLS.",
        cause=Cause.CERTIFICATE,
    )


def _shake_hands(database: DatabaseAddress, tls: TlsOptions) -> None:
    """Ask PostgreSQL for TLS as libpq does, and go no further. Raises `ConsoleError` or `OSError`."""
    end = database.near or (database.host, database.port)
    with socket.create_connection(end, timeout=PROBE_S) as line:
        line.sendall(_SSL_REQUEST)
        if line.recv(1) == b"S":
            wrap(line, tls, database.host, shown=database.place).close()
