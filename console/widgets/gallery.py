"""Renders the component sheet to PNG, light and dark: `python -m console.widgets.gallery OUT_DIR`.

The sheet is laid out like the target picture, so that the two can be laid side by side, pixel over pixel.
"""

import sys
from pathlib import Path

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QApplication, QWidget

from console.widgets.badge import Badge, EnvironmentBadge, StateLabel
from console.widgets.banner import Banner, BannerTone
from console.widgets.button import Button, Chip, Kind
from console.widgets.data_table import DataTable
from console.widgets.dialog import ConfirmDialog, set_dialog_host
from console.widgets.empty_state import EmptyState
from console.widgets.fields import CheckBox, Field, TextField
from console.widgets.focus_ring import FocusRing
from console.widgets.label import Divider, KeyCap, Text
from console.widgets.loading_rows import LoadingRows
from console.widgets.panel import Panel, Surface
from console.widgets.states import state_look
from console.widgets.table_model import Cell, Column, Row
from console.widgets.theme import Scheme, theme

_SIZE = QSize(1280, 800)


class _Place(QWidget):
    """A ground on which parts stand at fixed places, as in the picture."""

    def put(
        self, widget: QWidget, x: int, y: int, width: int | None = None, height: int | None = None
    ) -> None:
        widget.setParent(self)
        hint = widget.sizeHint()
        widget.setGeometry(
            x, y, hint.width() if width is None else width, hint.height() if height is None else height
        )
        widget.show()


class Gallery(_Place):
    """The sheet of all components, 1280 x 800."""

    def __init__(self) -> None:
        super().__init__()
        self.resize(_SIZE)
        self._rings: list[FocusRing] = []
        self._states(self._panel("Task states", 14, 14, 398, 254))
        self._buttons(self._panel("Buttons and fields", 424, 14, 398, 254))
        self._badges(self._panel("Badges, chips, check boxes", 834, 14, 432, 254))
        self._banners(self._panel("Notices and banners", 14, 280, 808, 240))
        self._stale(self._panel("Stale data", 834, 280, 432, 240))
        self._empty(self._panel("Empty and loading", 14, 532, 398, 254))
        self._dialog_place = Surface(fill="sunken")
        self.put(self._dialog_place, 424, 532, 842, 254)
        set_dialog_host(self._dialog_place)

    def open_dialog(self) -> ConfirmDialog:
        """Open the destructive dialog in its place."""
        dialog = ConfirmDialog(
            self._dialog_place,
            title="Purge mail?",
            text_html="<b>18,412 messages</b> in <b>mail</b> on <red>Shop production</red> will be removed. "
            "A copy is kept for 24 hours for Undo purge; 64 messages that workers hold stay with them.",
            verb="Purge",
            danger=True,
            reason=True,
            type_to_confirm="mail",
            production=True,
        )
        dialog.open()
        if dialog.reason_field is not None and dialog.word_field is not None:
            dialog.reason_field.setText("Duplicates, INC-2291")
            dialog.word_field.setText("mai")
            self._ring(dialog.word_field)
        return dialog

    def _panel(self, title: str, x: int, y: int, width: int, height: int) -> _Place:
        panel = Panel(title)
        place = _Place()
        panel.set_content(place)
        self.put(panel, x, y, width, height)
        return place

    def _ring(self, widget: QWidget) -> None:
        ring = FocusRing()
        ring.setWidget(widget)
        self._rings.append(ring)

    def _states(self, place: _Place) -> None:
        rows = (
            ("Sent", "Received", "Started"),
            ("Succeeded", "Failed", "Retrying"),
            ("Revoked", "Rejected", "Lost"),
        )
        for y, words in enumerate(rows):
            for x, word in enumerate(words):
                place.put(StateLabel(word), 14 + 122 * x, 11 + 25 * y)
        place.put(Text("Workers", role="caption", tone="muted"), 14, 89, 100, 16)
        for x, word in enumerate(("Online", "Late", "Offline")):
            place.put(StateLabel(word), 14 + 122 * x, 108)
        place.put(Text("Services", role="caption", tone="muted"), 14, 135, 100, 16)
        for i, word in enumerate(("Stopped", "Starting", "Ready", "Stopping", "Failed")):
            place.put(StateLabel(word), 14 + 122 * (i % 3), 154 + 25 * (i // 3))

    def _buttons(self, place: _Place) -> None:
        x = 14
        kinds: tuple[tuple[str, Kind], ...] = (
            ("Primary", "primary"),
            ("Normal", "normal"),
            ("Purge…", "danger-outline"),
            ("Purge", "danger"),
            ("Off", "normal"),
        )
        for text, kind in kinds:
            button = Button(text, kind=kind)
            button.setEnabled(text != "Off")
            place.put(button, x, 12)
            x += button.width() + 8
        x = 14
        second: tuple[tuple[str, Kind], ...] = (
            ("Focused", "normal"),
            ("Focused", "primary"),
            ("Flat", "flat"),
            ("Hover", "normal"),
            ("Pressed", "normal"),
        )
        for text, kind in second:
            button = Button(text, kind=kind)
            place.put(button, x, 50)
            if text == "Focused":
                self._ring(button)
            elif text in ("Hover", "Pressed"):
                button.show_state("hover" if text == "Hover" else "pressed")
            x += button.width() + 8
        for i, text in enumerate(("Normal", "Focused", "Disabled")):
            field = TextField(name=text, text=text)
            field.setEnabled(text != "Disabled")
            place.put(field, 14 + 124 * i, 90, 116, 28)
            if text == "Focused":
                self._ring(field)
        hour = Field("", TextField(name="Hour", text="25", mono=True))
        hour.set_error("Hour must be 0 to 23")
        place.put(hour, 14, 106, 240, 70)

    def _badges(self, place: _Place) -> None:
        x = 14
        for word in ("Development", "Staging", "Production"):
            environment = EnvironmentBadge(word)
            place.put(environment, x, 12)
            x += environment.width() + 8
        second = (
            Badge("Exact", tone="ok", icon="check"),
            Badge("Verified", tone="ok", icon="check"),
            Badge("Cut", tone="warning", icon="triangle-alert"),
            Badge("Not JSON", tone="warning", icon="triangle-alert"),
        )
        third = (
            Badge("Growing 6.6/s", tone="error", icon="arrow-up"),
            Badge("Paused", icon="pause"),
            Badge("Lost", tone="lost", icon="circle-question-mark"),
        )
        for y, badges in ((42, second), (72, third)):
            x = 14
            for badge in badges:
                place.put(badge, x, y)
                x += badge.width() + 8
        x = 14
        for word, count in (("Failed", 31), ("Retrying", 4), ("Lost", 0)):
            look = state_look(word)
            chip = Chip(word, icon=look.icon, tone=look.color, count=count)
            chip.setChecked(word == "Failed")
            place.put(chip, x, 104)
            x += chip.width() + 4
        for word, at in (("On", 12), ("Off", 64), ("Some", 117)):
            box = CheckBox(word)
            box.setTristate(word == "Some")
            box.setCheckState(
                {
                    "On": Qt.CheckState.Checked,
                    "Off": Qt.CheckState.Unchecked,
                    "Some": Qt.CheckState.PartiallyChecked,
                }[word]
            )
            place.put(box, at, 139)
        place.put(KeyCap("Ctrl+K"), 188, 143)

    def _banners(self, place: _Place) -> None:
        y = 12
        messages: tuple[tuple[BannerTone, str, str, str | None], ...] = (
            ("ok", "Resent.", "1 task to mail, succeeded in 1.8 s", None),
            ("info", "Undo stays for 10 min.", "412 messages were purged", "Undo"),
            ("warning", "Reconnecting…", "Shown as of 14:32:08", "Retry"),
            ("error", "Broker refused the login.", "Check the password", "Edit…"),
        )
        for tone, fact, detail, action in messages:
            banner = Banner()
            banner.show_message(tone, fact, detail, action=action)
            place.put(banner, 14, y, 778, banner.minimumHeight())
            y += banner.height() + 6

    def _stale(self, place: _Place) -> None:
        banner = Banner(compact=True)
        banner.show_message("warning", "", "As of 14:32:08", status="Reconnecting…")
        place.put(banner, 14, 12, 402, 28)
        columns = [
            Column("queue", "Queue", stretch=1),
            Column("ready", "Ready", width=120, kind="number"),
            Column("consumers", "Consumers", width=136, kind="number"),
        ]
        table = DataTable("Queues", columns, ground="surface")
        table.set_rows(
            [
                Row("mail", {"queue": Cell("mail"), "ready": Cell("18,412"), "consumers": Cell("4")}),
                Row("default", {"queue": Cell("default"), "ready": Cell("1,204"), "consumers": Cell("8")}),
                Row("reports", {"queue": Cell("reports")}),
            ]
        )
        table.set_stale(True)
        place.put(table, 14, 48, 402, 114)
        note = Text("Values turn to muted, never to 0. Unknown is a dash.", role="label", tone="muted")
        place.put(note, 14, 169, 402, 18)

    def _empty(self, place: _Place) -> None:
        reason = "Nothing failed in the last hour with this name."
        place.put(EmptyState("search", "No tasks match", reason, action="Clear search"), 2, 2, 194, 212)
        place.put(Divider(vertical=True, color="hairline"), 198, 12, 1, 190)
        place.put(LoadingRows(delay_ms=0), 213, 12, 169, 168)
        place.put(Text("After 200 ms, no movement", role="label", tone="muted"), 213, 187, 170, 18)


def render(app: QApplication, scheme: Scheme, path: Path) -> None:
    """Write the sheet in one scheme to a PNG of 1280 x 800 pixels."""
    theme().apply(app, scheme=scheme)
    gallery = Gallery()
    gallery.show()
    dialog = gallery.open_dialog()
    gallery.grab().save(str(path))
    dialog.reject()
    gallery.close()


def main() -> None:
    """Write components-light.png and components-dark.png into the folder named on the command line."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    folder.mkdir(parents=True, exist_ok=True)
    app = QApplication.instance() or QApplication([])
    if isinstance(app, QApplication):
        render(app, "light", folder / "components-light.png")
        render(app, "dark", folder / "components-dark.png")


if __name__ == "__main__":
    main()
