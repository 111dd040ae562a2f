"""How long something took this thread itself: the measure for work that neither waits nor shares.

Neither what the machine does besides nor what earlier tests have left in memory counts: the garbage
collector would go through all of it.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def only_new_garbage() -> Iterator[None]:
    """Inside it, the collector sees only what is made inside it."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def own_time_s(action: Callable[[], object]) -> float:
    """The processor time of this thread that one call takes, seconds."""
    with only_new_garbage():
        started_s = time.thread_time()
        action()
        return time.thread_time() - started_s
