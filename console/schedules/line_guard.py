"""A bound on how long an open line to a database may stay silent, kept from this end.

A server's own statement timeout says nothing when the server, or the network, is gone without a word, and
libpq would then wait for ever. A thread cannot be killed, but what it waits for can be ended.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from console.core.errors import Cause, ConsoleError

CALL_S = 15.0
"""How long one call may take in all: longer than one statement, shorter than the lane's patience."""


@contextmanager
def line_bounded(connection: Any) -> Iterator[None]:
    """End the line of a driver's `connection` when the block takes longer; then raise `ConsoleError`."""
    number = _socket_number(connection)
    if number is None:
        yield
        return
    # A duplicate: it stays ours whatever the driver closes meanwhile.
    with socket.socket(fileno=os.dup(number)) as line:
        ended = threading.Event()
        timer = threading.Timer(CALL_S, _end, (line, ended))
        timer.daemon = True
        timer.start()
        try:
            yield
        except ConsoleError as error:
            if ended.is_set():
                raise ConsoleError(
                    "The schedules database does not answer in time",
                    detail=f"The line was open and silent for {CALL_S:g} s.",
                    remedy="The server is overloaded, or the network has dropped the line without a word.",
                    cause=Cause.TIMEOUT,
                    retryable=True,
                ) from error
            raise
        finally:
            timer.cancel()
            timer.join()


def _socket_number(connection: Any) -> int | None:
    """The descriptor of psycopg's or PyMySQL's connection; None for a file."""
    if hasattr(connection, "pgconn"):
        return int(connection.pgconn.socket)
    line = getattr(connection, "_sock", None)
    return None if line is None else int(line.fileno())


def _end(line: socket.socket, ended: threading.Event) -> None:
    ended.set()
    try:
        line.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the other end was first
