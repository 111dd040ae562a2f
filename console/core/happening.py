"""A Qt-free signal: how services tell view models that something changed.

Services may not know Qt (so that they run in tests and in commands without a window), and Qt's own
signals need a QObject. Everything happens on one thread, so a list of callables is enough.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")


class Happening(Generic[T]):
    """`connect` a callable, `emit` a value to all of them; one that fails does not stop the others."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[T], None]] = []

    def connect(self, listener: Callable[[T], None]) -> Callable[[], None]:
        """Call `listener` at each emit until the returned function is called."""
        self._listeners.append(listener)

        def disconnect() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return disconnect

    def emit(self, value: T) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(value)
            except Exception as error:
                _report(error)


def _report(error: Exception) -> None:
    """A bug in a listener: through the loop's door, where there is one."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        log.exception("A listener failed")
    else:
        loop.call_exception_handler({"message": "A listener failed", "exception": error})
