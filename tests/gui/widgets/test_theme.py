"""Switching the look at run time, fonts, icons, the focus ring."""

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QColor, QFont, QFontInfo, QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from console.widgets.badge import Badge, StateLabel
from console.widgets.button import Button, IconButton
from console.widgets.charts import Series, StackedBars
from console.widgets.data_table import DataTable
from console.widgets.fields import SearchField, Select, TextField
from console.widgets.focus_ring import FocusRing
from console.widgets.icons import app_icon, logo_pixmap, pixmap, set_icon
from console.widgets.label import Text
from console.widgets.panel import Panel
from console.widgets.table_model import Cell, Column, Row
from console.widgets.theme import theme
from console.widgets.tokens import DARK, FONT_ROLES, LIGHT


def colours(widget: QWidget) -> set[str]:
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    return {image.pixelColor(x, y).name() for x in range(image.width()) for y in range(image.height())}


def test_every_painted_part_takes_the_new_colours(qtbot: QtBot, qapp: QApplication) -> None:
    table = DataTable("T", [Column("s", "State", kind="state"), Column("n", "N", kind="number")])
    table.set_rows([Row("a", {"s": Cell("Succeeded"), "n": Cell("1")})])
    chart = StackedBars("C")
    chart.set_data(labels=["1", "2"], series=[Series("Failed", "failed", [1, 2])])
    parts: list[tuple[QWidget, str]] = [
        (Button("Go", kind="primary"), "accent"),
        (Badge("Cut", tone="warning"), "warning_bg"),
        (Panel("Title"), "surface"),
        (table, "sunken"),
        (chart, "ch_failed"),
        (TextField(name="F"), "surface"),
        (Select([("a", "A")], name="S"), "border_strong"),
    ]
    for widget, token in parts:
        qtbot.addWidget(widget)
        widget.resize(220, 160)
        assert LIGHT.value(token).lower() in colours(widget), token
    theme().apply(qapp, scheme="dark")
    for widget, token in parts:
        seen = colours(widget)
        assert DARK.value(token).lower() in seen, token
        if LIGHT.value(token) != LIGHT.text:
            assert LIGHT.value(token).lower() not in seen - {"#ffffff"}, token


def test_labels_and_icons_follow(qtbot: QtBot, qapp: QApplication) -> None:
    label = Text("<b>a</b> <red>b</red>", rich=True, tone="muted")
    qtbot.addWidget(label)
    action = QAction("Refresh", label)
    set_icon(action, "refresh-cw", "link")
    set_icon(action, "play", "link")
    before = action.icon().pixmap(14, 14).toImage()
    assert LIGHT.st_failed in label.text()
    theme().apply(qapp, scheme="dark")
    assert DARK.st_failed in label.text()
    assert label.palette().windowText().color() == QColor(DARK.muted)
    after = action.icon().pixmap(14, 14).toImage()
    assert after != before
    assert action.icon().pixmap(14, 14).toImage() == pixmap("play", "link", size=14).toImage()


def test_changed_is_told_once_per_switch(qapp: QApplication) -> None:
    told: list[bool] = []
    connection = theme().changed.connect(lambda: told.append(theme().tokens.is_dark))
    theme().apply(qapp, scheme="dark")
    theme().apply(qapp, scheme="dark")
    theme().apply(qapp, scheme="light")
    theme().changed.disconnect(connection)
    assert told == [True, False]


def test_the_system_scheme_is_followed(qapp: QApplication) -> None:
    theme().apply(qapp, scheme="system")
    wanted = DARK if qapp.styleHints().colorScheme() == Qt.ColorScheme.Dark else LIGHT
    assert theme().tokens is wanted


@pytest.mark.parametrize("role", FONT_ROLES)
def test_every_role_is_a_bundled_font_in_its_size_and_weight(qapp: QApplication, role: str) -> None:
    wanted = FONT_ROLES[role]
    font = theme().font(role)
    info = QFontInfo(font)
    assert info.family() == ("JetBrains Mono" if wanted.mono else "Inter")
    assert info.weight() == wanted.weight
    assert abs(info.pixelSize() - wanted.size_px) <= 0.5
    if not wanted.mono:
        assert font.featureValue(QFont.Tag("tnum")) == 1
        metrics = theme().metrics(role)
        assert metrics.horizontalAdvance("1111") == pytest.approx(metrics.horizontalAdvance("0000"))


def test_unknown_icons_and_colours_are_refused(qapp: QApplication) -> None:
    with pytest.raises(FileNotFoundError):
        pixmap("no-such-icon", "text")
    with pytest.raises(KeyError):
        theme().color("no-such-token")


def test_pictures_of_the_program(qapp: QApplication) -> None:
    assert not app_icon().isNull()
    assert logo_pixmap(ratio=2.0).deviceIndependentSize().width() == 20
    assert logo_pixmap(white=True).toImage() != logo_pixmap().toImage()
    assert pixmap("x", "text", ratio=2.0).width() == 28


def test_the_ring_follows_the_keyboard(qtbot: QtBot) -> None:
    window = QWidget()
    qtbot.addWidget(window)
    layout = QVBoxLayout(window)
    first, second = Button("One"), SearchField("Search tasks")
    layout.addWidget(first)
    layout.addWidget(second)
    window.show()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    first.setFocus(Qt.FocusReason.TabFocusReason)
    ring = window.findChild(FocusRing)
    assert ring is not None
    assert ring.widget() is first
    # The ring lies three pixels outside the button.
    assert ring.geometry().contains(first.geometry().adjusted(-3, -3, 3, 3))
    second.setFocus(Qt.FocusReason.TabFocusReason)
    assert ring.widget() is second
    QTest.mousePress(first, Qt.MouseButton.LeftButton)
    window.close()


def test_names_for_assistive_technology(qtbot: QtBot) -> None:
    for widget, name in (
        (Button("Purge…"), "Purge…"),
        (IconButton("copy", name="Copy ID"), "Copy ID"),
        (SearchField("Search tasks"), "Search tasks"),
        (Select([("a", "A")], name="Connection"), "Connection"),
        (StateLabel("Connected"), "Connected"),
        (DataTable("Queues", [Column("a", "A")]), "Queues"),
    ):
        qtbot.addWidget(widget)
        assert widget.accessibleName() == name
    button = Button("Start")
    qtbot.addWidget(button)
    button.set_text("Starting…")
    assert button.accessibleName() == "Starting…"
