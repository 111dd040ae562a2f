"""Who writes a history: of several collectors on one file, the one that holds the lock beside it.

The kernel gives the lock up when its holder dies, however it dies. The lock's file stays: removing it could
take it from under somebody who has just opened it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from console.history.schema import history_error


class HistoryLock:
    """Held from `take` until `release` or the end of the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, history_file: Path) -> HistoryLock | None:
        """The lock, or None when another collector has it. Raises `ConsoleError` when there can be none."""
        path = lock_file(history_file)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                if _lock(descriptor):
                    return cls(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
        except OSError as error:
            raise history_error(error, history_file) from error
        os.close(descriptor)
        return None

    def release(self) -> None:
        os.close(self._descriptor)


def lock_file(history_file: Path) -> Path:
    """Where the lock of a history is."""
    return history_file.with_name(f"{history_file.name}.lock")


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
