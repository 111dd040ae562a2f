"""Importing what is heavy, in a thread, with the garbage collector held back.

The collector stops all threads for as long as it looks through what is alive, and imports make some hundred
thousand objects that live for good: looking through them again and again held the window for 40 to 100 ms.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from importlib import import_module
from types import ModuleType

from console.core.lanes import Lane

WITHIN_S = 60.0
# What the first connection and the first look at the schedules need.
LATER = ("celery.app.control", "celery.app.amqp", "kombu.transport.redis", "console.schedules.django_setup")


async def import_in_thread(*names: str, then: Callable[[], object] | None = None) -> list[ModuleType]:
    """Import modules one after the other, call `then`, and have the collector leave them alone for ever."""
    lane = Lane("imports", timeout_s=WITHIN_S)
    gc.disable()
    try:
        modules = [await lane.run(import_module, name) for name in names]
        if then is not None:
            await lane.run(then)
    finally:
        gc.freeze()
        gc.enable()
        await lane.aclose()
    return modules
