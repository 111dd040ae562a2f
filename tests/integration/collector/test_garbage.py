"""Thousands of messages that are no events: counted, some in the log, none in the way of a good one."""

from __future__ import annotations

from pathlib import Path

from console.collector.events import LOGGED_MALFORMED
from tests.integration.collector.garbage import counted_alone, survive
from tests.valkey import ValkeyServer

COUNT = 2000


def test_each_kind_is_counted_and_none_raises() -> None:
    for message, must, counted in counted_alone(COUNT, seed=7):
        assert counted or not must, message[:300]


def test_none_stops_the_stream_and_all_good_events_are_stored(broker: ValkeyServer, tmp_path: Path) -> None:
    seen = survive(broker, tmp_path / "h.sqlite3", count=COUNT, seed=11)
    assert seen.malformed >= seen.at_least
    assert seen.good_stored == seen.good == COUNT // 10
    skipped = [line for line in seen.log.splitlines() if "Skipped what is no event" in line]
    assert len(skipped) == LOGGED_MALFORMED
    assert max(map(len, skipped)) < 1000
