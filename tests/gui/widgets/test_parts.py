"""The smaller widgets: what they show and what they tell."""

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QMenu, QWidget
from pytestqt.qtbot import QtBot

from console.widgets.badge import EnvironmentBadge, StateBadge, StateLabel
from console.widgets.banner import Banner
from console.widgets.button import Button, Chip, IconButton, LinkButton, SegmentedControl
from console.widgets.charts import Legend, LineChart, Series, StackedBars
from console.widgets.data_table import DataTable
from console.widgets.empty_state import EmptyState
from console.widgets.fields import CheckBox, Field, SearchField, Select, TextArea, TextField
from console.widgets.gallery import Gallery
from console.widgets.json_view import JsonView
from console.widgets.label import Dot, KeyCap, Text
from console.widgets.loading_rows import LoadingRows
from console.widgets.panel import Card, KeyValueGrid, PageHeader, Panel
from console.widgets.sparkline import Sparkline
from console.widgets.spinner import Spinner
from console.widgets.table_model import Column
from console.widgets.table_page import TableStack
from console.widgets.tabs import TabBar
from console.widgets.text import duration_text, short_number
from console.widgets.traceback_view import TracebackView


def shown(qtbot: QtBot, widget: QWidget) -> None:
    qtbot.addWidget(widget)
    with qtbot.waitExposed(widget):
        widget.show()
    assert not widget.grab().isNull()


def test_buttons(qtbot: QtBot) -> None:
    menu = QMenu()
    qtbot.addWidget(menu)
    for button in (
        Button("Start local stack", icon="play", kind="primary", big=True),
        Button("Sent mail", icon="mail", count="14"),
        Button("Off", kind="flat", small=True),
        IconButton("download", name="Save log", bordered=True),
        LinkButton("Open Activity", icon="external-link"),
    ):
        shown(qtbot, button)
        with qtbot.waitSignal(button.clicked):
            QTest.keyClick(button, Qt.Key.Key_Space)
    with_menu = Button("Demo traffic", menu=menu)
    shown(qtbot, with_menu)
    assert with_menu.menu() is menu


def test_segments_tell_a_persons_choice_only(qtbot: QtBot) -> None:
    seg = SegmentedControl([("a", "15 min"), ("b", "1 hour")], name="Period", current="b")
    shown(qtbot, seg)
    told: list[str] = []
    seg.changed.connect(told.append)
    seg.set_current("a")
    assert (seg.current(), told) == ("a", [])
    second = seg.findChildren(QWidget)[1]
    QTest.mouseClick(second, Qt.MouseButton.LeftButton)
    assert (seg.current(), told) == ("b", ["b"])


def test_chips_count(qtbot: QtBot) -> None:
    chip = Chip("Failed", icon="circle-x", tone="st_failed", count=31)
    shown(qtbot, chip)
    width = chip.sizeHint().width()
    chip.set_count(31_000)
    assert chip.sizeHint().width() > width
    assert (chip.accessibleName(), chip.accessibleDescription()) == ("Failed", "31,000")
    chip.set_count(None)
    assert chip.accessibleDescription() == "–"
    with qtbot.waitSignal(chip.toggled):
        QTest.keyClick(chip, Qt.Key.Key_Space)


def test_search_waits_for_the_last_key_and_clears(qtbot: QtBot) -> None:
    search = SearchField("Search tasks", mono=True)
    shown(qtbot, search)
    search.set_hint("31 found in 4 ms")
    told: list[str] = []
    search.edited.connect(told.append)
    with qtbot.waitSignal(search.edited):
        QTest.keyClicks(search, "state:failure")
    assert told == ["state:failure"]
    with qtbot.waitSignal(search.submitted) as submitted:
        QTest.keyClick(search, Qt.Key.Key_Return)
    assert submitted.args == ["state:failure"]
    QTest.keyClick(search, Qt.Key.Key_Escape)
    assert (search.text(), told[-1]) == ("", "")


def test_select_keeps_its_choice_while_items_change(qtbot: QtBot) -> None:
    select = Select([("a", "A"), ("b", "B")], name="Connection")
    shown(qtbot, select)
    told: list[str] = []
    select.changed.connect(told.append)
    select.set_current("b")
    select.set_items([("c", "C"), ("b", "B")], dots={"b": "st_retrying"})
    assert (select.current(), told) == ("b", [])
    select.set_on_red(True)
    assert not select.grab().isNull()
    QTest.keyClick(select, Qt.Key.Key_Up)
    assert told == ["c"]


def test_fields_show_errors(qtbot: QtBot) -> None:
    field = Field("Hour", TextField(name="Hour", text="25"), hint="0 to 23")
    shown(qtbot, field)
    field.set_error("Hour must be 0 to 23")
    assert field.control.accessibleDescription() == "Hour must be 0 to 23"
    assert not field.grab().isNull()
    field.set_error("")
    assert field.control.accessibleDescription() == "0 to 23"
    shown(qtbot, TextArea(name="Keyword arguments", text="{}"))
    box = CheckBox("Use TLS")
    shown(qtbot, box)
    QTest.keyClick(box, Qt.Key.Key_Space)
    assert box.isChecked()


def test_banner_replaces_and_goes(qtbot: QtBot) -> None:
    banner = Banner()
    qtbot.addWidget(banner)
    assert banner.isHidden()
    banner.show_message("error", "Broker refused the login.", "Check the password", action="Edit…")
    assert (banner.fact(), banner.height()) == ("Broker refused the login.", 42)
    with qtbot.waitSignal(banner.action_clicked):
        banner.findChildren(Button)[0].click()
    with qtbot.waitSignal(banner.closed):
        banner.show_message("ok", "Resent.", closes_after_s=0.01)
    assert banner.isHidden()


def test_states_of_a_page(qtbot: QtBot) -> None:
    stack = TableStack(DataTable("Tasks", [Column("a", "A")]))
    shown(qtbot, stack)
    empty = EmptyState("search", "No tasks match", "Nothing <here>.", action="Clear search")
    stack.show_empty(empty)
    assert empty.isVisible()
    with qtbot.waitSignal(empty.action_clicked):
        empty.findChildren(Button)[0].click()
    stack.show_loading()
    assert not stack.table.isVisible()
    stack.show_rows()
    assert stack.table.isVisible()


def test_loading_shows_nothing_at_first(qtbot: QtBot) -> None:
    bars = LoadingRows(rows=3)
    shown(qtbot, bars)
    blank = bars.grab().toImage()
    qtbot.waitUntil(lambda: bars.grab().toImage() != blank, timeout=2000)


def test_spinner_turns_only_in_view(qtbot: QtBot) -> None:
    spinner = Spinner()
    shown(qtbot, spinner)
    first = spinner.grab().toImage()
    qtbot.waitUntil(lambda: spinner.grab().toImage() != first, timeout=2000)
    spinner.hide()
    assert not spinner._timer.isActive()


def test_panels_headers_and_pairs(qtbot: QtBot) -> None:
    header = PageHeader("Queues")
    header.set_subtitle("6 queues")
    header.add_badge(StateBadge("Ready"))
    header.add_left(SearchField("Search"), stretch=1)
    header.add_action(Button("Purge…"))
    panel = Panel("Log")
    panel.set_subtitle("per minute")
    panel.add_head(Chip("All"))
    panel.add_head_right(KeyCap("F1"))
    panel.set_content(QWidget(), margins=(1, 2, 3, 4))
    panel.set_content(Text("again"))
    panel.set_footer(Dot("ok"))
    pairs = KeyValueGrid()
    pairs.set_pairs([("ID", "4b86", "mono"), ("Expires", "–")])
    pairs.set_pairs([("ID", "4b87", "mono"), ("Expires", "–")])
    pairs.set_pairs([("ID", "4b88", "mono")])
    assert [t.accessibleName() for t in pairs.findChildren(Text) if t.accessibleName().endswith("4b88")] == [
        "ID: 4b88"
    ]
    for widget in (header, panel, pairs, EnvironmentBadge("Production", on_red=True), StateLabel("Late")):
        shown(qtbot, widget)


def test_cards_say_what_they_show(qtbot: QtBot) -> None:
    card = Card("Workers online")
    shown(qtbot, card)
    assert card.accessibleName() == "Workers online: –"
    card.set_value("3", suffix="of 4", sub="celery@web-2 is late", tone="warning", icon="clock-alert")
    card.set_slots(["ok", "warning", "error", "neutral"])
    assert card.accessibleName() == "Workers online: 3 of 4"
    assert not card.grab().isNull()
    card.set_series([1, None, 3], color="failed")
    assert not card.grab().isNull()


def test_charts_tell_their_values_and_follow_keys(qtbot: QtBot) -> None:
    bars = StackedBars("Throughput")
    legend = Legend(bars)
    shown(qtbot, bars)
    assert bars.accessibleDescription() in ("", "No data")
    bars.set_data(
        labels=["13:32", "13:33", "13:34"],
        titles=["13:32 – 13:33", "13:33 – 13:34", "13:34 – 13:35"],
        series=[Series("Failed", "failed", [1, None, 0]), Series("Succeeded", "succeeded", [400, None])],
    )
    shown(qtbot, legend)
    bars.setFocus()
    QTest.keyClick(bars, Qt.Key.Key_Left)
    QTest.keyClick(bars, Qt.Key.Key_Left)
    QTest.keyClick(bars, Qt.Key.Key_Left)
    assert bars.accessibleDescription() == "13:32 – 13:33: Failed 1, Succeeded 400"
    assert not bars.grab().isNull()
    QTest.mouseMove(bars, bars.rect().center())
    lines = LineChart("Runtime", format_value=duration_text)
    lines.set_data(
        labels=["a", "b", "c"], series=[Series("p50", "p50", [0.1, None, 0.2]), Series("p99", "p99", [])]
    )
    shown(qtbot, lines)
    lines.set_hover(1)
    assert lines.accessibleDescription() == "b: p50 –, p99 –"
    lines.set_data(labels=[], series=[])
    assert not lines.grab().isNull()
    spark = Sparkline(fill=True)
    spark.set_series([0, 0, 0])
    shown(qtbot, spark)


def test_texts_to_read(qtbot: QtBot) -> None:
    view = JsonView("Arguments")
    view.set_text("[1,2]")
    assert view.toPlainText() == "[\n  1,\n  2\n]"
    view.set_value({"a": None})
    assert view.toPlainText() == '{\n  "a": null\n}'
    view.set_text("x" * 1_000_001)
    assert view.toPlainText().endswith("… 1 more characters")
    shown(qtbot, view)
    trace = TracebackView()
    trace.set_traceback(
        "Traceback (most recent call last):\n"
        '  File "/v/site-packages/celery/app/trace.py", line 4, in trace_task\n    x\n'
        '  File "/home/a/tasks.py", line 8, in send\n    y\nValueError: <b>no</b>\n'
    )
    shown(qtbot, trace)
    fold = next(w for w in trace.findChildren(QWidget) if w.accessibleName() == "1 frame in celery.app")
    QTest.mouseClick(fold, Qt.MouseButton.LeftButton)
    rows = [w.accessibleName() for w in trace.findChildren(QWidget) if "line 4" in w.accessibleName()]
    assert rows == ["trace_task, /v/site-packages/celery/app/trace.py, line 4: x"]
    trace.set_traceback("")
    trace.set_traceback("not a traceback")
    assert trace.text() == "not a traceback"


def test_tabs(qtbot: QtBot) -> None:
    tabs = TabBar(["Summary", "Arguments", "Result", "Traceback", "Timeline", "Family"], name="Task detail")
    tabs.resize(348, 34)
    shown(qtbot, tabs)
    with qtbot.waitSignal(tabs.changed) as changed:
        tabs.set_current("Traceback")
    assert changed.args == ["Traceback"]
    assert tabs.current() == "Traceback"
    assert tabs.tabRect(5).right() <= 348


def test_the_component_sheet(qtbot: QtBot) -> None:
    sheet = Gallery()
    qtbot.addWidget(sheet)
    sheet.show()
    dialog = sheet.open_dialog()
    assert sheet.grab().toImage().width() == 1280
    dialog.reject()


def test_a_large_count_is_short_on_a_chip_and_exact_beside_it(qtbot: QtBot) -> None:
    chip = Chip("Failed", icon="circle-x", count=9_999)
    qtbot.addWidget(chip)
    assert [short_number(n) for n in (None, 9_999, 31_249, 20_000, 312_999, 1_299_999, 5 * 10**9)] == [
        "–", "9,999", "31.2k", "20k", "312k", "1.2M", "5G",
    ]  # fmt: skip
    narrow = chip.sizeHint().width()
    chip.set_count(1_299_999, at_least=True)
    assert (chip.accessibleDescription(), chip.toolTip()) == ("1,299,999+", "1,299,999+")
    assert chip.sizeHint().width() < narrow + 12
    chip.set_tight(True)
    assert chip.sizeHint().width() == chip.width_for(tight=True) < chip.width_for(tight=False)
