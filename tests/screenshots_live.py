"""The pictures of the live cluster: Tasks with each tab, errors by kind, Workers with each tab, Overview."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from console.app.history_dialog import HistoryDialog
from console.app.notifications_dialog import NotificationsDialog
from console.app.wiring import Console
from console.history.model import TaskRow, TaskState
from console.overview.view_model import Lines, Subject
from console.tasks.columns_dialog import ColumnsDialog
from console.tasks.export_dialog import ExportDialog
from console.tasks.model import SendRequest
from console.tasks.search_box import TaskSearch
from console.widgets.button import Chip, SegmentedControl
from console.widgets.data_table import DataTable
from console.widgets.dialog import ConsoleDialog
from console.widgets.tabs import TabBar
from console.workers.model import Tab
from tests.running import until

LOOKED_S = 0.8
TAKE_TIME = "bundled_project.shop.tasks.take_time"
LONG_TASKS = (25, 30, 35, 40)
LONG_S = 30.0
FAILED = "state:failed since:1h"
RETRIED = "name:*try_again* state:succeeded retries:>0"
FAMILIES = "name:*fan_out* state:succeeded"
MISTYPED = "state:faild name:*invoice* since:1h"
Both = Callable[[str], Awaitable[None]]
Kind = TypeVar("Kind", bound=QWidget)


@dataclass
class LivePictures:
    """`both(name)` keeps the window as it stands, light and dark."""

    console: Console
    both: Both

    async def take(self) -> None:
        await self._tasks()
        await self._overview()
        await self._workers()
        await self._terminate()
        await self._sheets()

    def _one(self, kind: type[Kind], name: str = "") -> Kind:
        found = self.console.window.findChildren(kind)
        return next(one for one in found if one.isVisible() and (not name or one.accessibleName() == name))

    async def _shown(self, name: str, after_s: float = LOOKED_S) -> None:
        await asyncio.sleep(after_s)
        await self.both(name)

    async def _page(self, noun: str) -> None:
        self.console.window.show_page(noun)
        await asyncio.sleep(LOOKED_S)

    async def _overview(self) -> None:
        await self._page("overview")
        spans = self._one(SegmentedControl, "Period")
        model = self.console.overview_view
        for span, name in (("HOUR", "overview"), ("MINUTES_5", "overview-5-min"), ("WEEK", "overview-week")):
            spans.set_current(span)
            model.set_span(span)
            await self._shown(name, 2.5)
        spans.set_current("HOUR")
        model.set_span("HOUR")
        for lines in (Lines.WAIT, Lines.FAILURES):
            self._one(SegmentedControl, "Lines").set_current(lines.name)
            model.set_lines(lines.name)
            await self._shown(f"overview-{lines.name.lower()}")
        self._one(SegmentedControl, "Rows").set_current(Subject.QUEUES.name)
        model.set_subject(Subject.QUEUES.name)
        await self._shown("overview-queues")

    async def _search(self, query: str, fits: Callable[[TaskRow], bool], *, least: int = 1) -> DataTable:
        page = self.console.window.page("tasks")
        assert page is not None
        page.open_query(query)
        table = self._one(DataTable, "Tasks")
        model = self.console.tasks_view

        def is_found() -> bool:
            rows = model.snapshot.rows or ()
            return len(rows) >= least and all(fits(row) for row in rows)

        table.clearSelection()
        await until(is_found, LONG_S, f"{query} is found")
        await asyncio.sleep(LOOKED_S)
        return table

    async def _tasks(self) -> None:
        await self._page("tasks")
        await self.both("tasks-live")
        table = await self._search(FAILED, lambda row: row.state is TaskState.FAILED)
        table.selectRow(2)
        tabs = await self._detail_tabs()
        for tab in ("Summary", "Arguments", "Traceback", "Timeline"):
            tabs.set_current(tab)
            await self._shown(f"tasks-failed-{tab.lower()}")
        table = await self._search(RETRIED, _named("try_again"))
        table.selectRow(0)
        for tab in ("Timeline", "Result"):
            tabs.set_current(tab)
            await self._shown(f"tasks-retried-{tab.lower()}")
        table = await self._search(FAMILIES, _named("fan_out"))
        table.selectRow(table.model().rowCount() - 1)
        tabs.set_current("Family")
        await self._shown("tasks-family")
        table = await self._search("name:*charge_user*", _named("charge_user"))
        table.selectRow(1)
        tabs.set_current("Arguments")
        await self._shown("tasks-arguments")
        await self._words()
        await self._many()

    async def _detail_tabs(self) -> TabBar:
        bars = self.console.window.findChildren(TabBar)
        await until(lambda: any(bar.isVisible() for bar in bars), LONG_S, "a story")
        return self._one(TabBar, "Task detail")

    async def _words(self) -> None:
        """What the field says of a query, and the errors by kind."""
        search = self._one(TaskSearch)
        page = self.console.window.page("tasks")
        assert page is not None
        page.open_query(MISTYPED)
        await self._shown("tasks-wrong-word")
        page.open_query("")
        search.setFocus()
        await self._typed(search, "state:")
        await self._shown("tasks-completion")
        search.setText("")
        self.console.window.setFocus()
        page.open_query("since:2h")
        self._one(Chip, "By error").click()
        await self._shown("tasks-errors")
        self._one(Chip, "By error").click()

    async def _typed(self, search: TaskSearch, text: str) -> None:
        self.console.window.activateWindow()
        await asyncio.sleep(LOOKED_S)
        QTest.keyClicks(search, text)

    async def _many(self) -> None:
        table = await self._search("name:add state:succeeded", _named("tasks.add"), least=20)
        table.select_keys([row.key for row in table.rows()[1:6]])
        await self._shown("tasks-selection")
        self.console.tasks_view.select_all_matching()
        await self._shown("tasks-all-that-match")
        table.clearSelection()
        page = self.console.window.page("tasks")
        assert page is not None
        page.open_query("")
        table.verticalScrollBar().setValue(40)
        await self._shown("tasks-new-rows", 4.0)
        table.verticalScrollBar().setValue(0)

    async def _workers(self) -> None:
        for seconds in LONG_TASKS:
            self.console.tasks_view.send(SendRequest(TAKE_TIME, "default", [seconds], {}))
        await self._page("workers")
        table = self._one(DataTable, "Workers")
        await until(lambda: table.model().rowCount() > 0, LONG_S, "a worker")
        table.selectRow(0)
        await asyncio.sleep(LOOKED_S * 3)
        tabs = self._one(TabBar, "Worker detail")
        for tab in Tab:
            tabs.set_current(tab.value)
            await self._shown(f"workers-{tab.value.lower().split()[0]}", 2.0)

    async def _terminate(self) -> None:
        """The sheet that asks for the signal; nobody confirms it."""
        await self._page("tasks")
        table = await self._search("name:take_time state:started before:3s", _named("take_time"))
        table.selectRow(0)
        await asyncio.sleep(LOOKED_S)
        self.console.tasks_view.terminate()
        dialogs = self.console.window.findChildren
        await until(lambda: any(one.isVisible() for one in dialogs(ConsoleDialog)), LONG_S, "the question")
        await self._shown("tasks-terminate")
        self._one(ConsoleDialog).reject()
        await asyncio.sleep(LOOKED_S)

    async def _sheets(self) -> None:
        await self._page("tasks")
        page, model = self.console.window.page("tasks"), self.console.tasks_view
        assert page is not None
        await self._sheet("tasks-export", ExportDialog(page, model))
        await self._sheet("tasks-columns", ColumnsDialog(page, model))
        window = self.console.window
        await self._sheet(
            "history", HistoryDialog(window, self.console.settings.retention, used_bytes=734_003_200)
        )
        await self._sheet("notifications", NotificationsDialog(window, self.console.notifications.choice))

    async def _sheet(self, name: str, dialog: ConsoleDialog) -> None:
        dialog.open()
        await self._shown(name)
        dialog.reject()
        QApplication.processEvents()


def _named(word: str) -> Callable[[TaskRow], bool]:
    return lambda row: (row.name or "").endswith(word)
