"""What one worker is, as pairs of words beside its lists: versions, clocks, prefetch, processor, memory."""

from __future__ import annotations

from datetime import datetime, tzinfo

from console.widgets.text import UNKNOWN, ago_text, bytes_text, duration_text, exact_instant, number_text
from console.workers.listing_cells import whole_seconds
from console.workers.model import WorkerRow, WorkerState

DRIFT_S = 2.0
"""A clock that is off by more is told as a fault; celery itself warns from 16 s on."""
SOFTWARE = {"py-celery": "Celery"}


def fact_pairs(row: WorkerRow, *, now: datetime) -> list[tuple[str, str] | tuple[str, str, str]]:
    """(name, value, role) as `KeyValueGrid` shows them."""
    said = row.said
    return [
        ("Host", row.hostname.partition("@")[2] or row.hostname),
        ("Software", software_text(row.software)),
        ("Pool", _pool(row)),
        ("Prefetch", _prefetch(row)),
        ("PID", str(row.pid) if row.pid is not None else UNKNOWN),
        ("Uptime", _uptime(row, now)),
        ("Heartbeat", _heartbeat(row, now)),
        ("Clock", _offset(row.clock_offset_s)),
        ("Load average", " ".join(f"{value:.2f}" for value in row.load) or UNKNOWN),
        ("CPU time", _cpu(row)),
        ("Memory", UNKNOWN if said.memory_bytes is None else f"{bytes_text(said.memory_bytes)} at most"),
        ("Task events", {True: "sent", False: "not sent", None: UNKNOWN}[row.task_events]),
        ("Logical clock", number_text(said.logical_clock)),
        ("Broker", said.broker or UNKNOWN),
    ]


def fact_hints(row: WorkerRow, *, zone: tzinfo) -> dict[str, str]:
    """Tooltips by name: exact instants, and of what a number is."""
    main = "Of the worker's main process alone, as it reports it"
    hints = {
        "CPU time": main,
        "Memory": f"{main}: the most it ever had",
        "Clock": "Our clock against the worker's at its last heartbeat, its way here included",
        "Logical clock": "Counts the messages of the cluster",
        "Load average": "Of the whole machine over 1, 5 and 15 min",
    }
    if row.last_heartbeat is not None:
        hints["Heartbeat"] = exact_instant(row.last_heartbeat, zone)
    if row.said_at is not None:
        hints["Uptime"] = f"As of {exact_instant(row.said_at, zone)}"
    return hints


def software_text(software: str) -> str:
    """The worker's name and version of its software: "py-celery 5.7.0" is Celery 5.7.0."""
    name, _, version = software.partition(" ")
    return f"{SOFTWARE.get(name, name)} {version}".strip() or UNKNOWN


def _pool(row: WorkerRow) -> str:
    if row.pool is None:
        return UNKNOWN
    if row.autoscale is not None:
        return f"{row.pool}, {number_text(row.concurrency)} of {row.autoscale[0]} to {row.autoscale[1]}"
    return f"{row.pool}, {number_text(row.concurrency)}"


def _prefetch(row: WorkerRow) -> str:
    said = row.said
    if said.prefetch is None:
        return UNKNOWN
    count = "no limit" if said.prefetch == 0 else number_text(said.prefetch)
    return count if said.multiplier is None else f"{count}, {said.multiplier} per place"


def _uptime(row: WorkerRow, now: datetime) -> str:
    if row.said.uptime_s is None or row.said_at is None or row.state is WorkerState.OFFLINE:
        return UNKNOWN
    return whole_seconds(row.said.uptime_s + (now - row.said_at).total_seconds())


def _heartbeat(row: WorkerRow, now: datetime) -> str:
    return UNKNOWN if row.last_heartbeat is None else ago_text((now - row.last_heartbeat).total_seconds())


def _offset(offset_s: float | None) -> str:
    if offset_s is None:
        return UNKNOWN
    if abs(offset_s) < DRIFT_S:
        return f"{offset_s * 1000:+.0f} ms"
    return f"{duration_text(abs(offset_s))} {'behind' if offset_s > 0 else 'ahead'}"


def _cpu(row: WorkerRow) -> str:
    if row.said.cpu_s is None:
        return UNKNOWN
    user_s, system_s = row.said.cpu_s
    return f"{user_s:.1f} s user, {system_s:.1f} s system"
