"""What has become of a task that has fallen silent, and the words for it. Pure rules, no wire.

A state that is wrong is worse than one that is old: `Lost` needs everything to be known, and whatever cannot
be known leaves the task as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from console.collector.folded_task import one_line
from console.collector.reconcile_evidence import Evidence, Hold, MessagesFound, Suspect
from console.history.marks import Mark, verdict_mark
from console.history.model import TaskState, WorkerSeen

if TYPE_CHECKING:
    from console.broker.results import BackendResult

MISSED = "the event of its end was missed"
LONGEST_REASON = 2_000
LONGEST_TEXT = 16_384
LONGEST_TRACEBACK = 65_536
BEATS_SILENT = 5
"""After so many heartbeats that did not come a worker has ended (and never before `silent_s`)."""
UPTIME_EXACT_S = 2.0
_ENDS = {
    "SUCCESS": (TaskState.SUCCEEDED, f"The result backend holds its result; {MISSED}."),
    "FAILURE": (TaskState.FAILED, f"The result backend holds its exception; {MISSED}."),
    "REVOKED": (TaskState.REVOKED, "The result backend says that it was revoked."),
    "REJECTED": (TaskState.REJECTED, "The result backend says that its message was rejected."),
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """`mark`: what is to be told to the history, None for nothing new. `missing`: it was found nowhere.

    `unsure`: why nothing can be said of a task that was found nowhere; "" otherwise.
    """

    mark: Mark | None = None
    missing: bool = False
    unsure: str = ""


FINE = Judgement()


def judge(suspect: Suspect, evidence: Evidence, *, missing_before: bool) -> Judgement:
    """What is to be said of `suspect`; `missing_before`: an earlier round did not find it either."""
    holders = evidence.workers.held.get(suspect.id, {})
    running = [worker for worker, hold in holders.items() if hold is Hold.ACTIVE]
    if running:
        return _runs(suspect, evidence, running[0])
    found = evidence.messages is not None and suspect.id in evidence.messages.places
    result = (evidence.results or {}).get(suspect.id)
    runs_again = (bool(holders) or found) and result is not None and _is_earlier(result, suspect)
    if not runs_again and (ended := _ended(suspect, evidence)) is not None:
        return Judgement(ended)
    if (revoked := _revoked(suspect, evidence, holders=tuple(holders))) is not None:
        return Judgement(revoked)
    if holders or found:
        return _turned_up(suspect, evidence)
    if is_half_done(evidence):
        return FINE
    unsure = _unsure(suspect, evidence)
    if unsure:
        return Judgement(unsure=unsure)
    if not missing_before:
        return Judgement(missing=True)
    return Judgement(None if suspect.state is TaskState.LOST else _lost(suspect, evidence), missing=True)


def is_half_done(evidence: Evidence) -> bool:
    """Whether not everything was looked at this time that could have been."""
    workers, messages = evidence.workers, evidence.messages
    return messages is None or (messages.complete and not workers.asked_all and not workers.problem)


def _runs(suspect: Suspect, evidence: Evidence, worker: str) -> Judgement:
    if suspect.state is TaskState.STARTED:
        return FINE
    if suspect.told is TaskState.STARTED:
        return _turned_up(suspect, evidence)
    reason = f"{worker} says that it runs it; the event of its start was missed."
    return Judgement(_mark(suspect, evidence, TaskState.STARTED, reason, worker=worker))


def _turned_up(suspect: Suspect, evidence: Evidence) -> Judgement:
    """It is somewhere: what was said of it before no longer holds."""
    if suspect.state is suspect.told:
        return FINE
    return Judgement(verdict_mark(None, _when(suspect, evidence), ""))


def _is_earlier(result: BackendResult, suspect: Suspect) -> bool:
    """Whether it was stored before the last event: a message with the same id was sent or delivered again."""
    done = _instant_of(result)
    return 0.0 < done < suspect.newest - UPTIME_EXACT_S


def _ended(suspect: Suspect, evidence: Evidence) -> Mark | None:
    """The end that the result backend knows of."""
    result = (evidence.results or {}).get(suspect.id)
    if result is None or result.state not in _ENDS:
        return None
    state, reason = _ENDS[result.state]
    return verdict_mark(
        state,
        _when(suspect, evidence),
        reason,
        worker=one_line(result.worker) or "",
        ended=_instant_of(result),
        result=_cut(result.result_text, LONGEST_TEXT),
        exception=_cut(result.exception, LONGEST_TEXT),
        traceback=_cut(result.traceback, LONGEST_TRACEBACK),
    )


def _revoked(suspect: Suspect, evidence: Evidence, *, holders: tuple[str, ...]) -> Mark | None:
    """Workers tell of a revoked task only when its time comes; until then it is in their lists."""
    knowing = evidence.workers.revoked.get(suspect.id, frozenset())
    if suspect.told not in (TaskState.RECEIVED, TaskState.RETRYING) or not knowing:
        return None
    if holders:
        if not knowing.issuperset(holders):
            return None
        at = f" at {_clock(suspect.eta, evidence.now)}" if suspect.eta > evidence.now else ""
        reason = f"It was revoked: {_several(holders)} will drop it instead of running it{at}."
    elif not _all_answered(evidence) or not (
        knowing.issuperset(evidence.workers.answered) or _is_nowhere(suspect, evidence.messages)
    ):
        return None  # one that does not know of it might still be given its message
    else:
        reason = f"It was revoked: {_several(tuple(knowing))} will not run it, and no worker holds it."
    return _mark(suspect, evidence, TaskState.REVOKED, reason)


def _is_nowhere(suspect: Suspect, messages: MessagesFound | None) -> bool:
    return messages is not None and messages.complete and suspect.id not in messages.places


def _unsure(suspect: Suspect, evidence: Evidence) -> str:
    """Why it cannot be said that a task which was found nowhere is lost; "" when it can."""
    workers, messages = evidence.workers, evidence.messages
    if workers.problem:
        return workers.problem
    if messages is not None and not messages.complete:
        return messages.problem
    if not _all_answered(evidence):
        silent = (_live(evidence) - workers.answered) | workers.unheard
        who = _several(tuple(silent)) if silent else "A worker"
        return f"{who} did not answer."
    if evidence.results_problem:
        return evidence.results_problem
    result = (evidence.results or {}).get(suspect.id)
    if result is not None and not result.state:
        return f"Its result cannot be read: {result.problem}."
    if any(gap.end is None for gap in evidence.gaps):
        return "Events are not read at this time."
    return _may_have_ended(suspect, evidence)


def _may_have_ended(suspect: Suspect, evidence: Evidence) -> str:
    """Why its end may have passed unnoticed: not every task leaves a result, and events can be off."""
    missed = any(_overlaps(suspect, gap.end) for gap in evidence.gaps)
    if suspect.told in (TaskState.RECEIVED, TaskState.STARTED):
        if suspect.worker not in evidence.seen:
            return f"Nothing is known of its worker {suspect.worker}."
        if not _fate(suspect, evidence):
            return f"It may have ended unnoticed: {suspect.worker} runs on and does not hold it any more."
        if _may_be_ending(suspect, evidence):
            return f"{suspect.worker} has said goodbye, and may still finish what it runs."
        if evidence.results is None and missed:
            return "It may have ended while events were missed, and no result backend is known."
        return ""
    if evidence.workers.listening is None and suspect.eta + evidence.silent_s > evidence.now:
        # Celery 5.5 and exchanges that delay keep it in queues of their own until then.
        return "Its time is yet to come, and RabbitMQ does not tell which messages wait until then."
    # Whoever took it would have said so.
    if missed or evidence.results is None:
        return "It may have run unnoticed."
    answered = evidence.workers.answered
    if answered and all(evidence.heard.get(name, 0.0) > suspect.quiet_since for name in answered):
        return ""
    return "It may have run unnoticed: not every worker was heard to send events since."


def _lost(suspect: Suspect, evidence: Evidence) -> Mark:
    if 0.0 < suspect.expires < evidence.now and suspect.told is TaskState.SENT:
        at = _clock(suspect.expires, evidence.now)
        reason = f"It expired at {at} before a worker took it, and its message is gone."
        return _mark(suspect, evidence, TaskState.REVOKED, reason)
    nobody = "No worker holds it" if evidence.workers.answered else "No worker is running"
    stored = (evidence.results or {}).get(suspect.id)
    if evidence.results is None:
        words = [f"{nobody}, and it is in no queue. No result backend is known that could tell more."]
    elif stored is not None and stored.state:
        words = [f"{nobody}, it is in no queue, and the result backend still says {stored.state}."]
    else:
        words = [f"{nobody}, it is in no queue, and the result backend does not know it."]
    if fate := _fate(suspect, evidence):
        words.append(fate)
    missed = [gap for gap in evidence.gaps if _overlaps(suspect, gap.end)]
    if missed:
        at = _clock(missed[-1].start.timestamp(), evidence.now)
        words.append(f"Events were missed from {at} on, so that it may also have ended unnoticed.")
    return _mark(suspect, evidence, TaskState.LOST, " ".join(words))


def _fate(suspect: Suspect, evidence: Evidence) -> str:
    """What became of the worker that had it; "" when it still runs or is not known."""
    seen = evidence.seen.get(suspect.worker)
    if seen is None:
        return ""
    if has_ended(seen, evidence.now, evidence.silent_s) and seen.hostname not in evidence.workers.answered:
        verb = "was last heard of" if seen.online else "ended"
        at = _clock(seen.last_heartbeat.timestamp(), evidence.now)
        return f"Its worker {seen.hostname} {verb} at {at}."
    if _started_anew(suspect, seen, evidence):
        return f"Its worker {seen.hostname} was started anew since."
    return ""


def _may_be_ending(suspect: Suspect, evidence: Evidence) -> bool:
    """A worker that is asked to end says goodbye first, answers nobody any more, and finishes its tasks."""
    seen = evidence.seen[suspect.worker]
    goodbye_s = evidence.now - seen.last_heartbeat.timestamp()
    return suspect.told is TaskState.STARTED and not seen.online and goodbye_s < evidence.ending_s


def _started_anew(suspect: Suspect, seen: WorkerSeen, evidence: Evidence) -> bool:
    """Whether another process has the worker's name now; in a container it may have the same number."""
    if seen.pid and suspect.pid and seen.pid != suspect.pid:
        return True
    up_s = evidence.workers.up_s.get(seen.hostname)
    if up_s is None or seen.clock_offset_s is None:
        return False
    return evidence.now - up_s > suspect.quiet_since + seen.clock_offset_s + UPTIME_EXACT_S


def has_ended(seen: WorkerSeen, now: float, silent_s: float) -> bool:
    """Whether a worker said goodbye or has been silent for too long."""
    silence_s = now - seen.last_heartbeat.timestamp()
    return not seen.online or silence_s > max(silent_s, BEATS_SILENT * seen.interval_s)


def _live(evidence: Evidence) -> set[str]:
    return {
        name for name, seen in evidence.seen.items() if not has_ended(seen, evidence.now, evidence.silent_s)
    }


def _all_answered(evidence: Evidence) -> bool:
    workers = evidence.workers
    if workers.problem or workers.unheard or not _live(evidence) <= workers.answered:
        return False
    return workers.listening is None or len(workers.answered | workers.beats) >= workers.listening


def _overlaps(suspect: Suspect, end: datetime | None) -> bool:
    return end is None or end.timestamp() > suspect.quiet_since


def _mark(suspect: Suspect, evidence: Evidence, state: TaskState, reason: str, *, worker: str = "") -> Mark:
    # Names of workers come from outside.
    return verdict_mark(
        state,
        _when(suspect, evidence),
        _cut(reason, LONGEST_REASON) or "",
        worker=one_line(worker) or "",
        events=suspect.events,
    )


def _when(suspect: Suspect, evidence: Evidence) -> float:
    """The instant of what is said now: after all that is known, even from a clock that is ahead."""
    return round(max(evidence.now, suspect.newest), 6)


def _instant_of(result: BackendResult) -> float:
    return 0.0 if result.date_done is None else round(result.date_done.timestamp(), 6)


def _cut(text: str | None, limit: int) -> str | None:
    return text if text is None or len(text) <= limit else f"{text[:limit]}…"


def _several(names: tuple[str, ...]) -> str:
    first, *others = sorted(names)
    return first if not others else f"{first} and {len(others)} more"


def _clock(instant: float, now: float) -> str:
    """The time of day on this computer, with the day when it is another."""
    there = datetime.fromtimestamp(instant, UTC).astimezone()
    today = datetime.fromtimestamp(now, UTC).astimezone()
    return f"{there:%H:%M:%S}" if there.date() == today.date() else f"{there:%H:%M:%S on %Y-%m-%d}"
