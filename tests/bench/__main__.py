"""`make bench [ARGS="collector live-page ..."]`: figures, and the limits they keep; without a name all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from tests.bench import (
    collector_bench,
    collector_pages_bench,
    first_paint,
    flower_bench,
    kills_bench,
    malformed_bench,
    stack,
)


def run_alone(module: str) -> None:
    """A window is measured in a process that has had no other."""
    subprocess.run([sys.executable, "-m", module], check=True)


BENCHES: dict[str, Callable[[], object]] = {
    "first-paint": first_paint.main,
    "stack": stack.main,
    "collector": lambda: collector_bench.main([]),
    "flower": lambda: flower_bench.main([]),
    "pages": lambda: collector_pages_bench.main([]),
    "kills": kills_bench.main,
    "malformed": malformed_bench.main,
    "live-page": lambda: run_alone("tests.bench.live_page_bench"),
}


def main(wanted: list[str]) -> int:
    for name in wanted or list(BENCHES):
        print(f"== {name}", flush=True)
        BENCHES[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
