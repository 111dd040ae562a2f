"""Fifty kills of a collector under load: what its history is worth then, and how soon it reads again."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

from tests.integration.collector.kills import KILLED, check_history, kill_again_and_again
from tests.valkey import valkey_server

KILLS = 50


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, valkey_server(Path(folder) / "valkey") as broker:
        history_file = Path(folder) / "h.sqlite3"
        after = kill_again_and_again(broker, history_file, kills=KILLS, seed=50)
        rows = check_history(history_file)
        said = [gap for gap in after.gaps if gap.reason == KILLED and gap.end is not None]
        figures = {
            "kills": KILLS,
            "gaps": len(said),
            "tasks_published": after.published,
            "rows_checked": rows,
            "reading_again_s": round(statistics.median(after.again_s), 2),
        }
        sys.stdout.write(json.dumps(figures) + "\n")
        if len(said) != KILLS or len(after.gaps) != KILLS:
            raise SystemExit(f"{KILLS} kills left {len(after.gaps)} gaps, {len(said)} of them in words")


if __name__ == "__main__":
    main()
