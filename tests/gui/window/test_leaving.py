"""Going elsewhere cancels an open sheet; Connect leads to the stack while there is nothing to connect to."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QDialog, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from console.core.commands import Command
from console.core.connection import LOCAL_STACK_ID, Environment, LinkState
from console.widgets.button import Button
from console.widgets.dialog import ConsoleDialog
from console.widgets.page import Page
from console.window.connection_bar import BarState
from console.window.main_window import MainWindow


class Plain(Page):
    """A page with a button and a detail."""

    def __init__(self) -> None:
        super().__init__()
        self.work = Button("Work")
        self.aside = QWidget()
        self.more = Button("More", parent=self.aside)
        layout = QVBoxLayout(self)
        layout.addWidget(self.work)
        layout.addWidget(self.aside)

    def focus_content(self) -> None:
        self.work.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def detail(self) -> QWidget:
        return self.aside


@pytest.fixture
def window(qtbot: QtBot) -> MainWindow:
    made = MainWindow()
    qtbot.addWidget(made)
    for noun in ("overview", "workers", "stack"):
        made.add_page(noun, Plain)
    made.show_page("overview")
    with qtbot.waitExposed(made):
        made.show()
    made.activateWindow()
    qtbot.waitUntil(made.isActiveWindow)
    return made


def page(window: MainWindow, noun: str) -> Plain:
    found = window.page(noun)
    assert isinstance(found, Plain)
    return found


def test_an_open_sheet_is_cancelled_by_going_elsewhere(window: MainWindow) -> None:
    results: list[int] = []
    sheet = ConsoleDialog(page(window, "overview"), "Edit")
    sheet.finished.connect(results.append)
    sheet.open()
    window.show_page("workers")
    assert results == [QDialog.DialogCode.Rejected.value]
    assert not sheet.isVisible()
    assert window.noun == "workers"


def test_tab_goes_round_inside_a_sheet(window: MainWindow) -> None:
    sheet = ConsoleDialog(page(window, "overview"), "Edit")
    save = sheet.add_button("Save", kind="primary", role="accept")
    cancel = sheet.cancel_button
    assert cancel is not None
    sheet.open()
    cancel.setFocus()
    walked = []
    for _ in range(3):
        sheet.focusNextPrevChild(True)
        walked.append(sheet.focusWidget())
    assert walked == [save, cancel, save]
    sheet.reject()


def test_f6_comes_to_the_detail_after_the_content(window: MainWindow) -> None:
    shown = page(window, "overview")
    shown.focus_content()
    QTest.keyClick(window, Qt.Key.Key_F6)
    assert window.focusWidget() is shown.more


def test_connect_leads_to_the_stack_while_it_is_down(window: MainWindow, qtbot: QtBot) -> None:
    down = [True]
    window.commands = lambda: [Command("Start local stack", lambda: None, enabled=lambda: down[0])]
    window.show_bar(
        BarState(
            connections=((LOCAL_STACK_ID, "Local stack", Environment.DEVELOPMENT, ""),),
            chosen=LOCAL_STACK_ID,
            environment=Environment.DEVELOPMENT,
            state=LinkState.DISCONNECTED,
            latency_ms=None,
        )
    )
    page(window, "overview").connect_wanted.emit()
    assert window.noun == "stack"
    down[0] = False
    with qtbot.waitSignal(window.bar.connect_pressed):
        page(window, "stack").connect_wanted.emit()
