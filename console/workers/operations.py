"""What can be done to a worker, as operations for the single write path.

Each ends with what the worker itself says afterwards: a command that was sent is not yet one that worked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from console.core.connection import Right
from console.core.errors import Cause, ConsoleError
from console.core.operations import Danger, Operation, Subject
from console.workers.inspection import Ask
from console.workers.model import Inspected, Reply, Request, WorkerRow, WorkerState
from console.workers.replies import with_stats

ANSWER_S = 2.0
SETTLE_TRIES = 16
SETTLE_S = 0.5
"""A prefork pool starts what it was told to start at its next round, which comes every 5 s."""
GOODBYE_TRIES = 20
GOODBYE_S = 0.25


class WorkerOperations:
    """Makes the operations on one worker.

    `row` gives a worker's row now; `learn` lets the service know what a worker has said meanwhile.
    """

    def __init__(
        self,
        *,
        ask: Ask,
        tell: Callable[[Request], Awaitable[None]],
        row: Callable[[str], WorkerRow | None],
        learn: Callable[[str, Callable[[Inspected], Inspected]], None],
    ) -> None:
        self._ask = ask
        self._tell = tell
        self._row = row
        self._learn = learn

    def ping(self, hostname: str) -> Operation:
        """See whether the worker answers, and how fast."""

        async def run() -> str:
            reply = await self._answer(hostname, "ping")
            return f"{hostname} answered in {reply.took_s * 1000:.0f} ms"

        return Operation(
            name="Ping worker",
            target=hostname,
            danger=Danger.SAFE,
            run=run,
            writes=False,
            needs=(Right.ASK_WORKERS,),
        )

    def grow(self, hostname: str) -> Operation:
        """One more place in the pool."""
        return self._resize(hostname, "Grow pool", "pool_grow")

    def shrink(self, hostname: str) -> Operation:
        """One place less in the pool."""
        return self._resize(hostname, "Shrink pool", "pool_shrink")

    def enable_events(self, hostname: str) -> Operation:
        """Have the worker send task events from now on."""

        async def run() -> str:
            first = await self._answer(hostname, "enable_events")
            # The second answer proves it: only a worker that sends them says "already".
            second = await self._answer(hostname, "enable_events")
            if "already enabled" not in str(second.value):
                raise ConsoleError(
                    f"{hostname} does not send task events", detail=f"It answered {str(second.value)[:200]}."
                )
            self._learn(hostname, lambda inspected: replace(inspected, task_events=True))
            already = "already enabled" in str(first.value)
            return f"{hostname} {'was sending task events already' if already else 'sends task events now'}"

        return Operation(
            name="Enable events",
            target=hostname,
            danger=Danger.SAFE,
            run=run,
            changes=frozenset({Subject.WORKERS}),
            needs=(Right.ASK_WORKERS,),
        )

    def shut_down(self, hostname: str) -> Operation:
        """End the worker after its running tasks."""
        row = self._row(hostname)
        active = row.active if row is not None else None
        if active:
            tasks = "its 1 running task" if active == 1 else f"its {active} running tasks"
            finishes = f"It finishes {tasks}, then it ends."
        else:
            finishes = "It finishes what it runs, then it ends."
        return Operation(
            name="Shut down worker",
            target=hostname,
            danger=Danger.DISRUPTIVE,
            verb="Shut down",
            question=f"Shut down {hostname}?",
            consequence=f"{finishes} The console cannot start it again.",
            run=lambda: self._shut_down(hostname),
            changes=frozenset({Subject.WORKERS, Subject.QUEUES}),
            needs=(Right.ASK_WORKERS,),
        )

    async def _shut_down(self, hostname: str) -> str:
        await self._tell(Request("shutdown", destination=(hostname,)))
        for _ in range(GOODBYE_TRIES):
            row = self._row(hostname)
            if row is None or row.state is WorkerState.OFFLINE:
                return f"{hostname} has said goodbye: it takes no more tasks"
            await asyncio.sleep(GOODBYE_S)
        if await self._may_answer(hostname, "ping") is None:
            return f"{hostname} no longer answers: it takes no more tasks"
        raise ConsoleError(
            f"{hostname} still runs",
            detail="It was told to shut down and still answers.",
            remedy="Look at its log, or stop its process.",
            cause=Cause.TIMEOUT,
        )

    def _resize(self, hostname: str, name: str, method: str) -> Operation:
        async def run() -> str:
            before = await self._places(hostname)
            await self._answer(hostname, method, {"n": 1})
            after = before
            for _ in range(SETTLE_TRIES):
                after = await self._places(hostname)
                if after != before:
                    break
                await asyncio.sleep(SETTLE_S)
            if after == before:
                raise ConsoleError(
                    f"{hostname} still runs {_tasks(before)} at once",
                    detail="It accepted the command, but its pool did not change.",
                    cause=Cause.TIMEOUT,
                )
            return f"{hostname} runs {_tasks(after)} at once (before: {'–' if before is None else before})"

        return Operation(
            name=name,
            target=hostname,
            danger=Danger.SAFE,
            run=run,
            changes=frozenset({Subject.WORKERS}),
            needs=(Right.ASK_WORKERS,),
        )

    async def _places(self, hostname: str) -> int | None:
        reply = await self._answer(hostname, "stats")
        self._learn(hostname, lambda inspected: with_stats(inspected, reply.value))
        return with_stats(Inspected(), reply.value).concurrency

    async def _answer(self, hostname: str, method: str, arguments: dict[str, object] | None = None) -> Reply:
        reply = await self._may_answer(hostname, method, arguments)
        if reply is None:
            raise ConsoleError(
                f"{hostname} did not answer",
                detail=f"No reply to {method} within {ANSWER_S:.0f} s.",
                remedy="It may be gone, or busy with a long task in a solo pool.",
                cause=Cause.TIMEOUT,
                retryable=True,
            )
        if reply.error is not None:
            raise ConsoleError(f"{hostname} refused", detail=reply.error[:500])
        return reply

    async def _may_answer(
        self, hostname: str, method: str, arguments: dict[str, object] | None = None
    ) -> Reply | None:
        only = Request(method, arguments or {}, destination=(hostname,), expected=frozenset({hostname}))
        replies = await self._ask(only, timeout_s=ANSWER_S)
        return replies.by_request[0].get(hostname)


def _tasks(number: int | None) -> str:
    if number is None:
        return "an unknown number of tasks"
    return "1 task" if number == 1 else f"{number} tasks"
