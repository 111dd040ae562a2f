"""The life of a task as the timeline tells it: each attempt from receipt to end, in words and on a bar.

Instants come from several clocks (the client's, each worker's). Where they contradict each other it is said
so, and no duration is made of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from console.history.model import Attempt, TaskDetail, TaskState
from console.tasks.model import client_words, error_of
from console.widgets.text import clock_text, duration_text

SKEW_S = 0.05
"""Less is within what clocks and rounding differ by, and not worth a word."""
ATTEMPTS_SHOWN = 8
"""Of more the first and the last ones: the making of hundreds of rows would hold the window."""
_RUNNING = (TaskState.SENT, TaskState.RECEIVED, TaskState.STARTED, TaskState.RETRYING)


@dataclass(frozen=True, slots=True)
class Moment:
    """One event: its state, when, and what is known of it in lines."""

    state: TaskState
    when: datetime | None
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the bar, in shares of the whole (0 to 1)."""

    start: float
    end: float
    state: TaskState


@dataclass(frozen=True, slots=True)
class Life:
    """All of it. `live`: it goes on, so that the words of a second later are others."""

    moments: tuple[Moment, ...]
    spans: tuple[Span, ...]
    whole: str
    parts: str
    live: bool


def life_of(detail: TaskDetail, *, now: datetime, zone: tzinfo) -> Life:
    """The life of a task as it looks at `now`; instants in words are those of `zone`."""
    live = detail.row.state in _RUNNING
    return Life(
        moments=_Telling(detail, now, zone).moments(),
        spans=_spans(detail, now),
        whole=_whole(detail, now),
        parts=_parts(detail),
        live=live,
    )


def instant_of(text: str | None) -> datetime | None:
    """An ETA or expiry as an event writes it (ISO 8601; without a zone it is UTC); None when it is none."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


class _Telling:
    """Puts the lines of one task together, attempt by attempt."""

    def __init__(self, detail: TaskDetail, now: datetime, zone: tzinfo) -> None:
        self._detail = detail
        self._now = now
        self._zone = zone
        self._told: list[Moment] = []
        self._worker: str | None = None

    def moments(self) -> tuple[Moment, ...]:
        self._sent()
        attempts = self._detail.attempts
        left_out = max(0, len(attempts) - ATTEMPTS_SHOWN)
        for number, attempt in enumerate(attempts):
            following = attempts[number + 1] if number + 1 < len(attempts) else None
            if not 1 <= number <= left_out:
                self._attempt(attempt, following)
            elif number == 1:
                first, last = attempt.number, attempts[left_out].number
                self._tell(TaskState.RETRYING, None, f"attempts {first:,} to {last:,} are not shown")
        self._outcome()
        return tuple(self._told)

    def _tell(self, state: TaskState, when: datetime | None, *lines: str | None) -> None:
        self._told.append(Moment(state, when, tuple(line for line in lines if line)))

    def _sent(self) -> None:
        detail, row = self._detail, self._detail.row
        if row.sent is None:
            return
        to = [f"to {row.queue}"] if row.queue else []
        if detail.routing_key and detail.routing_key != row.queue:
            to.append(f"routing key {detail.routing_key}")
        alone = not detail.attempts
        waits = alone and row.state is TaskState.SENT
        self._tell(
            TaskState.SENT,
            row.sent,
            client_words(detail.client),
            ", ".join(to),
            self._eta() if alone else None,
            f"waiting for a worker for {self._since(row.sent)}" if waits else None,
        )

    def _attempt(self, attempt: Attempt, following: Attempt | None) -> None:
        first = attempt.number == 1
        if attempt.received is not None and (first or attempt.started is None):
            self._received(attempt)
        if attempt.started is not None:
            self._started(attempt)
        if attempt.state not in (TaskState.STARTED, TaskState.RECEIVED):
            self._ended(attempt, following)

    def _received(self, attempt: Attempt) -> None:
        sent = self._detail.row.sent if attempt.number == 1 else None
        last = attempt is self._detail.attempts[-1]  # whose ETA it is that the history has
        self._worker = attempt.worker
        waits = last and attempt.started is None and self._detail.row.state is TaskState.RECEIVED
        self._tell(
            TaskState.RECEIVED,
            attempt.received,
            attempt.worker,
            _lapse_words("waited", sent, attempt.received, "it was sent"),
            self._eta() if last else None,
            f"waiting to start for {self._since(attempt.received)}" if waits else None,
        )

    def _started(self, attempt: Attempt) -> None:
        detail = self._detail
        several = len(detail.attempts) > 1
        last = attempt is detail.attempts[-1]
        runs = last and attempt.state is TaskState.STARTED and detail.row.state is TaskState.STARTED
        facts = (
            f"attempt {attempt.number}" if several else None,
            attempt.worker if attempt.worker != self._worker else None,
            f"PID {detail.pid}" if last and detail.pid else None,
        )
        self._worker = attempt.worker
        self._tell(
            TaskState.STARTED,
            attempt.started,
            ", ".join(fact for fact in facts if fact),
            _lapse_words("waited", attempt.received, attempt.started, "it was received"),
            self._lateness(attempt) if last else None,
            f"running for {self._since(attempt.started)}" if runs else None,
        )

    def _ended(self, attempt: Attempt, following: Attempt | None) -> None:
        parts = [_lapse_words("after", attempt.started, attempt.ended, "it started")]
        retries = attempt.state is TaskState.RETRYING
        if retries and following is not None and attempt.ended and following.started:
            pause_s = (following.started - attempt.ended).total_seconds()
            parts.append(f"next in {duration_text(pause_s)}" if pause_s >= 0 else None)
        elif retries and following is None and (eta := instant_of(self._detail.eta)) is not None:
            parts.append(f"next at {clock_text(eta, self._zone, now=self._now)}")
        self._tell(
            attempt.state,
            attempt.ended,
            ", ".join(part for part in parts if part),
            _brief(attempt.exception),
        )

    def _outcome(self) -> None:
        """What no event of its own tells: Lost, or what was found out otherwise."""
        row, reason = self._detail.row, self._detail.reason
        if self._told and self._told[-1].state is row.state:
            if reason:
                last = self._told.pop()
                self._tell(last.state, last.when, *last.lines, reason)
        elif row.state not in _RUNNING:
            self._tell(row.state, row.ended, reason)

    def _eta(self) -> str | None:
        eta = instant_of(self._detail.eta)
        if eta is None:
            return None
        when = clock_text(eta, self._zone, now=self._now)
        return f"is to run at {when}" if eta > self._now else f"was to run at {when}"

    def _lateness(self, attempt: Attempt) -> str | None:
        eta = instant_of(self._detail.eta)
        if eta is None or attempt.started is None:
            return None
        late_s = (attempt.started - eta).total_seconds()
        if late_s < SKEW_S:
            return None
        return f"{duration_text(late_s)} after it was to run"

    def _since(self, instant: datetime | None) -> str:
        if instant is None:
            return duration_text(None)
        return _whole_seconds(max(0.0, (self._now - instant).total_seconds()))


def _whole_seconds(seconds: float) -> str:
    """For what grows on the screen: no digits that change before they are read."""
    if seconds < 1:
        return "less than 1 s"
    return f"{int(seconds)} s" if seconds < 60 else duration_text(float(int(seconds)))


def _lapse_words(verb: str, start: datetime | None, end: datetime | None, what: str) -> str | None:
    """ "waited 288 ms", or that the clocks contradict each other."""
    if start is None or end is None:
        return None
    lapse_s = (end - start).total_seconds()
    if lapse_s >= 0:
        return f"{verb} {duration_text(lapse_s)}"
    if lapse_s > -SKEW_S:
        return f"{verb} {duration_text(0.0)}"
    return f"clocks differ: {duration_text(-lapse_s)} before {what}"


def _spans(detail: TaskDetail, now: datetime) -> tuple[Span, ...]:
    """The stretches in which it ran; what is between them it waited."""
    known = [instant for instant in (detail.row.sent, detail.row.received) if instant is not None]
    ran: list[tuple[datetime, datetime, TaskState]] = []
    for attempt in detail.attempts:
        running = attempt.state is TaskState.STARTED and detail.row.state is TaskState.STARTED
        end = now if running else attempt.ended
        known += [instant for instant in (attempt.received, attempt.started, attempt.ended) if instant]
        if attempt.started is not None and end is not None and end >= attempt.started:
            ran.append((attempt.started, end, attempt.state))
    known += [end for _, end, _ in ran]
    if detail.row.state in _RUNNING:
        known.append(now)
    if len(known) < 2 or max(known) <= min(known):
        return ()
    first, whole_s = min(known), (max(known) - min(known)).total_seconds()
    return tuple(
        Span((start - first).total_seconds() / whole_s, (end - first).total_seconds() / whole_s, state)
        for start, end, state in ran
    )


def _whole(detail: TaskDetail, now: datetime) -> str:
    row = detail.row
    start = row.sent or row.received or row.started
    end = row.ended if row.state not in _RUNNING else now
    if start is None or end is None or end < start:
        return ""
    whole_s = (end - start).total_seconds()
    return f"{_whole_seconds(whole_s)} so far" if end is now else f"{duration_text(whole_s)} in all"


def _parts(detail: TaskDetail) -> str:
    row = detail.row
    waited = f"waited {duration_text(row.waited_s)}" if row.waited_s is not None else ""
    ran = f"ran {duration_text(row.runtime_s)}" if row.runtime_s is not None else ""
    return ", ".join(part for part in (waited, ran) if part)


def _brief(exception: str | None) -> str | None:
    if not exception:
        return None
    error, message = error_of(exception)
    return error or message[:80]
