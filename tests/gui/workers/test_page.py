"""The Workers page as a person meets it."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractButton, QWidget
from pytestqt.qtbot import QtBot

from console.core.activity import Outcome
from console.core.connection import LinkState, Mode, Right
from console.history.model import CollectorState
from console.widgets.banner import Banner
from console.widgets.button import Chip
from console.widgets.data_table import DataTable
from console.widgets.fields import SearchField, TextField
from console.widgets.label import Text
from console.widgets.tabs import TabBar
from console.workers.action_dialog import ActionDialog
from console.workers.actions import Action
from console.workers.detail_panel import DetailPanel
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
        one
        for one in world.page.findChildren(QAbstractButton)
        if text in (one.accessibleName(), one.text()) and not isinstance(one, Chip)
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


# --- Several workers, forms, lists that tick, workers that are gone ---------------------------------------


def panel(world: World) -> DetailPanel:
    (found,) = world.page.findChildren(DetailPanel)
    return found


def held(world: World, task_id: str, *, seconds: float) -> dict[str, object]:
    at = world.clock.now() + timedelta(seconds=seconds)
    return {
        "id": task_id,
        "name": "shop.pay",
        "args": "(7,)",
        "kwargs": "{}",
        "time_start": at.timestamp(),
        "worker_pid": 42,
        "delivery_info": {"routing_key": "mail", "priority": 0},
    }


async def test_lists_tick_and_their_ids_lead_to_the_tasks(qtbot: QtBot) -> None:
    world = World(web_1=FakeWorker())
    async with world:
        await world.connect()
        node = world.control.nodes[WEB]
        node.held["active"] = [held(world, "aaaaaa-one-1111", seconds=-12)]
        eta = (world.clock.now() + timedelta(seconds=240)).isoformat()
        node.held["scheduled"] = [{"eta": eta, "priority": 6, "request": held(world, "later", seconds=0)}]
        table(world).select_keys([WEB])
        await world.until(lambda: bool(table(world, "Active").rows()))
        assert cells(world, "aaaaaa-one-1111", "Active")["running"] == "11 s", "its clock is 12 ms off"
        world.clock.pass_s(3)
        world.page._on_tick()
        assert cells(world, "aaaaaa-one-1111", "Active")["running"] == "14 s"
        table(world, "Active").link_clicked.emit("aaaaaa-one-1111", "id")
        table(world, "Active").activated_row.emit("aaaaaa-one-1111")
        assert world.went == [("tasks", "id:aaaaaa-one-1111")] * 2
        panel(world)._tabs.set_current("Scheduled")
        await world.until(lambda: bool(table(world, "Scheduled").rows()))
        assert cells(world, "later", "Scheduled")["due"] == "in 3 min 57 s"
        world.clock.pass_s(237)
        world.page._on_tick()
        assert cells(world, "later", "Scheduled")["due"] == "in 0 s"
        world.clock.pass_s(5)
        world.page._on_tick()
        assert cells(world, "later", "Scheduled")["due"] == "5 s ago"


async def test_settings_and_tasks_are_searched(qtbot: QtBot) -> None:
    world = World(web_1=FakeWorker())
    async with world:
        await world.connect()
        table(world).select_keys([WEB])
        panel(world)._tabs.set_current("Registered tasks")
        await world.until(lambda: len(table(world, "Registered tasks").rows()) == 2)
        (search,) = [
            one
            for one in world.page.findChildren(SearchField)
            if one.accessibleName() == "Search registered tasks"
        ]
        search.setText("add 10/s")
        search.edited.emit(search.text())
        assert [row.key for row in table(world, "Registered tasks").rows()] == ["shop.add"]
        assert says(world, "1 of 2 registered tasks, as of")
        panel(world)._tabs.set_current("Settings")
        await world.until(lambda: len(table(world, "Settings").rows()) == 2)
        assert (search.accessibleName(), search.text()) == ("Search settings", "")


async def test_what_a_worker_is_stands_beside_its_lists(qtbot: QtBot) -> None:
    world = World(web_1=FakeWorker())
    async with world:
        await world.connect()
        table(world).select_keys([WEB])
        grid = panel(world)._facts
        told = {one.accessibleName() for one in grid.findChildren(Text) if ": " in one.accessibleName()}
        assert told >= {
            *("Host: web-1", "Software: Celery 5.7.0", "Pool: prefork, 2", "Prefetch: 8, 4 per place"),
            *("PID: 100", "Clock: +12 ms", "Load average: 0.50 0.40 0.30", "Logical clock: 77"),
            *("CPU time: 1.5 s user, 0.5 s system", "Memory: 67 MB at most", "Broker: redis://h:6379/0"),
        }


async def test_an_action_goes_to_all_chosen_that_allow_it(qtbot: QtBot) -> None:
    world = World(web_1=FakeWorker(), web_2=FakeWorker(), solo=FakeWorker("solo", 1))
    async with world:
        await world.connect()
        table(world).select_keys([WEB, "celery@web-2", "celery@solo"])
        assert says(world, "3 workers are chosen")
        assert not panel(world).isVisible()
        places = next(one for one in world.page.findChildren(TextField) if one.accessibleName() == "Places")
        places.setText("x")
        assert button(world, "Grow pool").toolTip() == "Places: A whole number"
        places.setText("3")
        press(button(world, "Grow pool"))
        await world.until(lambda: len(world.activity.outcomes) == 1)
        assert [operation.question for operation in world.asked] == ["Grow the pool of 2 workers by 3?"]
        assert world.activity.outcomes[0][1].startswith("2 of 3 workers have grown")
        assert cells(world, "celery@web-2")["concurrency"] == "5"
        assert button(world, "Autoscale…").toolTip() == "The worker was not started with autoscale"


async def test_forms_check_at_the_field_and_say_what_will_happen(qtbot: QtBot) -> None:
    world = World(web_1=FakeWorker(queues=["mail"]))
    async with world:
        await world.connect()
        table(world).select_keys([WEB])
        press(button(world, "Rate limit…"))
        dialog = world.page.findChildren(ActionDialog)[-1]
        assert [one.accessibleName() for one in dialog.inputs.values()] == ["Task", "Rate limit"]
        dialog.inputs["task"].setText("shop.add")
        assert dialog.inputs["limit"].text() == "10/s", "what it has now"
        dialog.inputs["limit"].setText("7/d")
        press(button(world, "Set rate limit"))
        assert dialog.isVisible()
        assert "10/s" in dialog.inputs["limit"].accessibleDescription()
        dialog.inputs["limit"].setText("7/m")
        assert says(world, f"{WEB} runs at most 7/m of shop.add until it is restarted.")
        press(button(world, "Set rate limit"))
        await world.until(lambda: len(world.activity.outcomes) == 1)
        assert world.activity.outcomes[0] == (Outcome.DONE, f"{WEB} limits shop.add to 7/m")
        assert world.asked == []

        press(button(world, "Stop consuming…"))
        dialog = world.page.findChildren(ActionDialog)[-1]
        assert dialog.inputs["queue"].text() == "mail", "there is only this one"
        dialog.inputs["queue"].setText("reports")
        dialog._on_accept()
        assert dialog.inputs["queue"].accessibleDescription() == (
            "None of the chosen workers consumes this queue"
        )
        dialog.inputs["queue"].setText("mail")
        assert says(world, "No other worker consumes it: its messages will wait.")
        dialog._on_accept()
        await world.until(lambda: len(world.activity.outcomes) == 2)
        assert [one.question for one in world.asked] == [f"Have {WEB} stop consuming mail?"]
        assert cells(world)["queues"] == "none"


async def test_offline_workers_are_dismissed_one_by_one_or_all(qtbot: QtBot) -> None:
    world = World(web_1=FakeWorker())
    async with world:
        await world.connect()
        at = world.clock.now()
        world.service.on_summary(summary(*(seen(f"celery@gone-{n}", at, online=False) for n in range(3))))
        assert table(world).rows()[0].key == WEB
        assert not button(world, "Dismiss").isVisible()
        table(world).select_keys(["celery@gone-1"])
        press(button(world, "Dismiss"))
        await world.until(lambda: len(table(world).rows()) == 3)
        press(button(world, "Dismiss all offline"))
        await world.until(lambda: len(table(world).rows()) == 1)
        assert not button(world, "Dismiss all offline").isVisible()


async def test_thousands_of_dead_workers_drown_nobody(qtbot: QtBot) -> None:
    world = World(web_1=FakeWorker(), web_2=FakeWorker())
    async with world:
        await world.connect()
        at = world.clock.now()
        dead = [seen(f"celery@pod-{n:04}", at, online=False) for n in range(2000)]
        world.service.on_summary(summary(*dead))
        assert [row.key for row in table(world).rows()][:2] == [WEB, "celery@web-2"]
        world.page._on_sort("worker", True)
        assert [row.key for row in table(world).rows()][:2] == ["celery@web-2", WEB]
        started_s = time.monotonic()
        for _ in range(5):
            world.clock.pass_s(0.2)
            world.beat_hearts()
        each_s = (time.monotonic() - started_s) / 5
        assert each_s < 0.1, f"{each_s * 1000:.0f} ms for a picture"
        chip = next(one for one in world.page.findChildren(Chip) if one.text() == "Offline")
        assert chip.accessibleDescription() == "2,000"
        search = next(
            one for one in world.page.findChildren(SearchField) if one.accessibleName() == "Search workers"
        )
        search.edited.emit("mail pod-0001")
        assert says(world, "No workers match")
        search.edited.emit("pod-0001")
        assert [row.key for row in table(world).rows()] == ["celery@pod-0001"]
        search.edited.emit("")
        next(one for one in world.page.findChildren(Chip) if one.text() == "Online").click()
        assert len(table(world).rows()) == 2


async def test_a_list_that_cannot_be_sent_says_why_and_the_worker_lives(qtbot: QtBot) -> None:
    world = World(web_1=FakeWorker(unlisted=("reserved",)))
    async with world:
        await world.connect()
        table(world).select_keys([WEB])
        panel(world)._tabs.set_current("Reserved")
        await world.until(lambda: bool(banners(world)))
        assert banners(world)[0].fact() == f"{WEB} cannot list these tasks"
        assert cells(world)["state"] == "Online"
