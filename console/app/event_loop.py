"""Qt's loop and asyncio's as one: the only file that knows qasync."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import qasync
from PySide6.QtWidgets import QApplication


def make_loop(app: QApplication) -> asyncio.AbstractEventLoop:
    """A loop that runs inside Qt's, set as the current one."""
    loop: asyncio.AbstractEventLoop = qasync.QEventLoop(app, already_running=False)
    asyncio.set_event_loop(loop)
    return loop


def run_until_done(loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, int]) -> int:
    """Run `main` to its end, then close the loop; the exit status."""
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()
        asyncio.set_event_loop(None)
