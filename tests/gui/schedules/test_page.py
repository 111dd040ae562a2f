"""The Schedules page as a person meets it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot

from console.core.connection import Mode
from console.core.errors import Cause, ConsoleError
from console.schedules.model import Schedule
from console.widgets.banner import Banner
from console.widgets.data_table import DataTable
from console.widgets.empty_state import EmptyState
from console.widgets.fields import SearchField
from console.widgets.text import UNKNOWN
from tests.gui.schedules.world import World
from tests.heartbeat import Heartbeat
from tests.unit.schedules.samples import NOON, cron, schedule

ROWS = [
    schedule(id=1, name="Flush counters", last_run_at=NOON - timedelta(seconds=20), total_run_count=7),
    schedule(
        cron("30 2 * * *", "Europe/Berlin"),
        id=2,
        name="Nightly report",
        task="shop.tasks.build_report",
        queue="reports",
        last_run_at=NOON - timedelta(hours=9),
        description="For the morning meeting.",
    ),
    schedule(cron("0 0 31 2 *"), id=3, name="Never", task="shop.tasks.never"),
    schedule(id=4, name="Off", enabled=False, one_off=True),
]


def table(world: World) -> DataTable:
    (found,) = [t for t in world.page.findChildren(DataTable) if t.accessibleName() == "Schedules"]
    return found


def cells(world: World, key: str) -> dict[str, str]:
    row = next(row for row in table(world).rows() if row.key == key)
    return {name: cell.text for name, cell in row.cells.items()}


def button(world: World, text: str) -> QPushButton:
    (found,) = [
        b for b in world.page.findChildren(QPushButton) if b.accessibleName() == text or b.text() == text
    ]
    return found


def press(pressed: QPushButton) -> None:
    assert pressed.isEnabled()
    pressed.click()


async def shown(world: World, count: int = len(ROWS)) -> None:
    await world.until(lambda: len(table(world).rows()) == count and world.service.snapshot.rows is not None)


async def test_what_the_table_says(qtbot: QtBot) -> None:
    async with World(ROWS) as world:
        await shown(world)
        titles = [column.title for column in table(world).columns]
        assert titles == [
            *("Enabled", "Name", "Task", "Schedule", "Next run", "Last run", "Runs", "Queue"),
        ]
        flush, nightly, never, off = (cells(world, key) for key in "1234")
        assert flush["schedule"] == "every 60 seconds"
        assert flush["next"].endswith(", in 40 s")
        assert flush["runs"] == "7"
        assert flush["queue"] == "–"
        assert nightly["schedule"] == "At 02:30, every day"
        assert nightly["task"] == "build_report"
        assert nightly["next"].endswith(", in 12 h")
        assert never["next"] == "Never"
        assert off["next"] == "–"
        assert off["last"] == "–"


async def test_the_words_follow_the_clock(qtbot: QtBot) -> None:
    async with World(ROWS) as world:
        await shown(world)
        world.clock.at += timedelta(seconds=10)
        await world.until(lambda: cells(world, "1")["next"].endswith(", in 30 s"))


async def test_the_check_box_is_an_operation_with_undo(qtbot: QtBot) -> None:
    async with World(ROWS) as world:
        await shown(world)
        assert not button(world, "Undo").isEnabled()
        table(world).check_toggled.emit("1", False)
        await world.until(lambda: cells(world, "1")["next"] == "–")
        await world.until(button(world, "Undo").isEnabled)
        await world.until(lambda: bool(world.notices.notices))
        assert world.notices.notices[-1].text.startswith("Disabled Flush counters")
        press(button(world, "Undo"))
        await world.until(lambda: cells(world, "1")["next"] != "–")
        await world.until(lambda: not button(world, "Undo").isEnabled())


def names(world: World) -> list[str]:
    return [row.cells["name"].text for row in table(world).rows()]


async def test_a_column_head_sorts_and_what_is_unknown_stands_last(qtbot: QtBot) -> None:
    async with World(ROWS) as world:
        await shown(world)
        assert names(world) == ["Flush counters", "Never", "Nightly report", "Off"]
        head, columns = table(world).horizontalHeader(), [one.key for one in table(world).columns]
        head.sectionClicked.emit(columns.index("next"))
        assert names(world)[:2] == ["Flush counters", "Nightly report"]
        head.sectionClicked.emit(columns.index("next"))
        assert names(world)[:2] == ["Nightly report", "Flush counters"]
        head.sectionClicked.emit(columns.index("runs"))
        assert names(world)[0] == "Flush counters"
        head.sectionClicked.emit(columns.index("enabled"))
        assert names(world)[-1] == "Off"
        # The order stays when rows are read again.
        world.tables.rows = [replace(row, enabled=row.name != "Never") for row in world.tables.rows]
        world.tables.changes += 1
        world.page.refresh()
        await world.until(lambda: names(world)[-1] == "Never")


async def test_buttons_follow_the_selection(qtbot: QtBot) -> None:
    async with World(ROWS) as world:
        await shown(world)
        assert button(world, "Enable").toolTip() == "Select a schedule first"
        table(world).select_keys(["4"])
        await world.until(button(world, "Enable").isEnabled)
        assert not button(world, "Disable").isEnabled()
        table(world).select_keys(["1", "4"])
        await world.until(button(world, "Disable").isEnabled)
        assert not button(world, "Run now…").isEnabled()
        press(button(world, "Disable"))
        await world.until(lambda: not any(row.enabled for row in world.tables.rows if row.id in (1, 4)))


async def test_run_now_asks_and_sends(qtbot: QtBot) -> None:
    async with World(ROWS) as world:
        await shown(world)
        table(world).select_keys(["3"])
        await world.until(lambda: "Celery refuses" in button(world, "Run now…").toolTip())
        table(world).select_keys(["2"])
        await world.until(button(world, "Run now…").isEnabled)
        press(button(world, "Run now…"))
        await world.until(lambda: world.broker.sent == [("Nightly report", "reports")])
        assert world.asked[0].question == "Run Nightly report now?"


async def test_the_panel_shows_the_next_runs_in_both_zones(qtbot: QtBot) -> None:
    async with World(ROWS) as world:
        await shown(world)
        table(world).select_keys(["2"])

        def runs() -> DataTable | None:
            found = [t for t in world.page.findChildren(DataTable) if t.accessibleName() == "Next runs"]
            return found[-1] if found and len(found[-1].rows()) == 5 else None

        await world.until(lambda: runs() is not None)
        shown_runs = runs()
        assert shown_runs is not None
        assert shown_runs.columns[1].title == "Europe/Berlin"
        assert shown_runs.rows()[0].cells["own"].text == "02:30:00"
        assert shown_runs.rows()[0].cells["day"].text == "Tue 5 May"


async def test_search(qtbot: QtBot) -> None:
    async with World(ROWS) as world:
        await shown(world)
        (search,) = world.page.findChildren(SearchField)
        assert search.accessibleName() == "Search schedules"
        world.page.open_query("report")
        await shown(world, 1)
        world.page.open_query("nothing like it")
        await world.until(lambda: any(e.isVisible() for e in world.page.findChildren(EmptyState)))
        world.page.open_query("")
        await shown(world)


async def test_a_database_that_is_away_is_told_and_the_rows_stay(qtbot: QtBot) -> None:
    async with World(ROWS) as world:
        await shown(world)
        world.tables.failing = ConsoleError("The schedules database is locked", cause=Cause.LOCKED)
        world.page.refresh()
        (banner,) = world.page.findChildren(Banner)
        await world.until(banner.isVisible)
        assert banner.fact() == "The schedules database is locked"
        assert len(table(world).rows()) == len(ROWS)
        world.tables.failing = None
        world.page.refresh()
        await world.until(lambda: not banner.isVisible())


async def test_a_read_only_connection_says_why(qtbot: QtBot) -> None:
    async with World(ROWS, mode=Mode.READ_ONLY) as world:
        await shown(world)
        table(world).select_keys(["1"])
        await world.until(lambda: button(world, "Disable").toolTip() == "Shop staging is read only")
        table(world).check_toggled.emit("1", False)
        await world.until(lambda: bool(world.notices.notices))
        assert world.tables.changes == 0


async def test_a_database_that_takes_no_changes_says_so_before_the_click(qtbot: QtBot) -> None:
    async with World(ROWS) as world:
        world.tables.no_changes = "The database user may not change schedules: shop.sqlite3 may only be read"
        await shown(world)
        table(world).select_keys(["1"])
        await world.until(lambda: button(world, "Disable").toolTip() == world.tables.no_changes)
        assert not button(world, "Disable").isEnabled()
        assert not button(world, "Enable").isEnabled()
        assert button(world, "Run now…").isEnabled()
        table(world).check_toggled.emit("1", False)
        await world.until(lambda: bool(world.notices.notices))
        assert world.tables.changes == 0
        # The right is given; reading again is enough.
        world.tables.no_changes = ""
        world.page.refresh()
        await world.until(lambda: button(world, "Disable").isEnabled())


async def test_ten_thousand_rows_never_stop_the_window(qtbot: QtBot) -> None:
    many: list[Schedule] = [
        schedule(cron(f"{n % 60} {n // 60 % 24} * * *"), id=n, name=f"Schedule {n:05}", last_run_at=NOON)
        for n in range(10_000)
    ]
    with Heartbeat() as heartbeat:
        async with World(many) as world:
            await world.until(lambda: worked_out(world, len(many)), within_s=15)
            # Somebody has changed one row: all of them are read and compared again.
            world.tables.rows[5_000] = replace(many[5_000], queue="reports")
            world.tables.changes += 1
            world.page.refresh()
            await world.until(lambda: cells(world, "5000")["queue"] == "reports", within_s=15)
            world.page.open_query("Schedule 0")
            world.page.open_query("")
            await world.until(lambda: worked_out(world, len(many)), within_s=15)
    heartbeat.check()


def worked_out(world: World, count: int) -> bool:
    """Whether the table shows all, the last of them with its next run."""
    rows = table(world).rows()
    return len(rows) == count and rows[-1].cells["next"].text != UNKNOWN
