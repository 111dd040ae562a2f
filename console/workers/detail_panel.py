"""What one worker holds and is: seven tabs, each asked of the worker while it is looked at, and facts."""

from __future__ import annotations

from datetime import datetime

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QStackedLayout, QVBoxLayout, QWidget

from console.core.errors import ConsoleError
from console.widgets.badge import Badge, StateBadge
from console.widgets.banner import Banner
from console.widgets.button import Button
from console.widgets.data_table import DataTable
from console.widgets.empty_state import EmptyState
from console.widgets.fields import SearchField
from console.widgets.label import Divider
from console.widgets.panel import KeyValueGrid, Panel
from console.widgets.table_page import TableStack
from console.widgets.tabs import TabBar
from console.widgets.text import clock_text, middle_elide, number_text
from console.widgets.zone import local_zone
from console.workers.facts import fact_hints, fact_pairs
from console.workers.listing_cells import (
    EMPTY_WORDS,
    FIRST_SORT,
    TAB_COLUMNS,
    TICKING,
    WITH_IDS,
    listing_rows,
    task_id_of,
)
from console.workers.model import Listing, Tab, WorkerRow, WorkerState

FACTS_WIDTH = 292
KEY_WIDTH = 84
LONGEST_TITLE = 40
MOST_TICKING = 500
_SEARCHED = (Tab.REVOKED, Tab.REGISTERED, Tab.SETTINGS, Tab.STATISTICS)


class DetailPanel(Panel):
    """Tells which tab is chosen, that a person wants it read again, and which task they want to see."""

    tab_chosen = Signal(str)
    read_again = Signal()
    task_wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Worker", parent=parent)
        self._state = StateBadge(WorkerState.ONLINE.value)
        self._events = Badge("Events off", tone="warning", icon="bell-off")
        self._again = Button("Read again", icon="refresh-cw", kind="flat", small=True)
        self._tabs = TabBar([tab.value for tab in Tab], name="Worker detail")
        self._search = SearchField("Search settings")
        self._banner = Banner(compact=True)
        self._facts = KeyValueGrid(key_width=KEY_WIDTH)
        self._stacks: dict[Tab, TableStack] = {}
        self._empty: dict[Tab, EmptyState] = {}
        self._shown: tuple[Tab, Listing] | None = None
        self._row: WorkerRow | None = None
        self.add_head(self._state)
        self.add_head(self._events)
        self.add_head_right(self._search)
        self.add_head_right(self._again)
        self._pages = QStackedLayout()
        self.set_content(self._make_content())
        self._tabs.changed.connect(self.tab_chosen)
        self._again.clicked.connect(self.read_again)
        self._banner.action_clicked.connect(self.read_again)
        self._search.edited.connect(lambda _text: self._show_rows())

    def _make_content(self) -> QWidget:
        left = QVBoxLayout()
        left.setSpacing(0)
        left.addWidget(self._tabs)
        left.addWidget(self._banner)
        left.addLayout(self._pages, 1)
        content = QWidget()
        layout = QHBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(left, 1)
        layout.addWidget(Divider(vertical=True))
        layout.addWidget(self._make_facts())
        return content

    def _make_facts(self) -> QWidget:
        inner = QWidget()
        layout = QVBoxLayout(inner)
        layout.setContentsMargins(14, 10, 12, 10)
        layout.addWidget(self._facts)
        scroll = QScrollArea()
        scroll.setAccessibleName("Facts about the worker")
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidgetResizable(True)
        scroll.setWidget(inner)
        scroll.viewport().setAutoFillBackground(False)
        inner.setAutoFillBackground(False)
        scroll.setFixedWidth(FACTS_WIDTH)
        return scroll

    def show_worker(self, row: WorkerRow, *, shown: str, now: datetime) -> None:
        """Whose details these are, and what is known of it."""
        self._row = row
        self.set_title(middle_elide(shown, LONGEST_TITLE))
        self._state.set_state(row.state.value)
        self._events.setVisible(row.task_events is False and row.state is not WorkerState.OFFLINE)
        self._facts.set_pairs(fact_pairs(row, now=now), hints=fact_hints(row, zone=local_zone()))

    def show_listing(
        self,
        tab: Tab,
        listing: Listing | None,
        *,
        error: ConsoleError | None,
        offline: bool,
        reading: bool,
        now: datetime,
    ) -> None:
        """What the worker answered; while it has not, grey bars or the reason."""
        stack = self._stack(tab)
        reason = "" if error is None else " ".join(part for part in (error.detail, error.remedy) if part)
        self._pages.setCurrentWidget(stack)
        self._again.setEnabled(not offline and (listing is not None or not reading))
        self._show_search(tab)
        self._shown = None if listing is None or offline else (tab, listing)
        if error is None or offline:
            self._banner.clear()
        else:
            # Where there is nothing else to show there is room for the whole reason below.
            self._banner.show_message("error", error.title, "" if listing is None else reason, action="Retry")
        if self._shown is not None:
            self._show_rows(now)
            return
        self.set_subtitle("")
        if offline:
            self._say(tab, "circle-off", "The worker is offline", "It answers no questions.")
        elif error is not None:
            self._say(tab, "circle-question-mark", "Unknown", reason or "The worker did not say.")
        else:
            stack.show_loading()

    def tick(self, row: WorkerRow, *, now: datetime) -> None:
        """A second has passed: times that run go on."""
        self._row = row
        self._facts.set_pairs(fact_pairs(row, now=now), hints=fact_hints(row, zone=local_zone()))
        if self._shown is not None and self._shown[0] in TICKING and len(self._shown[1].rows) <= MOST_TICKING:
            self._show_rows(now)

    def _show_rows(self, now: datetime | None = None) -> None:
        if self._shown is None:
            return
        tab, listing = self._shown
        stack, searched = self._stack(tab), tab in _SEARCHED
        rows = listing_rows(
            tab,
            listing.rows,
            zone=local_zone(),
            now=listing.as_of if now is None else now,
            offset_s=None if self._row is None else self._row.clock_offset_s,
            search=self._search.text() if searched else "",
        )
        stack.table.set_rows(rows)
        self.set_subtitle(_subtitle(tab, len(rows), listing))
        if rows:
            stack.show_rows()
        elif listing.rows:
            self._say(tab, "search", "Nothing matches", "No line contains these words.")
        else:
            self._say(tab, "inbox", *EMPTY_WORDS[tab])

    def _say(self, tab: Tab, icon: str, title: str, reason: str) -> None:
        if tab not in self._empty:
            self._empty[tab] = EmptyState(icon, title, reason)
        self._empty[tab].set(icon, title, reason)
        self._stack(tab).show_empty(self._empty[tab])

    def _show_search(self, tab: Tab) -> None:
        words = f"Search {tab.value.lower()}"
        if self._search.accessibleName() != words:
            self._search.setText("")
            self._search.setAccessibleName(words)
            self._search.setPlaceholderText(words)
        self._search.setVisible(tab in _SEARCHED)

    def _stack(self, tab: Tab) -> TableStack:
        if tab not in self._stacks:
            table = DataTable(tab.value, TAB_COLUMNS[tab], framed=False, local_sort=True)
            if tab in FIRST_SORT:
                column, descending = FIRST_SORT[tab]
                table.set_sort(column, descending=descending)
            if tab in WITH_IDS:
                table.link_clicked.connect(lambda key, _column: self._want(table, key))
                table.activated_row.connect(lambda key: self._want(table, key))
            stack = TableStack(table, framed=False)
            self._stacks[tab] = stack
            self._pages.addWidget(stack)
        return self._stacks[tab]

    def _want(self, table: DataTable, key: str) -> None:
        task_id = next((task_id_of(row) for row in table.rows() if row.key == key), "")
        if task_id:
            self.task_wanted.emit(task_id)


def _subtitle(tab: Tab, shown: int, listing: Listing) -> str:
    """How much the tab shows, and of when that is."""
    total = len(listing.rows)
    count = number_text(total) if shown == total else f"{number_text(shown)} of {number_text(total)}"
    what = {Tab.REGISTERED: "registered tasks", Tab.SETTINGS: "settings", Tab.STATISTICS: "figures"}
    words = what.get(tab, tab.value.lower())
    return f"{count} {words}, as of {clock_text(listing.as_of, local_zone())}"
