"""The search field for queries: suggestions by keyboard, mouse and assistive technology; the marked word."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QListWidget, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from console.widgets.query_field import QueryField, Stretch


@dataclass(frozen=True)
class One:
    insert: str
    label: str
    detail: str = ""


@dataclass(frozen=True)
class Some:
    start: int
    end: int
    items: tuple[One, ...]


FIELDS = ("state:", "name:", "since:")


def complete(text: str, cursor: int) -> Some:
    start = text.rfind(" ", 0, cursor) + 1
    word = text[start:cursor]
    return Some(start, cursor, tuple(One(one, one, "a field") for one in FIELDS if one.startswith(word)))


@pytest.fixture
def field(qtbot: QtBot) -> Iterator[QueryField]:
    window = QWidget()
    qtbot.addWidget(window)
    window.resize(600, 400)
    made = QueryField("Search tasks", complete=complete, stretches=lambda _text: [Stretch(0, 3, "muted")])
    layout = QVBoxLayout(window)
    layout.addWidget(made)
    layout.addStretch(1)
    window.show()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    made.setFocus()
    yield made
    window.close()


def press(field: QueryField, *keys: Qt.Key) -> None:
    for key in keys:
        QTest.keyClick(field, key)


def test_typing_suggests_and_tab_takes_the_first(field: QueryField) -> None:
    QTest.keyClicks(field, "s")
    assert field.suggestions() == ["state:", "since:"]
    assert field.accessibleDescription() == "2 suggestions"
    press(field, Qt.Key.Key_Tab)
    assert field.text() == "state:"
    assert field.hasFocus()


def test_keys_go_through_the_suggestions_and_enter_takes_one(field: QueryField) -> None:
    submitted: list[str] = []
    field.submitted.connect(submitted.append)
    QTest.keyClicks(field, "x s")
    press(field, Qt.Key.Key_Down, Qt.Key.Key_Down)
    assert field.accessibleDescription() == "since:, a field"
    press(field, Qt.Key.Key_Return)
    assert field.text() == "x since:"
    assert submitted == []
    QTest.keyClicks(field, " s")
    press(field, Qt.Key.Key_Escape)
    assert not field.suggests()
    assert field.text() == "x since: s"
    press(field, Qt.Key.Key_Return)
    assert submitted == ["x since: s"]


def test_enter_without_a_current_suggestion_submits(field: QueryField) -> None:
    submitted: list[str] = []
    field.submitted.connect(submitted.append)
    QTest.keyClicks(field, "s")
    press(field, Qt.Key.Key_Return)
    assert submitted == ["s"]
    assert not field.suggests()


def test_a_press_and_assistive_technology_choose(field: QueryField) -> None:
    QTest.keyClicks(field, "na")
    (listed,) = [
        one for one in field.window().findChildren(QListWidget) if one.accessibleName() == "Suggestions"
    ]
    QTest.mouseClick(listed.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(20, 10))
    assert field.text() == "name:"
    field.setText("")
    QTest.keyClicks(field, "s")
    listed.item(1).setSelected(True)
    assert field.text() == "since:"


def test_the_searches_of_the_session_are_offered_while_it_is_empty(field: QueryField) -> None:
    submitted: list[str] = []
    field.submitted.connect(submitted.append)
    for text in ("state:failed", "mail", "state:failed"):
        field.remember(text)
    press(field, Qt.Key.Key_Down)
    assert field.suggestions() == ["state:failed", "mail"]
    press(field, Qt.Key.Key_Down, Qt.Key.Key_Down, Qt.Key.Key_Return)
    assert (field.text(), submitted) == ("mail", ["mail"])


def test_a_marked_word_says_why_until_the_text_changes(field: QueryField) -> None:
    field.setText("state:wrong x")
    field.set_mark(6, 5, "wrong is not a state. States are sent, …")
    assert field.mark() == (6, 5)
    assert field.property("error") is True
    assert field.accessibleDescription().startswith("wrong is not a state")
    QTest.keyClicks(field, "y")
    assert field.mark() is None
    assert not field.property("error")
    assert field.accessibleDescription() == ""
    assert field.text() == "state:wrong xy"


def test_colours_change_neither_text_nor_cursor_nor_selection(field: QueryField) -> None:
    changes: list[str] = []
    field.setText("state:failed")
    field.textChanged.connect(changes.append)
    field.setSelection(2, 4)
    field.set_mark(0, 3, "no")
    assert (field.text(), field.selectedText(), changes) == ("state:failed", "ate:", [])
    field.setCursorPosition(3)
    field.clear_mark()
    assert field.cursorPosition() == 3


def test_leaving_the_field_closes_the_suggestions(field: QueryField) -> None:
    QTest.keyClicks(field, "s")
    assert field.suggests()
    field.clearFocus()
    assert not field.suggests()


def test_a_hint_at_the_right_is_cut_and_kept_whole(field: QueryField) -> None:
    field.set_hint("31 found in 4 ms " * 40)
    assert field.hint().startswith("31 found")
    assert field.textMargins().right() < field.width() // 2 + 60
