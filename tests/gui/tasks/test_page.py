"""The Tasks page as a person meets it, on a real history."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TypeVar

import pytest
from PySide6.QtCore import QPoint
from PySide6.QtWidgets import QAbstractButton, QApplication, QMenu, QWidget
from pytestqt.qtbot import QtBot

from console.core.connection import LinkState, Mode
from console.core.notices import Level
from console.core.operations import Danger
from console.history.model import CollectorState, Counts, TaskState
from console.history.reader import HistoryReader
from console.tasks.gateway import Answer
from console.tasks.operations import KillSignal
from console.tasks.row_menu import open_row_menu
from console.tasks.send_dialog import SendDialog
from console.tasks.views import Kept, kept_as_json, kept_from
from console.widgets.banner import Banner
from console.widgets.branch_tree import BranchTree
from console.widgets.button import Chip, IconButton
from console.widgets.data_table import DataTable
from console.widgets.fields import SearchField
from console.widgets.label import Text
from console.widgets.side_split import SideSplit
from console.widgets.tabs import TabBar
from tests.gui.tasks.world import World, life, retried_life

NOW = time.time()
T = TypeVar("T", bound=QWidget)


def find(world: World, kind: type[T], name: str) -> T:
    (found,) = [one for one in world.page.findChildren(kind) if one.accessibleName() == name]
    return found


def table(world: World) -> DataTable:
    return find(world, DataTable, "Tasks")


def keys(world: World) -> list[str]:
    return [row.key for row in table(world).rows()]


def cell(world: World, key: str, column: str) -> str:
    return next(row for row in table(world).rows() if row.key == key).cells[column].text


def button(world: World, text: str) -> QAbstractButton:
    found = [one for one in world.page.findChildren(QAbstractButton) if one.text() == text]
    return found[0]  # a dialog's button of the same words comes later


def says(world: World, text: str) -> bool:
    return any(text in one.text() for one in world.page.findChildren(Text) if one.isVisible())


def banners(world: World) -> str:
    return " ".join(
        f"{one.accessibleName()} {one.accessibleDescription()}"
        for one in world.page.findChildren(Banner)
        if one.isVisible()
    )


async def test_words_of_the_contract(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        titles = [column.title for column in table(world).columns]
        assert titles == [
            "State", "Task", "ID", "Worker", "Queue", "Received", "Waited", "Runtime", "Retries",
        ]  # fmt: skip
        assert find(world, SearchField, "Search tasks").placeholderText() == "Search tasks"
        tabs = find(world, TabBar, "Task detail")
        assert [tabs.tabText(index) for index in range(tabs.count())] == [
            "Summary", "Arguments", "Result", "Traceback", "Timeline", "Family",
        ]  # fmt: skip
        chips = [chip.accessibleName() for chip in world.page.findChildren(Chip)]
        assert chips == [*(state.value for state in TaskState), "By error"]
        assert says(world, "Not connected")
        for text in ("Resend…", "Revoke…", "Terminate…", "Export…", "Send task…"):
            assert button(world, text)


async def test_tasks_appear_and_change_as_they_happen(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.connect()
        await world.until(lambda: says(world, "No tasks yet"))
        world.store(life("a", at=NOW, end="started"))
        await world.until(lambda: keys(world) == ["a"])
        assert cell(world, "a", "state") == "Started"
        assert cell(world, "a", "task") == "send_invoice"
        assert cell(world, "a", "worker") == "web-1"
        assert cell(world, "a", "runtime") == "–"
        world.store(life("a", at=NOW))
        await world.until(lambda: cell(world, "a", "state") == "Succeeded")
        assert cell(world, "a", "runtime") == "412 ms"
        assert says(world, "Live")
        await world.until(lambda: find(world, Chip, "Succeeded").accessibleDescription() == "1")


async def test_new_rows_wait_while_scrolled_down(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.connect()
        world.store([one for n in range(300) for one in life(f"t{n:03}", at=NOW + n)])
        await world.until(lambda: len(keys(world)) == 200)
        bar = table(world).verticalScrollBar()
        bar.setValue(300)
        world.store([*life("new-1", at=NOW + 1000), *life("new-2", at=NOW + 1001)])
        await world.until(
            lambda: any(one.text() == "2 new" for one in world.page.findChildren(QAbstractButton))
        )
        assert keys(world)[0] == "t299"
        button(world, "2 new").click()
        await world.until(lambda: keys(world)[0] == "new-2")
        bar.setValue(bar.maximum())
        await world.until(lambda: len(keys(world)) == 302)
        assert len(set(keys(world))) == 302


async def test_search_chips_and_a_wrong_query(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.connect()
        world.store(
            [
                *life("ok", at=NOW),
                *life("bad", at=NOW, end="failed"),
                *life("b", at=NOW, name="reports.build"),
            ]
        )
        await world.until(lambda: len(keys(world)) == 3)
        find(world, Chip, "Failed").click()
        await world.until(lambda: keys(world) == ["bad"])
        search = find(world, SearchField, "Search tasks")
        assert search.text() == "state:failed"
        assert find(world, Chip, "Succeeded").accessibleDescription() == "2"
        world.page.open_query("name:*build since:1h")
        await world.until(lambda: keys(world) == ["b"])
        assert not find(world, Chip, "Failed").isChecked()
        world.page.open_query("state:wrong")
        await world.until(lambda: "wrong is not a state" in banners(world))
        assert "At character 7: wrong" in banners(world)
        assert keys(world) == ["b"]
        world.page.open_query("nothing-at-all")
        await world.until(lambda: says(world, "No tasks match"))
        button(world, "Clear search").click()
        await world.until(lambda: len(keys(world)) == 3)


async def test_sorting_asks_the_history(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.connect()
        world.store([*life("x", at=NOW, name="b.b"), *life("y", at=NOW + 1, name="a.a")])
        await world.until(lambda: keys(world) == ["y", "x"])
        table(world).sort_requested.emit("task", True)
        await world.until(lambda: keys(world) == ["x", "y"])


async def test_the_story_of_a_task(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.connect()
        child = life("child", at=NOW + 1, parent_id="tried", root_id="tried")
        world.store([*retried_life("tried", NOW), *life("other", at=NOW + 3, end="failed"), *child])
        await world.until(lambda: len(keys(world)) == 3)
        table(world).select_keys(["tried"])
        await world.until(lambda: world.view_model.story is not None)
        tabs = find(world, TabBar, "Task detail")
        await world.until(lambda: button(world, "celery@web-1").isVisible())
        tabs.set_current("Traceback")
        await world.until(lambda: says(world, "SMTPServerDisconnected"))
        await world.until(lambda: says(world, "first "))
        await world.until(lambda: says(world, "same error, after 420 ms"))
        tabs.set_current("Timeline")
        await world.until(lambda: says(world, "7.9 s in all"))
        await world.until(lambda: says(world, "web-api, PID 3120"))
        await world.until(lambda: says(world, "attempt 3"))
        tabs.set_current("Family")
        family = find(world, BranchTree, "Family")
        child_row = family.indexBelow(family.model().index(0, 0))
        assert [child_row.siblingAtColumn(column).data() for column in (1, 3)] == ["Succeeded", "child"]
        family.activated_index.emit(child_row)
        await world.until(lambda: table(world).selected_keys() == ["child"])
        table(world).select_keys(["tried"])
        await world.until(lambda: world.view_model.story is not None)
        tabs.set_current("Traceback")
        button(world, "Find same error").click()
        await world.until(lambda: set(keys(world)) == {"tried", "other"})


async def test_revoking_asks_and_is_verified_by_the_answers(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.connect()
        world.store([*life("waits", at=NOW, end="received"), *life("done", at=NOW - 1)])
        await world.until(lambda: len(keys(world)) == 2)
        assert button(world, "Revoke…").toolTip() == "Select a task first"
        table(world).select_keys(["done"])
        assert button(world, "Revoke…").toolTip() == "It has ended: Succeeded"
        table(world).select_keys(["waits"])
        assert not button(world, "Terminate…").isEnabled()
        button(world, "Revoke…").click()
        await world.until(lambda: bool(world.activity.outcomes))
        (asked,) = world.asked
        assert (asked.danger, asked.verb, asked.question) == (
            Danger.DISRUPTIVE,
            "Revoke",
            "Revoke send_invoice?",
        )
        assert world.control.told == [(["waits"], None, None)]
        assert "waits" in world.activity.entries[0].target
        world.store(life("waits", at=NOW, end="revoked"))
        await world.until(lambda: cell(world, "waits", "state") == "Revoked")


async def test_terminating_is_destructive_and_nobody_answering_is_a_failure(
    qtbot: QtBot, tmp_path: Path
) -> None:
    async with World(tmp_path) as world:
        world.connect()
        world.store(life("runs", at=NOW, end="started"))
        await world.until(lambda: len(keys(world)) == 1)
        table(world).select_keys(["runs"])
        world.control.answers = [Answer("celery@a", ok=True, text="terminate: tasks unknown")]
        world.choice = list(KillSignal).index(KillSignal.KILL)
        for number in (1, 2):
            button(world, "Terminate…").click()
            await world.until(lambda number=number: len(world.activity.outcomes) == number)  # type: ignore[misc]
            world.control.answers = []
        assert world.control.told == [(["runs"], "SIGKILL", None)] * 2
        assert [one.danger for one in world.asked] == [Danger.DESTRUCTIVE] * 2
        texts = [notice.text for notice in world.notices.notices if notice.level is Level.ERROR]
        assert texts == ["No worker runs this task", "No worker answered"]


async def test_sending_a_task_checks_the_fields_and_selects_it(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.connect()
        world.store(life("a", at=NOW))
        await world.until(lambda: len(keys(world)) == 1)
        button(world, "Send task…").click()
        dialog = world.page._dialog
        assert isinstance(dialog, SendDialog)
        fields = {name: dialog._fields[name].control for name in ("name", "args", "kwargs")}
        fields["args"].setPlainText('{"a": 1}')  # type: ignore[attr-defined]
        fields["kwargs"].setPlainText("{nope")  # type: ignore[attr-defined]
        send = next(one for one in dialog.findChildren(QAbstractButton) if one.text() == "Send")
        send.click()
        assert dialog.isVisible()
        assert fields["args"].accessibleDescription().startswith("This must be a JSON list")
        assert fields["kwargs"].accessibleDescription().startswith("Line 1, column 2")
        assert fields["name"].accessibleDescription() == "A task name without blanks"
        fields["name"].setText("shop.send")  # type: ignore[attr-defined]
        fields["args"].setPlainText("[1, 2.5, null]")  # type: ignore[attr-defined]
        fields["kwargs"].setPlainText("")  # type: ignore[attr-defined]
        send.click()
        await world.until(lambda: bool(world.activity.outcomes))
        ((task_id, request),) = world.control.sent
        assert (request.name, request.args, request.kwargs, request.queue) == (
            "shop.send",
            [1, 2.5, None],
            {},
            "usual",
        )
        await world.until(lambda: says(world, "Not in the history yet"))
        world.store(life(task_id, at=NOW + 5, name="shop.send", end="sent"))
        await world.until(lambda: table(world).selected_keys() == [task_id])
        await world.until(lambda: world.view_model.story is not None)


async def test_read_only_forbids_and_says_why(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path, Mode.READ_ONLY) as world:
        world.connect()
        world.store(life("a", at=NOW, end="started"))
        await world.until(lambda: len(keys(world)) == 1)
        table(world).select_keys(["a"])
        for text in ("Revoke…", "Terminate…", "Send task…"):
            assert not button(world, text).isEnabled()
            assert button(world, text).toolTip() == "Shop staging is read only"


async def test_an_outage_keeps_the_rows_and_says_as_of(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.connect()
        world.store(life("a", at=NOW))
        await world.until(lambda: keys(world) == ["a"])
        world.session.set_status(LinkState.RECONNECTING)
        world.tell(CollectorState.RECONNECTING, "Broker cannot be reached")
        await world.until(lambda: "As of" in banners(world))
        assert "Broker cannot be reached" in banners(world)
        assert keys(world) == ["a"]
        assert table(world).stale
        world.session.set_status(LinkState.CONNECTED)
        world.tell()
        await world.until(lambda: banners(world) == "")


async def test_missed_events_are_shown_and_can_be_closed(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.connect()
        world.store(life("a", at=NOW))
        assert world.writer is not None
        world.writer.open_gap(world.clock.now(), "The broker closed the connection")
        world.writer.close_gap(world.clock.now())
        world.page.refresh()
        await world.until(lambda: "Events were missed from" in banners(world))
        next(one for one in world.page.findChildren(Banner) if one.isVisible()).closed.emit()
        world.page.refresh()
        await world.until(lambda: bool(world.view_model.snapshot.gaps))


async def test_a_history_that_cannot_be_read_is_a_banner_with_retry(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.path.write_bytes(b"no database at all" * 100)
        world.connect()
        await world.until(lambda: "damaged" in banners(world))
        world.path.unlink()
        world.store(life("a", at=NOW))
        button(world, "Retry").click()
        await world.until(lambda: keys(world) == ["a"])


async def test_nothing_is_read_while_nobody_looks(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.connect()
        world.store(life("a", at=NOW))
        await world.until(lambda: keys(world) == ["a"])
        world.page.deactivate()
        before = world.service.snapshot
        world.store(life("b", at=NOW + 1))
        await world.until(lambda: not world.service._wake.is_set())
        assert world.service.snapshot.rows == before.rows
        world.page.activate()
        await world.until(lambda: keys(world) == ["b", "a"])


async def test_the_panel_is_resized_hidden_and_remembered(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.connect()
        world.store(life("a", at=NOW))
        await world.until(lambda: keys(world) == ["a"])
        split = world.page.findChildren(SideSplit)[0]
        assert split.sizes()[1] == 350
        split.give_side(420)
        toggle = find(world, IconButton, "Task panel")
        assert (toggle.isChecked(), toggle.toolTip()) == (True, "Hide the task panel")
        toggle.click()
        assert not world.page.detail().isVisible()
        assert toggle.toolTip() == "Show the task panel"
        layout = world.view_model.layout
        assert (layout.panel_px, layout.panel_shown) == (420, False)
        assert kept_from(kept_as_json(Kept(layout=layout))).layout == layout
        toggle.click()
        assert world.page.detail().isVisible()
        assert split.sizes()[1] == 420


async def test_chips_with_large_counts_stand_in_one_line(
    qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = (0, 31_249, 4, 1_234_567, 31_421, 12_345, 187, 23, 999_999)
    many = Counts(dict(zip(TaskState, counts, strict=True)))
    monkeypatch.setattr(HistoryReader, "counts", lambda _reader, _query: many)
    async with World(tmp_path) as world:
        world.connect()
        world.store(life("a", at=NOW))
        await world.until(lambda: keys(world) == ["a"])
        chips = [find(world, Chip, state.value) for state in TaskState]
        await world.until(lambda: chips[3].accessibleDescription() == "1,234,567")
        await world.until(lambda: all(chip.width() >= chip.sizeHint().width() for chip in chips))
        assert chips[3].accessibleDescription() == chips[3].toolTip() == "1,234,567"
        assert chips[-1].y() == chips[0].y()


async def test_a_silent_task_says_why_it_cannot_be_judged(qtbot: QtBot, tmp_path: Path) -> None:
    why = "The result backend cannot be read"
    async with World(tmp_path) as world:
        world.connect()
        world.store([*life("silent", at=NOW - 600, end="started"), *life("done", at=NOW - 700)])
        await world.until(lambda: len(keys(world)) == 2)
        table(world).select_keys(["silent"])
        await world.until(lambda: world.view_model.story is not None)
        words = f"No event of it for over a minute. Silent tasks cannot be judged now: {why}"
        assert not says(world, words)
        world.tell(unjudged=why)
        await world.until(lambda: says(world, words))
        table(world).select_keys(["done"])
        await world.until(lambda: not says(world, words))


async def test_a_bug_in_one_read_does_not_end_the_list(
    qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with World(tmp_path) as world:
        world.connect()
        world.store(life("a", at=NOW))
        await world.until(lambda: keys(world) == ["a"])

        def tells(title: str) -> bool:
            banners = (one for one in world.page.findChildren(Banner) if one.isVisible())
            return any(title in banner.accessibleName() for banner in banners)

        def broken(*_arguments: object) -> None:
            raise ZeroDivisionError("nobody thought of that")

        with monkeypatch.context() as patch:
            patch.setattr(HistoryReader, "page", broken)
            world.store(life("b", at=NOW + 1))
            await world.until(lambda: tells("The tasks could not be read"))
            assert keys(world) == ["a"], "what is known stays"
        button(world, "Retry").click()
        await world.until(lambda: keys(world) == ["b", "a"])
        assert not tells("The tasks could not be read")
        with monkeypatch.context() as patch:
            patch.setattr(HistoryReader, "detail", broken)
            table(world).select_keys(["b"])
            await world.until(lambda: says(world, "The task could not be read"))


async def test_revoke_pressed_twice_asks_once(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.connect()
        world.store(life("waits", at=NOW, end="received"))
        await world.until(lambda: keys(world) == ["waits"])
        table(world).select_keys(["waits"])
        world.view_model.revoke()
        world.view_model.revoke()
        await world.until(lambda: bool(world.activity.outcomes) and world.view_model.act is None)
        assert len(world.asked) == 1


async def test_the_table_and_the_story_agree_on_what_is_selected(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.connect()
        world.store([one for n in range(5) for one in life(f"t{n}", at=NOW + n)])
        await world.until(lambda: len(keys(world)) == 5)

        def chosen() -> str | None:
            return world.view_model.selected_id

        table(world).select_keys(["t3"])
        await world.until(lambda: world.view_model.story is not None)
        world.view_model.show("state:faild")
        assert table(world).selected_keys() == ["t3"], "the rows stay, and so does what is selected"
        assert chosen() == "t3"
        world.view_model.show("id:t")
        assert table(world).selected_keys() == []
        assert chosen() is None
        await world.until(lambda: says(world, "No task selected"))
        table(world).select_keys(["t1"])
        await world.until(lambda: world.view_model.story is not None)
        world.page.open_query("")
        assert table(world).selected_keys() == []


async def test_the_menu_of_a_row_copies_acts_and_narrows(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.connect()
        world.store([*life("a", at=NOW, end="started"), *life("b", at=NOW + 1)])
        await world.until(lambda: len(keys(world)) == 2)
        open_row_menu(table(world), world.view_model, "a", QPoint(0, 0))
        menu = next(one for one in table(world).findChildren(QMenu) if one.isVisible())
        acts = {action.text(): action for action in menu.actions() if action.text()}
        assert list(acts)[:3] == ["Copy ID", "Revoke…", "Terminate…"]
        assert world.view_model.selected_id == "a"
        acts["Copy ID"].trigger()
        assert QApplication.clipboard().text() == "a"
        acts["Without send_invoice"].trigger()
        await world.until(lambda: says(world, "No tasks match"))
        menu.close()
