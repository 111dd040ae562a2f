"""Every widget test runs with the light theme, and a Qt warning fails it."""

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QMessageLogContext, QtMsgType, qInstallMessageHandler
from PySide6.QtWidgets import QApplication

from console.widgets.theme import theme

# The offscreen platform says this about windows and menus; it is no fault of a widget.
_HARMLESS = "This plugin does not support"


@pytest.fixture(autouse=True)
def light_theme(qapp: QApplication) -> Iterator[None]:
    """Light before and after each test."""
    theme().apply(qapp, scheme="light")
    yield
    theme().apply(qapp, scheme="light")


@pytest.fixture(autouse=True)
def no_qt_warnings(light_theme: None) -> Iterator[None]:
    """Collect what Qt complains about while the test runs."""
    said: list[str] = []

    def on_message(kind: QtMsgType, _context: QMessageLogContext, message: str) -> None:
        if kind != QtMsgType.QtDebugMsg and not message.startswith(_HARMLESS):
            said.append(message)

    before = qInstallMessageHandler(on_message)
    yield
    qInstallMessageHandler(before)
    assert said == []
