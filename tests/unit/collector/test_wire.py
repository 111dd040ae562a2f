"""What passes between the window and its collector survives the way, and nonsense does not stop it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from console.broker.address import BrokerAddress, BrokerKind
from console.collector.redis_line import event_patterns
from console.collector.wire import (
    CollectorConfig,
    LineSplitter,
    decode_config,
    decode_summary,
    encode_config,
    encode_summary,
)
from console.core.errors import ConsoleError
from console.core.redaction import Secret
from console.history.bounds import Retention
from console.history.model import CollectorState, CollectorSummary, TaskState, WorkerSeen

WORKER = WorkerSeen(
    "celery@a", True, datetime(2026, 1, 2, tzinfo=UTC), 2.0, 1, None, (0.5, 0.25), 7, "py-celery 5"
)
SUMMARY = CollectorSummary(
    state=CollectorState.READING, change=5, events=9, events_per_s=1.5, lag_s=None, malformed=1,
    counts=dict.fromkeys(TaskState, 2), workers=(WORKER,), error="No space",
    unjudged_tasks=3, unjudged="The results cannot be read",
)  # fmt: skip


def test_a_summary_survives_the_way() -> None:
    assert decode_summary(encode_summary(SUMMARY)) == SUMMARY


def test_workers_that_are_not_told_again_are_kept() -> None:
    line = encode_summary(SUMMARY, with_workers=False)
    assert decode_summary(line, workers=(WORKER,)) == SUMMARY


def test_a_configuration_survives_the_way() -> None:
    address = BrokerAddress("::1", 7, 3, "me", Secret("p@ss:w/rd"), key_prefix="app:")
    config = CollectorConfig(address, Path("/h"), Path("/l"))
    assert decode_config(encode_config(config)) == config


@pytest.mark.parametrize("line", [b"", b"{}", b"[]", b"null", b"\xff", b'{"broker_url": 5}'])
def test_other_lines_are_refused(line: bytes) -> None:
    with pytest.raises(ConsoleError):
        decode_config(line)
    with pytest.raises(ValueError):
        decode_summary(line)


def test_lines_come_in_pieces_and_one_that_is_too_long_is_dropped() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"a\nb") == [b"a"]
    assert splitter.feed(b"c\n\n\r") == [b"bc"]
    assert splitter.feed(b"x" * 3_000_000) == []
    assert splitter.feed(b"x" * 3_000_000 + b"\nnext\n") == [b"next"]


def test_the_pattern_honours_database_and_prefix() -> None:
    assert event_patterns(BrokerAddress("h", 1)) == ("/0.celeryev/*",)
    assert event_patterns(BrokerAddress("h", 1, 2, key_prefix="a[*]")) == ("a\\[\\*\\]/2.celeryev/*",)
    sentinel = BrokerAddress("h", 1, kind=BrokerKind.SENTINEL)
    assert event_patterns(sentinel) == ("/0.celeryev/*", "/{db}.celeryev/*")


def test_the_bounds_of_the_history_travel_and_the_usual_ones_need_not() -> None:
    config = CollectorConfig(
        BrokerAddress("h", 6379), Path("/h"), Path("/l"), retention=Retention(days=3, max_bytes=10**9)
    )
    assert decode_config(encode_config(config)) == config
    values = json.loads(encode_config(config))
    del values["retention"]
    assert decode_config(json.dumps(values).encode()).retention == Retention(14, 2 * 1024**3)
