"""The Resend page as a person meets it, mouse and keyboard."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QWidget
from pytestqt.qtbot import QtBot

from console.core.connection import ConnectionInfo, LinkState
from console.history.model import TaskState
from console.resend.page import ResendPage
from console.widgets.badge import StateLabel
from console.widgets.data_table import DataTable
from console.widgets.empty_state import EmptyState
from console.widgets.fields import TextField
from console.widgets.label import Text
from tests.gui.active_window import show_active
from tests.unit.resend.world import LOCAL, SHOP, WAIT_S, World, detail

Kind = TypeVar("Kind", bound=QWidget)


class Seen(World):
    """The world with its page shown."""

    def __init__(self, info: ConnectionInfo | None = LOCAL) -> None:
        super().__init__(info)
        self.went: list[tuple[str, str]] = []
        self.page = ResendPage(self.view_model, self._navigate)

    def _navigate(self, noun: str, query: str = "") -> None:
        self.went.append((noun, query))

    async def __aenter__(self) -> Seen:
        await super().__aenter__()
        self.page.resize(1088, 732)
        await show_active(self.page)
        self.page.activate()
        return self

    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)
        self.page.close()
        self.page.deleteLater()

    async def until(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not true():
            assert time.monotonic() < deadline, f"it did not happen; the page says {self.texts()}"
            QCoreApplication.processEvents()
            await asyncio.sleep(0.002)

    @property
    def table(self) -> DataTable:
        (found,) = self.page.findChildren(DataTable)
        return found

    def field(self, name: str) -> TextField:
        (found,) = [one for one in self._shown(TextField) if one.accessibleName() == name]
        return found

    def button(self, name: str) -> QAbstractButton:
        (found,) = [one for one in self._shown(QAbstractButton) if one.accessibleName() == name]
        return found

    def texts(self) -> list[str]:
        return [one.text() for one in self._shown(Text)]

    def says(self, words: str) -> bool:
        return any(words in text for text in self.texts())

    def states(self) -> list[str]:
        return [one.text() for one in self._shown(StateLabel)]

    def _shown(self, kind: type[Kind]) -> Iterator[Kind]:
        return (one for one in self.page.findChildren(kind) if one.isVisible())


async def test_the_recipes_and_the_first_one_s_form(qtbot: QtBot) -> None:
    async with Seen() as world:
        assert world.table.accessibleName() == "Recipes"
        assert [column.title for column in world.table.columns] == ["Name", "Task", "What it does"]
        cells = [[cell.text for cell in row.cells.values()] for row in world.table.rows()]
        assert cells == [
            ["Resend invoice", "resend_invoice", "Sends an order's invoice"],
            ["Resend welcome e-mail", "resend_welcome_email", "Sends the first e-mail"],
        ]
        assert world.table.selected_keys() == ["resend-invoice"]
        assert world.says("Sends an order's invoice to the customer once more.")
        assert world.says("As it stands on the customer's order")
        assert world.field("Order number").text() == ""
        assert not world.button("Resend").isEnabled()
        assert world.says("Fill in the form first")


async def test_from_the_table_to_the_outcome_with_the_keyboard(qtbot: QtBot) -> None:
    async with Seen() as world:
        world.page.focus_content()
        QTest.keyClick(world.table, Qt.Key.Key_Down)
        await world.until(lambda: world.table.selected_keys() == ["resend-welcome-email"])
        QTest.keyClick(world.table, Qt.Key.Key_Return)
        field = world.field("User number")
        await world.until(field.hasFocus)
        QTest.keyClicks(field, "7")
        assert world.says("once with user_id = 7 in the queue")
        QTest.keyClick(field, Qt.Key.Key_Return)
        await world.until(lambda: world.states() == ["Sent"])
        assert not world.button("Resend").isEnabled()
        world.told = detail(TaskState.STARTED)
        await world.until(lambda: world.states() == ["Started"])
        world.told = detail(TaskState.SUCCEEDED, result="'sent'")
        await world.until(lambda: world.states() == ["Succeeded"])
        assert world.says("Sent to user 7")
        assert len(world.sent) == 1
        await world.until(world.button("Resend").isEnabled)
        link = world.button("Open task")
        link.setFocus()
        QTest.keyClick(link, Qt.Key.Key_Space)
        assert world.went == [("tasks", f"id:{world.sent[0].id}")]


async def test_tab_walks_from_the_table_through_the_form_to_the_button(qtbot: QtBot) -> None:
    async with Seen() as world:
        world.page.focus_content()
        await world.until(world.table.hasFocus)
        QTest.keyClick(world.table, Qt.Key.Key_Tab)
        field = world.field("Order number")
        await world.until(field.hasFocus)
        QTest.keyClicks(field, "1001")
        QTest.keyClick(field, Qt.Key.Key_Tab)
        button = world.button("Resend")
        await world.until(button.hasFocus)
        QTest.keyClick(button, Qt.Key.Key_Space)
        await world.until(field.hasFocus)
        await world.until(lambda: len(world.sent) == 1)
        world.told = detail(TaskState.FAILED, exception="OSError('no')")
        await world.until(lambda: world.says("It failed: OSError('no')"))
        QTest.keyClick(field, Qt.Key.Key_Tab)
        await world.until(world.button("Open task").hasFocus)


async def test_a_double_click_sends_once(qtbot: QtBot) -> None:
    async with Seen() as world:
        QTest.keyClicks(world.field("Order number"), "1001")
        button = world.button("Resend")
        await world.until(button.isEnabled)
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        QTest.mouseDClick(button, Qt.MouseButton.LeftButton)
        await world.until(lambda: world.states() == ["Sent"])
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        world.told = detail(TaskState.SUCCEEDED, result="'sent'")
        await world.until(lambda: world.states() == ["Succeeded"])
        assert [message.arguments["order_id"] for message in world.sent] == [1001]


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ("10x", "Order number has digits only, for example 1"),
        ("0", "Order number must be 1 to 999,999,999"),
        ("", "Order number is missing"),
    ],
)
async def test_what_is_wrong_stands_at_the_field(qtbot: QtBot, typed: str, error: str) -> None:
    async with Seen() as world:
        field = world.field("Order number")
        QTest.keyClicks(field, typed)
        QTest.keyClick(field, Qt.Key.Key_Return)
        await world.until(lambda: world.says(error))
        assert field.accessibleDescription() == error
        assert not world.button("Resend").isEnabled()
        field.setText("12")
        await world.until(world.button("Resend").isEnabled)
        assert not world.says(error)
        assert world.sent == []


async def test_another_recipe_has_an_empty_form_and_no_outcome(qtbot: QtBot) -> None:
    async with Seen() as world:
        world.told = detail(TaskState.SUCCEEDED, result="'no such order'")
        QTest.keyClicks(world.field("Order number"), "5")
        QTest.keyClick(world.field("Order number"), Qt.Key.Key_Return)
        await world.until(lambda: world.says("Nothing sent: there is no order 5"))
        world.page.open_query("resend-welcome-email")
        await world.until(lambda: world.field("User number").hasFocus())
        assert world.field("User number").text() == ""
        assert world.states() == []
        world.page.open_query("resend-invoice")
        await world.until(lambda: world.says("Nothing sent: there is no order 5"))


async def test_a_lost_line_disables_with_the_reason_and_keeps_the_form(qtbot: QtBot) -> None:
    async with Seen() as world:
        QTest.keyClicks(world.field("Order number"), "5")
        assert world.session is not None
        world.session.set_status(LinkState.RECONNECTING)
        button = world.button("Resend")
        await world.until(lambda: not button.isEnabled())
        assert button.toolTip() == "Local stack is not connected: Reconnecting…"
        assert world.says("Local stack is not connected: Reconnecting…")
        assert world.field("Order number").text() == "5"
        world.session.set_status(LinkState.CONNECTED)
        await world.until(button.isEnabled)


@pytest.mark.parametrize(
    ("info", "title", "reason"),
    [
        (SHOP, "No recipes", "Recipes for Shop production come from its developers, and none are set up."),
        (None, "Not connected", "Recipes belong to a connection."),
    ],
)
async def test_without_recipes(qtbot: QtBot, info: ConnectionInfo | None, title: str, reason: str) -> None:
    async with Seen(info) as world:
        (empty,) = [one for one in world.page.findChildren(EmptyState) if one.isVisible()]
        assert empty.accessibleName() == title
        assert reason in empty.accessibleDescription()
        assert not list(world._shown(TextField))
        assert world.page.commands() == []


async def test_the_palette_leads_to_a_recipe(qtbot: QtBot) -> None:
    async with Seen() as world:
        commands = {command.text: command for command in world.page.commands()}
        commands["Resend invoice"].run()
        assert world.went == [("resend", "resend-invoice")]


async def test_disconnecting_and_connecting_again(qtbot: QtBot) -> None:
    async with Seen() as world:
        QTest.keyClicks(world.field("Order number"), "5")
        await world.service.detach()
        await world.until(lambda: not list(world._shown(TextField)))
        assert world.session is not None
        world.service.attach(world.session)
        await world.until(lambda: bool(list(world._shown(TextField))))
        assert world.field("Order number").text() == ""
        assert not world.button("Resend").isEnabled()
