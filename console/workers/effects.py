"""What a command did at each worker it went to: broadcast once, then looked at until its effect shows.

An answer to a command only says that it was taken. What proves it is what the worker says of itself
afterwards: how big its pool is, what it consumes, which limits its tasks have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

from console.core.errors import Cause, ConsoleError
from console.workers.inspection import READERS, REGISTERED_ITEMS, Ask
from console.workers.model import Inspected, Reply, Request, TaskInfo, WorkerRow, WorkerState
from console.workers.roster import Question

ANSWER_S = 2.0
SETTLE_PAUSES_S = (0.0, 0.3, 0.5, 0.7, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
"""A prefork pool starts what it was told to start at its next round, which comes every 5 s."""
GOODBYE_TRIES = 20
GOODBYE_S = 0.25
EVENTS_TRIES = 4
NAMES_TOLD = 3
SILENT = "no longer answers: it takes no more tasks"

Effects = dict[str, str | ConsoleError]
"""By worker: what to say after its name ("runs 3 tasks at once"), or what went wrong."""
Learn = Callable[[str, Callable[[Inspected], Inspected]], None]


class Crew:
    """Sends commands to several workers and finds out what came of them. Raises `ConsoleError` when nobody
    can be asked at all; what goes wrong at one worker is its effect.
    """

    def __init__(
        self,
        *,
        ask: Ask,
        tell: Callable[[Request], Awaitable[None]],
        row: Callable[[str], WorkerRow | None],
        learn: Learn,
        pauses_s: Sequence[float] = SETTLE_PAUSES_S,
    ) -> None:
        self._ask = ask
        self._tell = tell
        self._row = row
        self._learn = learn
        self._pauses_s = pauses_s

    async def ping(self, names: Sequence[str]) -> Effects:
        """Who answers, and how fast."""
        replies = await self._replies(names, "ping")
        return {
            name: reply if isinstance(reply, ConsoleError) else f"answered in {reply.took_s * 1000:.0f} ms"
            for name, reply in replies.items()
        }

    async def resize(self, names: Sequence[str], by: int) -> Effects:
        """Pools that are `by` places bigger, or smaller."""
        before = await self._inspected(names, Question.STATS)
        method = "pool_grow" if by > 0 else "pool_shrink"

        def shows(name: str, now: Inspected) -> str | None:
            was = before[name].concurrency if name in before else None
            if now.concurrency is None or (was is not None and now.concurrency != was + by):
                return None
            return f"runs {_tasks(now.concurrency)} at once (before: {'–' if was is None else was})"

        def still(_name: str, now: Inspected) -> str:
            return f"still runs {_tasks(now.concurrency)} at once"

        reached = {name: before[name] for name in names if name in before}
        effects: Effects = {name: _no_answer(name, "stats") for name in names if name not in before}
        if reached:
            effects |= await self._command(
                tuple(reached), method, {"n": abs(by)}, Question.STATS, shows=shows, still=still
            )
        return effects

    async def autoscale(self, names: Sequence[str], least: int, most: int) -> Effects:
        """Pools that scale themselves between `least` and `most` places."""

        def shows(_name: str, now: Inspected) -> str | None:
            return f"scales from {least} to {most}" if now.autoscale == (least, most) else None

        def still(_name: str, now: Inspected) -> str:
            low, high = now.autoscale or ("–", "–")
            return f"still scales from {low} to {high}"

        arguments = {"max": most, "min": least}
        return await self._command(names, "autoscale", arguments, Question.STATS, shows=shows, still=still)

    async def restart_pool(self, names: Sequence[str]) -> Effects:
        """Pools that have begun to replace their processes.

        An idle process looks up only when it gets a task (billiard.pool.Worker.workloop), and celery sends
        just one for all of them: the others are replaced one by one with the tasks that come.
        """
        before = await self._inspected(names, Question.STATS)

        def shows(name: str, now: Inspected) -> str | None:
            old = set(before[name].processes if name in before else ())
            new = set(now.processes) - old
            if not new:
                return None
            kept = len(set(now.processes) & old)
            rest = f"; {kept} more will be replaced with the next tasks" if kept else ""
            return f"has {len(new)} new process{'' if len(new) == 1 else 'es'}{rest}"

        def still(_name: str, _now: Inspected) -> str:
            return "still has its old processes"

        return await self._command(names, "pool_restart", {}, Question.STATS, shows=shows, still=still)

    async def add_queue(self, names: Sequence[str], queue: str) -> Effects:
        """Workers that consume `queue`."""

        def shows(_name: str, now: Inspected) -> str | None:
            return f"consumes {queue} now" if queue in (now.queues or ()) else None

        def still(_name: str, _now: Inspected) -> str:
            return f"does not consume {queue}"

        arguments = {"queue": queue}
        return await self._command(
            names, "add_consumer", arguments, Question.QUEUES, shows=shows, still=still
        )

    async def stop_consuming(self, names: Sequence[str], queue: str) -> Effects:
        """Workers that no longer consume `queue`."""

        def shows(_name: str, now: Inspected) -> str | None:
            gone = now.queues is not None and queue not in now.queues
            return f"no longer consumes {queue}" if gone else None

        def still(_name: str, _now: Inspected) -> str:
            return f"still consumes {queue}"

        arguments = {"queue": queue}
        return await self._command(
            names, "cancel_consumer", arguments, Question.QUEUES, shows=shows, still=still
        )

    async def rate_limit(self, names: Sequence[str], task: str, limit: str) -> Effects:
        """Workers that run at most so many of a task."""

        def shows(_name: str, now: Inspected) -> str | None:
            info = _task(now, task)
            if info is None or info.rate_limit != limit:
                return None
            return f"limits {task} to {limit}" if limit else f"runs {task} without a rate limit"

        def still(_name: str, now: Inspected) -> str:
            info = _task(now, task)
            has = "no rate limit" if info is None or not info.rate_limit else info.rate_limit
            return f"still has {has} for {task}"

        arguments = {"task_name": task, "rate_limit": limit}
        return await self._command(
            names, "rate_limit", arguments, Question.REGISTERED, shows=shows, still=still
        )

    async def time_limit(
        self, names: Sequence[str], task: str, soft_s: float | None, hard_s: float | None
    ) -> Effects:
        """Workers that stop a task that takes too long."""
        words = limits_text(soft_s, hard_s)

        def shows(_name: str, now: Inspected) -> str | None:
            info = _task(now, task)
            same = info is not None and (info.soft_s, info.hard_s) == (soft_s, hard_s)
            return f"runs {task} with {words}" if same else None

        def still(_name: str, now: Inspected) -> str:
            info = _task(now, task)
            has = "other limits" if info is None else limits_text(info.soft_s, info.hard_s)
            return f"still runs {task} with {has}"

        arguments = {"task_name": task, "soft": soft_s, "hard": hard_s}
        return await self._command(
            names, "time_limit", arguments, Question.REGISTERED, shows=shows, still=still
        )

    async def enable_events(self, names: Sequence[str]) -> Effects:
        """Workers that send task events: only such a one answers "already" to being told."""
        effects: Effects = {}
        for attempt in range(EVENTS_TRIES):
            left = [name for name in names if not isinstance(effects.get(name), str)]
            for name, reply in (await self._replies(left, "enable_events")).items():
                if isinstance(reply, ConsoleError):
                    effects[name] = reply  # it may not have heard: said once more below
                elif "already enabled" in str(reply.value):
                    effects[name] = "sends task events now" if attempt else "was sending task events already"
                    self._learn(name, _sends_events)
                else:
                    effects[name] = ConsoleError(
                        f"{name} does not send task events", detail=f"It answered {str(reply.value)[:200]}."
                    )
            if all(isinstance(effect, str) for effect in effects.values()):
                break
        return effects

    async def shut_down(self, names: Sequence[str]) -> Effects:
        """Workers that take no more tasks."""
        await self._tell(Request("shutdown", destination=tuple(names)))
        effects: Effects = {}
        for _ in range(GOODBYE_TRIES):
            for name in names:
                row = self._row(name)
                if row is None:  # one without heartbeats, which no longer answers
                    effects[name] = SILENT
                elif row.state is WorkerState.OFFLINE:
                    effects[name] = "has said goodbye: it takes no more tasks"
            if len(effects) == len(names):
                return effects
            await asyncio.sleep(GOODBYE_S)
        silent = [name for name in names if name not in effects]
        for name, reply in (await self._replies(silent, "ping")).items():
            effects[name] = (
                SILENT
                if isinstance(reply, ConsoleError) and reply.cause is Cause.TIMEOUT
                else ConsoleError(
                    f"{name} still runs",
                    detail="It was told to shut down and still answers.",
                    remedy="Look at its log, or stop its process.",
                    cause=Cause.TIMEOUT,
                )
            )
        return effects

    # --- Sending and looking -----------------------------------------------------------------------------

    async def _command(
        self,
        names: Sequence[str],
        method: str,
        arguments: Mapping[str, object],
        question: Question,
        *,
        shows: Callable[[str, Inspected], str | None],
        still: Callable[[str, Inspected], str],
    ) -> Effects:
        """Broadcast a command, then ask `question` until `shows` has words for everybody that took it."""
        effects: Effects = {}
        for name, reply in (await self._replies(names, method, arguments)).items():
            if isinstance(reply, ConsoleError):
                effects[name] = reply
        waiting = [name for name in names if name not in effects]
        last: dict[str, Inspected] = {}
        for pause_s in self._pauses_s:
            if not waiting:
                break
            await asyncio.sleep(pause_s)
            last |= await self._inspected(waiting, question)
            for name in waiting:
                said = shows(name, last[name]) if name in last else None
                if said is not None:
                    effects[name] = said
            waiting = [name for name in waiting if name not in effects]
        for name in waiting:
            effects[name] = (
                _no_answer(name, question.value)
                if name not in last
                else ConsoleError(
                    f"{name} {still(name, last[name])}",
                    detail="It accepted the command, but its effect does not show.",
                    cause=Cause.TIMEOUT,
                )
            )
        return effects

    async def _inspected(self, names: Sequence[str], question: Question) -> dict[str, Inspected]:
        """What those of `names` that answer say of themselves."""
        arguments = {"taskinfoitems": REGISTERED_ITEMS} if question is Question.REGISTERED else {}
        seen = {}
        for name, reply in (await self._replies(names, question.value, arguments)).items():
            if isinstance(reply, Reply):
                seen[name] = _read(question, reply.value, Inspected())
                self._learn(name, partial(_read, question, reply.value))
        return seen

    async def _replies(
        self, names: Sequence[str], method: str, arguments: Mapping[str, object] | None = None
    ) -> dict[str, Reply | ConsoleError]:
        if not names:
            return {}
        request = Request(method, arguments or {}, destination=tuple(names), expected=frozenset(names))
        replies = (await self._ask(request, timeout_s=ANSWER_S)).by_request[0]
        return {name: _checked(name, method, replies.get(name)) for name in names}


def told(effects: Effects, *, deed: str, skipped: Mapping[str, str]) -> str:
    """The outcome in words; `deed` follows a number of workers ("answered"), `skipped` are reasons by name.

    Raises `ConsoleError` when it went wrong at some worker: what was done at the others is in its title.
    """
    failed = {name: effect for name, effect in effects.items() if isinstance(effect, ConsoleError)}
    done = {name: effect for name, effect in effects.items() if isinstance(effect, str)}
    if len(effects) == 1 and not skipped:
        for error in failed.values():
            raise error
        return " ".join(next(iter(done.items())))
    total = len(effects) + len(skipped)
    text = f"{len(done)} of {total} workers {deed}"
    if 0 < len(done) <= NAMES_TOLD:
        text += f" ({'; '.join(f'{name} {said}' for name, said in done.items())})"
    reasons = [f"{name}: {reason[:1].lower()}{reason[1:]}" for name, reason in skipped.items()]
    text += "".join(f". {words}" for words in (_some([e.title for e in failed.values()]),) if words)
    text += f". Skipped {_some(reasons)}" if reasons else ""
    if failed:
        first = next(iter(failed.values()))
        raise ConsoleError(text, detail=first.detail, remedy=first.remedy, cause=first.cause)
    return text


def limits_text(soft_s: float | None, hard_s: float | None) -> str:
    """Time limits in words."""
    parts = [
        f"a {kind} limit of {limit_s:g} s"
        for kind, limit_s in (("soft", soft_s), ("hard", hard_s))
        if limit_s is not None
    ]
    return " and ".join(parts) or "no time limit"


def _some(texts: Collection[str]) -> str:
    first = list(texts)[:NAMES_TOLD]
    more = len(texts) - len(first)
    return ", ".join(first) + (f" and {more} more" if more else "")


def _checked(name: str, method: str, reply: Reply | None) -> Reply | ConsoleError:
    if reply is None:
        return _no_answer(name, method)
    if reply.error is not None:
        return ConsoleError(f"{name} refused", detail=reply.error[:500])
    return reply


def _no_answer(name: str, method: str) -> ConsoleError:
    return ConsoleError(
        f"{name} did not answer",
        detail=f"No reply to {method} within {ANSWER_S:.0f} s.",
        remedy="It may be gone, or busy with a long task in a solo pool.",
        cause=Cause.TIMEOUT,
        retryable=True,
    )


def _read(question: Question, value: object, before: Inspected) -> Inspected:
    return READERS[question](before, value)


def _sends_events(inspected: Inspected) -> Inspected:
    return replace(inspected, task_events=True)


def _task(inspected: Inspected, name: str) -> TaskInfo | None:
    return next((info for info in inspected.registered or () if info.name == name), None)


def _tasks(number: int | None) -> str:
    if number is None:
        return "an unknown number of tasks"
    return "1 task" if number == 1 else f"{number} tasks"
