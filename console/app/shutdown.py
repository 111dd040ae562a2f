"""The end: what is asked before it, and in which order things let go."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QWidget

from console.stack.view_model import StopChoice
from console.widgets.dialog import ConsoleDialog
from console.widgets.label import Text

if TYPE_CHECKING:
    from console.app.wiring import Console

log = logging.getLogger(__name__)
STEP_S = 15.0


async def ask_about_tasks(window: QWidget, number: int) -> StopChoice | None:
    """Asks once what to do with the tasks that the local worker runs; None: leave the stack alone."""
    tasks = "1 task is" if number == 1 else f"{number} tasks are"
    dialog = ConsoleDialog(window, "Stop the local stack?", width=460)
    dialog.body.addWidget(
        Text(
            f"{tasks} still running. Tasks that are stopped now are run again at the next start "
            "if they acknowledge late; others are lost.",
            wrap=True,
        )
    )
    chosen: list[StopChoice] = []
    now = dialog.add_button("Stop now", role="accept")
    now.clicked.connect(lambda: chosen.append(StopChoice.NOW))
    wait = dialog.add_button("Wait for them", kind="primary", role="accept")
    wait.clicked.connect(lambda: chosen.append(StopChoice.WAIT))
    accepted = await dialog.ask()
    if not accepted:
        return None
    return chosen[0] if chosen else StopChoice.WAIT


async def close_all(console: Console) -> None:
    """End everything, outermost first. One that hangs does not keep the others from ending."""
    console.crash.on_bug = None
    for name, ending in (
        ("stack", console.stack.aclose),
        ("connections", console.connections.aclose),
        ("collector", console.collector.aclose),
        ("stack page", console.stack_view.aclose),
        ("workers page", console.workers_view.aclose),
        ("queues page", console.queues_view.aclose),
        ("tasks page", console.tasks_view.aclose),
        ("schedules page", console.schedules_view.aclose),
        ("connections page", console.connections_view.aclose),
        ("activity page", console.activity_view.aclose),
        ("resend page", console.resend_view.aclose),
        ("overview page", console.overview_view.aclose),
        ("activity", console.activity.aclose),
    ):
        await _ended(name, ending())


async def _ended(name: str, ending: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(STEP_S):
            await ending
    except TimeoutError:
        log.warning("%s did not end within %.0f s", name, STEP_S)
    except Exception:
        log.exception("%s could not be ended", name)
