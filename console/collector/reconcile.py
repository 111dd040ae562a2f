"""Reconciliation: tasks of which no event comes any more are looked for, and become what they are.

In a thread of its own with its own lines, each opened for one round and closed with it: the stream is never
delayed, and nothing is asked (and no client library loaded) while nothing is suspect. What is found comes
back to the collector's thread as a mark like any event's.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from console.broker.address import BrokerAddress
from console.broker.database import DatabaseAddress
from console.collector.reconcile_evidence import Evidence, Hold, MessagesFound, Suspect, WorkersSay
from console.collector.reconcile_judge import Judgement, is_half_done, judge
from console.collector.reconcile_suspects import Record, Suspects, Timings
from console.core.errors import ConsoleError
from console.history.marks import Mark
from console.history.model import TaskState, WorkerSeen

if TYPE_CHECKING:
    from console.broker.results import BackendResult, ResultReader
    from console.collector.reconcile_messages import Messages
    from console.collector.reconcile_workers import Workers

log = logging.getLogger(__name__)

Give = Callable[[Sequence[tuple[str, Mark]]], None]

ASKED_AT_ONCE = 1000
END_WITHIN_S = 1.0


class Reconciler:
    """Looks for silent tasks of `history_file` in `address` and `results`; `give` gets what was found.

    Without `results` the workers are asked; only what they keep in the broker's own Redis can be read then.

    `give` is called in the reconciler's thread. `problem` is why the last round could not judge a task
    that it found nowhere; "" when it could. `unjudged`: how many silent tasks there are of which that is so
    now, and why; set between rounds.
    """

    def __init__(
        self,
        *,
        history_file: Path,
        address: BrokerAddress,
        results: BrokerAddress | DatabaseAddress | None,
        give: Give,
        timings: Timings | None = None,
        now: Callable[[], float] = time.time,
        lines: Lines | None = None,
    ) -> None:
        self._timings = timings or Timings()
        self._suspects = Suspects(history_file, self._timings)
        self._address = address
        self._results = results
        self._lines = lines
        self._give = give
        self._now = now
        self._look_at = 0.0
        self._transports: tuple[Mapping[str, object], ...] = ()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reconcile", daemon=True)
        self.problem = ""
        self.unjudged = (0, "")

    def start(self) -> None:
        """Begin; the first round comes after a pause, when events have told what they can."""
        self._thread.start()

    def stop(self) -> None:
        """End soon; a round under way may outlast the call, and then gives nothing any more."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(END_WITHIN_S)

    def _run(self) -> None:
        said = ""
        try:
            while not self._stopping.wait(self._timings.round_s):
                try:
                    self.round()
                    problem = self.problem
                except ConsoleError as error:
                    problem = str(error)
                except Exception:
                    log.exception("Reconciling failed")
                    continue
                if problem and problem != said:
                    log.info("Silent tasks cannot be judged: %s", problem)
                said = problem
        finally:
            self._suspects.close()

    def round(self) -> None:
        """Look for the tasks that are due, if any. Blocking. Raises `ConsoleError` for the history."""
        now = self._now()
        suspects = self._suspects.due(now)
        if suspects:
            self._look_into(suspects, now)
        self.unjudged = self._suspects.unjudged()

    def _look_into(self, suspects: Sequence[Suspect], now: float) -> None:
        self.problem = ""
        lines = self._lines = self._lines or _open_lines(self._address, self._results, self._timings)
        messages = self._look(lines.messages, suspects)
        asked = [one for one in suspects if not _waits(one, messages)][:ASKED_AT_ONCE]
        seen = self._suspects.workers()
        workers = self._ask(lines.workers, asked, seen, now)
        if lines.results is None and not lines.problem and workers.results_database is not None:
            beside = replace(self._address, database=workers.results_database, key_prefix="")
            lines = self._lines = _open_lines(self._address, beside, self._timings)
        results, results_problem = _read_results(lines, asked, workers)
        evidence = Evidence(
            now=now,
            workers=workers,
            messages=messages,
            results=results,
            results_problem=results_problem,
            seen=seen,
            heard=self._suspects.heard(now),
            gaps=self._suspects.gaps(),
            silent_s=self._timings.silent_s,
            ending_s=self._timings.ending_s,
        )
        waiting = [one for one in suspects if _waits(one, messages)]
        found = [mark for one in (*asked, *waiting) for mark in self._judge(one, evidence)]
        if found and not self._stopping.is_set():
            self._give(found)

    def _look(self, messages: Messages, suspects: Sequence[Suspect]) -> MessagesFound | None:
        """Look through the queues, when that is needed and was not done too lately."""
        records = self._suspects.records
        needed = any(
            one.told in (TaskState.SENT, TaskState.RETRYING) or records[one.id].unheld for one in suspects
        )
        began = self._now()
        if not needed or began < self._look_at:
            return None
        try:
            found = messages.look(suspects, self._suspects.queues(), self._transports)
        except ConsoleError as error:
            found = MessagesFound(problem=str(error))
        self._look_at = began + (self._now() - began) * self._timings.look_share
        return found

    def _ask(
        self, workers: Workers, suspects: Sequence[Suspect], seen: Mapping[str, WorkerSeen], now: float
    ) -> WorkersSay:
        if not suspects:
            return WorkersSay()
        records = self._suspects.records
        everything = any(records[one.id].unheld or one.eta > now for one in suspects)
        # Who said goodbye is not there, but another of the same name may be.
        there = [worker for worker in seen.values() if worker.online]
        latest = sorted(there, key=lambda worker: worker.last_heartbeat, reverse=True)
        names = dict.fromkeys([*(one.worker for one in suspects), *(worker.hostname for worker in latest)])
        known = {
            name: seen[name].last_heartbeat.timestamp() if name in seen else 0.0 for name in names if name
        }
        try:
            said = workers.ask([one.id for one in suspects], everything=everything, known=known)
        except ConsoleError as error:
            return WorkersSay(problem=str(error))
        self._transports = said.transports or self._transports
        return said

    def _judge(self, suspect: Suspect, evidence: Evidence) -> list[tuple[str, Mark]]:
        record = self._suspects.records[suspect.id]
        judgement = judge(suspect, evidence, missing_before=record.missing)
        self._plan(suspect, record, judgement, evidence)
        record.unsure = judgement.unsure
        if judgement.unsure:
            self.problem = judgement.unsure
        return [] if judgement.mark is None else [(suspect.id, judgement.mark)]

    def _plan(self, suspect: Suspect, record: Record, judgement: Judgement, evidence: Evidence) -> None:
        """When to look at it again: soon to be sure, ever later while nothing changes."""
        timings = self._timings
        held = suspect.id in evidence.workers.held
        placed = evidence.messages is not None and suspect.id in evidence.messages.places
        record.unheld = not held
        if not held and not placed and judgement.mark is None and is_half_done(evidence):
            record.due = evidence.now + timings.round_s
            return
        confirming = judgement.missing and not record.missing
        record.missing = judgement.missing
        if confirming:
            record.due = evidence.now + timings.round_s
            return
        longest_s = timings.eta_quiet_s if suspect.eta > evidence.now else timings.longest_s
        record.pause_s = min(max(record.pause_s * 2, timings.quiet_s), longest_s)
        record.due = evidence.now + record.pause_s


def _waits(suspect: Suspect, messages: MessagesFound | None) -> bool:
    """Whether it waits in a queue as far as is known, so that no worker need be asked."""
    if suspect.told is not TaskState.SENT:
        return False
    return messages is None or not messages.complete or suspect.id in messages.places


@dataclass(frozen=True, slots=True)
class Lines:
    """Whom to ask. `problem`: why there is no reader of results though there is a backend."""

    workers: Workers
    messages: Messages
    results: ResultReader | None
    problem: str


def _open_lines(
    address: BrokerAddress, results: BrokerAddress | DatabaseAddress | None, timings: Timings
) -> Lines:
    from console.broker.results import open_results
    from console.collector.reconcile_messages import open_messages
    from console.collector.reconcile_workers import open_workers

    reader, problem = None, ""
    try:
        reader = None if results is None else open_results(results)
    except ConsoleError as error:
        problem = str(error)
    workers = open_workers(address, answer_s=timings.answer_s)
    return Lines(workers, open_messages(address), reader, problem)


def _read_results(
    lines: Lines, suspects: Sequence[Suspect], workers: WorkersSay
) -> tuple[Mapping[str, BackendResult] | None, str]:
    """What the backend holds of those that do not run; None without one. And why it cannot be read."""
    if lines.results is None:
        return None, lines.problem
    wanted = [one.id for one in suspects if Hold.ACTIVE not in workers.held.get(one.id, {}).values()]
    try:
        return (lines.results.read(wanted) if wanted else {}), ""
    except ConsoleError as error:
        return {}, str(error)
