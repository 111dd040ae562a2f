"""The Workers page as a person meets it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractButton, QWidget
from pytestqt.qtbot import QtBot

from console.core.activity import Outcome
from console.core.connection import LinkState, Mode, Right
from console.history.model import CollectorState
from console.widgets.banner import Banner
from console.widgets.data_table import DataTable
from console.widgets.label import Text
from console.widgets.tabs import TabBar
from console.workers.actions import Action
from console.workers.model import WorkerState
from tests.gui.workers.world import World
from tests.unit.workers.fakes import FakeWorker, seen, summary

WEB = "celery@web-1"


def table(world: World, name: str = "Workers") -> DataTable:
    (found,) = [one for one in world.page.findChildren(DataTable) if one.accessibleName() == name]
    return found


def cells(world: World, key: str = WEB, name: str = "Workers") -> dict[str, str]:
    row = next(row for row in table(world, name).rows() if row.key == key)
    return {column: cell.text for column, cell in row.cells.items()}


def button(world: World, text: str) -> QAbstractButton:
    (found,) = [
        one for one in world.page.findChildren(QAbstractButton) if text in (one.accessibleName(), one.text())
    ]
    return found


def says(world: World, text: str) -> bool:
    return any(text in one.text() for one in world.page.findChildren(Text) if one.isVisible())


def press(pressed: QAbstractButton) -> None:
    assert pressed.isEnabled(), pressed.toolTip()
    pressed.click()


async def test_the_table_says_who_lives_and_how_busy(qtbot: QtBot) -> None:
    world = World(web_1=FakeWorker(queues=["mail", "celery"]), web_2=FakeWorker("solo", 1))
    async with world:
        assert says(world, "Not connected")
        await world.connect()
        titles = [column.title for column in table(world).columns]
        assert titles == [
            *("Worker", "State", "Active", "Processed", "Failed", "Pool", "Concurrency", "Load"),
            *("Queues", "Last heartbeat"),
        ]
        shown = cells(world)
        assert (shown["worker"], shown["state"], shown["active"], shown["processed"]) == (
            *("web-1", "Online", "0", "7"),
        )
        assert (shown["failed"], shown["pool"], shown["concurrency"]) == ("–", "prefork", "2")
        assert (shown["load"], shown["queues"]) == ("0.50", "celery, mail")
        assert says(world, "2 of 2 online")
        world.history.failed = {WEB: 3}
        await world.until(lambda: cells(world)["failed"] == "3")
        assert cells(world, "celery@web-2")["failed"] == "0"


async def test_late_and_offline_have_their_words_and_the_badge_warns(qtbot: QtBot) -> None:
    world = World(web_1=FakeWorker(), web_2=FakeWorker())
    badges: list[tuple[str, str]] = []
    world.page.badge_changed.connect(lambda text, tone: badges.append((text, tone)))
    async with world:
        await world.connect()
        assert badges[-1] == ("2", "neutral")
        world.clock.pass_s(7)
        world.beat_hearts(WEB)
        assert cells(world, "celery@web-2")["state"] == "Late"
        assert badges[-1] == ("1", "warning")
        world.service.on_summary(
            summary(seen(WEB, world.clock.now()), seen("celery@web-2", world.clock.now(), online=False))
        )
        assert cells(world, "celery@web-2")["state"] == "Offline"
        assert cells(world, "celery@web-2")["active"] == "–"
        assert badges[-1] == ("1", "neutral"), "those who live"


async def test_what_cannot_be_done_says_why(qtbot: QtBot) -> None:
    world = World(web_1=FakeWorker(places=1), solo=FakeWorker("solo", 1), threads=FakeWorker("threads", 4))
    async with world:
        await world.connect()
        for action in Action:
            assert not button(world, action.value).isEnabled()
            assert button(world, action.value).toolTip() == "Select a worker"
        table(world).select_keys([WEB])
        assert button(world, "Grow pool").isEnabled()
        assert button(world, "Shrink pool").toolTip() == "The pool has only one place left"
        table(world).select_keys(["celery@solo"])
        assert button(world, "Grow pool").toolTip() == "A solo pool runs one task at a time"
        assert button(world, "Ping").isEnabled()
        table(world).select_keys(["celery@threads"])
        assert "threads cannot change its size" in button(world, "Grow pool").toolTip()


async def test_read_only_connections_change_nothing_and_may_ask(qtbot: QtBot) -> None:
    world = World(Mode.READ_ONLY, web_1=FakeWorker())
    async with world:
        await world.connect()
        table(world).select_keys([WEB])
        assert button(world, "Grow pool").toolTip() == "Shop staging is read only"
        enabled = {command.text for command in world.page.commands() if command.enabled()}
        assert enabled == {"Ping worker"}


async def test_a_user_who_may_not_ask_workers_is_told_so_and_nobody_is_asked(qtbot: QtBot) -> None:
    world = World(web_1=FakeWorker())
    async with world:
        world.session.set_rights({Right.ASK_WORKERS: "The broker user may not ask workers"})
        world.service.attach(world.session)
        world.session.set_status(LinkState.CONNECTED)
        world.beat_hearts()
        await world.until(lambda: bool(table(world).rows()))
        table(world).select_keys([WEB])
        for word in ("Ping", "Grow pool", "Shut down…"):
            assert button(world, word).toolTip() == "The broker user may not ask workers"
        await world.until(lambda: "Workers are not asked" in {one.fact() for one in banners(world)})
        assert cells(world)["state"] == "Online"
        assert cells(world)["pool"] == "–"
        assert world.control.asked == []


def banners(world: World) -> list[Banner]:
    return [one for one in world.page.findChildren(Banner) if one.isVisible()]


async def test_actions_go_through_the_single_write_path(qtbot: QtBot) -> None:
    world = World(web_1=FakeWorker())
    async with world:
        await world.connect()
        table(world).select_keys([WEB])
        press(button(world, "Ping"))
        await world.until(lambda: len(world.activity.outcomes) == 1)
        assert world.notices.notices[-1].text.startswith(f"{WEB} answered in ")
        press(button(world, "Grow pool"))
        await world.until(lambda: cells(world)["concurrency"] == "3")
        await world.until(lambda: len(world.activity.outcomes) == 2)
        press(button(world, "Enable events"))
        await world.until(lambda: button(world, "Enable events").toolTip() == "The worker sends task events")
        assert world.asked == []
        press(button(world, "Shut down…"))
        await world.until(lambda: world.control.nodes[WEB].gone)
        world.service.on_summary(summary(seen(WEB, world.clock.now(), online=False)))
        await world.until(lambda: len(world.activity.outcomes) == 4)
        assert {outcome for outcome, _ in world.activity.outcomes} == {Outcome.DONE}
        assert [operation.question for operation in world.asked] == [f"Shut down {WEB}?"]
        assert button(world, "Ping").toolTip() == "The worker is offline"
        assert says(world, "The worker is offline")


async def test_tabs_ask_the_chosen_worker(qtbot: QtBot) -> None:
    world = World(web_1=FakeWorker(), web_2=FakeWorker())
    async with world:
        await world.connect()
        (tabs,) = [one for one in world.page.findChildren(TabBar) if one.accessibleName() == "Worker detail"]
        assert not tabs.isVisible()
        table(world).select_keys([WEB])
        await world.until(lambda: says(world, "No task runs"))
        assert [tabs.tabText(number) for number in range(tabs.count())] == [
            *("Active", "Reserved", "Scheduled", "Revoked", "Registered tasks", "Settings", "Statistics"),
        ]
        tabs.set_current("Registered tasks")
        await world.until(lambda: len(table(world, "Registered tasks").rows()) == 2)
        assert cells(world, "shop.add", "Registered tasks") == {
            "task": "shop.add",
            "options": "rate_limit=10/s",
        }
        tabs.set_current("Statistics")
        await world.until(lambda: bool(table(world, "Statistics").rows()))
        tabs.set_current("Settings")
        await world.until(lambda: len(table(world, "Settings").rows()) == 2)
        world.control.nodes["celery@web-2"].mute = True
        table(world).select_keys(["celery@web-2"])
        await world.until(lambda: world.view_model.listing_error is not None)
        facts = [one.fact() for one in banners(world)]
        assert facts == ["celery@web-2 did not answer"]


async def test_lists_of_tasks_follow_the_worker_but_not_too_often(qtbot: QtBot) -> None:
    world = World(web_1=FakeWorker())
    async with world:
        await world.connect()
        table(world).select_keys([WEB])
        await world.until(lambda: world.view_model.listing is not None)
        count = world.control.methods().count("active")
        world.beat_hearts(active=1)
        await asyncio.sleep(0.05)
        assert world.control.methods().count("active") == count
        world.clock.pass_s(5)
        world.beat_hearts(active=1)
        await world.until(lambda: world.control.methods().count("active") == count + 1)
        world.clock.pass_s(5)
        world.beat_hearts(active=1)
        await asyncio.sleep(0.05)
        assert world.control.methods().count("active") == count + 1, "nothing moved"
        world.page.deactivate()
        world.clock.pass_s(5)
        world.beat_hearts(active=2)
        await asyncio.sleep(0.05)
        assert world.control.methods().count("active") == count + 1, "nobody looks"


async def test_an_event_stream_that_is_away_is_told(qtbot: QtBot) -> None:
    world = World(web_1=FakeWorker())
    async with world:
        await world.connect()
        world.clock.pass_s(1)
        world.service.on_summary(summary(state=CollectorState.RECONNECTING))
        (banner,) = banners(world)
        assert banner.fact().startswith("As of ")
        assert table(world).stale
        assert cells(world)["state"] == WorkerState.ONLINE.value
        world.beat_hearts()
        assert not banner.isVisible()
        world.session.set_status(LinkState.RECONNECTING)
        assert banner.isVisible()
        await world.service.detach()
        assert not table(world).rows()


async def test_a_worker_that_does_not_answer_is_marked(qtbot: QtBot) -> None:
    world = World(web_1=FakeWorker(), web_2=FakeWorker())
    async with world:
        await world.connect()
        world.control.nodes["celery@web-2"].mute = True
        world.page.refresh()
        await world.until(lambda: world.service.snapshot.silent == ("celery@web-2",))
        badge = next(row for row in table(world).rows() if row.key == "celery@web-2").cells["worker"].badge
        assert badge is not None
        assert badge[0] == "No answer"


async def test_navigation_times_and_names(qtbot: QtBot) -> None:
    world = World(web_1=FakeWorker(), web_2=FakeWorker())
    async with world:
        world.page.open_query("celery@web-2")
        await world.connect()
        assert table(world).selected_keys() == ["celery@web-2"]
        world.service.on_summary(summary(seen("shop@other", world.clock.now() - timedelta(seconds=1))))
        assert cells(world)["worker"] == WEB, "the prefix stays where not all have it"
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
