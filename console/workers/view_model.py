"""The state of the Workers page: which worker is chosen, what may be done with it, what its tab shows."""

from __future__ import annotations

from datetime import datetime

from PySide6.QtCore import QObject, Signal

from console.core.clock import Clock
from console.core.errors import ConsoleError
from console.core.operations import Operation, OperationRunner
from console.core.spawn import Tasks
from console.workers.model import Action, Listing, Tab, WorkerRow, WorkersSnapshot, WorkerState, refusal
from console.workers.service import WorkersService

READ_AGAIN_S = 5.0
_MOVING = (Tab.ACTIVE, Tab.RESERVED, Tab.SCHEDULED)


class WorkersViewModel(QObject):
    """`rows_changed`: workers or error; `chosen_changed`: selection, actions; `listing_changed`: the tab."""

    rows_changed = Signal()
    chosen_changed = Signal()
    listing_changed = Signal()

    def __init__(self, service: WorkersService, *, runner: OperationRunner, clock: Clock) -> None:
        super().__init__()
        self._service = service
        self._runner = runner
        self._clock = clock
        self._tasks = Tasks("workers page")
        self._visible = False
        self._asked = 0
        self._read_s = 0.0
        self._read_at: tuple[int | None, int | None] = (None, None)
        self.chosen: str | None = None
        self.tab = Tab.ACTIVE
        self.reading = False
        self.listing: Listing | None = None
        self.listing_error: ConsoleError | None = None
        self._disconnect = service.changed.connect(self._take)

    @property
    def snapshot(self) -> WorkersSnapshot:
        return self._service.snapshot

    @property
    def attached(self) -> bool:
        return self._service.attached

    @property
    def now(self) -> datetime:
        return self._clock.now()

    @property
    def row(self) -> WorkerRow | None:
        """The chosen worker."""
        return next((row for row in self.snapshot.rows if row.hostname == self.chosen), None)

    def refusal(self, action: Action) -> str | None:
        """Why `action` cannot be done now, in words; None when it can."""
        if not self.attached:
            return "No connection is open"
        if self.chosen is None:
            return refusal(action, None)
        # What is forbidden comes first: what a worker has not said may be unknown for that very reason.
        forbidden = self._runner.refusal(self._operation(action, self.chosen))
        return forbidden or refusal(action, self.row)

    # --- What a person does ------------------------------------------------------------------------------

    def set_visible(self, visible: bool) -> None:
        self._visible = visible
        self._service.set_visible(visible)
        if visible:
            self._read_again_if_it_moved()

    def refresh(self) -> None:
        """F5: the workers and the open tab."""
        self._service.refresh()
        self.read_listing()

    def choose(self, hostname: str | None) -> None:
        if hostname != self.chosen:
            self.chosen = hostname
            self._drop_listing()
            self.chosen_changed.emit()
            self.read_listing()

    def choose_tab(self, tab: Tab) -> None:
        if tab is not self.tab:
            self.tab = tab
            self._drop_listing()
            self.read_listing()

    def do(self, action: Action) -> None:
        """Do `action` with the chosen worker, through the single write path."""
        if self.chosen is not None and self.refusal(action) is None:
            self._tasks.start(self._run(self._operation(action, self.chosen)), name=action.value)

    def read_listing(self) -> None:
        """Ask the chosen worker for what the tab shows; an answer to an older question is dropped."""
        row = self.row
        self._asked += 1
        if row is None or row.state is WorkerState.OFFLINE:
            self.reading = False
            self.listing_changed.emit()
            return
        self.reading = True
        self._read_s = self._clock.monotonic_s()
        self._read_at = (row.active, row.processed)
        self.listing_changed.emit()
        self._tasks.start(self._read(row.hostname, self.tab, self._asked), name="listing")

    # --- What the service tells --------------------------------------------------------------------------

    def _operation(self, action: Action, hostname: str) -> Operation:
        operations = self._service.operations
        make = {
            Action.PING: operations.ping,
            Action.GROW: operations.grow,
            Action.SHRINK: operations.shrink,
            Action.ENABLE_EVENTS: operations.enable_events,
            Action.SHUT_DOWN: operations.shut_down,
        }[action]
        return make(hostname)

    async def _run(self, operation: Operation) -> None:
        await self._runner.run(operation)
        self.chosen_changed.emit()

    async def _read(self, hostname: str, tab: Tab, asked: int) -> None:
        listing, failure = None, None
        try:
            listing = await self._service.listing(hostname, tab)
        except ConsoleError as error:
            failure = error
        if asked != self._asked:
            return
        self.reading = False
        self.listing_error = failure
        if listing is not None:
            self.listing = listing
        self.listing_changed.emit()

    def _drop_listing(self) -> None:
        self.listing = self.listing_error = None

    def _take(self, _snapshot: WorkersSnapshot) -> None:
        self.rows_changed.emit()
        self.chosen_changed.emit()
        self._read_again_if_it_moved()

    def _read_again_if_it_moved(self) -> None:
        """Lists of tasks follow the worker's counters, at most every 5 s and only while looked at."""
        row = self.row
        if not self._visible or row is None or self.reading or self.tab not in _MOVING:
            return
        moved = (row.active, row.processed) != self._read_at
        if moved and self._clock.monotonic_s() - self._read_s >= READ_AGAIN_S:
            self.read_listing()

    async def aclose(self) -> None:
        """End what runs in the background."""
        self._disconnect()
        await self._tasks.aclose()
