"""The list of tasks: views, columns, errors by kind, many selected, export, and rows that stay in place."""

from __future__ import annotations

import csv
import json
import time
import uuid
from pathlib import Path
from typing import TypeVar

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QFileDialog, QMenu, QWidget
from pytestqt.qtbot import QtBot

from console.collector.events import Event
from console.core.operations import Danger
from console.tasks.columns import AT_FIRST
from console.tasks.columns_dialog import ColumnsDialog
from console.tasks.export_dialog import ExportDialog
from console.tasks.search_reading import PAGE_ROWS, WINDOW_ROWS
from console.tasks.views import BUILT_IN
from console.tasks.views_menu import ManageViewsDialog, SaveViewDialog
from console.tasks.views_store import ViewsStore
from console.widgets.banner import Banner
from console.widgets.button import Chip, IconButton, LinkButton
from console.widgets.data_table import DataTable
from console.widgets.dialog import ConsoleDialog
from console.widgets.fields import CheckBox, RadioButton, SearchField, TextField
from console.widgets.progress_strip import ProgressStrip
from console.widgets.query_field import QueryField
from tests.gui.tasks.world import World, life

NOW = time.time()
T = TypeVar("T", bound=QWidget)


def find(world: World, kind: type[T], name: str) -> T:
    (found,) = [one for one in world.page.findChildren(kind) if one.accessibleName() == name]
    return found


def inside(dialog: QWidget, kind: type[T], name: str) -> T:
    return next(one for one in dialog.findChildren(kind) if one.accessibleName() == name and one.isVisible())


def table(world: World) -> DataTable:
    return find(world, DataTable, "Tasks")


def keys(world: World) -> list[str]:
    return [row.key for row in table(world).rows()]


def titles(world: World) -> list[str]:
    return [column.title for column in table(world).columns]


def dialog(world: World, kind: type[T]) -> T:
    found = ConsoleDialog.open_in(world.page)
    assert isinstance(found, kind)
    return found


def press(dialog: QWidget, words: str) -> None:
    inside(dialog, QAbstractButton, words).click()


def failed(task_id: str, at: float, message: str, name: str = "shop.pay") -> list[Event]:
    return [
        *life(task_id, at=at, name=name, end="started"),
        Event(
            type="task-failed", uuid=task_id, timestamp=at + 1, hostname="celery@web-1", pid=1,
            exception=message, traceback="Traceback",
        ),
    ]  # fmt: skip


async def test_the_search_suggests_what_the_history_knows(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.connect()
        world.store(life("a", at=NOW, name="shop.mail.send_invoice"))
        await world.until(lambda: keys(world) == ["a"])
        world.page.refresh()
        await world.until(lambda: "shop.mail.send_invoice" in world.view_model.names.tasks)
        search = find(world, QueryField, "Search tasks")
        QTest.keyClicks(search, "name:inv")
        assert any("send_invoice" in one for one in search.suggestions())
        QTest.keyClick(search, Qt.Key.Key_Tab)
        assert "send_invoice" in search.text()
        await world.until(lambda: "1 found in" in search.hint())


async def test_a_wrong_word_is_marked_while_typing_and_told_on_enter(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.connect()
        world.store(life("a", at=NOW))
        await world.until(lambda: keys(world) == ["a"])
        search = find(world, QueryField, "Search tasks")
        QTest.keyClicks(search, "mail state:wrong ")
        await world.until(lambda: search.mark() == (11, 5))
        assert search.hint() == "wrong is not a state"
        assert "States are" in search.accessibleDescription()
        assert not [one for one in world.page.findChildren(Banner) if one.isVisible()]
        assert keys(world) == ["a"]
        QTest.keyClick(search, Qt.Key.Key_Return)
        (told,) = [one for one in world.page.findChildren(Banner) if one.isVisible()]
        assert told.fact() == "wrong is not a state"
        search.clear()
        await world.until(lambda: search.mark() is None and not told.isVisible())


async def test_views_are_chosen_saved_renamed_and_deleted(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.connect()
        world.store([*life("ok", at=NOW), *failed("bad", NOW, "ValueError('no')")])
        await world.until(lambda: len(keys(world)) == 2)
        find(world, IconButton, "Views").click()
        menu = next(one for one in world.page.findChildren(QMenu) if one.isVisible())
        shown = [action.text() for action in menu.actions() if action.isCheckable()]
        assert shown == [view.name for view in BUILT_IN]
        assert [action.text() for action in menu.actions() if action.isChecked()] == ["All"]
        next(one for one in menu.actions() if one.text() == "Failed in the last hour").trigger()
        menu.close()
        await world.until(lambda: keys(world) == ["bad"])
        assert find(world, SearchField, "Search tasks").text() == "state:failed since:1h"
        world.view_model.sort("runtime", descending=True)
        world.view_model.set_columns(("state", "task", "error"))
        SaveViewDialog(world.page, world.view_model).open()
        save = dialog(world, SaveViewDialog)
        press(save, "Save")
        assert inside(save, TextField, "Name").accessibleDescription() == "Give it a name"
        inside(save, TextField, "Name").setText("Mine")
        inside(save, CheckBox, "With these columns").setChecked(True)
        press(save, "Save")
        await world.until(lambda: [view.name for view in world.view_model.own_views] == ["Mine"])
        world.view_model.open_view(BUILT_IN[0])
        world.view_model.reset_columns()
        await world.until(lambda: len(keys(world)) == 2)
        command = next(one for one in world.page.commands() if one.text == "View: Mine")
        command.run()
        await world.until(lambda: keys(world) == ["bad"])
        assert titles(world) == ["State", "Task", "Error"]
        assert world.service.snapshot.query.sort.value == "runtime"
        ManageViewsDialog(world.page, world.view_model).open()
        manage = dialog(world, ManageViewsDialog)
        inside(manage, TextField, "New name").setText("Ours")
        press(manage, "Rename")
        await world.until(lambda: [view.name for view in world.view_model.own_views] == ["Ours"])
        press(manage, "Delete")
        await world.until(lambda: not world.view_model.own_views)
        manage.reject()


async def test_order_columns_and_widths_survive_the_page(qtbot: QtBot, tmp_path: Path) -> None:
    file = tmp_path / "task-views.json"
    for first in (True, False):
        folder = tmp_path / str(first)
        folder.mkdir()
        world = World(folder)
        world.view_model._views = ViewsStore(file, clock=world.clock, notices=world.notices)
        async with world:
            world.connect()
            world.store([*life("x", at=NOW, name="b.b"), *life("y", at=NOW + 1, name="a.a")])
            await world.until(lambda world=world: len(keys(world)) == 2)  # type: ignore[misc]
            if first:
                table(world).sort_requested.emit("task", False)
                world.view_model.set_columns(("state", "task", "args"))
                world.view_model.set_widths({"args": 222})
            else:
                await world.until(lambda world=world: keys(world) == ["y", "x"])  # type: ignore[misc]
                assert titles(world) == ["State", "Task", "Args"]
                assert table(world).widths() == {"args": 222}
    assert json.loads(file.read_text())["table"]["sort"] == "task"


async def test_columns_are_chosen_and_their_texts_are_read(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.connect()
        world.store([*life("ok", at=NOW), *failed("bad", NOW + 1, "ValueError('no')")])
        await world.until(lambda: len(keys(world)) == 2)
        assert world.service.snapshot.details is None
        ColumnsDialog(world.page, world.view_model).open()
        chooser = dialog(world, ColumnsDialog)
        columns = inside(chooser, DataTable, "Columns to show")
        for key in ("args", "error", "pid"):
            columns.check_toggled.emit(key, True)
        columns.check_toggled.emit("state", False)
        columns.check_toggled.emit("worker", False)
        columns.select_keys(["error"])
        press(chooser, "Move up")
        press(chooser, "Save")
        assert titles(world)[0] == "State"
        assert titles(world)[-3:] == ["Error", "Args", "PID"]
        assert "Worker" not in titles(world)
        await world.until(lambda: table(world).rows()[0].cells["error"].text == "ValueError('no')")
        row = table(world).rows()[1]
        assert (row.cells["args"].text, row.cells["pid"].text) == ("(7, 'a@example.org')", "20411")
        table(world).header_menu_requested.emit("id", table(world).mapToGlobal(table(world).pos()))
        menu = next(one for one in world.page.findChildren(QMenu) if one.isVisible())
        assert {"Move left", "Move right", "Columns…", "Reset columns"} <= {
            action.text() for action in menu.actions()
        }
        next(one for one in menu.actions() if one.text() == "Reset columns").trigger()
        menu.close()
        assert world.view_model.layout.columns == AT_FIRST


async def test_errors_by_kind_lead_to_their_tasks(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.connect()
        world.store(
            [
                *[one for n in range(5) for one in failed(f"a{n}", NOW + n, f"ValueError('no order {n}')")],
                *failed("b", NOW, "KeyError('x')", name="shop.other"),
                *life("ok", at=NOW),
            ]
        )
        await world.until(lambda: len(keys(world)) == 7)
        find(world, Chip, "By error").click()
        errors = find(world, DataTable, "Errors")
        await world.until(lambda: len(errors.rows()) == 2)
        assert [column.title for column in errors.columns] == [
            "Error", "Message", "Count", "Tasks", "First seen", "Last seen",
        ]  # fmt: skip
        first = errors.rows()[0]
        assert (first.cells["error"].text, first.cells["count"].text) == ("ValueError", "5")
        assert first.cells["tasks"].text == "pay"
        world.page.open_query("name:shop.other")
        await world.until(lambda: [row.cells["error"].text for row in errors.rows()] == ["KeyError"])
        world.page.open_query("name:shop.pay or name:shop.other")
        await world.until(lambda: len(errors.rows()) == 2)
        errors.activated_row.emit(errors.rows()[0].key)
        await world.until(lambda: sorted(keys(world)) == [f"a{n}" for n in range(5)])
        assert table(world).isVisible()
        assert not find(world, Chip, "By error").isChecked()


async def test_one_many_and_all_that_match_are_revoked(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.connect()
        waiting = {f"w{n:03}": life(f"w{n:03}", at=NOW + n, end="received") for n in range(600)}
        world.store([one for events in waiting.values() for one in events] + life("ended", at=NOW + 700))
        await world.until(lambda: len(keys(world)) == PAGE_ROWS)
        await world.until(lambda: world.view_model.snapshot.found == 601)
        QTest.keyClick(table(world), Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
        assert len(world.view_model.selection.ids) == PAGE_ROWS
        everything = find(world, LinkButton, "Select all 601 that match")
        assert everything.isVisible()
        button = next(one for one in world.page.findChildren(QAbstractButton) if one.text() == "Revoke…")
        button.click()
        await world.until(lambda: len(world.activity.outcomes) == 1)
        assert sorted(len(ids) for ids, _, _ in world.control.told) == [199]
        assert world.asked[0].question == "Revoke 199 tasks?"
        assert "1 of those selected have ended" in world.asked[0].consequence
        everything.click()
        assert world.view_model.selection.words == "All 601 that match are selected"
        world.control.told.clear()
        button.click()
        await world.until(lambda: len(world.activity.outcomes) == 2)
        assert [len(ids) for ids, _, _ in world.control.told] == [500, 100]
        assert world.asked[1].danger is Danger.DISRUPTIVE
        assert "600 tasks" in world.activity.entries[1].target
        find(world, LinkButton, "Clear selection").click()
        assert not world.view_model.selection.ids


async def test_revoking_many_can_be_ended_in_between(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.connect()
        world.store([one for n in range(700) for one in life(f"w{n}", at=NOW + n, end="received")])
        await world.until(lambda: len(keys(world)) == PAGE_ROWS)
        await world.until(lambda: world.service.snapshot.found == 700)
        world.view_model.select_all_matching()

        def cancel() -> None:
            strip = find(world, ProgressStrip, "Operation")
            if strip.isVisible():
                inside(strip, QAbstractButton, "Cancel").click()

        world.view_model.act_changed.connect(cancel)
        world.view_model.revoke()
        await world.until(lambda: bool(world.activity.outcomes))
        assert [len(ids) for ids, _, _ in world.control.told] == [500]
        (notice,) = world.notices.notices
        assert notice.text == "Revoking was cancelled"
        assert "500 of 700" in notice.detail


async def test_what_matches_or_is_selected_is_exported(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.connect()
        world.store(
            [one for n in range(450) for one in life(f"t{n:03}", at=NOW + n)] + failed("=bad", NOW, "=1+1")
        )
        await world.until(lambda: len(keys(world)) == PAGE_ROWS)
        export = next(one for one in world.page.findChildren(QAbstractButton) if one.text() == "Export…")
        await world.until(export.isEnabled)
        export.click()
        asked = dialog(world, ExportDialog)
        inside(asked, RadioButton, "Columns: All 25 columns, with arguments and tracebacks").setChecked(True)
        press(asked, "Export…")
        chooser = asked.findChild(QFileDialog)
        assert chooser is not None
        assert chooser.isVisible()
        target = tmp_path / "all.csv"
        chooser.fileSelected.emit(str(target))
        chooser.reject()
        strip = find(world, ProgressStrip, "Export")
        await world.until(
            lambda: strip.isVisible() and "451 tasks exported" in strip.accessibleDescription(), 30
        )
        with target.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 451
        assert next(row for row in rows if row["task"] == "shop.pay")["error"] == "'=1+1"
        table(world).select_keys(["t449", "t447"])
        some = tmp_path / "some.json"
        export.click()
        asked = dialog(world, ExportDialog)
        inside(asked, RadioButton, "Form: JSON, for programs").setChecked(True)
        asked.export_to(str(some))
        await world.until(lambda: some.exists() and not world.view_model.exporter.running, 30)
        assert [one["id"] for one in json.loads(some.read_text())] == ["t449", "t447"]
        asked_in_vain = tmp_path / "gone" / "x.csv"
        export.click()
        dialog(world, ExportDialog).export_to(str(asked_in_vain))
        await world.until(lambda: "The folder is not there" in strip.accessibleDescription(), 30)
        inside(strip, QAbstractButton, "Close").click()
        assert not strip.isVisible()


async def test_an_export_can_be_cancelled_and_leaves_nothing(qtbot: QtBot, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    async with World(tmp_path) as world:
        world.connect()
        world.store([one for n in range(400) for one in life(str(uuid.uuid4()), at=NOW + n)])
        await world.until(lambda: len(keys(world)) == PAGE_ROWS)
        ExportDialog(world.page, world.view_model).open()
        dialog(world, ExportDialog).export_to(str(folder / "x.csv"))
        strip = find(world, ProgressStrip, "Export")
        inside(strip, QAbstractButton, "Cancel").click()
        await world.until(lambda: "Export cancelled" in strip.accessibleDescription(), 30)
        assert not list(folder.iterdir())


async def test_a_selected_row_stays_while_new_ones_come(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.connect()
        world.store([one for n in range(PAGE_ROWS) for one in life(f"t{n:03}", at=NOW + n)])
        await world.until(lambda: len(keys(world)) == PAGE_ROWS)
        table(world).select_keys(["t000"])
        world.store([one for n in range(30) for one in life(f"new{n}", at=NOW + 1000 + n)])
        await world.until(lambda: world.service.snapshot.pending == 30)
        assert table(world).selected_keys() == ["t000"]
        assert keys(world)[0] == "t199"
        next(one for one in world.page.findChildren(QAbstractButton) if one.text() == "30 new").click()
        await world.until(lambda: keys(world)[0] == "new29")


async def test_the_window_of_rows_moves_with_the_scroll_bar(qtbot: QtBot, tmp_path: Path) -> None:
    count = WINDOW_ROWS + 2 * PAGE_ROWS + 50
    async with World(tmp_path) as world:
        world.connect()
        world.store([one for n in range(count) for one in life(f"t{n:05}", at=NOW + n, end="sent")])
        await world.until(lambda: len(keys(world)) == PAGE_ROWS)
        bar = table(world).verticalScrollBar()
        last = "t00000"
        while keys(world)[-1] != last:
            before = keys(world)[-1]
            bar.setValue(bar.maximum() - 300)
            bar.setValue(bar.maximum())
            await world.until(lambda before=before: keys(world)[-1] != before)  # type: ignore[misc]
        assert len(keys(world)) == WINDOW_ROWS
        assert world.service.snapshot.more_above
        first = f"t{count - 1:05}"
        while keys(world)[0] != first:
            before = keys(world)[0]
            bar.setValue(400)
            bar.setValue(0)
            await world.until(lambda before=before: keys(world)[0] != before)  # type: ignore[misc]
        assert keys(world) == [f"t{n:05}" for n in reversed(range(count))][: len(keys(world))]
        assert len(set(keys(world))) == len(keys(world))


async def test_workers_without_events_and_several_gaps_are_told(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.connect()
        world.store(life("a", at=NOW))
        world.service.on_events_off(("celery@web-1", "celery@web-2"))
        banner = next(one for one in world.page.findChildren(Banner) if one.isVisible())
        assert banner.fact() == "web-1, web-2 send no task events"
        wanted: list[bool] = []
        world.view_model.enable_events_wanted.connect(lambda: wanted.append(True))
        inside(banner, QAbstractButton, "Enable events").click()
        assert wanted == [True]
        world.service.on_events_off(())
        assert not banner.isVisible()
        assert world.writer is not None
        for lost in (1_000, 240):
            world.writer.open_gap(world.clock.now(), "The broker closed the connection")
            world.writer.close_gap(world.clock.now(), lost=lost)
        world.page.refresh()
        await world.until(lambda: len(world.service.snapshot.gaps) == 2)
        told = next(one for one in world.page.findChildren(Banner) if one.isVisible())
        assert told.fact().startswith("Events were missed 2 times, last from")
        assert "At least 1,240 events were lost." in told.accessibleDescription()
        inside(told, QAbstractButton, "Show all").click()
        listed = find(world, DataTable, "Missed events")
        assert [row.cells["lost"].text for row in listed.rows()] == ["at least 240", "at least 1,000"]
        opened = ConsoleDialog.open_in(world.page)
        assert opened is not None
        opened.reject()
        told.closed.emit()


async def test_resend_gets_the_selection(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        went: list[tuple[str, str]] = []
        world.page._navigate = lambda noun, query: went.append((noun, query))
        world.connect()
        world.store([*life("a", at=NOW), *life("b", at=NOW + 1)])
        await world.until(lambda: len(keys(world)) == 2)
        resend = next(one for one in world.page.findChildren(QAbstractButton) if one.text() == "Resend…")
        assert not resend.isEnabled()
        table(world).select_keys(["b", "a"])
        resend.click()
        assert went == [("resend", "id:b,a")]
