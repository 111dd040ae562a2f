"""The end: in which order things let go, and how long they may take."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from console.app.wiring import Console

log = logging.getLogger(__name__)
STEP_S = 3.0
STACK_S = 8.0
"""The stack kills by itself what takes longer than 5 s."""


async def close_all(console: Console) -> None:
    """End everything, outermost first. One that hangs does not keep the others from ending."""
    console.crash.on_bug = None
    await _ended("notifications", console.notifications.aclose())
    await _ended("stack", console.stack.aclose(), STACK_S)
    await _ended("connections", console.connections.aclose())
    await _ended("collector", console.collector.aclose())
    await asyncio.gather(
        *(
            _ended(f"{name} page", view.aclose())
            for name, view in (
                ("stack", console.stack_view),
                ("workers", console.workers_view),
                ("queues", console.queues_view),
                ("tasks", console.tasks_view),
                ("schedules", console.schedules_view),
                ("connections", console.connections_view),
                ("activity", console.activity_view),
                ("resend", console.resend_view),
                ("overview", console.overview_view),
            )
        )
    )
    await _ended("activity", console.activity.aclose())


async def _ended(name: str, ending: Awaitable[None], within_s: float = STEP_S) -> None:
    try:
        async with asyncio.timeout(within_s):
            await ending
    except TimeoutError:
        log.warning("%s did not end within %.0f s", name, within_s)
    except Exception:
        log.exception("%s could not be ended", name)
