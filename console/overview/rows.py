"""The columns and cells of the overview's two tables."""

from __future__ import annotations

from datetime import tzinfo

from console.history.figure_reading import FigureStat
from console.overview.model import Attention
from console.overview.view_model import Subject
from console.widgets.table_model import Cell, Column, Row
from console.widgets.text import clock_text, duration_text, number_text, percent_text, short_task_name

NAMED_AT_MOST = 20


def _stat_columns(key: str, title: str) -> list[Column]:
    return [
        Column(key, title, stretch=1, width=96, kind="link"),
        Column("runs", "Runs", width=56, fit=84, kind="number"),
        Column("failed", "Failed", width=96, kind="number"),
        Column("p50", "p50", width=62, fit=92, kind="number"),
        Column("p95", "p95", width=62, fit=92, kind="number"),
        Column("p99", "p99", width=62, fit=92, kind="number"),
        Column("wait", "Wait p95", width=78, fit=96, kind="number"),
    ]


STAT_COLUMNS = {
    Subject.TASKS: _stat_columns("word", "Task"),
    Subject.QUEUES: _stat_columns("word", "Queue"),
}
ATTENTION_COLUMNS = [
    Column("severity", "Severity", width=98, kind="state", sortable=False),
    Column("what", "What", stretch=1, sortable=False),
    Column("where", "Where", width=90, fit=130, kind="link", sortable=False),
]


def stat_row(stat: FigureStat, subject: Subject, ambiguous: frozenset[str]) -> Row:
    """A task name or a queue."""
    share = stat.failure_rate
    word = short_task_name(stat.word, ambiguous) if subject is Subject.TASKS else stat.word
    runtime, wait = stat.runtime, stat.wait
    return Row(
        stat.word,
        {
            "word": Cell(word, sort=word.lower(), tooltip=stat.word, copy=stat.word),
            "runs": Cell(number_text(stat.runs), sort=stat.runs),
            "failed": Cell(
                number_text(stat.failed),
                sort=stat.failed,
                bold=stat.failed > 0,
                muted=not stat.failed,
                suffix=percent_text(None if share is None else 100.0 * share),
            ),
            "p50": _duration(runtime.p50_s),
            "p95": _duration(runtime.p95_s),
            "p99": _duration(runtime.p99_s),
            "wait": _duration(wait.p95_s),
        },
    )


def _with_names(what: str, names: tuple[str, ...]) -> str:
    more = len(names) - NAMED_AT_MOST
    rest = [f"and {more:,} more"] if more > 0 else []
    return "\n".join([what, *names[:NAMED_AT_MOST], *rest])


def _duration(seconds: float | None) -> Cell:
    """Percentiles are read off buckets: more than two figures would only look exact, and not fit."""
    coarse = seconds is not None and 60.0 <= seconds < 3_600.0
    text = f"{seconds / 60.0:.2g} min" if coarse and seconds is not None else duration_text(seconds)
    return Cell(text, sort=seconds)


def attention_row(row: Attention, zone: tzinfo) -> Row:
    """One thing that needs a person; instants in their zone."""
    what = row.what
    if row.gap is not None:
        start, end = (clock_text(instant, zone) for instant in (row.gap.start, row.gap.end))
        what = f"{f'{start} to {end}' if row.gap.end else f'Since {start}'}: {what}"
    elif row.since is not None:
        what = f"{what} since {clock_text(row.since, zone, seconds=False)}"
    return Row(
        row.key,
        {
            "severity": Cell(row.severity.value),
            "what": Cell(what, tooltip=_with_names(what, row.names)),
            "where": Cell(row.where, tooltip=row.where),
        },
    )
