"""The test of a connection as the page shows it: the steps by now, of what they are, whether they go on.

Qt-free: the view model tells the page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from console.connections.check_model import CheckStep, StepState
from console.connections.draft_fields import Draft
from console.connections.model import Connection, Purpose, Secrets


class ConnectionChecker(Protocol):
    """Takes the steps of a test one after another; cancellable at any time."""

    async def check(
        self,
        connection: Connection,
        secrets: Secrets,
        on_steps: Callable[[tuple[CheckStep, ...]], None],
        *,
        typed: Collection[Purpose] = (),
    ) -> tuple[CheckStep, ...]: ...


@dataclass(frozen=True, slots=True)
class CheckShown:
    """`of` is the draft that was tested, None for the local stack; `ended` when the last step had ended."""

    of: Draft | None
    steps: tuple[CheckStep, ...] = ()
    running: bool = True
    stopped: bool = False
    ended: datetime | None = None


class CheckRuns:
    """The tests of one page by connection; a new one of the same connection ends the one before."""

    def __init__(
        self, checker: ConnectionChecker, now: Callable[[], datetime], changed: Callable[[], None]
    ) -> None:
        self._checker = checker
        self._now = now
        self._changed = changed
        self._shown: dict[str, CheckShown] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    def shown(self, connection_id: str) -> CheckShown | None:
        return self._shown.get(connection_id)

    def saved(self, connection_id: str, tested: Draft, now: Draft) -> None:
        """What was tested is what was saved: the secrets in it are kept now, and no change since."""
        shown = self._shown.get(connection_id)
        if shown is not None and shown.of == tested:
            self._put(connection_id, replace(shown, of=now))

    def forget(self, connection_id: str) -> None:
        """The connection is gone, and so is what its test said."""
        self.stop(connection_id)
        self._shown.pop(connection_id, None)

    def stop(self, connection_id: str) -> None:
        if (task := self._running.pop(connection_id, None)) is not None:
            task.cancel()

    async def run(
        self, connection: Connection, secrets: Secrets, of: Draft | None, typed: Collection[Purpose]
    ) -> CheckShown:
        """Take all steps; `typed` are the secrets that are not from the keyring."""
        key = connection.id
        self.stop(key)
        mine = asyncio.current_task()
        if mine is None:
            raise RuntimeError("a test runs in a task")
        self._running[key] = mine
        self._put(key, CheckShown(of))

        def on_steps(steps: tuple[CheckStep, ...]) -> None:
            if self._running.get(key) is mine:
                self._put(key, CheckShown(of, steps))

        try:
            steps = await self._checker.check(connection, secrets, on_steps, typed=typed)
        except asyncio.CancelledError:
            before = self._shown.get(key)
            if before is not None and key not in self._running:
                steps = tuple(_stopped(step) for step in before.steps)
                self._put(key, replace(before, steps=steps, running=False, stopped=True))
            raise
        finally:
            if self._running.get(key) is mine:
                del self._running[key]
        shown = CheckShown(of, steps, running=False, ended=self._now())
        self._put(key, shown)
        return shown

    def _put(self, key: str, shown: CheckShown) -> None:
        self._shown[key] = shown
        self._changed()


def _stopped(step: CheckStep) -> CheckStep:
    return step if step.state.ended else replace(step, state=StepState.SKIPPED, says="stopped")
