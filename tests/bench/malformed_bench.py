"""A hundred thousand messages that are no events, with ten thousand good tasks between them."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.integration.collector.garbage import survive
from tests.valkey import valkey_server

COUNT = 100_000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, valkey_server(Path(folder) / "valkey") as broker:
        seen = survive(broker, Path(folder) / "h.sqlite3", count=COUNT, seed=100)
        figures = {
            "messages": COUNT,
            "counted": seen.malformed,
            "at_least": seen.at_least,
            "good_tasks": seen.good,
            "good_tasks_stored": seen.good_stored,
            "seconds": round(seen.took_s, 1),
        }
        sys.stdout.write(json.dumps(figures) + "\n")
        if seen.good_stored != seen.good or seen.malformed < seen.at_least:
            raise SystemExit("something good was lost, or something bad was not counted")


if __name__ == "__main__":
    main()
