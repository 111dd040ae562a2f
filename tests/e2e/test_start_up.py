"""From the first paint over imports, pages and the start of the stack: the main thread never stands still."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.e2e.processes import described, processes_of

ROOT = Path(__file__).parents[2]


def test_the_start_never_holds_the_window(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.beating", str(home), "8"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    told = json.loads(done.stdout)
    assert told["beats"] > 100
    assert told["stalls"] == [], f"the main thread stood still: {told['stalls']}"
    assert described(processes_of(home)) == []
