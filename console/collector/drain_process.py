"""The process that empties a socket: it reads, holds and hands on bytes, and understands none of them.

Redis cuts a subscriber that stays 32 MB behind, which in a burst takes 50 ms. A thread of the collector is
too slow for that on a busy machine: it needs the interpreter, which is held by the thread that decodes, which
has a low priority and may itself be waiting for a processor. So this is a process with an interpreter and a
priority of its own. It is run by its file's path, without site packages, and loads of the standard library
what it needs: 10 MiB resident. Of TLS it reads the records as they are.

It gets one end of a socket pair on the file descriptor that is its first argument, and may hold as many bytes
as its second one says. `TAKE` comes with the descriptor of a line to empty, `LEAVE` ends that. What it tells
is `HEADER` (a kind, the number of the line, the monotonic instant in seconds, how many bytes follow) and
bytes. It ends when its pair does.
"""

from __future__ import annotations

import select
import signal
import socket
import struct
import sys
import time
from collections import deque
from itertools import islice

TAKE, LEAVE = b"T", b"L"
HEADER = struct.Struct("=BIdI")
TAKEN, DATA, CLOSED, BROKE, FULL = range(5)

SEGMENT_BYTES = 1024 * 1024
ROOM_BYTES = 64 * 1024
HOT_BYTES = 256 * 1024
HOT_READS = 32
HOT_PAUSE_S = 0.02
HOT_HANDED_BYTES = 1024 * 1024
PIECES = 16
# Redis 7.0 closes a TLS line ("SSL routines::bad length", seen only with `loglevel verbose`) when its socket
# was full and it then has less to write: it must get its acknowledgements at once. Linux forgets this option.
QUICK = getattr(socket, "TCP_QUICKACK", 0)


class Drain:
    """What is held for the collector, and the line that it comes from.

    While bytes rush in they are handed on at 50 MB/s only, which is more than anybody decodes: copying them
    costs the time in which the line must be read.
    """

    def __init__(self, pair: socket.socket, limit: int) -> None:
        self._pair = pair
        self._limit = limit
        self._line: socket.socket | None = None
        self._number = 0
        self._out: deque[memoryview] = deque()
        self._held = 0
        # What came and is no frame yet lies in the segment between these two.
        self._segment = memoryview(bytearray(SEGMENT_BYTES))
        self._start, self._end_of = 0, 0
        self._came_s = 0.0
        self._hot = self._quick = False
        self._handed_s = 0.0
        self._poll = select.poll()
        self._poll.register(pair, select.POLLIN)

    def run(self) -> None:
        """Until nobody listens any more."""
        while True:
            waiting = bool(self._out) or self._end_of > self._start
            writable = select.POLLOUT if waiting and not self._hot else 0
            self._poll.modify(self._pair, select.POLLIN | writable)
            came = 0
            for descriptor, ready in self._poll.poll(HOT_PAUSE_S * 1000 if self._hot else None):
                if descriptor == self._pair.fileno():
                    if ready & ~select.POLLOUT and not self._obey():
                        return
                elif self._line is not None and descriptor == self._line.fileno():
                    came = self._read(self._line)
            self._hot = came >= HOT_BYTES
            if not self._hot or time.monotonic() - self._handed_s >= HOT_PAUSE_S:
                self._handed_s = time.monotonic()
                if not self._hand_on(HOT_HANDED_BYTES if self._hot else self._limit):
                    return

    def _obey(self) -> bool:
        words, descriptors, _, _ = socket.recv_fds(self._pair, len(TAKE), 1)
        if not words:
            return False
        # What is ready to be handed on is handed on whole: the other end drops it by its number.
        self._leave()
        self._held -= self._end_of - self._start
        self._start = self._end_of
        if words == TAKE and descriptors:
            self._line = socket.socket(fileno=descriptors[0])
            self._line.setblocking(False)
            self._quick = QUICK != 0 and self._line.family != socket.AF_UNIX
            self._poll.register(self._line, select.POLLIN)
            self._number += 1
            self._tell(TAKEN)
        return True

    def _leave(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            self._poll.unregister(line)
            line.close()

    def _read(self, line: socket.socket) -> int:
        """Read until nothing is there, or for long enough; how many bytes came."""
        came = 0
        for _ in range(HOT_READS):
            if SEGMENT_BYTES - self._end_of < ROOM_BYTES:
                self._close_frame()
                self._segment = memoryview(bytearray(SEGMENT_BYTES))
                self._start = self._end_of = 0
            try:
                size = line.recv_into(self._segment[self._end_of :])
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                self._end(BROKE, (error.strerror or "").encode())
                break
            if not size:
                self._end(CLOSED)
                break
            if self._quick:
                line.setsockopt(socket.IPPROTO_TCP, QUICK, 1)
            self._end_of += size
            self._held += size
            came += size
            if self._held > self._limit:
                self._end(FULL)
                break
        self._came_s = time.monotonic()
        return came

    def _end(self, kind: int, words: bytes = b"") -> None:
        self._leave()
        self._close_frame()
        self._tell(kind, words)

    def _close_frame(self) -> None:
        start, self._start = self._start, self._end_of
        if self._start > start:
            self._held -= self._start - start
            self._tell(DATA, self._segment[start : self._start], at_s=self._came_s)

    def _tell(self, kind: int, data: bytes | memoryview = b"", *, at_s: float | None = None) -> None:
        at_s = time.monotonic() if at_s is None else at_s
        self._out.append(memoryview(HEADER.pack(kind, self._number, at_s, len(data))))
        if data:
            self._out.append(memoryview(data))
        self._held += HEADER.size + len(data)

    def _hand_on(self, at_most: int) -> bool:
        """Give what is taken at once, about `at_most` bytes; False when nobody is there to take it."""
        if not self._out:
            self._close_frame()
        while self._out and at_most > 0:
            try:
                sent = self._pair.sendmsg(list(islice(self._out, PIECES)))
            except BlockingIOError:
                return True
            except OSError:
                return False
            self._held -= sent
            at_most -= sent
            while sent:
                piece = self._out.popleft()
                if sent < len(piece):
                    self._out.appendleft(piece[sent:])
                    break
                sent -= len(piece)
        return True


def main() -> None:
    # A service manager ends all processes of a service at once; this one has to stay for what is held.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    pair = socket.socket(fileno=int(sys.argv[1]))
    pair.setblocking(False)
    Drain(pair, int(sys.argv[2])).run()


if __name__ == "__main__":
    main()
