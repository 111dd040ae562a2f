"""The shell: bar, sidebar, the page in the middle, status bar, palette; it knows pages by their contract.

Shown empty at first, because building pages imports what must not delay the first paint; `add_page` fills it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QKeyEvent, QKeySequence, QPainter, QPaintEvent, QShortcut
from PySide6.QtWidgets import QDialog, QHBoxLayout, QMainWindow, QMenu, QStackedWidget, QVBoxLayout, QWidget

from console.core.commands import Command
from console.core.connection import LOCAL_STACK_ID
from console.widgets.icons import app_icon
from console.widgets.page import Page
from console.widgets.theme import repaint_on_change, theme
from console.window.connection_bar import BarState, ConnectionBar
from console.window.sidebar import NavItem, Sidebar
from console.window.status_bar import StatusBar

if TYPE_CHECKING:
    from console.core.notices import Notice
    from console.widgets.banner import Banner

NAV = [
    NavItem("overview", "Overview", "gauge"),
    NavItem("workers", "Workers", "cpu"),
    NavItem("queues", "Queues", "layers"),
    NavItem("tasks", "Tasks", "list-checks"),
    NavItem("schedules", "Schedules", "calendar-clock", separated=True),
    NavItem("resend", "Resend", "redo-2"),
    NavItem("stack", "Local stack", "server", separated=True),
    NavItem("connections", "Connections", "plug"),
    NavItem("activity", "Activity", "scroll-text"),
]
BANNER_S = 8


@dataclass(frozen=True, slots=True)
class _Slot:
    """A page that is made when first looked at."""

    make: Callable[[], Page]


class MainWindow(QMainWindow):
    """Signals tell what the person wants from the shell; `closing` is emitted instead of closing at once."""

    closing = Signal()
    scheme_chosen = Signal(str)
    page_shown = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setWindowTitle("Celery Console")
        self.resize(1280, 800)
        self.setMinimumSize(960, 600)
        self._may_close = False
        self._slots: dict[str, _Slot] = {}
        self._pages: dict[str, Page] = {}
        self._prepared: dict[str, Page] = {}
        self._noun = ""
        self._query_waiting = ""
        self._chosen = ""
        self._allowed: frozenset[str] | None = None
        self.commands: Callable[[], list[Command]] = list
        self.menu = QMenu(self)
        self.bar = ConnectionBar(self.menu)
        self.bar.palette_asked.connect(self.open_palette)
        self.sidebar = Sidebar(NAV)
        self.sidebar.chosen.connect(self.show_page)
        self.sidebar.scheme_chosen.connect(self.scheme_chosen)
        self.sidebar.keyboard_asked.connect(self.open_keyboard)
        self.sidebar.entered.connect(self._enter_page)
        self.status = StatusBar()
        self._banner: Banner | None = None
        self._banner_notice: Notice | None = None
        self.stack = QStackedWidget()
        # What dialogs cover, and a parent for them: of a stack, assistive technology sees only the pages.
        self.pages_area = QWidget()
        self._content = _Content()
        self._root = QWidget()
        column = QVBoxLayout(self._content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self._banner_frame = QWidget()
        self._banner_frame.hide()
        column.addWidget(self._banner_frame)
        inside = QVBoxLayout(self.pages_area)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self.stack)
        column.addWidget(self.pages_area, 1)
        self.setCentralWidget(self._assembled())
        self._banner_end = QTimer(self)
        self._banner_end.setSingleShot(True)
        self._banner_end.timeout.connect(self._hide_banner)
        self._keys()
        self.sidebar.take_focus()
        # Four pictures for the desktop, which nobody misses before the first paint.
        QTimer.singleShot(0, self, lambda: self.setWindowIcon(app_icon()))

    def _assembled(self) -> QWidget:
        rows = QVBoxLayout(self._root)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(0)
        middle = QHBoxLayout()
        middle.setSpacing(0)
        middle.addWidget(self.sidebar)
        middle.addWidget(self._content, 1)
        rows.addWidget(self.bar)
        rows.addLayout(middle, 1)
        rows.addWidget(self.status)
        return self._root

    def _keys(self) -> None:
        pairs: list[tuple[str, Callable[[], None]]] = [
            ("Ctrl+K", self.open_palette),
            ("F5", self.refresh),
            ("F6", self._next_area),
            ("F1", self.open_keyboard),
            ("F10", self.bar.open_menu),
            ("Ctrl+F", self._focus_search),
            ("Ctrl+Q", self.ask_to_close),
        ]
        pairs += [
            (f"Ctrl+{number}", partial(self.show_page, item.noun)) for number, item in enumerate(NAV, 1)
        ]
        for keys, run in pairs:
            QShortcut(QKeySequence(keys), self).activated.connect(run)

    # Pages

    def add_page(self, noun: str, make: Callable[[], Page]) -> None:
        """`make` builds the page of `noun` when it is first shown."""
        self._slots[noun] = _Slot(make)
        if noun == self._noun:
            noun, self._noun = self._noun, ""
            self.show_page(noun)

    def page(self, noun: str) -> Page | None:
        """The page of `noun` if it has been made."""
        return self._pages.get(noun)

    @property
    def noun(self) -> str:
        return self._noun

    def allow_pages(self, nouns: frozenset[str] | None, *, otherwise: str = "") -> None:
        """Only these pages may be seen (None: all); whoever is on another goes to `otherwise`."""
        if nouns == self._allowed:
            return
        self._allowed = nouns
        self.sidebar.allow(nouns)
        if nouns is not None and self._noun not in nouns:
            self.show_page(otherwise)

    def _may_see(self, noun: str) -> bool:
        return self._allowed is None or noun in self._allowed

    def show_page(self, noun: str) -> None:
        """Go to a page; one that is not there yet is shown as soon as it is."""
        if noun == self._noun or not self._may_see(noun):
            return
        self._leave_sheet()
        leaving = self._pages.get(self._noun)
        self._noun = noun
        self.sidebar.select(noun)
        if leaving is not None:
            leaving.deactivate()
        page = self._made(noun)
        if page is None:
            return
        self.stack.setCurrentWidget(page)
        page.activate()
        if self._query_waiting:
            page.open_query(self._query_waiting)
            self._query_waiting = ""
        self.page_shown.emit(noun)

    def _made(self, noun: str) -> Page | None:
        page = self._pages.get(noun)
        if page is None and noun in self._slots:
            page = self._prepared.pop(noun, None) or self._slots[noun].make()
            self._pages[noun] = page
            page.badge_changed.connect(partial(self.sidebar.set_badge, noun))
            page.connect_wanted.connect(self._connect_wanted)
            self.stack.addWidget(page)
        return page

    def prepare_page(self, noun: str) -> None:
        """The first half of `make_page`: to dress a page takes as long as to build it, and each holds us."""
        if noun in self._slots and noun not in self._pages and noun not in self._prepared:
            self._prepared[noun] = self._slots[noun].make()

    def make_page(self, noun: str) -> None:
        """Build a page before anybody looks at it, so that its badge tells and the first look is instant."""
        self._made(noun)

    def navigate(self, noun: str, query: str = "") -> None:
        """Implements `core.navigation.Navigate`."""
        if noun == self._noun and (page := self._pages.get(noun)) is not None:
            self._leave_sheet()
            page.open_query(query)
            return
        self._query_waiting = query
        self.show_page(noun)

    def _leave_sheet(self) -> None:
        """A sheet belongs to its page: whoever goes elsewhere has cancelled it."""
        for sheet in self.findChildren(QDialog):
            if sheet.isVisible():
                sheet.reject()

    def _connect_wanted(self) -> None:
        """Connect, or go where the local stack is started while there is nothing to connect to."""
        down = any(one.text == "Start local stack" and one.enabled() for one in self.commands())
        if self._chosen == LOCAL_STACK_ID and down:
            self.show_page("stack")
        else:
            self.bar.connect_pressed.emit()

    def refresh(self) -> None:
        if (page := self._pages.get(self._noun)) is not None:
            page.refresh()

    # What stands around them

    def show_bar(self, state: BarState) -> None:
        name = next((name for key, name, _environment, _dot in state.connections if key == state.chosen), "")
        title = f"{name} - Celery Console" if name else "Celery Console"
        if title != self.windowTitle():
            self.setWindowTitle(title)
        self._chosen = state.chosen
        self.bar.show_state(state)

    def show_notice(self, notice: Notice) -> None:
        """The status bar keeps it; one with an action, and every error, is a banner as well."""
        from console.core.notices import Level

        self.status.show_notice(notice)
        if notice.action is None and notice.level is not Level.ERROR:
            if notice.key:  # what the banner says of the same matter is over
                self.withdraw_notice(notice.key)
            return
        self._banner_notice = notice
        action = notice.action.text if notice.action else "Dismiss"
        self._made_banner().show_message(notice.level.value, notice.text, notice.detail, action=action)
        self._banner_frame.show()
        stays = notice.level is Level.ERROR or (notice.action is not None and notice.action.text == "Undo")
        if stays:
            self._banner_end.stop()
        else:
            self._banner_end.start(BANNER_S * 1000)

    def _made_banner(self) -> Banner:
        """The banner, made for the first notice that needs it: the first paint has none."""
        if self._banner is None:
            from console.widgets.banner import Banner

            self._banner = Banner()
            self._banner.action_clicked.connect(self._run_banner_action)
            framed = QVBoxLayout(self._banner_frame)
            framed.setContentsMargins(12, 12, 12, 0)
            framed.addWidget(self._banner)
        return self._banner

    def withdraw_notice(self, key: str) -> None:
        if self._banner_notice is not None and self._banner_notice.key == key:
            self._hide_banner()

    def _hide_banner(self) -> None:
        self._banner_notice = None
        self._banner_end.stop()
        if self._banner is not None:
            self._banner.clear()
        self._banner_frame.hide()

    def _run_banner_action(self) -> None:
        notice = self._banner_notice
        self._hide_banner()
        if notice is not None and notice.action is not None:
            notice.action.run()

    def open_palette(self) -> None:
        from console.window.command_palette import CommandPalette

        palette = self.findChild(CommandPalette)
        if palette is None:
            palette = CommandPalette(self._root)
        if palette.isVisible():
            palette.close_palette()
            return
        go_to = [
            Command(f"Go to {item.title}", partial(self.show_page, item.noun), f"Ctrl+{number}")
            for number, item in enumerate(NAV, 1)
            if self._may_see(item.noun)
        ]
        page = self._pages.get(self._noun)
        mine = [*go_to, Command("Keyboard", self.open_keyboard, "F1"), Command("Refresh", self.refresh, "F5")]
        palette.open([*(page.commands() if page else []), *self.commands(), *mine])

    def open_keyboard(self) -> None:
        from console.window.keyboard_dialog import KeyboardDialog

        KeyboardDialog(self).open()

    def _focus_search(self) -> None:
        from console.widgets.fields import SearchField

        page = self._pages.get(self._noun)
        field = page.findChild(SearchField) if page else None
        if field is not None:
            field.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _next_area(self) -> None:
        """Bar, sidebar, content, detail, and round again."""
        from console.widgets.tab_stops import tab_stops

        focus = self.focusWidget()
        page = self._pages.get(self._noun)
        detail = page.detail() if page is not None else None
        stops = tab_stops(detail) if detail is not None and detail.isVisible() else []
        if focus is not None and self.bar.isAncestorOf(focus):
            self.sidebar.focus_list()
        elif focus is not None and self.sidebar.isAncestorOf(focus) and page is not None:
            page.focus_content()
        elif (
            focus is not None
            and page is not None
            and page.isAncestorOf(focus)
            and detail is not None
            and stops
            and not detail.isAncestorOf(focus)
        ):
            stops[0].setFocus(Qt.FocusReason.ShortcutFocusReason)
        else:
            self.bar.focus_chooser()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Esc leaves whatever control did not want it, for the content of the page."""
        if event.key() == Qt.Key.Key_Escape:
            self._enter_page()
            event.accept()
            return
        super().keyPressEvent(event)

    def _enter_page(self) -> None:
        if (page := self._pages.get(self._noun)) is not None:
            page.focus_content()

    # The end

    def closeEvent(self, event: QCloseEvent) -> None:
        if self._may_close:
            event.accept()
            return
        event.ignore()
        self.closing.emit()

    def ask_to_close(self) -> None:
        """The same as pressing the window's close button."""
        self.close()

    def close_for_good(self) -> None:
        self._may_close = True
        self.close()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if (
            event.type() == QEvent.Type.WindowStateChange
            and (page := self._pages.get(self._noun)) is not None
        ):
            # A minimised window costs the broker nothing.
            (page.deactivate if self.isMinimized() else page.activate)()


class _Content(QWidget):
    def __init__(self) -> None:
        super().__init__()
        repaint_on_change(self)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), theme().color("bg"))
        painter.end()
