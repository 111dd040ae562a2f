"""SIGINT and SIGTERM as wishes to close: Ctrl+C in the terminal and a session's end stop the stack too.

Python runs signal handlers only between its own instructions, and Qt's loop has none while it waits; so the
number goes through a pipe that wakes the loop.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable

from PySide6.QtCore import QObject, QSocketNotifier

CLOSING = (signal.SIGINT, signal.SIGTERM)


class ClosingSignals(QObject):
    """Calls `on_signal` on the loop for each of them while this object lives. A second one kills as usual."""

    def __init__(self, on_signal: Callable[[], None]) -> None:
        super().__init__()
        self._on_signal = on_signal
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        self._before = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        self._notifier = QSocketNotifier(self._read.fileno(), QSocketNotifier.Type.Read, self)
        self._notifier.activated.connect(self._arrived)
        for number in CLOSING:
            signal.signal(number, lambda _number, _frame: None)

    def _arrived(self) -> None:
        try:
            numbers = self._read.recv(64)
        except BlockingIOError:
            return
        if any(number in numbers for number in CLOSING):
            for number in CLOSING:
                signal.signal(number, signal.SIG_DFL)
            self._on_signal()

    def close(self) -> None:
        self._notifier.setEnabled(False)
        signal.set_wakeup_fd(self._before)
        self._read.close()
        self._write.close()
