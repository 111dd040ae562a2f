"""The page in a window, on a service that starts nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from console.stack.model import StackSnapshot
from console.widgets.theme import theme
from tests.gui.stack.world import PLAN, World


@pytest.fixture
async def world(qtbot: QtBot, tmp_path: Path) -> AsyncIterator[World]:
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    theme().apply(app, scheme="light")
    made = World(tmp_path / "home")
    made.page.resize(1088, 732)
    qtbot.addWidget(made.page)
    made.page.show()
    made.page.build()
    made.page.activate()
    made.service.show(StackSnapshot(steps=PLAN))
    yield made
    made.page.deactivate()
    await made.aclose()
