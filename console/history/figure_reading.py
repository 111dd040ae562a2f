"""Reading figures: slots for charts, and counts and percentiles per task name and per queue.

A span of time is put together from as few stored slots as cover it: whole days, hours and quarters, and where
that is less, a longer slot with its beginning taken away again. So a week is some twenty slots, however much
happened in it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from console.history.buckets import percentiles
from console.history.figures import PLAIN, SPANS_S, FigureKind
from console.history.history_file import HistoryFile
from console.history.marks import CODE_OF
from console.history.model import Gap, Measure, Percentiles, TaskState
from console.history.schema import WordKind
from console.history.writer import gap_from

MISSING_SHARE = 0.1
LOOKED_AT = 1000
MINUTE_S = 60
_CODES = 256

Part = tuple[int, int, int]
"""1 or -1, span (s), slot: a stored slot that is added or taken away."""


@dataclass(frozen=True, slots=True)
class FigureSlot:
    """One slot of a chart; instants are aware UTC, `end` that of the running slot is in the future.

    `gap`: events of it may be missing. Counts are those of events that were seen all the same.
    """

    start: datetime
    end: datetime
    sent: int
    received: int
    succeeded: int
    failed: int
    retried: int
    other: int
    runtime: Percentiles
    wait: Percentiles
    gap: bool = False

    @property
    def ended(self) -> int:
        """Attempts that ended, however they ended."""
        return self.succeeded + self.failed + self.retried + self.other

    @property
    def known(self) -> bool:
        """Whether the counts can be shown: nothing seen where something may be missing is no zero."""
        return not self.gap or bool(self.ended or self.sent or self.received)


@dataclass(frozen=True, slots=True)
class FigureStat:
    """One task name or queue over a span of time. `runs` are attempts that ended."""

    word: str
    succeeded: int
    failed: int
    retried: int
    other: int
    runtime: Percentiles
    wait: Percentiles

    @property
    def runs(self) -> int:
        return self.succeeded + self.failed + self.retried

    @property
    def failure_rate(self) -> float | None:
        """The share of failures among what ended for good, 0.0 to 1.0; an attempt that is retried has not."""
        ended = self.succeeded + self.failed
        return self.failed / ended if ended else None


class FigureReading(HistoryFile):
    """What is read of `figures`. Every method raises `ConsoleError` as `HistoryFile` says."""

    def series(
        self, *, since_s: float, slot_s: int, name: str | None = None, queue: str | None = None
    ) -> list[FigureSlot]:
        """Slots of `slot_s` (whole minutes) over the last `since_s`, oldest first, the running one last.

        Of everything, of one task `name`, or of one `queue`. Slots are aligned to the epoch.
        """
        now = self._now()
        first, last = _first_slot(now, since_s, slot_s), int(now // slot_s)
        span_s = max(span for span in SPANS_S if slot_s % span == 0)
        kind, word = self._counted(name, queue)
        wanted = range(first * slot_s // span_s, int(now // span_s) + 1)
        rows = self._all(
            "SELECT slot / ?, measure, bucket, sum(n) FROM figures "
            "WHERE span = ? AND slot IN (SELECT value FROM json_each(?)) AND kind = ? AND word = ? "
            "GROUP BY 1, 2, 3",
            [slot_s // span_s, span_s, json.dumps(list(wanted)), kind, word],
        )
        found: defaultdict[int, dict[tuple[int, int], int]] = defaultdict(dict)
        for slot, measure, bucket, count in rows:
            found[slot][measure, bucket] = count
        missing = self._missing(span_s, now, (first * slot_s, (last + 1) * slot_s))
        return [_slot(slot, slot_s, found.get(slot, {}), missing) for slot in range(first, last + 1)]

    def name_stats(self, *, since_s: float, slot_s: int = MINUTE_S) -> list[FigureStat]:
        """Every task name that was seen in the last `since_s`, from the start of a slot of `slot_s`."""
        return self._stats(FigureKind.NAME, since_s, slot_s)

    def queue_stats(self, *, since_s: float, slot_s: int = MINUTE_S) -> list[FigureStat]:
        """The same for queues, as far as events tell of them."""
        return self._stats(FigureKind.QUEUE, since_s, slot_s)

    def kinds_of_error(self, name: str, *, since_s: float) -> int:
        """How many different errors the failures of task `name` in the last `since_s` are.

        The newest 1,000 of them are looked at.
        """
        rows = self._all(
            "SELECT count(DISTINCT error) FROM (SELECT error FROM tasks WHERE state IN (?, ?) AND at >= ? "  # noqa: S608
            f"AND name = ? ORDER BY at DESC LIMIT {LOOKED_AT})",
            [
                CODE_OF[TaskState.FAILED],
                CODE_OF[TaskState.REJECTED],
                self._now() - since_s,
                self._number(WordKind.NAME, name),
            ],
        )
        count: int = rows[0][0]
        return count

    def lost_tasks(self, *, since_s: float) -> int:
        """Tasks of the last `since_s` that are in no queue and with no worker, up to 1,000."""
        rows = self._all(
            "SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_state "  # noqa: S608
            f"WHERE state = ? AND at >= ? LIMIT {LOOKED_AT})",
            [CODE_OF[TaskState.LOST], self._now() - since_s],
        )
        count: int = rows[0][0]
        return count

    def gaps(self, *, since_s: float | None = None) -> list[Gap]:
        """Times in which events may have been missed, oldest first; those that touch the last `since_s`."""
        since = 0.0 if since_s is None else self._now() - since_s
        rows = self._all(
            "SELECT start, end, reason, lost FROM gaps WHERE end IS NULL OR end >= ? ORDER BY number", [since]
        )
        return [gap_from(row) for row in rows]

    def _stats(self, kind: FigureKind, since_s: float, slot_s: int) -> list[FigureStat]:
        now = self._now()
        parts = covering(_first_slot(now, since_s, slot_s) * slot_s, int(now))
        rows = self._all(
            # CROSS JOIN: the few parts lead, each to a stretch of the primary key.
            "WITH part (sign, length, number) AS MATERIALIZED "
            "(SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?)) "
            "SELECT word * 65536 + measure * 256 + bucket + 1, sum(n * sign) FROM part CROSS JOIN figures "
            "WHERE span = length AND slot = number AND kind = ? AND measure >= ? GROUP BY 1",
            [json.dumps(parts), kind, Measure.SUCCEEDED],
        )
        by_word: defaultdict[int, dict[tuple[int, int], int]] = defaultdict(dict)
        for key, count in rows:
            if count > 0:
                code = key % 65536
                by_word[key // 65536][code // _CODES, code % _CODES - 1] = count
        named = ((self._word(number), counts) for number, counts in by_word.items())
        stats = [_stat(word, counts) for word, counts in named if word is not None]
        return sorted(stats, key=lambda stat: stat.word)

    def _counted(self, name: str | None, queue: str | None) -> tuple[FigureKind, int]:
        """A word that the history does not have is number -1, of which there are no figures."""
        if name is not None:
            return FigureKind.NAME, self._number(WordKind.NAME, name) or -1
        if queue is not None:
            return FigureKind.QUEUE, self._number(WordKind.QUEUE, queue) or -1
        return FigureKind.ALL, 0

    def _missing(self, span_s: int, now: float, within: tuple[int, int]) -> list[tuple[float, float]]:
        """Stretches of time of which nothing, or not everything, is known (seconds of the epoch)."""
        start, end = within
        first = self._all("SELECT min(slot) FROM figures WHERE span = ?", [span_s])[0][0]
        stretches = [(float(start), float(end if first is None else min(first * span_s, end)))]
        return stretches + [
            (gap.start.timestamp(), gap.end.timestamp() if gap.end else float(end))
            for gap in self.gaps(since_s=now - start)
        ]


def covering(start_s: int, now_s: int) -> list[Part]:
    """Stored slots that together are the time from `start_s` (a whole minute) until now."""
    longest = SPANS_S[-1]
    whole = range(start_s // longest + 1, now_s // longest + 1)
    return _until_end(len(SPANS_S) - 1, start_s, now_s) + [(1, longest, slot) for slot in whole]


def _until_end(level: int, start_s: int, now_s: int) -> list[Part]:
    """The time from `start_s` to the end of its slot of this level, or until now."""
    span = SPANS_S[level]
    if start_s % span == 0 or level == 0:
        return [(1, span, start_s // span)]
    inner = SPANS_S[level - 1]
    slot, first = start_s // span, start_s // inner
    rest = _until_end(level - 1, start_s, now_s)
    before = range(slot * span // inner, first + 1)
    after = range(first + 1, min((slot + 1) * span // inner, now_s // inner + 1))
    if len(after) <= len(before) + 1:
        return rest + [(1, inner, one) for one in after]
    return [*rest, (1, span, slot), *((-1, inner, one) for one in before)]


def _first_slot(now: float, since_s: float, slot_s: int) -> int:
    return int((now - since_s) // slot_s) + 1


def _slot(
    slot: int,
    slot_s: int,
    counts: Mapping[tuple[int, int], int],
    missing: Sequence[tuple[float, float]],
) -> FigureSlot:
    start, end = slot * slot_s, (slot + 1) * slot_s
    missed_s = sum(max(0.0, min(end, until) - max(start, since)) for since, until in missing)
    least_s = 0.0 if slot_s <= MINUTE_S else slot_s * MISSING_SHARE
    return FigureSlot(
        start=datetime.fromtimestamp(start, UTC),
        end=datetime.fromtimestamp(end, UTC),
        sent=_plain(counts, Measure.SENT),
        received=_plain(counts, Measure.RECEIVED),
        succeeded=_plain(counts, Measure.SUCCEEDED),
        failed=_plain(counts, Measure.FAILED),
        retried=_plain(counts, Measure.RETRIED),
        other=_plain(counts, Measure.OTHER),
        runtime=_spread(counts, Measure.RUNTIME),
        wait=_spread(counts, Measure.WAIT),
        gap=missed_s > least_s,
    )


def _stat(word: str, counts: Mapping[tuple[int, int], int]) -> FigureStat:
    return FigureStat(
        word=word,
        succeeded=_plain(counts, Measure.SUCCEEDED),
        failed=_plain(counts, Measure.FAILED),
        retried=_plain(counts, Measure.RETRIED),
        other=_plain(counts, Measure.OTHER),
        runtime=_spread(counts, Measure.RUNTIME),
        wait=_spread(counts, Measure.WAIT),
    )


def _plain(counts: Mapping[tuple[int, int], int], measure: Measure) -> int:
    return max(0, counts.get((measure, PLAIN), 0))


def _spread(counts: Mapping[tuple[int, int], int], measure: Measure) -> Percentiles:
    """Counts taken back can leave less than nothing in a bucket; that is nothing."""
    return percentiles({bucket: n for (of, bucket), n in counts.items() if of == measure and n > 0})
