"""How the bytes of one connection come: straight from its socket, or by way of the process that empties it.

`event_line` reads both in the same way. Each keeps the socket for what is said to the broker.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Protocol

from console.collector import drain_process
from console.collector.drain_process import BROKE, CLOSED, DATA, FULL, HEADER, LEAVE, TAKE, TAKEN
from console.core.errors import Cause, ConsoleError

CHUNK_BYTES = 1024 * 1024
TLS_RECORD_BYTES = 16 * 1024  # more is never given at once
PAIR_BYTES = 1024 * 1024
RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
WIDE_BUFFER_BYTES = 32 * 1024 * 1024
_SO_RCVBUFFORCE = 33  # linux/include/uapi/asm-generic/socket.h; Python has no name for it
TAKEN_WITHIN_S = 5.0
ENDED_WITHIN_S = 1.0
# glibc otherwise learns from the first large block that such blocks come often, and keeps them (mallopt(3)).
GIVES_BACK = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}


def widen(line: socket.socket) -> None:
    """Let the system hold more for us while nobody reads: as much as a broker does where we may say so.

    Root, and who has CAP_NET_ADMIN, may pass the system's limit (socket(7)).
    """
    if sys.platform == "linux":
        try:
            line.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, WIDE_BUFFER_BYTES)
        except OSError:
            pass
        else:
            return
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)


class FullError(Exception):
    """As much is held as may be, and nobody took any of it."""


class Line(Protocol):
    """A connection to a broker on which events come.

    `arrived_s` is the monotonic instant at which what `receive` gave last had come. `waits`: what comes while
    nobody receives is held elsewhere, up to a bound of its own (`FullError` is said at its end).
    """

    arrived_s: float
    waits: bool

    def fileno(self) -> int:
        """What a selector waits on."""

    def receive(self) -> bytes:
        """What is there now, up to about a chunk; empty at the end of the stream.

        Raises `BlockingIOError` or `ssl.SSLWantReadError` when nothing is there, `FullError`, and `OSError`.
        """

    def receive_within(self, timeout_s: float) -> bytes:
        """The same, waited for. Raises `OSError`, of which `TimeoutError` is one."""

    def say(self, words: bytes, timeout_s: float) -> bool:
        """Whether `words` went out; what is not taken within the time counts as lost."""

    def close(self) -> None: ...


def _said(line: socket.socket, words: bytes, timeout_s: float) -> bool:
    try:
        line.settimeout(timeout_s)
        line.sendall(words)
    except OSError:
        return False
    finally:
        line.setblocking(False)
    return True


class DirectLine:
    """A socket that is read here, TLS and all."""

    waits = False

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self.arrived_s = time.monotonic()
        line.setblocking(False)

    def fileno(self) -> int:
        return self._line.fileno()

    def receive(self) -> bytes:
        data = self._receive()
        self.arrived_s = time.monotonic()
        return data

    def _receive(self) -> bytes:
        """TLS gives one record at a time, and what it holds is seen by no selector: all of them are taken."""
        line = self._line
        if not isinstance(line, ssl.SSLSocket):
            return line.recv(CHUNK_BYTES)
        records = [line.recv(TLS_RECORD_BYTES)]
        size = len(records[0])
        while records[-1] and (size < CHUNK_BYTES or line.pending()):
            try:
                records.append(line.recv(TLS_RECORD_BYTES))
            except ssl.SSLWantReadError:
                break
            size += len(records[-1])
        return b"".join(records)

    def receive_within(self, timeout_s: float) -> bytes:
        self._line.settimeout(timeout_s)
        try:
            data = self._line.recv(CHUNK_BYTES)
        finally:
            self._line.setblocking(False)
        self.arrived_s = time.monotonic()
        return data

    def say(self, words: bytes, timeout_s: float) -> bool:
        return _said(self._line, words, timeout_s)

    def close(self) -> None:
        self._line.close()


class DrainedLine:
    """A socket that `drain_process` empties; the drain has one at a time."""

    waits = True

    def __init__(self, line: socket.socket, drain: Drain) -> None:
        self._line = line
        self._drain = drain
        self.arrived_s = time.monotonic()

    def fileno(self) -> int:
        return self._drain.pair.fileno()

    def receive(self) -> bytes:
        data, self.arrived_s = self._drain.receive()
        return data

    def receive_within(self, timeout_s: float) -> bytes:
        deadline_s = time.monotonic() + timeout_s
        while True:
            try:
                return self.receive()
            except BlockingIOError:
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    raise TimeoutError from None
                select.select([self], [], [], left_s)

    def say(self, words: bytes, timeout_s: float) -> bool:
        return _said(self._line, words, timeout_s)

    def close(self) -> None:
        self._line.close()
        self._drain.leave()


class Drain:
    """This process's end of one `drain_process`, which lives as long as this does, or its process."""

    def __init__(self, held_bytes: int) -> None:
        self.pair, theirs = socket.socketpair()
        self.pair.setblocking(False)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PAIR_BYTES)
        self._number = 0
        self._header = self._why = b""
        self._kind, self._of, self._at_s, self._left = DATA, 0, 0.0, 0
        words = [sys.executable, "-I", "-S", str(Path(drain_process.__file__))]
        with theirs:
            number = theirs.fileno()
            try:
                self._process = subprocess.Popen(
                    [*words, str(number), str(held_bytes)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(number,),
                    env={**os.environ, **GIVES_BACK},
                )
            except OSError as error:
                self.pair.close()
                raise _not_started(error.strerror or str(error)) from error

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def take(self, line: socket.socket) -> DrainedLine:
        """Have `line` emptied from now on. Raises `ConsoleError` when the process does not do it."""
        self._number += 1
        try:
            self.pair.settimeout(TAKEN_WITHIN_S)
            socket.send_fds(self.pair, [TAKE], [line.fileno()])
            self._skip()  # the line before may have been left in the middle of a piece
            while not (self._next() and self._kind == TAKEN and self._of == self._number):
                self._skip()
        except OSError as error:
            self.close()
            raise _not_started(error.strerror or "it does not answer") from error
        finally:
            if self.pair.fileno() >= 0:
                self.pair.setblocking(False)
        return DrainedLine(line, self)

    def leave(self) -> None:
        """The line that was taken is not wanted any more."""
        try:
            self.pair.send(LEAVE)
        except OSError:
            self.close()

    def receive(self) -> tuple[bytes, float]:
        """Bytes of the line that was taken last and when they came; empty at its end. Raises as `Line`."""
        while True:
            if not self._left:
                self._next()
                if self._of != self._number:
                    continue
                if self._kind == CLOSED:
                    return b"", self._at_s
                if self._kind == FULL:
                    raise FullError
            data = self._read(min(self._left, CHUNK_BYTES)) if self._left else b""
            self._left -= len(data)
            if self._of != self._number:
                continue
            if self._kind == DATA:
                return data, self._at_s
            self._why += data
            if self._kind == BROKE and not self._left:
                raise OSError(errno.EIO, self._why.decode("utf-8", "replace"))

    def _next(self) -> bool:
        """Read the next header, as far as it is there: `BlockingIOError` when it is not all of it."""
        while len(self._header) < HEADER.size:
            self._header += self._read(HEADER.size - len(self._header))
        self._kind, self._of, self._at_s, self._left = HEADER.unpack(self._header)
        self._header = self._why = b""
        return True

    def _skip(self) -> None:
        while self._left:
            self._left -= len(self._read(min(self._left, CHUNK_BYTES)))

    def _read(self, size: int) -> bytes:
        data = self.pair.recv(size)
        if not data:
            raise OSError(errno.EPIPE, "the process that empties it has ended")
        return data

    def close(self) -> None:
        """End the process."""
        self.pair.close()
        try:
            self._process.wait(ENDED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _not_started(why: str) -> ConsoleError:
    return ConsoleError(
        "The reader of events could not be started",
        detail=f"The process that empties the line: {why}.",
        remedy="It is tried again. This computer may be out of memory, or allow no more processes.",
        cause=Cause.UNREACHABLE,
        retryable=True,
    )
