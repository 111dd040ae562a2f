"""What one worker holds and is: seven tabs, each asked of the worker when it is looked at."""

from __future__ import annotations

from datetime import datetime

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QStackedLayout, QVBoxLayout, QWidget

from console.core.errors import ConsoleError
from console.widgets.badge import StateBadge
from console.widgets.banner import Banner
from console.widgets.button import Button
from console.widgets.data_table import DataTable
from console.widgets.empty_state import EmptyState
from console.widgets.panel import Panel
from console.widgets.table_page import TableStack
from console.widgets.tabs import TabBar
from console.widgets.text import clock_text
from console.widgets.zone import local_zone
from console.workers.cells import EMPTY_WORDS, TAB_COLUMNS, listing_rows
from console.workers.model import Listing, Tab, WorkerRow, WorkerState


class DetailPanel(Panel):
    """Tells which tab is chosen and that a person wants it read again."""

    tab_chosen = Signal(str)
    read_again = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Worker", parent=parent)
        self._state = StateBadge(WorkerState.ONLINE.value)
        self._again = Button("Read again", icon="refresh-cw", kind="flat", small=True)
        self._tabs = TabBar([tab.value for tab in Tab], name="Worker detail")
        self._banner = Banner(compact=True)
        self._stacks: dict[Tab, TableStack] = {}
        self.add_head(self._state)
        self.add_head_right(self._again)
        content = QWidget()
        self._pages = QStackedLayout()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._tabs)
        layout.addWidget(self._banner)
        layout.addLayout(self._pages, 1)
        self.set_content(content)
        self._tabs.changed.connect(self.tab_chosen)
        self._again.clicked.connect(self.read_again)
        self._banner.action_clicked.connect(self.read_again)

    def show_worker(self, row: WorkerRow, *, shown: str) -> None:
        """The head: whose details these are."""
        self.set_title(shown)
        self._state.set_state(row.state.value)

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
        self._pages.setCurrentWidget(stack)
        self._again.setEnabled(not reading and not offline)
        self.set_subtitle(
            "" if listing is None or offline else f"as of {clock_text(listing.as_of, local_zone())}"
        )
        if error is None or offline:
            self._banner.clear()
        else:
            detail = " ".join(part for part in (error.detail, error.remedy) if part)
            self._banner.show_message("error", error.title, detail, action="Retry")
        if offline:
            stack.show_empty(EmptyState("circle-off", "The worker is offline", "It answers no questions."))
        elif listing is not None:
            zone = local_zone()
            stack.table.set_rows(listing_rows(tab, listing.rows, zone=zone, now=now))
            if listing.rows:
                stack.show_rows()
            else:
                stack.show_empty(EmptyState("inbox", *EMPTY_WORDS[tab]))
        elif error is not None:
            stack.show_empty(EmptyState("circle-question-mark", "Unknown", "The worker did not say."))
        else:
            stack.show_loading()

    def _stack(self, tab: Tab) -> TableStack:
        if tab not in self._stacks:
            stack = TableStack(DataTable(tab.value, TAB_COLUMNS[tab], framed=False), framed=False)
            self._stacks[tab] = stack
            self._pages.addWidget(stack)
        return self._stacks[tab]
