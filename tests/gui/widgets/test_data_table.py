"""The table: patching, selection, scrolling, words for assistive technology, keyboard, speed."""

from functools import partial

import pytest
from PySide6.QtCore import QModelIndex, QPoint, Qt
from PySide6.QtGui import QAccessible, QContextMenuEvent
from PySide6.QtTest import QAbstractItemModelTester, QTest
from PySide6.QtWidgets import QApplication, QMenu
from pytestqt.qtbot import QtBot

from console.widgets.button import Button
from console.widgets.data_table import DataTable
from console.widgets.table_model import Cell, Column, Row, TableModel
from tests.own_time import own_times_s

COLUMNS = [
    Column("on", "Enabled", width=60, kind="check"),
    Column("state", "State", width=110, kind="state"),
    Column("name", "Task", stretch=1, kind="name"),
    Column("id", "ID", width=92, kind="id"),
    Column("runs", "Runs", width=80, kind="number"),
    Column("where", "Where", width=80, kind="link"),
]
UUID = "95986266-356c-4733-ab4c-719e2b8b86d7"


def row(key: str, runs: int = 1) -> Row:
    return Row(
        key,
        {
            "on": Cell(checked=True),
            "state": Cell("Failed"),
            "name": Cell(f"task {key}", badge=("Paused", "neutral", "pause")),
            "id": Cell(UUID),
            "runs": Cell(f"{runs:,}", sort=runs, series=(1.0, None, 2.0)),
            "where": Cell("Tasks"),
        },
    )


def rows(*keys: str) -> list[Row]:
    return [row(key) for key in keys]


@pytest.fixture
def table(qtbot: QtBot) -> DataTable:
    made = DataTable("Tasks", COLUMNS, multi=True)
    qtbot.addWidget(made)
    made.resize(700, 300)
    with qtbot.waitExposed(made):
        made.show()
    return made


def keys(table: DataTable) -> list[str]:
    return [one.key for one in table.rows()]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "abc"),
        ("abc", ""),
        ("abc", "abc"),
        ("abc", "xabc"),
        ("abc", "abcx"),
        ("abcdef", "bdf"),
        ("abc", "cba"),
        ("abcd", "xdyaz"),
        ("abc", "xyz"),
    ],
)
def test_the_model_patches_itself_to_any_rows(before: str, after: str) -> None:
    model = TableModel(COLUMNS)
    QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Warning, model)
    model.set_rows(rows(*before))
    model.set_rows(rows(*after))
    assert [one.key for one in model.rows] == list(after)
    assert [model.position(key) for key in after] == list(range(len(after)))


def test_a_key_given_twice_is_shown_once() -> None:
    model = TableModel(COLUMNS)
    model.set_rows([row("a", 1), row("b"), row("a", 2)])
    assert [(one.key, one.cells["runs"].text) for one in model.rows] == [("a", "1"), ("b", "1")]


def test_only_what_differs_is_told(qtbot: QtBot) -> None:
    model = TableModel(COLUMNS)
    model.set_rows(rows(*"abcdef"))
    told: list[tuple[int, int]] = []

    def on_changed(first: QModelIndex, last: QModelIndex) -> None:
        told.append((first.row(), last.row()))

    model.dataChanged.connect(on_changed)
    model.set_rows(rows(*"abcdef"))
    assert told == []
    model.set_rows([row("a"), row("b", 2), row("c", 2), row("d"), row("e"), row("f", 9)])
    assert told == [(1, 2), (5, 5)]


def test_selection_stays_with_its_rows(table: DataTable, qtbot: QtBot) -> None:
    table.set_rows(rows(*"abcde"))
    told: list[list[str]] = []
    table.selection_changed.connect(told.append)
    table.select_keys(["b", "d"])
    table.set_rows(rows(*"xyabcde"))
    assert table.selected_keys() == ["b", "d"]
    table.set_rows(rows(*"edcba"))
    assert table.selected_keys() == ["d", "b"]
    table.set_rows(rows(*"edca"))
    assert table.selected_keys() == ["d"]
    assert told[-1] == ["d"]


def test_selection_survives_even_a_reset(table: DataTable) -> None:
    many = [f"k{i:04}" for i in range(400)]
    table.set_rows(rows(*many))
    table.select_keys(["k0100"])
    table.set_rows(
        rows(*(key for pair in zip(many, [f"n{i}" for i in range(400)], strict=True) for key in pair))
    )
    assert table.selected_keys() == ["k0100"]
    assert table.current_key() == "k0100"


def test_the_view_does_not_jump_while_rows_come_in_above(table: DataTable, qtbot: QtBot) -> None:
    many = [f"k{i:04}" for i in range(200)]
    table.set_rows(rows(*many))
    table.verticalScrollBar().setValue(28 * 50 + 5)
    top = table.rowAt(0)
    assert keys(table)[top] == "k0050"
    table.set_rows(rows("new1", "new2", "new3", *many))
    assert keys(table)[table.rowAt(0)] == "k0050"
    assert table.rowViewportPosition(table.rowAt(0)) == -5


def test_at_the_top_new_rows_come_into_view(table: DataTable) -> None:
    many = [f"k{i:04}" for i in range(200)]
    table.set_rows(rows(*many))
    table.set_rows(rows("new", *many))
    assert table.verticalScrollBar().value() == 0


def test_assistive_technology_reads_cells_and_heads(table: DataTable) -> None:
    table.set_rows(rows("a"))
    accessible = QAccessible.queryAccessibleInterface(table)
    assert accessible.text(QAccessible.Text.Name) == "Tasks"
    spoken = [accessible.child(i).text(QAccessible.Text.Name) for i in range(accessible.childCount())]
    heads = [column.title for column in COLUMNS]
    assert [word for word in spoken if word in heads] == heads
    assert spoken[-len(COLUMNS) :] == ["On", "Failed", "task a, Paused", UUID, "1", "Tasks"]
    model = table.model()
    assert model.data(model.index(0, 3)) == UUID
    assert model.headerData(2, Qt.Orientation.Horizontal) == "Task"


def test_copy_takes_full_values(table: DataTable, qtbot: QtBot) -> None:
    table.set_rows(rows("a", "b"))
    table.select_keys(["a"])
    table.setFocus()
    QTest.keyClick(table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QApplication.clipboard().text().split("\t")[1:] == ["Failed", "task a", UUID, "1", "Tasks"]


def test_keyboard(table: DataTable, qtbot: QtBot) -> None:
    table.set_rows(rows(*"abc"))
    table.setFocus()
    QTest.keyClick(table, Qt.Key.Key_End)
    assert table.selected_keys() == ["c"]
    QTest.keyClick(table, Qt.Key.Key_Home)
    QTest.keyClick(table, Qt.Key.Key_Down)
    assert table.selected_keys() == ["b"]
    with qtbot.waitSignal(table.activated_row) as activated:
        QTest.keyClick(table, Qt.Key.Key_Return)
    assert activated.args == ["b"]
    with qtbot.waitSignal(table.check_toggled) as toggled:
        QTest.keyClick(table, Qt.Key.Key_Space)
    assert toggled.args == ["b", False]


def test_mouse_on_check_box_link_and_row(table: DataTable, qtbot: QtBot) -> None:
    table.set_rows(rows("a", "b"))
    port = table.viewport()
    left = Qt.MouseButton.LeftButton

    def centre(number: int, line: int = 0) -> QPoint:
        return table.visualRect(table.model().index(line, number)).center()

    with qtbot.waitSignal(table.check_toggled) as toggled:
        QTest.mouseClick(port, left, pos=QPoint(20, 14))
    assert toggled.args == ["a", False]
    with qtbot.waitSignal(table.link_clicked) as linked:
        QTest.mouseClick(port, left, pos=centre(5, 1))
    assert linked.args == ["b", "where"]
    QTest.mouseMove(port, centre(2, 1))
    assert table.hovered_row in (1, -1)


def test_heads_ask_for_an_order_or_make_it(table: DataTable, qtbot: QtBot) -> None:
    head = table.horizontalHeader()
    place = QPoint(head.sectionViewportPosition(4) + 30, 14)
    with qtbot.waitSignal(table.sort_requested) as asked:
        QTest.mouseClick(head.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert asked.args == ["runs", True]
    local = DataTable("Local", COLUMNS, local_sort=True)
    qtbot.addWidget(local)
    local.set_rows([row("a", 2), row("b", 10), row("c", 1)])
    local.set_sort("runs", descending=True)
    assert keys(local) == ["b", "a", "c"]
    local.set_rows([row("a", 99), row("b", 10), row("c", 1)])
    assert keys(local) == ["a", "b", "c"]


def test_the_end_is_told_once_per_length(table: DataTable, qtbot: QtBot) -> None:
    told: list[int] = []
    table.reached_end.connect(lambda: told.append(1))
    table.set_rows(rows(*(f"k{i}" for i in range(100))))
    bar = table.verticalScrollBar()
    bar.setValue(bar.maximum())
    bar.setValue(bar.maximum() - 10)
    bar.setValue(bar.maximum())
    assert told == [1]


def test_waiting_rows_are_counted_in_a_pill(table: DataTable, qtbot: QtBot) -> None:
    table.set_rows(rows(*(f"k{i}" for i in range(100))))
    table.verticalScrollBar().setValue(500)
    assert table.is_scrolled_down()
    table.set_pending(12)
    pill = table.findChild(Button)
    assert isinstance(pill, Button)
    assert (pill.text(), pill.isVisible()) == ("12 new", True)
    with qtbot.waitSignal(table.pending_clicked):
        pill.click()
    assert not pill.isVisible()
    assert not table.is_scrolled_down()


def test_a_control_in_a_cell_stays_with_its_row(qtbot: QtBot) -> None:
    services = DataTable(
        "Services",
        [Column("n", "Service", stretch=1), Column("a", "", width=90, kind="widget")],
        row_height=44,
    )
    qtbot.addWidget(services)
    services.set_rows([Row(key, {"n": Cell(key, subtitle="x")}) for key in ("worker", "beat")])
    button = Button("Stop")
    services.set_row_widget("beat", "a", button)
    services.set_rows([Row(key, {"n": Cell(key)}) for key in ("broker", "worker", "beat")])
    assert services.row_widget("beat", "a") is button


def test_patching_is_fast(table: DataTable) -> None:
    table.set_rows([row(f"k{i}", i) for i in range(500)])
    same = [[row(f"k{i}", i) for i in range(500)] for _ in range(5)]
    assert min(own_times_s(*(partial(table.set_rows, rows) for rows in same))) < 0.005
    many = [row(f"m{i}", i) for i in range(10_000)]
    assert max(own_times_s(lambda: table.set_rows(many))) < 0.1


def test_painting_every_kind_of_cell(table: DataTable) -> None:
    table.set_rows([*rows("a"), Row("empty", {})])
    table.select_keys(["a"])
    table.set_stale(True)
    assert not table.grab().isNull()


def test_the_keyboard_sorts_through_the_context_menu(table: DataTable, qtbot: QtBot) -> None:
    table.set_rows(rows("a"))
    menu = QMenu()
    qtbot.addWidget(menu)
    table.add_sort_actions(menu)
    submenu = menu.actions()[0].menu()
    assert isinstance(submenu, QMenu)
    with qtbot.waitSignal(table.sort_requested) as asked:
        next(action for action in submenu.actions() if action.text() == "Runs").trigger()
    assert asked.args == ["runs", True]


def test_the_context_menu_key(table: DataTable, qtbot: QtBot) -> None:
    table.set_rows(rows("a"))
    table.select_keys(["a"])
    place = QPoint(5, 5)
    QApplication.sendEvent(table, QContextMenuEvent(QContextMenuEvent.Reason.Keyboard, place, place))
    own = [one for one in table.findChildren(QMenu) if one.title() == ""]
    assert len(own) == 1
    own[0].close()
    asked: list[str] = []
    table.context_requested.connect(lambda key, _place: asked.append(key))
    QApplication.sendEvent(table, QContextMenuEvent(QContextMenuEvent.Reason.Keyboard, place, place))
    assert asked == ["a"]


def test_columns_can_be_exchanged_and_rows_selection_and_widths_stay(table: DataTable) -> None:
    table.set_rows(rows(*"abcdef"))
    table.set_sort("runs", descending=True)
    table.select_keys(["b", "d"])
    table.set_widths({"id": 140, "gone": 50})
    told: list[list[str]] = []
    table.selection_changed.connect(told.append)
    table.set_columns([COLUMNS[4], COLUMNS[2], COLUMNS[3]])
    assert [column.title for column in table.columns] == ["Runs", "Task", "ID"]
    assert keys(table) == list("abcdef")
    assert table.selected_keys() == ["b", "d"]
    assert told == []
    head = table.horizontalHeader()
    assert head.sectionSize(2) == 140
    assert head.sorted_column == 0  # type: ignore[attr-defined]
    table.set_columns(COLUMNS[2:4])
    assert head.sorted_column == -1  # type: ignore[attr-defined]
    table.set_columns(COLUMNS)
    assert head.sorted_column == 4  # type: ignore[attr-defined]
    assert table.widths() == {"id": 140, "gone": 50}


def test_a_column_head_has_a_menu(table: DataTable) -> None:
    asked: list[str] = []
    table.header_menu_requested.connect(lambda key, _place: asked.append(key))
    head = table.horizontalHeader()
    head.customContextMenuRequested.emit(QPoint(head.sectionPosition(3) + 5, 5))
    assert asked == ["id"]


def test_both_ends_of_the_rows_are_told_once_each(table: DataTable) -> None:
    told: list[str] = []
    table.reached_end.connect(lambda: told.append("end"))
    table.reached_start.connect(lambda: told.append("start"))
    table.set_rows([row(f"k{n:03}") for n in range(100)])
    bar = table.verticalScrollBar()
    bar.setValue(bar.maximum())
    bar.setValue(bar.maximum() - 1)
    bar.setValue(0)
    bar.setValue(5)
    assert told == ["end", "start"]
    table.set_rows([row(f"k{n:03}") for n in range(50, 150)])
    bar.setValue(bar.maximum())
    assert told == ["end", "start", "end"]


def test_some_thousand_selected_rows_cost_little(table: DataTable) -> None:
    many = [row(f"k{n:05}") for n in range(3000)]
    table.set_rows(many)
    table.selectAll()
    assert len(table.selected_keys()) == 3000
    shifted = [row(f"k{n:05}") for n in range(200, 3200)]
    (took_s,) = own_times_s(partial(table.set_rows, shifted))
    assert len(table.selected_keys()) == 2800
    assert took_s < 0.1
