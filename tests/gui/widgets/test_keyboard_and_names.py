"""What the keyboard reaches and what assistive technology reads: roles, names, columns that fit."""

from PySide6.QtCore import QItemSelectionModel, Qt
from PySide6.QtGui import QAccessible, QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from console.widgets.badge import Badge, EnvironmentBadge, StateBadge, StateLabel
from console.widgets.button import Button, Chip, IconButton
from console.widgets.charts import StackedBars
from console.widgets.data_table import DataTable
from console.widgets.fields import CheckBox, RadioButton, Select
from console.widgets.label import Text
from console.widgets.panel import Card, KeyValueGrid
from console.widgets.tab_stops import tab_stops
from console.widgets.table_columns import shared_out
from console.widgets.table_model import Cell, Column, Row
from console.widgets.theme import theme
from console.widgets.tokens import ROW_HEIGHT, ROW_HEIGHT_COMPACT

COLUMNS = [
    Column("task", "Task", stretch=1, width=100, kind="name"),
    Column("worker", "Worker", width=56, fit=104),
    Column("in", "In", width=160, least=80, kind="number"),
]


def role_and_name(widget: QWidget) -> tuple[QAccessible.Role, str]:
    interface = QAccessible.queryAccessibleInterface(widget)
    assert interface is not None
    return interface.role(), interface.text(QAccessible.Text.Name)


def test_words_that_paint_themselves_are_labels(qtbot: QtBot) -> None:
    label = QAccessible.Role.StaticText
    for widget, name in (
        (Badge("Growing 6.6/s", tone="error"), "Growing 6.6/s"),
        (EnvironmentBadge("Development"), "Development"),
        (StateBadge("Ready"), "Ready"),
        (StateLabel("Connected"), "Connected"),
        (StackedBars("Throughput"), "Throughput"),
    ):
        qtbot.addWidget(widget)
        assert role_and_name(widget) == (label, name)


def test_a_badge_tells_its_new_word(qtbot: QtBot) -> None:
    state = StateLabel("Connected")
    qtbot.addWidget(state)
    state.set_state("Reconnecting…")
    assert role_and_name(state)[1] == state.text() == "Reconnecting…"


def test_a_card_is_its_caption_and_its_number(qtbot: QtBot) -> None:
    card = Card("Workers online")
    qtbot.addWidget(card)
    words = [one.text() for one in card.findChildren(Text)]
    assert words[:2] == ["Workers online", "–"]
    card.set_value("3", suffix="of 4", sub="celery@web-2 is late", tone="warning", icon="clock-alert")
    assert [one.text() for one in card.findChildren(Text)] == [
        "Workers online",
        "3",
        "of 4",
        "celery@web-2 is late",
    ]


def test_a_chooser_goes_by_its_name_and_says_what_is_chosen(qtbot: QtBot) -> None:
    chooser = Select([("", "All tasks"), ("a", "One task")], name="Task name")
    qtbot.addWidget(chooser)
    interface = QAccessible.queryAccessibleInterface(chooser)
    assert interface.text(QAccessible.Text.Name) == "Task name"
    assert interface.text(QAccessible.Text.Value) == "All tasks"
    chooser.set_current("a")
    assert interface.text(QAccessible.Text.Description) == "One task"
    with qtbot.waitExposed(chooser):
        chooser.show()
    assert interface.childCount() == 1
    assert interface.child(0).role() == QAccessible.Role.List


def test_what_assistive_technology_toggles_is_clicked(qtbot: QtBot) -> None:
    box, chip, button = CheckBox("Use TLS"), Chip("Failed"), Button("Follow")
    button.setCheckable(True)
    radios = QWidget()
    column = QVBoxLayout(radios)
    one, two = RadioButton("One"), RadioButton("Two")
    column.addWidget(one)
    column.addWidget(two)
    one.setChecked(True)
    told: list[tuple[str, bool]] = []
    for each in (box, chip, button, one, two):
        if each not in (one, two):
            qtbot.addWidget(each)
        each.clicked.connect(lambda on, name=each.text(): told.append((name, on)))
        each.setChecked(each.isChecked())
    qtbot.addWidget(radios)
    for each in (box, chip, button, two):
        each.toggle()
    assert told == [("Use TLS", True), ("Failed", True), ("Follow", True), ("Two", True)]
    box.click()
    assert told[-1] == ("Use TLS", False)
    assert len(told) == 5


def test_what_assistive_technology_selects_in_the_list_is_chosen(qtbot: QtBot) -> None:
    chooser = Select([("a", "A"), ("b", "B"), ("c", "C")], name="Letter")
    qtbot.addWidget(chooser)
    told: list[str] = []
    chooser.changed.connect(told.append)
    flags = QItemSelectionModel.SelectionFlag
    for row, key in ((1, "b"), (2, "c"), (1, "b")):
        chooser.view().selectionModel().select(chooser.model().index(row, 0), flags.ClearAndSelect)
        qtbot.waitUntil(lambda key=key: chooser.current() == key, timeout=2000)  # type: ignore[misc]
    assert told == ["b", "c", "b"]
    chooser.showPopup()
    QTest.keyClick(chooser.view(), Qt.Key.Key_Down)
    QTest.keyClick(chooser.view(), Qt.Key.Key_Escape)
    QTest.qWait(0)
    assert chooser.current() == "b", "looking at another and leaving chooses nothing"


def table(qtbot: QtBot, *keys: str, width: int = 500) -> DataTable:
    made = DataTable("Tasks", COLUMNS)
    qtbot.addWidget(made)
    made.resize(width, 200)
    made.set_rows([row(key) for key in keys])
    with qtbot.waitExposed(made):
        made.show()
    return made


def row(key: str, worker: str = "web-1") -> Row:
    return Row(key, {"task": Cell(f"task {key}"), "worker": Cell(worker), "in": Cell("7.8/s")})


def test_an_arrow_selects_the_only_row(qtbot: QtBot) -> None:
    made = table(qtbot, "a")
    made.setFocus()
    QTest.keyClick(made, Qt.Key.Key_Down)
    assert made.selected_keys() == ["a"]


def test_arrows_go_on_from_the_first_row(qtbot: QtBot) -> None:
    made = table(qtbot, "a", "b", "c")
    made.setFocus()
    for expected in (["a"], ["b"], ["c"]):
        QTest.keyClick(made, Qt.Key.Key_Down)
        assert made.selected_keys() == expected


def test_return_presses_what_has_the_focus(qtbot: QtBot) -> None:
    for made in (Button("Ping"), IconButton("copy", name="Copy ID"), Chip("Failed")):
        qtbot.addWidget(made)
        with qtbot.waitSignal(made.clicked):
            QTest.keyClick(made, Qt.Key.Key_Return)


def test_columns_fit_their_words_and_give_back_where_room_is_short(qtbot: QtBot) -> None:
    assert shared_out(COLUMNS, {"worker": 70}, 500) == [270, 70, 160]
    assert shared_out(COLUMNS, {"worker": 300}, 500) == [236, 104, 160]
    assert shared_out(COLUMNS, {"worker": 104}, 300) == [100, 104, 96]
    assert shared_out(COLUMNS, {"worker": 104}, 240) == [100, 60, 80]
    assert shared_out(COLUMNS, {"worker": 104}, 100) == [100, 56, 80]
    made = table(qtbot, "a")
    before = made.columnWidth(1)
    made.set_rows([row("a", worker="web-1234567")])
    assert made.columnWidth(1) > before
    made.set_rows([row("a")])
    assert made.columnWidth(1) > before, "live rows do not make columns jump"


def test_a_control_in_a_row_stands_beside_the_table_where_it_can_be_reached(qtbot: QtBot) -> None:
    page = QWidget()
    qtbot.addWidget(page)
    made = DataTable("Services", [*COLUMNS, Column("actions", "", width=80, kind="widget")])
    QVBoxLayout(page).addWidget(made)
    page.resize(600, 200)
    with qtbot.waitExposed(page):
        page.show()
    made.set_rows([row("a"), row("b")])
    stop = Button("Stop Worker")
    made.set_row_widget("b", "actions", stop)
    assert stop.parentWidget() is page
    assert stop in tab_stops(page)
    at = made.viewport().mapFromGlobal(stop.mapToGlobal(stop.rect().center()))
    assert made.rowAt(at.y()) == 1
    made.set_rows([row("b"), row("a")])
    assert made.rowAt(made.viewport().mapFromGlobal(stop.mapToGlobal(stop.rect().center())).y()) == 0
    made.set_rows([row("a")])
    assert not stop.isVisible()
    assert made.row_widget("b", "actions") is None


def test_tab_stops_are_in_reading_order(qtbot: QtBot) -> None:
    area = QWidget()
    qtbot.addWidget(area)
    low, right, left, off = (Button(word, parent=area) for word in ("low", "right", "left", "off"))
    low.move(0, 60)
    right.move(90, 0)
    left.move(0, 0)
    off.setEnabled(False)
    with qtbot.waitExposed(area):
        area.show()
    assert tab_stops(area) == [left, right, low]


def test_density_is_one_choice_for_all_tables(qtbot: QtBot) -> None:
    made = table(qtbot, "a")
    assert made.rowHeight(0) == ROW_HEIGHT
    theme().set_compact(True)
    try:
        assert made.rowHeight(0) == ROW_HEIGHT_COMPACT
        assert table(qtbot, "b").rowHeight(0) == ROW_HEIGHT_COMPACT
    finally:
        theme().set_compact(False)
    assert made.rowHeight(0) == ROW_HEIGHT


def test_a_long_dotted_name_may_break_and_is_copied_whole(qtbot: QtBot) -> None:
    grid = KeyValueGrid()
    qtbot.addWidget(grid)
    name = "a_long_package.with_a_module.and_another.that_does_not_end"
    grid.set_pairs([("Module", name)], hints={"Module": "where it stands"})
    value = next(one for one in grid.findChildren(Text) if one.text() != "Module")
    assert value.text() != name
    assert value.accessibleName() == f"Module: {name}"
    assert value.toolTip() == "where it stands"
    value.actions()[0].trigger()
    assert QGuiApplication.clipboard().text() == name
