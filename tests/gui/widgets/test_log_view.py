"""The log: bound, filter, search, following, copying, speed."""

from functools import partial

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QAbstractItemModelTester, QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from console.widgets.log_view import LogLine, LogView
from tests.own_time import own_times_s

UUID = "6f463d8e-1111-2222-3333-44445555a05c"


def lines(count: int, *, start: int = 0, level: str = "INFO", source: str = "worker") -> list[LogLine]:
    return [LogLine("14:31:58.204", source, level, f"line {i}") for i in range(start, start + count)]


def texts(log: LogView) -> list[str]:
    model = log.model()
    return [model.data(model.index(i, 3)) for i in range(model.rowCount())]


@pytest.fixture
def log(qtbot: QtBot) -> LogView:
    made = LogView("Log", limit=1000)
    qtbot.addWidget(made)
    made.resize(800, 300)
    with qtbot.waitExposed(made):
        made.show()
    return made


def test_it_keeps_the_newest_lines_within_its_bound(log: LogView) -> None:
    for start in range(0, 5000, 100):
        log.append(lines(100, start=start))
        assert log.line_count() <= 1000
    assert texts(log)[-1] == "line 4999"
    assert log.line_count() > 900


def test_more_than_the_bound_at_once(log: LogView) -> None:
    log.append(lines(3000))
    assert log.line_count() <= 1000
    assert texts(log)[-1] == "line 2999"


def test_filter_by_source_and_level(log: LogView) -> None:
    QAbstractItemModelTester(log.model(), QAbstractItemModelTester.FailureReportingMode.Warning, log)
    log.append(lines(3))
    log.append(lines(2, source="beat", level="WARNING"))
    log.append(
        [LogLine("", "worker", "ERROR", "bad"), LogLine("", "worker", "", "Traceback", continuation=True)]
    )
    log.set_filter(sources={"beat"})
    assert texts(log) == ["line 0", "line 1"]
    log.set_filter(levels={"ERROR"})
    assert texts(log) == ["bad", "Traceback"]
    log.append(lines(1, source="beat", level="ERROR"))
    assert texts(log) == ["bad", "Traceback", "line 0"]
    log.set_filter(levels={"WARN"})
    assert texts(log) == ["line 0", "line 1"]
    log.set_filter()
    assert log.line_count() == 8


def test_the_bound_holds_for_filtered_lines(log: LogView) -> None:
    log.set_filter(sources={"beat"})
    for start in range(0, 3000, 50):
        log.append(lines(40, start=start))
        log.append(lines(10, start=start, source="beat"))
    assert 100 <= log.line_count() <= 250
    log.set_filter()
    assert log.line_count() <= 1000


def test_errors_are_counted_without_their_tracebacks(log: LogView, qtbot: QtBot) -> None:
    counts: list[dict[str, int]] = []
    log.counts_changed.connect(counts.append)
    log.append(
        [LogLine("", "worker", "ERROR", "bad"), LogLine("", "worker", "", "x", continuation=True), *lines(2)]
    )
    assert counts[-1] == {"ERROR": 1, "INFO": 2}


def test_search_counts_and_walks(log: LogView, qtbot: QtBot) -> None:
    told: list[tuple[int, int]] = []
    log.matches_changed.connect(lambda count, index: told.append((count, index)))
    log.append(
        [
            *lines(50),
            LogLine("", "worker", "INFO", "Needle one"),
            *lines(50),
            LogLine("", "w", "INFO", "a needle"),
        ]
    )
    assert log.search("NEEDLE") == 2
    assert told[-1] == (2, 1)
    log.find_next()
    assert told[-1] == (2, 0)
    log.find_previous()
    assert told[-1] == (2, 1)
    log.append([LogLine("", "w", "INFO", "needle")])
    assert told[-1][0] == 3
    assert log.search("nothing like it") == 0
    log.find_next()
    assert log.search("") == 0
    assert not log.grab().isNull()


def test_matches_stay_right_when_old_lines_go(log: LogView) -> None:
    log.append(
        [LogLine("", "w", "INFO", "needle early"), *lines(899), LogLine("", "w", "INFO", "needle late")]
    )
    assert log.search("needle") == 2
    log.append(lines(200))
    told: list[tuple[int, int]] = []
    log.matches_changed.connect(lambda count, index: told.append((count, index)))
    log.find_next()
    assert told[-1] == (1, 0)


def test_it_follows_until_a_person_scrolls_up(log: LogView, qtbot: QtBot) -> None:
    told: list[bool] = []
    log.follow_changed.connect(told.append)
    log.append(lines(200))
    bar = log.verticalScrollBar()
    assert bar.value() == bar.maximum() > 0
    bar.setValue(100)
    assert not log.is_following()
    log.append(lines(50))
    assert bar.value() == 100
    log.set_follow(True)
    assert bar.value() == bar.maximum()
    assert told == [False, True]


def test_copy_takes_the_whole_line(log: LogView, qtbot: QtBot) -> None:
    log.append([LogLine("14:00:00.000", "worker", "INFO", f"Task a[{UUID}] received"), *lines(1)])
    log.selectRow(0)
    log.setFocus()
    QTest.keyClick(log, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QApplication.clipboard().text() == f"14:00:00.000 worker INFO Task a[{UUID}] received"


def test_a_hundred_thousand_lines_do_not_stop_the_window(qtbot: QtBot) -> None:
    log = LogView("Log", limit=100_000)
    qtbot.addWidget(log)
    log.resize(800, 400)
    log.show()
    batches = [lines(5000, start=start) for start in range(0, 100_000, 5000)]
    assert max(own_times_s(*(partial(log.append, batch) for batch in batches))) < 0.1
    assert max(own_times_s(log.grab)) < 0.2
    assert log.search("line 99999") == 1
