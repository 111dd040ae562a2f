"""The Overview page as a person meets it, and the service under it."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QWidget
from pytestqt.qtbot import QtBot

from console.core.errors import ConsoleError
from console.history.figure_reading import FigureSlot
from console.history.model import CollectorState, CollectorSummary, Percentiles
from console.history.query import parse_query
from console.overview.model import HistoryRead, QueuesSeen, SchedulesSeen, Scope, Span, WorkersSeen
from console.widgets.banner import Banner
from console.widgets.charts import LineChart, StackedBars
from console.widgets.data_table import DataTable
from console.widgets.panel import Card
from console.widgets.zone import local_zone
from tests.gui.overview.world import World
from tests.unit.overview.samples import NOON, minute, stat

WORST = "Slowest and most failing tasks"
MINUTES = tuple(
    minute(
        ago,
        succeeded=400,
        failed=2 if ago < 5 else 0,
        retried=1,
        runtime=Percentiles(0.5, 2.0, 5.0, 400),
        wait=Percentiles(0.1, 0.3, 0.9, 400),
    )
    for ago in range(59, -1, -1)
)
READ = HistoryRead(
    slots=MINUTES,
    minutes=MINUTES,
    names=(
        stat("shop.tasks.send_invoice", succeeded=1173, failed=31, p95=4.2),
        stat("shop.tasks.build_report", succeeded=39, failed=3, p95=184.0),
        stat("shop.tasks.flush_counters", succeeded=60, p95=0.035),
    ),
    queues=(stat("mail", succeeded=1173, failed=31, p95=4.2),),
    lately=(stat("shop.tasks.send_invoice", succeeded=176, failed=24),),
    earlier=(stat("shop.tasks.send_invoice", succeeded=1176, failed=24),),
    errors=(("shop.tasks.send_invoice", 1),),
)


def table(world: World, name: str) -> DataTable:
    (found,) = [t for t in world.page.findChildren(DataTable) if t.accessibleName() == name]
    return found


def cards(world: World) -> dict[str, str]:
    return {
        card.accessibleName().split(":")[0]: f"{card.accessibleName()} {card.accessibleDescription()}"
        for card in world.page.findChildren(Card)
    }


def button(world: World, text: str) -> QAbstractButton:
    (found,) = [
        b for b in world.page.findChildren(QAbstractButton) if b.accessibleName() == text or b.text() == text
    ]
    return found


def texts(world: World, name: str) -> list[list[str]]:
    return [[cell.text for cell in row.cells.values()] for row in table(world, name).rows()]


async def test_without_a_connection_nothing_is_zero(qtbot: QtBot) -> None:
    async with World() as world:
        shown = cards(world)
        assert set(shown) == {"Workers online", "Tasks per minute", "Failed per minute", "Waiting"}
        assert all("0" not in text for text in shown.values())
        assert not button(world, "Start local stack").isVisible()


async def test_the_stack_is_offered_while_it_is_down(qtbot: QtBot) -> None:
    async with World() as world:
        world.service.offer_stack(True)
        start = button(world, "Start local stack")
        await world.until(start.isVisible)
        start.click()
        assert world.started == 1
        world.service.offer_stack(False)
        await world.until(lambda: not start.isVisible())


async def test_what_the_page_says(qtbot: QtBot) -> None:
    async with World() as world:
        world.history.answer = READ
        world.clock.at += timedelta(seconds=60)
        world.service.attach(world.session)
        world.service.on_workers(
            WorkersSeen(
                online=("celery@a", "celery@b", "celery@d"), late=("celery@c",), late_s=(("celery@c", 48),)
            )
        )
        world.service.on_queues(QueuesSeen(1284, (("reports", 212),), oldest_s=252.0, oldest_queue="reports"))
        world.service.on_schedules(SchedulesSeen((("Nightly", "No schedule is set"),)))
        await world.until(lambda: world.service.snapshot.read)
        assert table(world, "Attention").rows() == []
        world.pass_s(30)
        await world.until(lambda: len(table(world, "Attention").rows()) == 4)
        await world.until(lambda: len(table(world, WORST).rows()) == 3)

        shown = cards(world)
        assert "3" in shown["Workers online"]
        assert "of 4" in shown["Workers online"]
        assert "403" in shown["Tasks per minute"]
        assert "usually 401" in shown["Tasks per minute"]
        assert "1,284" in shown["Waiting"]
        assert "oldest 4 min 12 s, in reports" in shown["Waiting"]
        assert texts(world, "Attention") == [
            ["Error", "send_invoice: 24 failed in 10 min, one error", "Tasks"],
            ["Warning", "celery@c: last heartbeat 48 s ago", "Workers"],
            ["Warning", "Queue has no consumer, 212 waiting", "reports"],
            ["Warning", "No schedule is set", "Nightly"],
        ]
        names = texts(world, WORST)
        assert names[0] == ["send_invoice", "1,204", "31", "4.2 s", "4.2 s", "4.2 s", "4.2 s"]
        assert names[2][0] == "flush_counters"
        (bars,) = world.page.findChildren(StackedBars)
        assert [series.name for series in bars.series] == ["Failed", "Retrying", "Other", "Succeeded"]
        assert bars.series[3].values[0] == 400


async def test_rows_of_attention_lead_there(qtbot: QtBot) -> None:
    async with World() as world:
        world.service.attach(world.session)
        world.service.on_queues(QueuesSeen(5, (("reports", 5),)))
        world.pass_s(30)
        await world.until(lambda: len(table(world, "Attention").rows()) == 1)
        table(world, "Attention").link_clicked.emit("queue reports", "where")
        button(world, "Open Activity").click()
        assert world.went == [("queues", "reports"), ("activity", "")]


async def test_the_choosers(qtbot: QtBot) -> None:
    async with World() as world:
        world.history.answer = READ
        world.service.attach(world.session)
        await world.until(lambda: len(table(world, WORST).rows()) == 3)
        button(world, "Slowest").click()
        await world.until(lambda: texts(world, WORST)[0][0] == "build_report")
        button(world, "7 days").click()
        await world.until(lambda: world.history.asked[-1][0] is Span.WEEK)
        button(world, "Queue wait").click()
        await world.until(
            lambda: any(w.accessibleName() == "Queue wait" for w in world.page.findChildren(QWidget))
        )
        world.view_model.set_scope(Scope(name="shop.tasks.build_report"))
        await world.until(lambda: world.history.asked[-1] == (Span.WEEK, Scope("shop.tasks.build_report")))
        button(world, "Queues").click()
        queues = "Slowest and most failing queues"
        await world.until(
            lambda: any(t.accessibleName() == queues for t in world.page.findChildren(DataTable))
        )
        assert texts(world, queues)[0][:3] == ["mail", "1,204", "31"]


def chart(world: World) -> StackedBars:
    (bars,) = world.page.findChildren(StackedBars)
    return bars


def local(slot: FigureSlot) -> str:
    start, end = (at.astimezone(local_zone()) for at in (slot.start, slot.end))
    return f"since:{start:%Y-%m-%dT%H:%M} before:{end:%Y-%m-%dT%H:%M}"


async def test_points_of_charts_and_rows_lead_to_the_tasks_behind_them(qtbot: QtBot) -> None:
    async with World() as world:
        world.history.answer = READ
        world.service.attach(world.session)
        await world.until(lambda: len(table(world, WORST).rows()) == 3)
        world.view_model.set_scope(Scope(name="shop.tasks.send invoice"))
        bars = chart(world)
        bars.setFocus()
        QTest.keyClick(bars, Qt.Key.Key_End)
        assert "succeeded 400" in bars.accessibleDescription().lower()
        QTest.keyClick(bars, Qt.Key.Key_Left)
        QTest.keyClick(bars, Qt.Key.Key_Return)
        name = 'name:"shop.tasks.send invoice"'
        assert world.went == [("tasks", f"{local(MINUTES[-2])} {name}")]
        bottom = bars.rect().bottom() - 24
        QTest.mouseClick(bars, Qt.MouseButton.LeftButton, pos=QPoint(bars.width() - 18, bottom))
        assert world.went[-1] == ("tasks", f"{local(MINUTES[-1])} {name} state:failed,rejected")
        (lines,) = world.page.findChildren(LineChart)
        button(world, "Failures").click()
        await world.until(lambda: lines.accessibleName() == "Failures")
        lines.setFocus()
        QTest.keyClick(lines, Qt.Key.Key_Home)
        QTest.keyClick(lines, Qt.Key.Key_Return)
        assert world.went[-1] == ("tasks", f"{local(MINUTES[0])} {name} state:failed,rejected")
        table(world, WORST).link_clicked.emit("shop.tasks.send_invoice", "word")
        assert world.went[-1] == ("tasks", "name:shop.tasks.send_invoice since:1h state:failed,rejected")
        button(world, "Slowest").click()
        table(world, WORST).activated_row.emit("shop.tasks.build_report")
        assert world.went[-1] == ("tasks", "name:shop.tasks.build_report since:1h runtime:>147.2s")
        for _noun, query in world.went:
            parse_query(query)


async def test_a_history_that_cannot_be_read(qtbot: QtBot) -> None:
    async with World() as world:
        world.history.failing = ConsoleError("The history cannot be read", detail="It is damaged.")
        world.service.attach(world.session)
        (banner,) = world.page.findChildren(Banner)
        await world.until(banner.isVisible)
        world.history.failing = None
        world.page.refresh()
        await world.until(lambda: not banner.isVisible())


async def test_it_is_read_until_the_figures_are_all_there_and_then_rests(qtbot: QtBot) -> None:
    async with World() as world:
        world.service.attach(world.session)
        world.service.on_summary(summary(change=1))
        await world.until(lambda: world.service.snapshot.read)
        for seconds in (10, 10):
            before = len(world.history.asked)
            world.clock.ahead_s += seconds
            world.service.set_visible(True)
            await world.until(partial(asked_more_than, world, before))
        world.clock.ahead_s += 10
        world.service.set_visible(True)
        await world.until(lambda: not world.service._wake.is_set())
        before = len(world.history.asked)
        for _ in range(3):
            world.clock.ahead_s += 10
            world.service.set_visible(True)
            await world.until(lambda: not world.service._wake.is_set())
        assert len(world.history.asked) == before
        world.service.on_summary(summary(change=2))
        world.service.set_visible(True)
        await world.until(lambda: len(world.history.asked) > before)


async def test_after_the_connection_is_closed_nothing_is_claimed(qtbot: QtBot) -> None:
    async with World() as world:
        world.history.answer = READ
        world.service.attach(world.session)
        world.service.on_queues(QueuesSeen(5, (("reports", 5),)))
        world.pass_s(30)
        await world.until(lambda: len(table(world, "Attention").rows()) == 2)
        await world.service.detach()
        assert world.history.closed
        await world.until(lambda: len(table(world, "Attention").rows()) == 0)
        assert "5" not in cards(world)["Waiting"]


def asked_more_than(world: World, before: int) -> bool:
    return len(world.history.asked) > before


def summary(change: int) -> CollectorSummary:
    return CollectorSummary(CollectorState.READING, change, 0, 0.0, None, 0, {}, ())


async def test_no_worker_is_believed_only_after_a_while(qtbot: QtBot) -> None:
    async with World() as world:
        world.service.attach(world.session)
        world.service.on_queues(QueuesSeen(7))
        world.service.on_workers(WorkersSeen())
        assert world.service.snapshot.workers is None
        assert world.service.snapshot.attention == ()
        world.pass_s(11)
        await world.until(lambda: len(table(world, "Attention").rows()) == 1)
        assert "0" in cards(world)["Workers online"]


async def test_a_worker_that_was_offline_before_this_run_needs_nobody(qtbot: QtBot) -> None:
    async with World() as world:
        long_ago, lately = NOON - timedelta(hours=9), NOON - timedelta(seconds=60)
        world.service.attach(world.session)
        world.pass_s(11)
        world.service.on_workers(
            WorkersSeen(
                online=("celery@a",),
                offline=("celery@old", "celery@new"),
                last_seen=(("celery@old", long_ago), ("celery@new", lately)),
            )
        )
        await world.until(lambda: len(table(world, "Attention").rows()) == 1)
        assert [row.key for row in table(world, "Attention").rows()] == ["WORKER_LOST celery@new"]


async def test_a_bug_in_one_reading_does_not_end_the_page(qtbot: QtBot) -> None:
    async with World() as world:
        world.history.failing = ZeroDivisionError("nobody thought of that")
        world.service.attach(world.session)
        await world.until(lambda: world.service.snapshot.error is not None)
        error = world.service.snapshot.error
        assert error is not None
        assert error.title == "The figures could not be read"
        assert "nobody thought" not in str(error)
        world.history.failing = None
        world.service.refresh()
        await world.until(lambda: world.service.snapshot.read)
        assert world.service.snapshot.error is None
