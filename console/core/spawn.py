"""The only way to start a background coroutine: the reference is kept and a failure is reported.

A bare `asyncio.create_task` may be garbage-collected half-way and swallows its exception.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from console.core.errors import ConsoleError

log = logging.getLogger(__name__)

CANCEL_AGAIN_S = 1.0


class Tasks:
    """The background tasks of one owner, ended together by `aclose`."""

    def __init__(self, owner: str, *, on_failure: Callable[[BaseException], None] | None = None) -> None:
        self._owner = owner
        self._tasks: set[asyncio.Task[Any]] = set()
        self._on_failure = on_failure

    def start(self, coroutine: Coroutine[Any, Any, Any], *, name: str = "") -> asyncio.Task[Any]:
        """Run `coroutine` on the running loop until it ends or the owner closes."""
        task = asyncio.get_running_loop().create_task(coroutine, name=f"{self._owner}: {name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            return
        if self._on_failure is not None:
            self._on_failure(error)
        elif isinstance(error, ConsoleError):
            log.warning("%s: %s", task.get_name(), error)
        else:
            # A bug: through the loop's door, where the crash report is written and a person is told.
            context = {"message": f"{task.get_name()} failed", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)

    async def aclose(self) -> None:
        """Cancel what still runs and wait for its end."""
        mine = asyncio.current_task()
        while running := [task for task in self._tasks if task is not mine]:
            for task in running:
                task.cancel()
            # Once more after a while: a library may swallow a cancellation that meets a result.
            await asyncio.wait(running, timeout=CANCEL_AGAIN_S)
