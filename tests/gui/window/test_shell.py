"""The shell alone, with small pages: navigation, badges, notices, palette, the Production bar, the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QListWidget, QWidget
from pytestqt.qtbot import QtBot

from console.core.commands import Command
from console.core.connection import Environment, LinkState, Mode
from console.core.notices import Level, Notice, NoticeAction
from console.widgets.page import Page
from console.widgets.theme import theme
from console.window.command_palette import CommandPalette
from console.window.connection_bar import BarState
from console.window.main_window import NAV, MainWindow
from console.window.status_bar import StatusBar


class Small(Page):
    """A page that notes what the shell does with it."""

    def __init__(self, noun: str, did: list[str]) -> None:
        super().__init__()
        self.noun = noun
        self.did = did

    def activate(self) -> None:
        self.did.append(f"{self.noun} shown")

    def deactivate(self) -> None:
        self.did.append(f"{self.noun} hidden")

    def refresh(self) -> None:
        self.did.append(f"{self.noun} refreshed")

    def open_query(self, query: str) -> None:
        self.did.append(f"{self.noun} query {query}")

    def commands(self) -> list[Command]:
        return [Command(f"Do it on {self.noun}", lambda: self.did.append("done"))]


@pytest.fixture
def did() -> list[str]:
    return []


@pytest.fixture
def window(qapp: QApplication, qtbot: QtBot, did: list[str]) -> MainWindow:
    theme().apply(qapp, scheme="light")
    window = MainWindow()
    qtbot.addWidget(window, before_close_func=lambda _widget: window.close_for_good())
    for item in NAV:
        window.add_page(item.noun, lambda noun=item.noun: Small(noun, did))  # type: ignore[misc]
    window.show_page("stack")
    window.show()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    return window


def bar(environment: Environment, state: LinkState = LinkState.CONNECTED) -> BarState:
    return BarState(
        connections=(("a", "Local stack", Environment.DEVELOPMENT, ""), ("b", "Shop", environment, "")),
        chosen="b",
        environment=environment,
        state=state,
        latency_ms=12.4,
    )


def named(window: QWidget, name: str) -> list[QWidget]:
    """The visible widgets of that accessible name (a label's is its text)."""

    def name_of(widget: QWidget) -> str:
        return widget.accessibleName() or (widget.text() if isinstance(widget, QLabel) else "")

    return [one for one in window.findChildren(QWidget) if one.isVisible() and name_of(one) == name]


def test_keys_go_to_the_pages_in_their_order(window: MainWindow, did: list[str]) -> None:
    for number, item in enumerate(NAV, 1):
        QTest.keyClick(window, Qt.Key(Qt.Key.Key_0.value + number), Qt.KeyboardModifier.ControlModifier)
        assert window.noun == item.noun
    assert did[-2:] == ["connections hidden", "activity shown"]


def test_the_list_of_pages_has_its_name_and_words(window: MainWindow) -> None:
    pages = next(one for one in window.findChildren(QListWidget) if one.accessibleName() == "Pages")
    assert [pages.item(row).text() for row in range(pages.count())] == [
        "Overview",
        "Workers",
        "Queues",
        "Tasks",
        "Schedules",
        "Resend",
        "Local stack",
        "Connections",
        "Activity",
    ]
    # What assistive technology does: it selects, and leaves the current row alone.
    pages.selectionModel().select(
        pages.model().index(3, 0), pages.selectionModel().SelectionFlag.ClearAndSelect
    )
    assert window.noun == "tasks"


def test_a_query_reaches_a_page_that_was_never_shown(window: MainWindow, did: list[str]) -> None:
    window.navigate("tasks", "state:failed")
    assert did[-2:] == ["tasks shown", "tasks query state:failed"]


def test_f5_refreshes_only_the_page_that_is_shown(window: MainWindow, did: list[str]) -> None:
    window.show_page("queues")
    QTest.keyClick(window, Qt.Key.Key_F5)
    assert did[-1] == "queues refreshed"


def test_title_state_and_environment_are_said(window: MainWindow) -> None:
    window.show_bar(bar(Environment.STAGING))
    assert window.windowTitle() == "Shop - Celery Console"
    for words in ("Connection", "Staging", "Connected", "Disconnect"):
        assert named(window, words), words
    window.show_bar(bar(Environment.PRODUCTION, LinkState.RECONNECTING))
    for words in ("Production", "Reconnecting…", "Disconnect"):
        assert named(window, words), words
    image = window.bar.grab().toImage()
    assert image.pixelColor(700, 4).name() == theme().color("production").name()
    window.show_bar(bar(Environment.PRODUCTION, LinkState.DISCONNECTED))
    assert named(window, "Connect")


def test_the_palette_finds_and_runs(window: MainWindow, did: list[str], qtbot: QtBot) -> None:
    ran: list[str] = []
    window.commands = lambda: [
        Command("Start local stack", lambda: ran.append("start")),
        Command("Stop local stack", lambda: ran.append("stop"), enabled=lambda: False),
    ]
    QTest.keyClick(window, Qt.Key.Key_K, Qt.KeyboardModifier.ControlModifier)
    palette = window.findChild(CommandPalette)
    assert palette is not None
    qtbot.waitUntil(palette.isVisible)
    field = named(window, "Command")[0]
    QTest.keyClicks(field, "local stack")
    QTest.keyClick(field, Qt.Key.Key_Return)
    assert ran == ["start"]
    assert not palette.isVisible()
    QTest.keyClick(window, Qt.Key.Key_K, Qt.KeyboardModifier.ControlModifier)
    QTest.keyClicks(field, "do it")
    QTest.keyClick(field, Qt.Key.Key_Return)
    assert did[-1] == "done"
    QTest.keyClick(window, Qt.Key.Key_K, Qt.KeyboardModifier.ControlModifier)
    QTest.keyClicks(field, "stop local")
    QTest.keyClick(field, Qt.Key.Key_Return)
    assert ran == ["start"], "what is not enabled does not run"
    QTest.keyClick(field, Qt.Key.Key_Escape)
    assert not palette.isVisible()


def notice(level: Level, text: str, action: Callable[[], None] | None = None) -> Notice:
    button = None if action is None else NoticeAction("Undo", action)
    return Notice(level, text, "", "key", datetime.now(UTC), button)


def test_the_last_notice_stays_in_the_status_bar(window: MainWindow) -> None:
    window.show_notice(notice(Level.OK, "Saved Shop"))
    status = window.findChild(StatusBar)
    assert status is not None
    assert named(window, "Saved Shop")


def test_an_error_is_a_banner_until_it_is_withdrawn(window: MainWindow) -> None:
    window.show_notice(notice(Level.ERROR, "Broker cannot be reached"))
    assert named(window, "Dismiss")
    window.withdraw_notice("another")
    assert named(window, "Dismiss")
    window.withdraw_notice("key")
    assert not named(window, "Dismiss")


def test_good_news_of_the_same_matter_takes_the_error_away(window: MainWindow) -> None:
    window.show_notice(notice(Level.ERROR, "Broker cannot be reached"))
    window.show_notice(Notice(Level.OK, "Saved Shop", "", "another", datetime.now(UTC)))
    assert named(window, "Dismiss")
    window.show_notice(notice(Level.OK, "Connected again"))
    assert not named(window, "Dismiss")


def test_undo_on_a_notice_undoes_once(window: MainWindow) -> None:
    undone: list[int] = []
    window.show_notice(notice(Level.OK, "Disabled Nightly report", lambda: undone.append(1)))
    QTest.mouseClick(named(window, "Undo")[0], Qt.MouseButton.LeftButton)
    assert undone == [1]
    assert not named(window, "Undo")


def test_unknown_figures_are_dashes(window: MainWindow) -> None:
    status = window.findChild(StatusBar)
    assert status is not None
    assert named(window, "– events/s")
    status.show_stream(1204.4, 0.21)
    assert named(window, "1,204 events/s")
    assert named(window, "Stream lag 0.2 s")


def test_closing_asks_first(window: MainWindow) -> None:
    asked: list[int] = []
    window.closing.connect(lambda: asked.append(1))
    window.close()
    assert asked == [1]
    assert window.isVisible()


def test_f6_walks_bar_list_and_content(window: MainWindow) -> None:
    walked = []
    for _ in range(6):
        QTest.keyClick(window, Qt.Key.Key_F6)
        focus = window.focusWidget()
        assert focus is not None
        walked.append("content" if isinstance(focus, Small) else focus.accessibleName())
    assert {"Connection", "Pages", "content"} <= set(walked)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes_paint_the_shell(window: MainWindow, qapp: QApplication, scheme: str) -> None:
    theme().apply(qapp, scheme="light" if scheme == "light" else "dark")
    image = window.grab().toImage()
    assert image.pixelColor(600, 400).name() == theme().color("bg").name()
    theme().apply(qapp, scheme="light")


def test_while_reconnecting_the_bar_counts_down_and_offers_to_try_now(
    window: MainWindow, qtbot: QtBot
) -> None:
    at = datetime.now(UTC) + timedelta(seconds=2.5)
    window.show_bar(replace(bar(Environment.STAGING, LinkState.RECONNECTING), latency_ms=None, retry_at=at))
    assert named(window.bar, "again in 3 s")
    qtbot.waitUntil(lambda: bool(named(window.bar, "again in 2 s")))
    with qtbot.waitSignal(window.bar.retry_pressed):
        QTest.mouseClick(named(window.bar, "Try now")[0], Qt.MouseButton.LeftButton)
    window.show_bar(bar(Environment.STAGING))
    assert not named(window.bar, "Try now")
    assert named(window.bar, "12 ms")


def test_the_bar_says_what_may_be_done_when_it_is_not_everything(window: MainWindow) -> None:
    window.show_bar(replace(bar(Environment.PRODUCTION), mode=Mode.READ_ONLY))
    assert named(window.bar, "Read only")
    window.show_bar(bar(Environment.PRODUCTION))
    assert not named(window.bar, "Read only")


def test_a_connection_for_support_shows_its_pages_only(window: MainWindow) -> None:
    window.allow_pages(frozenset({"resend", "tasks", "activity"}), otherwise="resend")
    assert window.noun == "resend"
    window.show_page("workers")
    assert window.noun == "resend"
    window.show_page("tasks")
    assert window.noun == "tasks"
    window.allow_pages(None)
    window.show_page("workers")
    assert window.noun == "workers"
