"""One console per home folder: the second one brings the first one's window forward and ends.

A second window that a person asked for is a process of its own without the lock. It does everything but the
local stack, which belongs to whoever holds the lock, and may take over when that one has ended.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QLockFile

if TYPE_CHECKING:
    from PySide6.QtNetwork import QLocalServer

ANSWER_MS = 2000
RAISE = b"raise\n"


def _server_name(home: Path) -> str:
    return f"celery-console-{hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:16]}"


class SingleInstance:
    """Holds the lock of a home folder while this object lives."""

    def __init__(self, home: Path) -> None:
        self._name = _server_name(home)
        self._lock = QLockFile(str(home / "console.lock"))
        self._lock.setStaleLockTime(0)  # held until the process ends, however long that is
        self._server: QLocalServer | None = None
        self._on_raise: Callable[[], None] | None = None

    @property
    def held(self) -> bool:
        """Whether this console is the one that holds the home."""
        return self._lock.isLocked()

    def acquire(self, *, within_ms: int = 100) -> bool:
        """False when another console holds this home. Asked again, it takes over from one that has ended."""
        if self.held:
            return True
        if not self._lock.tryLock(within_ms):
            return False
        self._listen()
        return True

    def raise_the_first(self) -> bool:
        """Ask the console that holds the home to come forward; whether it was reached. Blocks shortly."""
        from PySide6.QtNetwork import QLocalSocket

        socket = QLocalSocket()
        socket.connectToServer(self._name)
        if not socket.waitForConnected(ANSWER_MS):
            return False
        socket.write(RAISE)
        reached = socket.waitForBytesWritten(ANSWER_MS)
        socket.disconnectFromServer()
        return reached

    def listen(self, on_raise: Callable[[], None]) -> None:
        """Call `on_raise` whenever a second console was started on this home, while this one holds it."""
        self._on_raise = on_raise
        if self.held:
            self._listen()

    def _listen(self) -> None:
        on_raise = self._on_raise
        if on_raise is None:
            return  # not ready for it yet: `listen` comes
        from PySide6.QtNetwork import QLocalServer  # after the first paint

        server = QLocalServer()
        server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
        QLocalServer.removeServer(self._name)  # what a killed console left behind; the lock is ours

        def connected() -> None:
            while (socket := server.nextPendingConnection()) is not None:
                socket.disconnected.connect(socket.deleteLater)
                on_raise()

        server.newConnection.connect(connected)
        server.listen(self._name)
        self._server = server

    def release(self) -> None:
        if self._server is not None:
            self._server.close()
        self._lock.unlock()
