"""`make bench [ARGS="first-paint stack collector flower pages live-page"]`: figures, and the limits they keep."""

from __future__ import annotations

import sys
from collections.abc import Callable

from tests.bench import (
    collector_bench,
    collector_pages_bench,
    first_paint,
    flower_bench,
    live_page_bench,
    stack,
)

BENCHES: dict[str, Callable[[], object]] = {
    "first-paint": first_paint.main,
    "stack": stack.main,
    "collector": lambda: collector_bench.main([]),
    "flower": lambda: flower_bench.main([]),
    "pages": lambda: collector_pages_bench.main([]),
    "live-page": lambda: live_page_bench.main([]),
}


def main(wanted: list[str]) -> int:
    for name in wanted or list(BENCHES):
        print(f"== {name}", flush=True)
        BENCHES[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
