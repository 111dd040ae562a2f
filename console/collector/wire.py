"""What passes between the window and its collector: one line of configuration in, lines of summary out.

Plain JSON lines. The configuration travels on standard input because a password must be in no
argument list and no environment; an end of that input means that the window is gone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from console.broker.address import BrokerAddress
from console.broker.address_wire import (
    address_from_wire,
    address_to_wire,
    results_from_wire,
    results_to_wire,
)
from console.broker.database import DatabaseAddress
from console.core.errors import Cause, ConsoleError
from console.history.bounds import STANDARD_RETENTION, Retention
from console.history.model import CollectorState, CollectorSummary, TaskState, WorkerSeen

MAX_LINE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class CollectorConfig:
    """What a collector needs to know; `address` and `results` (the result backend) carry passwords."""

    address: BrokerAddress
    history_file: Path
    log_file: Path
    results: BrokerAddress | DatabaseAddress | None = None
    retention: Retention = STANDARD_RETENTION


def encode_config(config: CollectorConfig) -> bytes:
    """One line with a secret in it: for the standard input of the child and for nothing else."""
    return _line(
        {
            "broker": address_to_wire(config.address),
            "history_file": str(config.history_file),
            "log_file": str(config.log_file),
            "results": results_to_wire(config.results),
            "retention": _retention_out(config.retention),
        }
    )


def decode_config(line: bytes) -> CollectorConfig:
    """Raises `ConsoleError` (`Cause.INVALID`) when the line is not a configuration."""
    try:
        values = json.loads(line)
        address = address_from_wire(values["broker"])
        return CollectorConfig(
            address,
            Path(values["history_file"]),
            Path(values["log_file"]),
            results_from_wire(values["results"]),
            _retention_in(values.get("retention")),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConsoleError(
            "The collector's configuration is not valid",
            detail="One JSON line with broker, history_file, log_file and results is expected.",
            cause=Cause.INVALID,
        ) from error


def encode_retention(retention: Retention) -> bytes:
    """Other bounds for a collector that runs: one line on its standard input."""
    return _line(_retention_out(retention))


def decode_retention(line: bytes) -> Retention | None:
    """The bounds in `line`; None when it is another line."""
    try:
        values = json.loads(line)
        return _retention_in(values) if isinstance(values, dict) else None
    except (ValueError, KeyError, TypeError):
        return None


def _retention_out(retention: Retention) -> dict[str, int]:
    return {"days": retention.days, "max_bytes": retention.max_bytes}


def _retention_in(values: dict[str, Any] | None) -> Retention:
    """The bounds of the history; the usual ones where nothing is said."""
    if values is None:
        return STANDARD_RETENTION
    return Retention(days=max(1, int(values["days"])), max_bytes=int(values["max_bytes"]))


def encode_summary(summary: CollectorSummary, *, with_workers: bool = True) -> bytes:
    """One line. Without workers the receiver keeps those of the line before."""
    return _line(
        {
            "state": summary.state.value,
            "change": summary.change,
            "events": summary.events,
            "events_per_s": round(summary.events_per_s, 2),
            "lag_s": None if summary.lag_s is None else round(summary.lag_s, 4),
            "malformed": summary.malformed,
            "counts": {state.value: count for state, count in summary.counts.items()},
            "workers": [_worker_out(worker) for worker in summary.workers] if with_workers else None,
            "error": summary.error,
            "along": summary.along,
            "unjudged": [summary.unjudged_tasks, summary.unjudged],
        }
    )


def decode_summary(line: bytes, *, workers: tuple[WorkerSeen, ...] = ()) -> CollectorSummary:
    """The summary in `line`; `workers` are those of the one before. Raises `ValueError` for other lines."""
    try:
        values = json.loads(line)
        seen = values["workers"]
        return CollectorSummary(
            state=CollectorState(values["state"]),
            change=int(values["change"]),
            events=int(values["events"]),
            events_per_s=float(values["events_per_s"]),
            lag_s=None if values["lag_s"] is None else float(values["lag_s"]),
            malformed=int(values["malformed"]),
            counts={TaskState(state): int(count) for state, count in values["counts"].items()},
            workers=workers if seen is None else tuple(_worker_in(worker) for worker in seen),
            error=str(values["error"]),
            along=values["along"] is True,
            unjudged_tasks=int(values["unjudged"][0]),
            unjudged=str(values["unjudged"][1]),
        )
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError("not a summary") from error


def _worker_out(worker: WorkerSeen) -> list[Any]:
    return [
        worker.hostname,
        worker.online,
        worker.last_heartbeat.timestamp(),
        worker.interval_s,
        worker.active,
        worker.processed,
        list(worker.load),
        worker.pid,
        worker.software,
        worker.clock_offset_s,
    ]


def _worker_in(values: list[Any]) -> WorkerSeen:
    hostname, online, last, interval_s, active, processed, load, pid, software, clock_offset_s = values
    return WorkerSeen(
        hostname=hostname,
        online=online,
        last_heartbeat=datetime.fromtimestamp(last, UTC),
        interval_s=interval_s,
        active=active,
        processed=processed,
        load=tuple(load),
        pid=pid,
        software=software,
        clock_offset_s=clock_offset_s,
    )


def _line(values: dict[str, Any]) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"


def _pieces(data: bytes) -> list[bytes]:
    # splitlines() would also split at a carriage return
    *ended, rest = data.split(b"\n")
    return [piece + b"\n" for piece in ended] + [rest]


class LineSplitter:
    """Bytes into lines; a line longer than `MAX_LINE_BYTES` is dropped and the stream goes on."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._dropping = False

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, without their ends."""
        lines: list[bytes] = []
        for piece in _pieces(data):
            self._rest += piece
            if len(self._rest) > MAX_LINE_BYTES:
                self._dropping = True
                self._rest.clear()
            if piece.endswith(b"\n"):
                if not self._dropping and self._rest.strip():
                    lines.append(bytes(self._rest).rstrip())
                self._rest.clear()
                self._dropping = False
        return lines
