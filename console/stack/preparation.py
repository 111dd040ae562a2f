"""Running the project's `prepare` command: migrations and demo data, with its progress as it tells it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from console.stack.diagnosis import diagnose
from console.stack.logs import LogBook
from console.stack.model import Failure, StepName
from console.stack.process import KeptProcess, Order
from console.stack.supervisor import StartFailedError

SOURCE = "setup"
PREPARE_WITHIN_S = 60.0
_KINDS = {
    "locked": (
        "Another program holds the database.",
        "Close the program that has the stack's database open, and try again.",
    ),
    "no-space": ("The disk is full.", "Make room on the disk, or choose another folder with --home."),
    "readonly": (
        "The database file cannot be written.",
        "Give yourself the right to write to the stack folder, or choose another one with --home.",
    ),
}


class Preparation:
    """One run of `prepare`. `database_done` is set when the migrations are done or it has ended."""

    def __init__(self, *, book: LogBook, say: Callable[[StepName, str], None]) -> None:
        self._book = book
        self._say = say
        self._failed: dict[str, Any] | None = None
        self._step = StepName.DATABASE
        self.demo_text = "Already there"
        self.database_done = asyncio.Event()
        self.process = KeptProcess(
            on_lines=self._on_lines,
            on_dropped=lambda number: book.note_dropped(SOURCE, number),
            on_end=lambda _outcome: self.database_done.set(),
        )

    async def start(self, order: Order) -> None:
        self._book.begin(SOURCE)
        await self.process.start(order)

    async def finish(self) -> None:
        """Wait for its end. Raises `StartFailedError` when it failed or took too long."""
        try:
            async with asyncio.timeout(PREPARE_WITHIN_S):
                outcome = await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
            raise self._error(
                diagnose(self._step.value, None, self._tail(), seconds=PREPARE_WITHIN_S)
            ) from None
        except asyncio.CancelledError:
            self.process.kill()
            await asyncio.shield(self.process.wait())
            raise
        if not outcome.clean or self._failed is not None:
            raise self._error(diagnose(self._step.value, outcome, self._tail()))

    def _error(self, failure: Failure) -> StartFailedError:
        failure = replace(failure, title=_TITLES[self._step])
        if self._failed is not None:
            known = _KINDS.get(self._failed.get("kind", ""))
            if known is not None:
                failure = replace(failure, cause=known[0], remedy=known[1])
            else:
                failure = replace(failure, cause=f"{self._failed.get('error', failure.cause)}")
        return StartFailedError(failure)

    def _tail(self) -> list[str]:
        return self._book.tail(SOURCE)

    def _on_lines(self, lines: list[str]) -> None:
        plain = []
        for line in lines:
            message = _message(line)
            if message is None:
                plain.append(line)
            else:
                self._take(message)
                if message["state"] != "running":
                    plain.append(line)
        self._book.add(SOURCE, plain)

    def _take(self, message: dict[str, Any]) -> None:
        step, state = message["step"], message["state"]
        if state == "failed":
            self._failed = message
        elif step == "migrations" and state == "running" and message.get("total"):
            self._say(StepName.DATABASE, f"{message['applied']} of {message['total']} migrations done")
        elif step == "migrations" and state == "done":
            applied = message.get("applied", 0)
            self._say(StepName.DATABASE, f"{applied} migrations done" if applied else "Up to date")
            self._step = StepName.DEMO_DATA
            self.database_done.set()
        elif step == "demo" and state == "done":
            users, orders = message.get("users", 0), message.get("orders", 0)
            self.demo_text = f"{users} users, {orders} orders" if users else "Already there"


_TITLES = {
    StepName.DATABASE: "The database could not be prepared",
    StepName.DEMO_DATA: "The demo data could not be made",
}


def _message(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) and {"step", "state"} <= message.keys() else None
