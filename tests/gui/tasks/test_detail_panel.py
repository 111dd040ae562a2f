"""The panel of one task, tab by tab, as a person reads and walks it."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QWidget
from pytestqt.qtbot import QtBot

from console.broker.database import DatabaseAddress, DatabaseKind
from console.broker.results import BackendResult
from console.core.errors import ConsoleError
from console.history.model import Attempt, Relative, TaskDetail, TaskRow, TaskState
from console.tasks.detail_panel import DetailPanel
from console.tasks.model import TaskStory
from console.tasks.timeline import Timeline
from console.widgets.badge import Badge
from console.widgets.branch_tree import BranchTree
from console.widgets.data_table import DataTable
from console.widgets.label import Text
from console.widgets.tabs import TabBar
from console.widgets.traceback_view import TracebackView
from tests.gui.active_window import show_active
from tests.gui.tasks.world import TRACEBACK, World, life

NOW = datetime.now(UTC)
ID = "1ce91560-6e4c-40d1-a8d3-915a4a34fa7b"
PARENT = "95986266-356c-4733-ab4c-719e2b8b86d7"
T = TypeVar("T", bound=QWidget)

ROW = TaskRow(
    rowid=1, id=ID, name="shop.tasks.send_invoice", state=TaskState.FAILED, worker="celery@web-3",
    queue="mail", sent=NOW, received=NOW, started=NOW, ended=NOW + timedelta(seconds=5), waited_s=0.1,
    runtime_s=1.0, retries=1, change=1,
)  # fmt: skip
DETAIL = TaskDetail(
    row=ROW, args="(7, 'a@example.org')", kwargs="{'lines': [...]}", result=None, exception="Late('x')",
    traceback=TRACEBACK, root_id=PARENT, parent_id=PARENT, eta=None, expires=None, routing_key="mail",
    exchange="", pid=20415, client="gen3120@web-api",
    attempts=(
        Attempt(1, "celery@web-3", NOW, NOW, NOW, TaskState.RETRYING, "OSError('gone')", None),
        Attempt(2, "celery@web-3", NOW, NOW, NOW, TaskState.FAILED, "Late('x')", TRACEBACK),
    ),
)  # fmt: skip


def story(detail: TaskDetail = DETAIL, *family: Relative) -> TaskStory:
    return TaskStory(detail, family, None)


@pytest.fixture
def panel(qtbot: QtBot) -> Iterator[DetailPanel]:
    widget = DetailPanel()
    qtbot.addWidget(widget)
    widget.resize(350, 600)
    widget.show()
    yield widget
    widget.hide()


def go(panel: DetailPanel, tab: str) -> None:
    (tabs,) = panel.findChildren(TabBar)
    tabs.set_current(tab)


def shown(panel: QWidget, kind: type[T]) -> list[T]:
    QApplication.processEvents()  # children that have joined a layout are shown by it
    return [one for one in panel.findChildren(kind) if one.isVisible()]


def badges(panel: QWidget) -> list[str]:
    return [one.text() for one in shown(panel, Badge) if type(one) is Badge]


def texts(panel: QWidget) -> str:
    return "\n".join(one.text() for one in shown(panel, Text))


def press(panel: QWidget, name: str) -> None:
    (found,) = [one for one in shown(panel, QAbstractButton) if name in (one.text(), one.accessibleName())]
    found.click()


def test_a_summary_leads_to_relatives_and_pages(panel: DetailPanel, qtbot: QtBot) -> None:
    panel.show_story(story(replace(DETAIL, reason="Terminated with SIGTERM")))

    assert "Terminated with SIGTERM" in texts(panel)
    with qtbot.waitSignal(panel.task_chosen) as chosen:
        press(panel, f"Parent: {PARENT}")
    assert chosen.args == [PARENT]
    with qtbot.waitSignal(panel.navigate_wanted) as wanted:
        press(panel, "celery@web-3")
    assert wanted.args == ["workers", "celery@web-3"]
    press(panel, "Copy root")
    assert QApplication.clipboard().text() == PARENT


def test_a_root_is_no_link_to_itself(panel: DetailPanel) -> None:
    panel.show_story(story(replace(DETAIL, root_id=ID, parent_id=None)))

    assert "this task" in texts(panel)
    assert not [one for one in shown(panel, QAbstractButton) if one.accessibleName().startswith("Root")]


def test_arguments_say_how_exact_they_are(panel: DetailPanel) -> None:
    panel.show_story(story())
    go(panel, "Arguments")

    assert badges(panel) == ["exact", "display only"]
    assert "Cut by Celery" in texts(panel)
    assert [one.accessibleName() for one in shown(panel, BranchTree)] == [
        "Positional arguments",
        "Keyword arguments",
    ]
    press(panel, "Copy positional arguments")
    assert QApplication.clipboard().text() == "(7, 'a@example.org')"


def test_arguments_that_no_event_told(panel: DetailPanel) -> None:
    panel.show_story(story(replace(DETAIL, args=None, kwargs="{}")))
    go(panel, "Arguments")

    assert "No event told it." in texts(panel)
    assert "There are no keyword arguments." in texts(panel)
    assert shown(panel, BranchTree) == []


def test_the_error_of_each_attempt(panel: DetailPanel) -> None:
    panel.show_story(story())
    go(panel, "Traceback")
    (view,) = shown(panel, TracebackView)
    assert view.text() == TRACEBACK
    assert "Attempt 2 of 2, Failed" in texts(panel)

    press(panel, "Attempt 1")
    assert view.text() == "OSError('gone')"
    assert "Attempt 1 of 2, Retrying" in texts(panel)
    assert "Other attempts" in texts(panel)

    panel.show_story(story(replace(DETAIL, pid=1)))
    assert view.text() == "OSError('gone')"  # the same task: the choice stays
    panel.show_story(story(replace(DETAIL, row=replace(ROW, id=PARENT))))
    assert view.text() == TRACEBACK


def test_what_runs_grows_only_while_it_is_seen(panel: DetailPanel) -> None:
    started = datetime.now(UTC) - timedelta(seconds=3)
    running = replace(
        DETAIL,
        row=replace(ROW, state=TaskState.STARTED, started=started, ended=None),
        attempts=(Attempt(1, "w", started, started, None, TaskState.STARTED, None, None),),
    )
    panel.show_story(story(running))
    go(panel, "Timeline")
    (timeline,) = panel.findChildren(Timeline)
    go(panel, "Summary")
    assert not timeline._beat.isActive()
    go(panel, "Timeline")
    assert timeline._beat.isActive()
    assert "running for 3 s" in texts(panel)
    deadline = time.monotonic() + 5
    while "running for 4 s" not in texts(panel):
        QApplication.processEvents()
        assert time.monotonic() < deadline
    go(panel, "Summary")
    assert not timeline._beat.isActive()
    go(panel, "Timeline")
    panel.show_story(story())
    assert not timeline._beat.isActive()


FAMILY = (
    Relative(replace(ROW, id=PARENT, name="shop.tasks.checkout", state=TaskState.SUCCEEDED), 0),
    Relative(ROW, 1),
    Relative(replace(ROW, id="child", name="shop.tasks.print"), 2),
    Relative(replace(ROW, id="sibling", name="shop.tasks.pack"), 1),
)


async def test_a_family_is_walked_by_keyboard(panel: DetailPanel, qtbot: QtBot) -> None:
    panel.show_story(story(DETAIL, *FAMILY))
    go(panel, "Family")
    (tree,) = shown(panel, BranchTree)
    await show_active(panel)
    tree.setFocus()

    assert "4 tasks: 3 Failed, 1 Succeeded; 5.0 s in all" in texts(panel)
    assert tree.accessibleName() == "Family"
    assert tree.currentIndex().data(Qt.ItemDataRole.AccessibleTextRole) == "send_invoice, this task"
    QTest.keyClick(tree, Qt.Key.Key_Left)
    assert not tree.isExpanded(tree.currentIndex())
    QTest.keyClick(tree, Qt.Key.Key_Down)
    with qtbot.waitSignal(panel.task_chosen) as chosen:
        QTest.keyClick(tree, Qt.Key.Key_Return)
    assert chosen.args == ["sibling"]


def test_a_family_that_lives_keeps_what_is_open(panel: DetailPanel) -> None:
    panel.show_story(story(DETAIL, *FAMILY))
    go(panel, "Family")
    (tree,) = shown(panel, BranchTree)
    this = tree.currentIndex()
    tree.collapse(this)

    later = [*FAMILY[:3], Relative(replace(FAMILY[3].row, state=TaskState.REVOKED), 1)]
    panel.show_story(story(DETAIL, *later))

    assert not tree.isExpanded(tree.currentIndex())
    sibling = tree.indexBelow(tree.currentIndex())
    assert sibling.siblingAtColumn(1).data() == "Revoked"


def test_relatives_that_are_missing_and_none_at_all(panel: DetailPanel) -> None:
    panel.show_story(story(DETAIL, FAMILY[1]))
    go(panel, "Family")
    assert "Parent and root 959862…86d7 is not in the history." in texts(panel)

    panel.show_story(story(replace(DETAIL, root_id=ID, parent_id=None), FAMILY[1]))
    assert "No relatives" in texts(panel)


def test_a_stored_result(panel: DetailPanel, qtbot: QtBot) -> None:
    panel.set_result_refusal(None)
    panel.show_story(story())
    go(panel, "Result")
    assert "There is no result: the task is failed." in texts(panel)
    with qtbot.waitSignal(panel.result_wanted) as wanted:
        press(panel, "Open in result backend")
    assert wanted.args == [ID]

    panel.show_result("another", BackendResult("another", "SUCCESS", result_text="1"))
    assert "Reading…" in texts(panel)
    panel.show_result(ID, None)
    assert "Unknown to the backend (PENDING)" in texts(panel)
    panel.show_result(ID, ConsoleError("Broker does not answer in time", remedy="Try again."))
    assert "Broker does not answer in time Try again." in texts(panel)
    panel.show_result(
        ID, BackendResult(ID, "SUCCESS", problem="It is pickled, which the console does not read")
    )
    assert "It is pickled, which the console does not read." in texts(panel).replace("\u200b", "")
    panel.show_result(ID, BackendResult(ID, "SUCCESS", result_text='{"total": 3.75}', children=("kid",)))
    assert badges(panel) == ["typed"]
    with qtbot.waitSignal(panel.task_chosen) as chosen:
        press(panel, "Task kid")
    assert chosen.args == ["kid"]
    panel.show_result(ID, BackendResult(ID, "FAILURE", exception="ValueError('no')", traceback=TRACEBACK))
    assert [one.accessibleName() for one in shown(panel, TracebackView)] == ["Stored traceback"]
    panel.show_story(story(replace(DETAIL, row=replace(ROW, id="other"))))
    assert shown(panel, TracebackView) == []


def test_without_a_result_backend_the_button_says_why(panel: DetailPanel) -> None:
    panel.set_result_refusal("No result backend is set for this connection; choose one in Connections")
    panel.show_story(story())
    go(panel, "Result")

    (button,) = [one for one in shown(panel, QAbstractButton) if one.text() == "Open in result backend"]
    assert not button.isEnabled()
    assert button.toolTip() in texts(panel)


async def test_the_page_asks_the_result_backend(qtbot: QtBot, tmp_path: Path) -> None:
    """Through view model, service, lane and reader, to a table that is there."""
    task_id = str(uuid.uuid4())
    path = tmp_path / "results.sqlite3"
    with sqlite3.connect(path) as made:
        made.execute(
            "CREATE TABLE django_celery_results_taskresult (task_id, status, content_type, content_encoding, "
            "result, date_done, traceback, meta, worker, task_name, task_args, task_kwargs)"
        )
        made.execute(
            "INSERT INTO django_celery_results_taskresult VALUES (?, 'SUCCESS', 'application/json', 'utf-8', "
            "?, '2026-01-02 03:04:05', NULL, ?, 'celery@web-1', 'shop.add', NULL, NULL)",
            (task_id, json.dumps({"stored": 4711}), json.dumps({"children": []})),
        )
    made.close()
    async with World(tmp_path) as world:
        world.session.results = DatabaseAddress(DatabaseKind.SQLITE, path=str(path))
        world.connect()
        world.store(life(task_id, at=time.time()))
        (table,) = [one for one in world.page.findChildren(DataTable) if one.accessibleName() == "Tasks"]
        await world.until(lambda: bool(table.rows()))
        table.select_keys([task_id])
        await world.until(lambda: world.view_model.story is not None)
        (tabs,) = world.page.findChildren(TabBar)
        tabs.set_current("Result")
        press(world.page, "Open in result backend")

        def rows() -> list[object]:
            return [tree.model().index(0, 0).data() for tree in shown(world.page, BranchTree)]

        await world.until(lambda: "stored: 4711" in rows())
