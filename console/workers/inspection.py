"""Asking workers what they are: whom, what, when, and how often.

One broadcast carries one question, to one worker or to all, and costs the broker a score of commands. So
nothing that the console asks by itself goes out within two seconds of another broadcast (`Turns`), and
nothing at all is asked again while no page shows it. What has appeared is asked once, whoever looks.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Protocol

from console.core.clock import Clock
from console.core.errors import Cause, ConsoleError
from console.workers.model import BEAT_PREFIX, Inspected, Replies, Request, WorkerState, is_worker
from console.workers.replies import with_queues, with_registered, with_settings, with_stats
from console.workers.roster import Known, Question, Roster

ROUND_S = 2.0
ANSWER_S = 1.0
VISIBLE_S = 10.0
VISIBLE_MOST_S = 60.0
NEEDED_S = 60.0
UNHEARD_S = 120.0
"""Workers that send no heartbeats show only by answering that they live."""
BEATS_S = 300.0
AFTER_ERROR_S = 5.0
AFTER_REFUSAL_S = 60.0
SHORTEST_S = 0.05
REGISTERED_ITEMS = ["rate_limit", "time_limit", "soft_time_limit", "acks_late"]

READERS: dict[Question, Callable[[Inspected, object], Inspected]] = {
    Question.STATS: with_stats,
    Question.QUEUES: with_queues,
    Question.SETTINGS: with_settings,
    Question.REGISTERED: with_registered,
}
_MOVING = (Question.STATS, Question.QUEUES)


class Ask(Protocol):
    """Sends requests and collects replies; raises `ConsoleError`."""

    def __call__(self, *requests: Request, timeout_s: float) -> Awaitable[Replies]: ...


class Turns:
    """When something was last broadcast, so that what the console asks by itself keeps its distance."""

    def __init__(self, clock: Clock, *, round_s: float) -> None:
        self._clock = clock
        self._round_s = round_s
        self._last_s = -math.inf

    def take(self) -> None:
        """Something is broadcast now."""
        self._last_s = self._clock.monotonic_s()

    @property
    def wait_s(self) -> float:
        """How long until the console may ask by itself again; 0 is now."""
        return max(0.0, self._last_s + self._round_s - self._clock.monotonic_s())


class Inspection:
    """What inspection has found so far in one connection, written into `roster`.

    `looked_s` is when everybody was last asked (monotonic, None: never), `silent` are live workers that
    did not answer then, `beats` the beats that answered a ping.
    """

    def __init__(self, roster: Roster, *, ask: Ask, clock: Clock, turns: Turns) -> None:
        self._roster = roster
        self._ask = ask
        self._clock = clock
        self._turns = turns
        self._visible = False
        self._needed = False
        self._asked_s: dict[Question, float] = {}
        self._wanted: set[Question] = set(_MOVING)
        self._pauses_s = dict.fromkeys(_MOVING, VISIBLE_S)
        self._beats_asked_s: float | None = None
        self._not_before_s = -math.inf
        self.error: ConsoleError | None = None
        self.silent: tuple[str, ...] = ()
        self.beats: tuple[str, ...] = ()

    @property
    def looked_s(self) -> float | None:
        return self._asked_s.get(Question.STATS)

    def every_s(self, question: Question) -> float:
        """How long after everybody was asked a question it is due again; infinite: nobody needs it."""
        if self._visible:
            return self._pauses_s[question]
        if self._needed:
            return NEEDED_S
        return UNHEARD_S if any(known.seen is None for known in self._roster) else math.inf

    @property
    def next_look_s(self) -> float:
        """Seconds until somebody is to be asked."""
        now_s = self._clock.monotonic_s()
        due_s = max(self._next()[0], self._not_before_s) - now_s
        return max(SHORTEST_S, self._turns.wait_s, min(due_s, UNHEARD_S))

    @property
    def is_waiting(self) -> bool:
        """Whether a question is due now."""
        return max(self._next()[0], self._not_before_s) <= self._clock.monotonic_s()

    @property
    def is_settled(self) -> bool:
        """Whether everybody was asked everything once, and who is there has answered."""
        asked = self._beats_asked_s is not None and not self._wanted
        return asked and not any(known.wants for known in self._roster)

    def set_visible(self, visible: bool) -> None:
        """Somebody begins or ends to look at the workers."""
        self._visible = visible
        if visible:
            self._pauses_s = dict.fromkeys(_MOVING, VISIBLE_S)

    def set_needed(self, needed: bool) -> None:
        """Another page shows, or no longer shows, something that only workers can say."""
        self._needed = needed

    def want_everybody(self) -> None:
        """Something may have changed: ask all as soon as it is our turn."""
        self._wanted = set(_MOVING)
        self._pauses_s = dict.fromkeys(_MOVING, VISIBLE_S)
        self._not_before_s = -math.inf

    async def look(self, tell: Callable[[], None]) -> None:
        """Ask the one question that has been due for longest, if it is our turn.

        `tell` is called when something has been learnt. A failure becomes `error`.
        """
        if self._turns.wait_s > 0 or not self.is_waiting:
            return
        _, act = self._next()
        try:
            await act()
            self.error = None
        except ConsoleError as error:
            self.error = error
            self.want_everybody()
            pause_s = AFTER_REFUSAL_S if error.cause is Cause.NOT_PERMITTED else AFTER_ERROR_S
            self._not_before_s = self._clock.monotonic_s() + pause_s
        tell()

    def _next(self) -> tuple[float, Callable[[], Awaitable[None]]]:
        """What is due first, and since when or at what time (monotonic)."""
        choices: list[tuple[float, Callable[[], Awaitable[None]]]] = []
        for question in _MOVING:
            # Neither wanted nor ever asked: it is being asked now.
            asked_s = self._asked_s.get(question, math.inf)
            due_s = -math.inf if question in self._wanted else asked_s + self.every_s(question)
            choices.append((due_s, partial(self._ask_all, question)))
        for question in Question:
            dues = [known.wants[question] for known in self._roster if question in known.wants]
            if dues:
                choices.append((min(dues), partial(self._ask_wanted, question)))
        choices.append((self._beats_due_s, self._look_for_beats))
        return min(choices, key=lambda choice: choice[0])

    @property
    def _beats_due_s(self) -> float:
        if self._beats_asked_s is None:
            return self._clock.monotonic_s()  # after everything else that is due
        return self._beats_asked_s + BEATS_S if self._visible or self._needed else math.inf

    async def _ask_all(self, question: Question) -> None:
        """One question to everybody: what moves by itself."""
        live = frozenset(k.hostname for k in self._roster if k.seen and k.state is WorkerState.ONLINE)
        before = self._lasting()
        self._wanted.discard(question)
        answers = await self._answers(Request(question.value, expected=live or None))
        now_s, now = self._clock.monotonic_s(), self._clock.now()
        self._asked_s[question] = now_s
        for name in filter(is_worker, answers):
            self._take(self._roster.meet(name), question, answers[name], now)
        for known in self._roster:
            known.answered = known.hostname in answers
            if known.answered and known.inspected.registered is None and not known.wants:
                known.want(now_s)
                del known.wants[question]
        self.silent = tuple(sorted(live - answers.keys()))
        same = before == self._lasting()
        pause_s = min(self._pauses_s[question] * 2, VISIBLE_MOST_S) if same else VISIBLE_S
        self._pauses_s[question] = pause_s

    async def _ask_wanted(self, question: Question) -> None:
        """One question to those that have just appeared; who is silent is asked again, ever later."""
        now_s = self._clock.monotonic_s()
        wanted = [known for known in self._roster if known.wants.get(question, math.inf) <= now_s]
        names = tuple(known.hostname for known in wanted)
        arguments = {"taskinfoitems": REGISTERED_ITEMS} if question is Question.REGISTERED else {}
        answers = await self._answers(
            Request(question.value, arguments, destination=names, expected=frozenset(names))
        )
        now_s, now = self._clock.monotonic_s(), self._clock.now()
        for known in wanted:
            if known.hostname in answers:
                known.answered = True
                self._take(known, question, answers[known.hostname], now)
            elif known.state is WorkerState.OFFLINE:
                known.wants.clear()
            else:
                known.want_later(question, now_s)
        self.silent = tuple(name for name in self.silent if name not in answers)

    @staticmethod
    def _take(known: Known, question: Question, value: object, now: datetime) -> None:
        known.inspected = READERS[question](known.inspected, value)
        known.wants.pop(question, None)
        if question is Question.STATS:
            known.said_at = now

    async def _look_for_beats(self) -> None:
        """Beat answers a ping only where a setting says so: waiting for it would hold up the rest."""
        self._beats_asked_s = self._clock.monotonic_s()
        known = frozenset(self.beats) or None
        answers = await self._answers(Request("ping", pattern=f"{BEAT_PREFIX}*", expected=known))
        self.beats = tuple(sorted(name for name in answers if not is_worker(name)))

    async def _answers(self, request: Request) -> dict[str, object]:
        """The good answers by node."""
        replies = await self._ask(request, timeout_s=ANSWER_S)
        return {name: reply.value for name, reply in replies.by_request[0].items() if reply.error is None}

    def _lasting(self) -> dict[str, Inspected]:
        """What does not move by itself: counters and uptime say nothing about how often to look."""
        return {known.hostname: _lasting(known.inspected) for known in self._roster}


def _lasting(inspected: Inspected) -> Inspected:
    return replace(
        inspected,
        processed=None,
        uptime_s=None,
        cpu_s=None,
        memory_bytes=None,
        logical_clock=None,
        registered=None,
        task_events=None,
    )
