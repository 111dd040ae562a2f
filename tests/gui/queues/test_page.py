"""The Queues page as a person meets it."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QPlainTextEdit, QWidget
from pytestqt.qtbot import QtBot

from console.core.connection import LinkState
from console.core.errors import Cause, ConsoleError
from console.widgets.badge import Badge
from console.widgets.banner import Banner
from console.widgets.data_table import DataTable
from console.widgets.empty_state import EmptyState
from console.widgets.label import Text
from tests.gui.queues.world import World
from tests.unit.queues.fakes import envelope


def table(world: World, name: str) -> DataTable:
    (found,) = [one for one in world.page.findChildren(DataTable) if one.accessibleName() == name]
    return found


def cells(world: World, key: str, name: str = "Queues") -> dict[str, str]:
    row = next(row for row in table(world, name).rows() if row.key == key)
    return {column: cell.text for column, cell in row.cells.items()}


def button(world: World, text: str) -> QAbstractButton:
    (found,) = [
        one
        for one in world.page.findChildren(QAbstractButton)
        if text in (one.accessibleName(), one.text()) and one.isVisible()
    ]
    return found


def says(world: World, text: str) -> bool:
    return any(text in one.text() for one in world.page.findChildren(Text) if one.isVisible())


def press(pressed: QAbstractButton) -> None:
    assert pressed.isEnabled()
    pressed.click()


async def test_the_table_says_what_waits_and_who_takes_it(qtbot: QtBot) -> None:
    world = World()
    world.queues.bind("celery", "celery", "celery")
    for number in range(7):
        world.queues.put("celery", envelope(tag=f"c{number}"), step=0 if number else 9)
    world.queues.hold(envelope(), "", "mail")
    world.consumers = {"mail": 4}
    async with world:
        await world.connect()
        world.sent("mail", times=39)
        for _ in range(33):
            world.queues.put("mail", envelope())
        await world.read_after(5)
        titles = [column.title for column in table(world, "Queues").columns]
        assert titles == ["Queue", "Ready", "Unacknowledged", "Consumers", "Oldest waiting", "In", "Out"]
        assert cells(world, "celery") == {
            "queue": "celery",
            "ready": "7",
            "unacked": "0",
            "consumers": "0",
            "oldest": "≥ 5.0 s",
            "in": "–",
            "out": "–",
        }
        mail = cells(world, "mail")
        assert (mail["ready"], mail["unacked"], mail["consumers"], mail["in"], mail["out"]) == (
            *("33", "1", "4", "7.8/s", "1.2/s"),
        )
        badge = next(row for row in table(world, "Queues").rows() if row.key == "celery").cells["queue"].badge
        assert badge is not None
        assert badge[:2] == ("No consumer", "warning")
        assert says(world, "2 queues, 40 ready, 1 unacknowledged")


async def test_unknown_consumers_are_a_dash(qtbot: QtBot) -> None:
    world = World()
    world.queues.put("mail", envelope())
    world.queues.bind("mail", "mail", "mail")
    world.consumers = None
    async with world:
        await world.connect()
        assert cells(world, "mail")["consumers"] == "–"
        world.consumers = {"mail": 1}
        world.service.on_workers()
        assert cells(world, "mail")["consumers"] == "1"


async def test_growing_and_age(qtbot: QtBot) -> None:
    world = World()
    world.consumers = {"mail": 1}
    world.queues.put("mail", envelope(tag="first"))
    async with world:
        await world.connect()
        for _ in range(5):
            for number in range(20):
                world.queues.put("mail", envelope(tag=f"more{number}"))
            await world.read_after(5)
        row = next(row for row in table(world, "Queues").rows() if row.key == "mail")
        assert row.cells["queue"].badge is not None
        assert row.cells["queue"].badge[0] == "Growing 4.0/s"
        assert row.cells["oldest"].text == "≥ 25.0 s"
        world.sent("mail", task_id="4b86b8bd-54f0-41c1-8a77-000000018794", at=world.ago(minutes=46))
        await world.read_after(0.5)
        assert cells(world, "mail")["oldest"] == "46 min 0 s" or cells(world, "mail")["oldest"] == "46 min"


async def test_messages_are_read_on_demand_and_shown_in_full(qtbot: QtBot) -> None:
    world = World()
    world.consumers = {"mail": 1}
    for number in range(120):
        world.queues.put(
            "mail", envelope(task_id=f"id-{number}", args=[number], tag=f"t{number}", origin="gen7@web")
        )
    async with world:
        await world.connect()
        assert not button(world, "Messages").isEnabled()
        assert button(world, "Messages").toolTip() == "Select a queue"
        table(world, "Queues").select_keys(["mail"])
        press(button(world, "Messages"))
        messages = table(world, "Messages")
        await world.until(lambda: len(messages.rows()) == 100)
        titles = [column.title for column in messages.columns]
        assert titles == ["Position", "Task", "ID", "Arguments", "Priority", "ETA", "Redelivered"]
        assert cells(world, "t0", "Messages") == {
            "position": "1",
            "task": "send_invoice",
            "id": "id-0",
            "arguments": "[0]",
            "priority": "0",
            "eta": "–",
            "redelivered": "No",
        }
        assert says(world, "next 100 of 120, read without taking them, as of")
        messages.select_keys(["t3"])
        (body,) = [one for one in world.page.findChildren(QPlainTextEdit) if one.accessibleName() == "Body"]
        await world.until(body.isVisible)
        assert body.toPlainText().splitlines()[0] == "args    [3]"
        await world.until(lambda: says(world, "4 of 120"))
        assert says(world, "web, PID 7")
        assert [one.text() for one in world.page.findChildren(Badge) if one.isVisible()] == ["Exact"]
        world.queues.lists["mail"] = world.queues.lists["mail"][:-2]
        press(button(world, "Read again"))
        await world.until(lambda: says(world, "2 of 118"))
        assert messages.selected_keys() == ["t3"], "the message is known by its tag, not by its place"
        press(button(world, "Close messages"))
        assert not messages.isVisible()


async def test_a_pickle_is_named_and_not_shown(qtbot: QtBot) -> None:
    world = World()
    world.consumers = {"mail": 1}
    raw = envelope(tag="p").replace(b"application/json", b"application/x-python-serialize")
    world.queues.put("mail", raw)
    async with world:
        await world.connect()
        table(world, "Queues").select_keys(["mail"])
        press(button(world, "Messages"))
        await world.until(lambda: len(table(world, "Messages").rows()) == 1)
        assert cells(world, "p", "Messages")["arguments"] == "not shown: pickle"


async def test_a_failed_reading_of_messages_says_why_and_offers_retry(qtbot: QtBot) -> None:
    world = World()
    world.consumers = {"mail": 1}
    async with world:
        await world.connect()
        table(world, "Queues").select_keys(["mail"])
        world.queues.error = ConsoleError("Broker does not answer in time", cause=Cause.TIMEOUT)
        press(button(world, "Messages"))
        await world.until(lambda: world.view_model.peek_error is not None)
        assert "Broker does not answer in time" in [
            one.fact() for one in world.page.findChildren(Banner) if one.isVisible()
        ]
        world.queues.error = None
        press(button(world, "Read again"))
        await world.until(lambda: world.view_model.peek is not None)
        await world.until(lambda: says(world, "No messages wait"))


async def test_a_broker_that_is_away_is_told_and_numbers_stay(qtbot: QtBot) -> None:
    world = World()
    world.consumers = {"mail": 1}
    world.queues.put("mail", envelope())
    async with world:
        assert says(world, "Not connected")
        await world.connect()
        away = ConsoleError("Broker cannot be reached", cause=Cause.UNREACHABLE)
        world.session.set_status(LinkState.RECONNECTING, error=away)
        (banner,) = [one for one in world.page.findChildren(Banner) if one.isVisible()]
        assert banner.fact().startswith("As of "), "why it is away is told once, by the window"
        assert table(world, "Queues").stale
        assert cells(world, "mail")["ready"] == "1"
        await world.service.detach()
        assert not table(world, "Queues").rows()
        assert any(one.isVisible() for one in world.page.findChildren(EmptyState))


async def test_navigation_selects_a_queue_and_the_badge_counts(qtbot: QtBot) -> None:
    world = World()
    world.consumers = {"mail": 1, "reports": 1}
    badges: list[tuple[str, str]] = []
    world.page.badge_changed.connect(lambda text, tone: badges.append((text, tone)))
    async with world:
        world.page.open_query("reports")
        await world.connect()
        assert table(world, "Queues").selected_keys() == ["reports"]
        assert badges == [("2", "neutral")]
        (command,) = world.page.commands()
        assert command.enabled()


async def test_by_keyboard_alone(qtbot: QtBot) -> None:
    world = World()
    world.consumers = {"mail": 1}
    world.queues.put("mail", envelope())
    async with world:
        await world.connect()
        world.page.focus_content()
        queues = table(world, "Queues")
        await world.until(lambda: queues.selected_keys() == ["mail"])
        QTest.keyClick(queues, Qt.Key.Key_Return)
        await world.until(lambda: len(table(world, "Messages").rows()) == 1)


async def test_every_control_has_a_name(qtbot: QtBot) -> None:
    world = World()
    world.consumers = {"mail": 1}
    async with world:
        await world.connect()
        table(world, "Queues").select_keys(["mail"])
        press(button(world, "Messages"))
        nameless = [
            one
            for one in world.page.findChildren(QWidget)
            if one.focusPolicy() & Qt.FocusPolicy.TabFocus
            and one.isVisible()
            and not one.accessibleName()
            and not (isinstance(one, QAbstractButton) and one.text())
            and not isinstance(one, Text)
        ]
        assert nameless == []


async def test_messages_of_rabbitmq_are_explained_instead_of_shown(qtbot: QtBot) -> None:
    world = World()
    world.queues.messages_refusal = "Looking would mark them as redelivered."
    world.queues.bind("celery", "celery", "celery")
    world.queues.put("celery", envelope())
    async with world:
        await world.connect()
        world.view_model.choose("celery")
        press(button(world, "Messages"))
        await world.until(lambda: says(world, "Looking would mark them as redelivered."))
        assert says(world, "Messages are not shown")
        assert not [
            one
            for one in world.page.findChildren(QAbstractButton)
            if one.text() == "Read again" and one.isVisible()
        ]
        world.page.refresh()
        assert world.view_model.peek is None
        assert not world.view_model.reading
        press(button(world, "Close messages"))
        assert not world.view_model.open


async def test_what_cannot_be_read_is_said_once_below_the_table(qtbot: QtBot) -> None:
    world = World()
    world.queues.note = "RabbitMQ's management API cannot be reached: unacknowledged messages are not known."
    world.queues.bind("celery", "celery", "celery")
    async with world:
        await world.connect()
        await world.until(lambda: says(world, "unacknowledged messages are not known"))
        world.queues.note = ""
        await world.read_after(10)
        assert not says(world, "unacknowledged messages are not known")
