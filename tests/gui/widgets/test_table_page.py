"""What stands in the place of a table."""

from __future__ import annotations

from pytestqt.qtbot import QtBot

from console.widgets.data_table import DataTable
from console.widgets.empty_state import EmptyState
from console.widgets.table_model import Column
from console.widgets.table_page import TableStack


def test_empty_states_take_turns(qtbot: QtBot) -> None:
    """A page keeps "not connected" and "nothing yet", and shows each of them many times."""
    stack = TableStack(DataTable("Things", [Column("name", "Name")]))
    qtbot.addWidget(stack)
    stack.show()
    away, nothing = EmptyState("plug", "Not connected"), EmptyState("inbox", "Nothing yet")
    for state, other in [(away, nothing), (nothing, away)] * 3:
        stack.show_empty(state)
        qtbot.wait(1)
        assert state.isVisible()
        assert not other.isVisible()


def test_an_empty_state_that_nobody_keeps_is_gone(qtbot: QtBot) -> None:
    stack = TableStack(DataTable("Things", [Column("name", "Name")]))
    qtbot.addWidget(stack)
    gone: list[str] = []
    for title in ("one", "two", "three"):
        state = EmptyState("inbox", title)
        state.destroyed.connect(lambda _object=None, title=title: gone.append(title))
        stack.show_empty(state)
        del state
    assert gone == ["one"]
