"""Asking workers what they are: whom, when, and how often.

A look costs the broker about thirty commands, so it happens when a worker appears, while the page is
looked at (less and less often while nothing changes), on request, and otherwise every two minutes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from console.core.clock import Clock
from console.core.errors import Cause, ConsoleError
from console.workers.model import BEAT_PREFIX, Inspected, Replies, Request, WorkerState, is_worker
from console.workers.replies import with_queues, with_registered, with_settings, with_stats
from console.workers.roster import Known, Roster

ANSWER_S = 1.0
VISIBLE_S = 10.0
VISIBLE_MOST_S = 60.0
HIDDEN_S = 120.0
BEATS_S = 300.0
AFTER_ERROR_S = 5.0
AFTER_REFUSAL_S = 60.0
SHORTEST_S = 0.05

_READERS = {
    "stats": with_stats,
    "active_queues": with_queues,
    "conf": with_settings,
    "registered": with_registered,
}


class Ask(Protocol):
    """Sends requests and collects replies; raises `ConsoleError`."""

    def __call__(self, *requests: Request, timeout_s: float) -> Awaitable[Replies]: ...


class Inspection:
    """What inspection has found so far in one connection, written into `roster`.

    `looked_s` is when everybody was last asked (monotonic, None: never), `silent` are live workers that
    did not answer then, `beats` the beats that answered a ping.
    """

    def __init__(self, roster: Roster, *, ask: Ask, clock: Clock) -> None:
        self._roster = roster
        self._ask = ask
        self._clock = clock
        self._visible = False
        self._everybody = False
        self._pause_s = VISIBLE_S
        self._beats_asked_s: float | None = None
        self.looked_s: float | None = None
        self.error: ConsoleError | None = None
        self.silent: tuple[str, ...] = ()
        self.beats: tuple[str, ...] = ()

    @property
    def every_s(self) -> float:
        """How long after a look the next one is due."""
        return self._pause_s if self._visible else HIDDEN_S

    @property
    def next_look_s(self) -> float:
        """Seconds until somebody is to be asked."""
        if self.error is not None:
            return AFTER_REFUSAL_S if self.error.cause is Cause.NOT_PERMITTED else AFTER_ERROR_S
        now_s = self._clock.monotonic_s()
        dues = [known.wanted_at_s for known in self._roster if known.wanted_at_s is not None]
        if self.looked_s is not None:
            dues.append(self.looked_s + self.every_s)
        return max(SHORTEST_S, min(dues, default=now_s + HIDDEN_S) - now_s)

    def set_visible(self, visible: bool) -> None:
        """Somebody begins or ends to look at the workers."""
        self._visible = visible
        if visible:
            self._pause_s = VISIBLE_S

    def want_everybody(self) -> None:
        """Something may have changed: ask all at the next look."""
        self._everybody = True
        self._pause_s = VISIBLE_S

    async def look(self, tell: Callable[[], None]) -> None:
        """Ask whoever is due; `tell` is called when something has been learnt. A failure becomes `error`."""
        now_s = self._clock.monotonic_s()
        try:
            if self._everybody or self.looked_s is None or now_s - self.looked_s >= self.every_s:
                self._everybody = False
                await self._look_at_all()
                tell()
            wanted = [k for k in self._roster if k.wanted_at_s is not None and k.wanted_at_s <= now_s]
            if wanted:
                await self._look_at(wanted)
                tell()
            if self._beats_asked_s is None or now_s - self._beats_asked_s >= BEATS_S:
                self._beats_asked_s = now_s
                await self._look_for_beats()
            self.error = None
        except ConsoleError as error:
            self.error = error
            self._everybody = True
        tell()

    async def _look_at_all(self) -> None:
        """One question to everybody: what moves by itself."""
        now_s = self._clock.monotonic_s()
        live = frozenset(k.hostname for k in self._roster if k.seen and k.state is WorkerState.ONLINE)
        before = {known.hostname: _lasting(known.inspected) for known in self._roster}
        stats, queues = await self._answers(
            Request("stats", expected=live or None), Request("active_queues", expected=live or None)
        )
        self.looked_s = self._clock.monotonic_s()
        for answers, read in ((stats, with_stats), (queues, with_queues)):
            for name in filter(is_worker, answers):
                known = self._roster.meet(name)
                known.inspected = read(known.inspected, answers[name])
        for known in self._roster:
            known.answered = known.hostname in stats
            if known.answered and known.inspected.registered is None and known.wanted_at_s is None:
                known.want(now_s)
        self.silent = tuple(sorted(live - stats.keys()))
        same = before == {known.hostname: _lasting(known.inspected) for known in self._roster}
        self._pause_s = min(self._pause_s * 2, VISIBLE_MOST_S) if same else VISIBLE_S

    async def _look_at(self, wanted: list[Known]) -> None:
        """Everything about workers that have just appeared; who is silent is asked again, ever later."""
        names = tuple(known.hostname for known in wanted)
        requests = [Request(method, destination=names, expected=frozenset(names)) for method in _READERS]
        answers_by_method = await self._answers(*requests)
        now_s = self._clock.monotonic_s()
        for known in wanted:
            for read, answers in zip(_READERS.values(), answers_by_method, strict=True):
                if known.hostname in answers:
                    known.inspected = read(known.inspected, answers[known.hostname])
            if all(known.hostname in answers for answers in answers_by_method):
                known.wanted_at_s = None
                known.answered = True
            elif known.state is WorkerState.OFFLINE:
                known.wanted_at_s = None
            else:
                known.want_later(now_s)
        answered = {known.hostname for known in self._roster if known.answered}
        self.silent = tuple(name for name in self.silent if name not in answered)

    async def _look_for_beats(self) -> None:
        """Beat answers a ping only where a setting says so: waiting for it would hold up the rest."""
        known = frozenset(self.beats) or None
        (answers,) = await self._answers(Request("ping", pattern=f"{BEAT_PREFIX}*", expected=known))
        self.beats = tuple(sorted(name for name in answers if not is_worker(name)))

    async def _answers(self, *requests: Request) -> list[dict[str, object]]:
        """The good answers to each request by node."""
        replies = await self._ask(*requests, timeout_s=ANSWER_S)
        return [
            {name: reply.value for name, reply in answers.items() if reply.error is None}
            for answers in replies.by_request
        ]


def _lasting(inspected: Inspected) -> Inspected:
    """What does not move by itself: counters and uptime say nothing about how often to look."""
    return replace(inspected, processed=None, uptime_s=None, registered=None, task_events=None)
