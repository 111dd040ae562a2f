"""TLS whose bytes are opened by another thread than the one that empties the socket.

`ssl.SSLSocket` gives one record (at most 16 KB) for each call, where a plain socket gives a megabyte, and
each call waits for its turn beside the thread that decodes. So the one thread moves sealed bytes as it moves
plain ones, and whoever decodes them opens them first.
"""

from __future__ import annotations

import socket
import ssl
import threading

from console.broker.tls import TlsOptions, tls_context, tls_error

READ_BYTES = 256 * 1024
RECORDS_BYTES = 64 * 1024


class Sealed:
    """TLS on `line`, the handshake done within the line's own timeout. Raises `ConsoleError`.

    `sendall`, `recv` and the timeout are those of a socket, for the time in which one thread does all.
    """

    def __init__(self, line: socket.socket, options: TlsOptions, host: str, *, shown: str) -> None:
        self._line = line
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        expected = options.server_name or host
        self._tls = tls_context(options).wrap_bio(self._came, self._goes, server_hostname=expected)
        self._turn = threading.Lock()
        try:
            self._shake_hands()
        except OSError as error:  # ssl.SSLError is one
            raise tls_error(error, shown=shown, expected=expected) from error

    def _shake_hands(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._line.sendall(self._goes.read())
                data = self._line.recv(RECORDS_BYTES)
                if not data:
                    raise ConnectionError("the server closed the connection") from None
                self._came.write(data)
            except ssl.SSLError:
                self._line.sendall(self._goes.read())  # the alert, which tells the server why
                raise
            else:
                self._line.sendall(self._goes.read())
                return

    def open(self, data: bytes) -> bytes:
        """What `data` and what came before it hold, as far as it is complete. Raises `ssl.SSLError`."""
        opened: list[bytes] = []
        with self._turn:
            self._came.write(data)
            try:
                while piece := self._tls.read(READ_BYTES):
                    opened.append(piece)
            except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                pass
        return b"".join(opened)

    def seal(self, data: bytes) -> bytes:
        """`data` as it goes over the line."""
        with self._turn:
            self._tls.write(data)
            return self._goes.read()

    def sendall(self, data: bytes) -> None:
        self._line.sendall(self.seal(data))

    def recv(self, _size: int) -> bytes:
        while True:
            data = self._line.recv(RECORDS_BYTES)
            if not data or (opened := self.open(data)):
                return opened if data else b""

    def gettimeout(self) -> float | None:
        return self._line.gettimeout()

    def settimeout(self, timeout_s: float | None) -> None:
        self._line.settimeout(timeout_s)
