"""Sheets: keyboard, what must be filled in, awaiting, and that nothing is left behind."""

import asyncio
from collections.abc import Coroutine

import pytest
from PySide6.QtCore import QEvent, QEventLoop, Qt, QTimer
from PySide6.QtGui import QAccessible
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QRadioButton, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from console.widgets.button import Button
from console.widgets.dialog import ConfirmDialog, ConsoleDialog, dialog_host, set_dialog_host
from console.widgets.fields import TextField


class Page(QWidget):
    """A window with a bar that stays free and a page that dialogs cover."""

    def __init__(self) -> None:
        super().__init__()
        self.resize(900, 600)
        layout = QVBoxLayout(self)
        self.bar = Button("Disconnect")
        self.content = QWidget()
        inner = QVBoxLayout(self.content)
        self.button = Button("Purge…")
        inner.addWidget(self.button)
        layout.addWidget(self.bar)
        layout.addWidget(self.content, 1)
        set_dialog_host(self.content)


@pytest.fixture
def page(qtbot: QtBot) -> Page:
    made = Page()
    qtbot.addWidget(made)
    made.show()
    made.activateWindow()
    qtbot.waitUntil(made.isActiveWindow)
    made.button.setFocus()
    return made


def confirm(page: Page, **options: object) -> ConfirmDialog:
    values: dict[str, object] = {
        "title": "Purge mail?",
        "text_html": "<b>18,412 messages</b> in <b>mail</b>",
        "verb": "Purge",
        "danger": True,
    }
    return ConfirmDialog(page.button, **(values | options))  # type: ignore[arg-type]


def focused() -> QWidget:
    widget = QApplication.focusWidget()
    assert widget is not None
    return widget


def test_it_covers_the_page_only_and_is_a_dialog(page: Page, qtbot: QtBot) -> None:
    dialog = confirm(page, production=True)
    dialog.open()
    scrim = dialog.parentWidget()
    assert scrim is not None
    assert scrim.parentWidget() is page.content
    assert scrim.geometry() == page.content.rect()
    assert page.bar.isVisible()
    assert QAccessible.queryAccessibleInterface(dialog).role() == QAccessible.Role.Dialog
    assert dialog.accessibleName() == "Purge mail?"
    assert dialog.accessibleDescription() == "18,412 messages in mail"
    assert ConsoleDialog.open_in(page.button) is dialog
    page.resize(700, 500)
    assert scrim.geometry() == page.content.rect()
    dialog.reject()
    assert ConsoleDialog.open_in(page.button) is None


def test_escape_cancels_and_focus_goes_back(page: Page, qtbot: QtBot) -> None:
    dialog = confirm(page)
    dialog.open()
    assert QApplication.focusWidget() is dialog.cancel_button
    with qtbot.waitSignal(dialog.finished) as finished:
        QTest.keyClick(focused(), Qt.Key.Key_Escape)
    assert finished.args == [0]
    assert QApplication.focusWidget() is page.button


def test_return_on_a_destructive_dialog_presses_cancel_which_has_the_focus(page: Page, qtbot: QtBot) -> None:
    dialog = confirm(page)
    dialog.open()
    with qtbot.waitSignal(dialog.finished) as finished:
        QTest.keyClick(focused(), Qt.Key.Key_Return)
    assert finished.args == [0]


def test_tab_stays_inside(page: Page, qtbot: QtBot) -> None:
    dialog = confirm(page, reason=True, type_to_confirm="mail")
    dialog.open()
    seen = []
    for _ in range(6):
        here = focused()
        assert dialog.isAncestorOf(here)
        seen.append(here.accessibleName())
        QTest.keyClick(here, Qt.Key.Key_Tab)
    assert seen[:4] == ["Reason", "Type mail to go on", "Cancel", "Reason"]
    QTest.keyClick(focused(), Qt.Key.Key_Backtab)
    assert dialog.isAncestorOf(focused())
    dialog.reject()


def test_the_verb_waits_for_reason_and_word(page: Page, qtbot: QtBot) -> None:
    dialog = confirm(page, reason=True, type_to_confirm="mail", production=True)
    dialog.open()
    assert isinstance(dialog.reason_field, TextField)
    assert isinstance(dialog.word_field, TextField)
    assert QApplication.focusWidget() is dialog.reason_field
    assert not dialog.verb_button.isEnabled()
    QTest.keyClicks(dialog.reason_field, "  INC-2291 ")
    assert not dialog.verb_button.isEnabled()
    QTest.keyClicks(dialog.word_field, "mai")
    assert not dialog.verb_button.isEnabled()
    QTest.keyClick(dialog.word_field, Qt.Key.Key_Return)
    assert dialog.isVisible()
    QTest.keyClicks(dialog.word_field, "l")
    assert dialog.verb_button.isEnabled()
    with qtbot.waitSignal(dialog.finished) as finished:
        QTest.keyClick(dialog.word_field, Qt.Key.Key_Return)
    assert finished.args == [1]
    assert dialog.reason == "INC-2291"


def test_it_is_gone_afterwards(page: Page, qtbot: QtBot) -> None:
    dialog = confirm(page)
    gone: list[bool] = []
    dialog.destroyed.connect(lambda: gone.append(True))
    dialog.open()
    dialog.accept()
    qtbot.waitUntil(lambda: gone == [True])
    assert page.content.findChildren(ConsoleDialog) == []


def test_clicks_do_not_reach_the_page_below(page: Page, qtbot: QtBot) -> None:
    pressed: list[bool] = []
    page.button.clicked.connect(lambda: pressed.append(True))
    dialog = confirm(page)
    dialog.open()
    below = page.content.childAt(page.button.geometry().center())
    assert below is not None
    QTest.mouseClick(below, Qt.MouseButton.LeftButton)
    assert pressed == []
    dialog.reject()


def _run(coroutine: Coroutine[None, None, bool]) -> bool:
    """Run a coroutine while Qt's events go on, as qasync would."""
    loop = asyncio.new_event_loop()
    try:
        task = loop.create_task(coroutine)
        while not task.done():
            loop.call_soon(loop.stop)
            loop.run_forever()
            QApplication.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 5)
        return task.result()
    finally:
        loop.close()


@pytest.mark.parametrize("accept", [True, False])
def test_a_coroutine_awaits_the_answer(page: Page, qtbot: QtBot, accept: bool) -> None:
    dialog = confirm(page, danger=False)
    QTimer.singleShot(0, dialog.verb_button.click if accept else dialog.reject)
    assert _run(dialog.ask()) is accept


def test_what_was_typed_can_be_read_by_who_asked(page: Page, qtbot: QtBot) -> None:
    dialog = ConfirmDialog(page.button, title="Purge mail?", text_html="mail", verb="Purge", reason=True)

    def answer() -> None:
        assert dialog.reason_field is not None
        dialog.reason_field.setText("INC-7")
        dialog.accept()
        # The loop of events may come to its deletions before whoever waits goes on.
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)

    async def ask() -> bool:
        return await dialog.ask() and dialog.reason == "INC-7"

    QTimer.singleShot(0, answer)
    assert _run(ask())


def test_a_cancelled_wait_closes_the_sheet(page: Page, qtbot: QtBot) -> None:
    dialog = confirm(page)

    async def give_up() -> bool:
        task = asyncio.ensure_future(dialog.ask())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return task.cancelled()

    assert _run(give_up())
    assert ConsoleDialog.open_in(page.button) is None


def test_a_dialog_asked_for_from_outside_covers_the_pages_as_well(page: Page, qtbot: QtBot) -> None:
    assert dialog_host(page) is page.content
    assert dialog_host(page.bar) is page.content
    alone = QWidget()
    qtbot.addWidget(alone)
    assert dialog_host(alone) is alone


def test_one_of_several_ways_is_chosen_in_the_same_sheet(page: Page, qtbot: QtBot) -> None:
    ways = [("SIGTERM", "Ends it in the middle of its work."), ("SIGKILL", "Ends it at once.")]
    dialog = confirm(page, reason=True, type_to_confirm="shop", production=True, choices=ways)
    dialog.open()
    first, second = dialog.findChildren(QRadioButton)
    assert (first.accessibleName(), first.accessibleDescription()) == ways[0]
    assert first.isChecked()
    assert dialog.choice == 0
    assert dialog.reason_field is not None
    assert focused() is dialog.reason_field
    QTest.keyClicks(dialog.reason_field, "stuck")
    second.setFocus()
    QTest.keyClick(second, Qt.Key.Key_Space)
    assert dialog.choice == 1
    assert not first.isChecked()
    assert not dialog.verb_button.isEnabled()
    assert dialog.word_field is not None
    QTest.keyClicks(dialog.word_field, "shop")
    assert dialog.verb_button.isEnabled()
