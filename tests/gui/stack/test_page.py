"""The Local stack page as a person meets it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QWidget

from console.core.errors import ConsoleError
from console.stack.dialogs import FilesDialog, RunningTasksDialog, SentMailDialog, WorkerOptionsDialog
from console.stack.log_panel import LogPanel
from console.stack.model import (
    Mail,
    Pool,
    ServiceName,
    ServiceState,
    StackSnapshot,
    StackState,
    Waiting,
    WorkerOptions,
)
from console.stack.services_panel import ServicesTable
from console.widgets.badge import StateBadge
from console.widgets.banner import Banner
from console.widgets.dialog import ConsoleDialog
from console.widgets.fields import Select, TextArea, TextField
from console.widgets.label import Text
from console.widgets.log_view import LogView
from tests.gui.stack.world import PLAN, World, failed, fill_log, running, service, starting

W = TypeVar("W", bound=QWidget)


def the(world: World, kind: type[W]) -> W:
    found = [widget for widget in world.page.findChildren(kind) if widget.isVisible()]
    assert found, kind
    return found[0]


def words(world: World) -> list[str]:
    return [text.text() for text in world.page.findChildren(Text) if text.isVisible()]


def dialog(world: World, kind: type[W]) -> W:
    found = ConsoleDialog.open_in(world.page)
    assert isinstance(found, kind), found
    return found


def cell(world: World, name: ServiceName, column: str) -> str:
    row = next(row for row in the(world, ServicesTable).rows() if row.key == name.value)
    return row.cells[column].text


async def test_the_first_run_says_what_happens_and_starts(world: World) -> None:
    said = words(world)
    assert "See Celery work in about five seconds" in said
    assert "What happens" in said
    assert [step.name.value for step in PLAN] == [
        word for word in said if word in {s.name.value for s in PLAN}
    ]
    assert the(world, StateBadge).text() == "Stopped"
    world.press("Start local stack")
    await world.until(lambda: world.service.asked == ["start"])
    assert [(entry.operation, entry.connection) for entry in world.activity.begun] == [
        ("Start local stack", "This machine")
    ]


async def test_the_first_run_leads_elsewhere_and_says_what_it_writes(world: World) -> None:
    world.press("Connect to a broker…")
    assert world.went == [("connections", "")]
    world.press("Show what will be written")
    dialog(world, FilesDialog).reject()


async def test_a_start_is_shown_step_by_step_and_can_be_cancelled(world: World) -> None:
    world.service.show(starting())
    said = words(world)
    assert "Starting your local stack" in said
    assert "3 of 6 done" in said
    assert "3.0 s" in said
    assert "42 migrations done" in said
    assert not world.button("Starting…").isEnabled()
    world.press("Cancel")
    assert world.service.asked == ["cancel"]


async def test_a_failed_start_names_step_cause_remedy_and_lines(world: World) -> None:
    world.service.show(failed())
    said = "\n".join(words(world))
    assert "Worker did not start" in said
    assert "The Python module shop was not found." in said
    assert "Install it into the environment of the console" in said
    assert "ModuleNotFoundError" in the(world, TextArea).toPlainText()
    world.press("Retry")
    await world.until(lambda: world.service.asked == ["start"])
    world.press("Stop local stack")
    await world.until(lambda: world.service.asked == ["start", "stop"])


async def test_what_runs_is_a_table(world: World) -> None:
    badges: list[tuple[str, str]] = []
    world.page.badge_changed.connect(lambda text, tone: badges.append((text, tone)))
    world.service.show(running(service(ServiceName.WORKER, restarts=1)))
    table = the(world, ServicesTable)
    assert table.accessibleName() == "Services"
    titles = [column.title for column in table.columns]
    assert titles[:7] == ["Service", "State", "PID", "CPU", "Memory", "Uptime", "Restarts"]
    assert cell(world, ServiceName.WORKER, "cpu") == "18.4 %"
    assert cell(world, ServiceName.WORKER, "memory") == "212 MB"
    assert cell(world, ServiceName.BROKER, "uptime") == "12 min 4 s"
    assert cell(world, ServiceName.WORKER, "restarts") == "1"
    assert the(world, StateBadge).text() == "Ready"
    assert badges[-1] == ("3/3", "neutral")
    assert world.button("Sent mail").isEnabled()
    assert world.button("Demo traffic: 2/s").isEnabled()
    assert not world.button("Start local stack").isEnabled()


async def test_what_is_not_known_is_a_dash(world: World) -> None:
    world.service.show(running(service(ServiceName.BEAT, ServiceState.STARTING)))
    for column in ("pid", "cpu", "memory", "uptime"):
        assert cell(world, ServiceName.BEAT, column) == "–"


@pytest.mark.parametrize("verb", ["Stop", "Restart"])
async def test_each_service_has_its_buttons(world: World, verb: str) -> None:
    world.service.show(running())
    for name in ServiceName:
        world.press(f"{verb} {name}")
        await world.until(lambda name=name: world.service.asked[-1:] == [f"{verb.lower()} {name}"])  # type: ignore[misc]
        assert not world.button(f"Start {name}").isEnabled()
        assert world.button(f"Start {name}").toolTip() == f"{name} runs already"


async def test_a_service_that_is_down_can_be_started_alone(world: World) -> None:
    world.service.show(running(service(ServiceName.BEAT, ServiceState.STOPPED)))
    assert not world.button("Stop Beat").isEnabled()
    world.press("Start Beat")
    await world.until(lambda: world.service.asked == ["start Beat"])
    world.service.show(
        running(
            service(ServiceName.BEAT, ServiceState.STOPPED), service(ServiceName.BROKER, ServiceState.FAILED)
        )
    )
    assert world.button("Start Beat").toolTip() == "The broker does not run"


async def test_a_crash_is_told_with_its_outcome(world: World) -> None:
    problem = "Killed by SIGKILL, for the 5th time: not started again"
    world.service.show(running(service(ServiceName.WORKER, ServiceState.FAILED, problem=problem)))
    banner = the(world, Banner)
    assert banner.fact() == "Worker failed"
    assert banner.accessibleDescription() == problem
    assert the(world, StateBadge).text() == "Failed"
    world.press("Retry")
    await world.until(lambda: world.service.asked == ["start Worker"])
    again = "Killed by SIGKILL: starts again in 0.5 s"
    world.service.show(running(service(ServiceName.WORKER, ServiceState.FAILED, problem=again)))
    world.press("Show log")
    assert world.service.asked == ["start Worker"]


async def test_a_stop_asks_once_about_running_tasks(world: World) -> None:
    world.service.active = 3
    world.service.show(running())
    world.press("Stop local stack")
    await world.until(lambda: ConsoleDialog.open_in(world.page))
    asked = dialog(world, RunningTasksDialog)
    assert asked.windowTitle() == "3 tasks are still running"
    asked.reject()
    await world.until(lambda: ConsoleDialog.open_in(world.page) is None)
    assert world.service.asked == []
    for button, done in (("Wait for them", "stop and wait"), ("Stop now", "stop")):
        world.press("Stop local stack")
        await world.until(lambda: ConsoleDialog.open_in(world.page))
        world.press(button)
        await world.until(lambda done=done: world.service.asked[-1:] == [done])  # type: ignore[misc]


async def test_without_running_tasks_nothing_is_asked(world: World) -> None:
    world.service.show(running())
    assert await world.view_model.stop_if_wanted()
    assert world.service.asked == ["stop"]


async def test_a_stop_that_waits_can_be_forced(world: World) -> None:
    stopping = service(ServiceName.WORKER, ServiceState.STOPPING)
    world.service.show(running(stopping, state=StackState.STOPPING, waiting=Waiting(3, 58.0)))
    assert the(world, Banner).fact() == "Waiting for 3 tasks, 42 s"
    world.press("Force")
    assert world.service.asked == ["force"]


async def test_demo_traffic_is_chosen_from_a_menu(world: World) -> None:
    world.service.show(running())
    menu = world.page._traffic.menu()
    assert menu is not None
    actions = {action.text(): action for action in menu.actions()}
    assert list(actions) == ["Off", "1/s", "2/s", "10/s", "As fast as possible"]
    assert actions["2/s"].isChecked()
    actions["10/s"].trigger()
    await world.until(lambda: world.service.asked == ["traffic 10/s"])


async def test_the_log_is_filtered_searched_and_followed(world: World) -> None:
    world.service.show(running())
    fill_log(world)
    view = the(world, LogView)
    assert view.line_count() == 10
    world.press("Broker")
    assert view.line_count() == 0
    world.press("Log Worker")
    assert view.line_count() == 10
    world.press("Errors")
    assert view.line_count() == 5, "an error with its traceback"
    world.press("Errors")
    panel = the(world, LogPanel)
    QTest.keyClicks(panel.search, "succeeded")
    await world.until(lambda: panel.search._hint == "2 of 2")
    world.press("Follow")
    assert not view.is_following()


async def test_worker_options_are_checked_and_kept(world: World) -> None:
    world.service.show(running())
    world.press("Worker options…")
    await world.until(lambda: ConsoleDialog.open_in(world.page))
    asked = dialog(world, WorkerOptionsDialog)
    fields = {field.accessibleName(): field for field in asked.findChildren(TextField)}
    fields["Concurrency"].setText("0")
    world.press("Save")
    assert "Concurrency must be 1 to 64." in words(world)
    fields["Concurrency"].setText("4")
    fields["Queues"].setText("default mail")
    pools = next(field for field in asked.findChildren(Select) if field.accessibleName() == "Pool")
    pools.set_current("threads")
    world.press("Save")
    await world.until(lambda: world.service.asked == ["restart Worker"])
    wanted = WorkerOptions(concurrency=4, pool=Pool.THREADS, queues=("default", "mail"))
    assert world.service.options == wanted


async def test_sent_mail_is_listed(world: World, tmp_path: Path) -> None:
    world.service.show(running())

    async def mails(limit: int = 200) -> list[Mail]:
        return [Mail("a.eml", datetime(2026, 5, 1, tzinfo=UTC), "shop@x", "ann@x", "Welcome", "Hello Ann")]

    world.service.mails = mails  # type: ignore[method-assign]
    world.press("Sent mail")
    await world.until(lambda: ConsoleDialog.open_in(world.page))
    shown = dialog(world, SentMailDialog)
    assert "Hello Ann" in shown.findChildren(TextArea)[0].toPlainText()
    shown.reject()


async def test_a_failure_becomes_a_notice(world: World) -> None:
    world.service.show(running())
    world.service.failing = ConsoleError("Worker did not start", detail="Because.")
    world.press("Restart Worker")
    await world.until(lambda: world.notices.notices)
    assert world.notices.notices[-1].text == "Worker did not start"
    await world.until(lambda: not world.view_model.why_not("Restart", ServiceName.WORKER))


async def test_the_palette_knows_the_stack(world: World) -> None:
    commands = {command.text: command for command in world.page.commands()}
    assert commands["Start local stack"].enabled()
    assert not commands["Stop local stack"].enabled()
    assert not commands["Restart worker"].enabled()
    world.service.show(running())
    assert commands["Restart worker"].enabled()


async def test_by_keyboard_alone(world: World) -> None:
    world.page.focus_content()
    QTest.keyClick(world.page.window().focusWidget(), Qt.Key.Key_Space)
    await world.until(lambda: world.service.asked == ["start"])
    world.service.show(running())
    world.page.focus_content()
    assert isinstance(world.page.window().focusWidget(), ServicesTable)
    seen = set()
    for _ in range(40):
        QTest.keyClick(world.page.window().focusWidget(), Qt.Key.Key_Tab)
        seen.add(world.page.window().focusWidget().accessibleName())
    assert {"Stop Worker", "Log Beat", "Search log", "Follow", "Worker options…", "Stop local stack"} <= seen


async def test_it_fits_a_small_window(world: World) -> None:
    for snapshot in (StackSnapshot(steps=PLAN), starting(), failed(), running()):
        world.service.show(snapshot)
        assert world.page.minimumSizeHint().height() <= 732
        assert world.page.minimumSizeHint().width() <= 1088
