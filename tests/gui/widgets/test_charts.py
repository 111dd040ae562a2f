"""The charts by mouse and keyboard: values, what is behind a slot, gaps, and words that stay inside."""

from __future__ import annotations

from itertools import pairwise

from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QSignalSpy, QTest
from pytestqt.qtbot import QtBot

from console.widgets.charts import LineChart, Series, StackedBars, _Chart, _spread


def shown(qtbot: QtBot, chart: _Chart) -> None:
    qtbot.addWidget(chart)
    chart.resize(600, 240)
    chart.show()
    chart.set_choosable()
    chart.set_data(
        labels=["11:58", "11:59", "12:00"],
        titles=["11:58 – 11:59", "11:59 – 12:00", "12:00 – 12:01"],
        series=[Series("Failed", "failed", [10, None, 10]), Series("Succeeded", "succeeded", [90, None, 30])],
    )


def test_keys_walk_the_slots_and_tell_their_values(qtbot: QtBot) -> None:
    chart = StackedBars("Throughput")
    shown(qtbot, chart)
    spy = QSignalSpy(chart.slot_chosen)
    QTest.keyClick(chart, Qt.Key.Key_Home)
    assert chart.accessibleDescription().startswith("11:58 – 11:59: Failed 10, Succeeded 90.")
    QTest.keyClick(chart, Qt.Key.Key_Right)
    assert "Failed –, Succeeded –" in chart.accessibleDescription()
    QTest.keyClick(chart, Qt.Key.Key_End)
    QTest.keyClick(chart, Qt.Key.Key_Return)
    QTest.keyClick(chart, Qt.Key.Key_Escape)
    QTest.keyClick(chart, Qt.Key.Key_PageUp)
    QTest.keyClick(chart, Qt.Key.Key_Return)
    assert [spy.at(number) for number in range(spy.count())] == [[2, ""], [0, ""]]


def test_a_press_knows_the_piece_of_the_bar(qtbot: QtBot) -> None:
    chart = StackedBars("Throughput")
    shown(qtbot, chart)
    spy = QSignalSpy(chart.slot_chosen)
    left = 60
    for y in (240 - 24 - 4, 100, 4):
        QTest.mouseClick(chart, Qt.MouseButton.LeftButton, pos=QPoint(left, y))
    QTest.mouseClick(chart, Qt.MouseButton.RightButton, pos=QPoint(left, 100))
    told = [spy.at(number) for number in range(spy.count())]
    assert told == [[0, "Failed"], [0, "Succeeded"], [0, ""]]


def test_a_chart_that_leads_nowhere_says_nothing_of_return(qtbot: QtBot) -> None:
    chart = LineChart("Runtime")
    qtbot.addWidget(chart)
    chart.set_data(labels=["12:00"], series=[Series("p50", "p50", [1.0])])
    assert "Return" not in chart.accessibleDescription()


def test_names_at_the_ends_of_lines_stay_apart_and_inside() -> None:
    placed = _spread([(99.0, "p99"), (98.0, "p95"), (97.0, "p50")], lowest=100.0)
    assert [name for _, name in placed] == ["p50", "p95", "p99"]
    heights = [y for y, _ in placed]
    assert heights[-1] <= 100.0
    assert all(b - a >= 14 for a, b in pairwise(heights))
