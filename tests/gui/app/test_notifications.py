"""What the desktop is told, over a real session bus, and that nothing breaks where there is no desktop."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtWidgets import QAbstractButton, QWidget
from pytestqt.qtbot import QtBot

from console.app.notifications import Choice, Notification
from console.app.notifications_bus import BusNotifications
from console.app.notifications_desktop import DesktopNotifications, Stored
from console.app.tray import AttentionTray, badged
from console.core.connection import ConnectionInfo, Environment
from console.overview.model import AttentionKind, QueuesSeen
from console.widgets.dialog import set_dialog_host
from tests.gui.app.desktop import Desktop, has_desktop
from tests.gui.overview.world import World

SHOP = ConnectionInfo("shop", "Shop <production>", Environment.PRODUCTION)


class Console:
    """Overview's service with the notifications on it, as the wiring puts them together."""

    def __init__(self, world: World, stored: Stored = (None, False)) -> None:
        self.world = world
        self.opened: list[str] = []
        self.kept: list[Stored] = []
        self.window = QWidget()
        set_dialog_host(self.window)
        self.window.resize(800, 600)
        self.notifications = DesktopNotifications(
            self.window,
            world.service,
            clock=world.clock,
            connection=lambda: SHOP,
            stored=stored,
            kept=self.kept.append,
            opened=self.opened.append,
            quit_=lambda: None,
        )
        self.notifications._notices._looking = lambda: False

    async def aclose(self) -> None:
        await self.notifications.aclose()
        self.window.close()
        self.window.deleteLater()


def nobody_takes(*queues: str) -> QueuesSeen:
    return QueuesSeen(5, tuple((queue, 5) for queue in queues))


async def test_the_desktop_is_told_once_and_a_press_leads_back(qtbot: QtBot) -> None:
    async with Desktop() as desktop, World() as world:
        console = Console(world)
        world.service.attach(world.session)
        world.service.on_queues(nobody_takes("mail", "<b>reports</b>"))
        world.pass_s(30)
        await world.until(lambda: len(desktop.shown) == 1)
        name, replaced, _icon, title, body, actions, hints, _timeout = desktop.shown[0]
        assert (name, replaced, title) == (
            "Celery Console",
            0,
            "Shop <production>: 2 things need attention",
        )
        assert "&lt;b&gt;reports&lt;/b&gt;: Queue has no consumer, 5 waiting" in body
        assert (actions, hints["urgency"]) == (["default", "Open"], ("y", 1))
        await desktop.press(1)
        await world.until(lambda: bool(console.opened))
        assert console.opened == ["queue <b>reports</b>"]
        world.service.on_queues(QueuesSeen(0))
        world.pass_s(30)
        await world.until(lambda: not world.service.snapshot.attention)
        world.service.on_queues(nobody_takes("mail"))
        world.pass_s(30)
        await world.until(lambda: bool(world.service.snapshot.attention))
        console.notifications.tell(Notification("end", "The last", "", urgent=False))
        await world.until(lambda: desktop.shown[-1][3] == "The last")
        assert len(desktop.shown) == 2
        await console.aclose()


async def test_nothing_is_told_while_the_window_is_active_or_of_what_is_not_chosen(qtbot: QtBot) -> None:
    async with Desktop() as desktop, World() as world:
        console = Console(world, ((AttentionKind.BEAT.name,), False))
        world.service.attach(world.session)
        world.service.on_queues(nobody_takes("mail"))
        world.pass_s(30)
        await world.until(lambda: bool(world.service.snapshot.attention))
        console.notifications.choice = Choice()
        console.notifications._notices._looking = lambda: True
        world.service.on_queues(nobody_takes("mail", "reports"))
        world.pass_s(30)
        await world.until(lambda: len(world.service.snapshot.attention) == 2)
        console.notifications.tell(Notification("end", "The last", "", urgent=True))
        await world.until(lambda: bool(desktop.shown))
        assert [values[3] for values in desktop.shown] == ["The last"]
        await console.aclose()


async def test_without_anybody_who_shows_them_nothing_breaks(qtbot: QtBot) -> None:
    assert not await has_desktop()
    clicked: list[str] = []
    bus = BusNotifications(clicked=clicked.append)
    assert not await bus.tell(Notification("key", "Title", "Body", urgent=True))
    await bus.aclose()
    async with World() as world:
        console = Console(world)
        await console.notifications._tell(Notification("key", "Title", "Body", urgent=True))
        await console.aclose()


async def test_a_desktop_that_comes_later_is_told(qtbot: QtBot) -> None:
    bus = BusNotifications(clicked=lambda _key: None)
    told = Notification("key", "Title", "1 < 2", urgent=True)
    assert not await bus.tell(told)
    async with Desktop(abilities=("body",)) as desktop:
        assert await bus.tell(told)
        assert desktop.shown[0][4] == "1 < 2"
        assert desktop.shown[0][6]["urgency"] == ("y", 2)
        assert await bus.tell(replace(told, key="other"))
    await bus.aclose()


async def test_the_dialog_keeps_what_was_chosen(qtbot: QtBot) -> None:
    async with World() as world:
        console = Console(world)
        console.window.show()
        console.notifications.open_dialog()
        boxes = {box.text(): box for box in console.window.findChildren(QAbstractButton)}
        assert boxes["On production only"].isChecked()
        assert boxes["A worker is lost"].isChecked()
        boxes["A worker is lost"].click()
        boxes["Events are off"].click()
        boxes["On all connections"].click()
        boxes["Save"].click()
        ((names, everywhere),) = console.kept
        assert everywhere
        assert names is not None
        assert "EVENTS_OFF" in names
        assert "WORKER_LOST" not in names
        assert console.notifications.choice.everywhere
        await console.aclose()


def test_the_icon_carries_the_number(qtbot: QtBot) -> None:
    plain, three, many = (badged(count).pixmap(32, 32).toImage() for count in (0, 3, 1234))
    assert plain != three
    assert three != many
    window = QWidget()
    tray = AttentionTray(window, opened=lambda _key: None, quit_=lambda: None)
    tray.show_count(3, "Shop: Queue has no consumer")
    assert tray.say("key", "Title", "Body", urgent=True) is tray.available
    tray.show_count(0, "")
    tray.close()
    window.deleteLater()
