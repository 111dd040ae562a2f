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


def own_times_s(*actions: Callable[[], object]) -> list[float]:
    """The processor time of this thread that each call takes, one after the other, seconds."""
    took_s = []
    with only_new_garbage():
        for action in actions:
            started_s = time.thread_time()
            action()
            took_s.append(time.thread_time() - started_s)
    return took_s
