"""A collector that is killed at any moment leaves a sound history, and a gap that says so."""

from __future__ import annotations

from pathlib import Path

from tests.integration.collector.kills import KILLED, check_history, kill_again_and_again
from tests.valkey import ValkeyServer

KILLS = 6


def test_killed_under_load_nothing_is_doubled_or_half_folded(broker: ValkeyServer, tmp_path: Path) -> None:
    history_file = tmp_path / "h.sqlite3"
    after = kill_again_and_again(broker, history_file, kills=KILLS, seed=4)
    assert check_history(history_file) == after.stored
    assert 0 < after.stored <= after.published
    assert [gap.reason for gap in after.gaps] == [KILLED] * KILLS
    assert all(gap.end is not None and gap.end > gap.start for gap in after.gaps)
