"""The keyboard belongs to the active window only, and under an Xvfb without a window manager nobody makes
a new window the active one: a test that types asks for it.
"""

from __future__ import annotations

import asyncio
import time

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QWidget

WAIT_S = 5.0


async def show_active(window: QWidget) -> None:
    """Show a window and wait until it is the active one."""
    window.show()
    window.activateWindow()
    deadline = time.monotonic() + WAIT_S
    while not window.isActiveWindow():
        assert time.monotonic() < deadline, "the window did not become the active one"
        QCoreApplication.processEvents()
        await asyncio.sleep(0.002)
