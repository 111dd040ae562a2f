"""A panel beside a list: dragged, moved by keyboard, kept within sense, and as wide as wanted again."""

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from console.widgets.side_split import GAP_PX, STEP_PX, SideSplit


@pytest.fixture
def split(qtbot: QtBot) -> SideSplit:
    main, side = QWidget(), QWidget()
    main.setMinimumWidth(320)
    side.setMinimumWidth(300)
    made = SideSplit(main, side, name="Width of the panel", usual=350)
    qtbot.addWidget(made)
    made.resize(1000, 300)
    made.show()
    return made


def widths(split: SideSplit) -> tuple[int, int]:
    main, side = split.sizes()
    return main, side


def test_the_side_keeps_its_width_while_the_window_grows(split: SideSplit) -> None:
    assert widths(split) == (1000 - GAP_PX - 350, 350)
    split.resize(1400, 300)
    assert widths(split) == (1400 - GAP_PX - 350, 350)
    split.set_side_width(500)
    split.resize(760, 300)
    assert widths(split)[1] < 500
    split.resize(1400, 300)
    assert widths(split)[1] == 500, "what was wanted comes back with the room for it"


def test_the_keyboard_moves_it_and_the_bounds_hold(split: SideSplit, qtbot: QtBot) -> None:
    handle = split.handle(1)
    assert handle.accessibleName() == "Width of the panel"
    assert handle.focusPolicy() & Qt.FocusPolicy.TabFocus
    with qtbot.waitSignal(split.side_resized) as resized:
        QTest.keyClick(handle, Qt.Key.Key_Left)
    assert resized.args == [350 + STEP_PX]
    for _ in range(60):
        QTest.keyClick(handle, Qt.Key.Key_Left)
    assert widths(split) == (320, 1000 - GAP_PX - 320)
    for _ in range(60):
        QTest.keyClick(handle, Qt.Key.Key_Right)
    assert widths(split)[1] == split.side_width == 300
    QTest.mouseDClick(handle, Qt.MouseButton.LeftButton)
    QTest.mouseRelease(handle, Qt.MouseButton.LeftButton)  # or Qt takes it for held from then on
    assert widths(split)[1] == 350
