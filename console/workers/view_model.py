"""The state of the Workers page: which workers are shown and chosen, what may be done, what the tab shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from PySide6.QtCore import QObject, Signal

from console.core.clock import Clock
from console.core.connection import ConnectionInfo
from console.core.errors import ConsoleError
from console.core.operations import Operation, OperationRunner
from console.core.spawn import Tasks
from console.workers.actions import (
    Action,
    Parameters,
    Places,
    QueueName,
    Range,
    RateLimit,
    TimeLimits,
    refusal_of_all,
)
from console.workers.model import Listing, Tab, TaskInfo, WorkerRow, WorkersSnapshot, WorkerState
from console.workers.service import WorkersService

MOVED_S = 2.0
AFTER_ERROR_S = 30.0
_AGAIN_S = {Tab.ACTIVE: 6.0, Tab.RESERVED: 6.0, Tab.SCHEDULED: 6.0, Tab.STATISTICS: 6.0, Tab.REVOKED: 20.0}
"""How often a tab is read again while it is looked at; the others only when somebody wants it."""
_COUNTED = (Tab.ACTIVE, Tab.RESERVED, Tab.SCHEDULED)
"""Tabs that may have changed when the worker's heartbeat counts other tasks than before."""


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
        self.chosen: tuple[str, ...] = ()
        self.search = ""
        self.states: frozenset[WorkerState] = frozenset()
        self.places = 1
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
    def connection(self) -> ConnectionInfo | None:
        """The open connection."""
        return self._service.connection

    @property
    def now(self) -> datetime:
        return self._clock.now()

    @property
    def shown(self) -> list[WorkerRow]:
        """The workers that search and states leave over."""
        words = self.search.casefold().split()
        return [
            row
            for row in self.snapshot.rows
            if (not self.states or row.state in self.states) and all(word in _words(row) for word in words)
        ]

    @property
    def rows(self) -> list[WorkerRow]:
        """The chosen workers."""
        chosen = set(self.chosen)
        return [row for row in self.snapshot.rows if row.hostname in chosen]

    @property
    def row(self) -> WorkerRow | None:
        """The chosen worker, if it is one."""
        rows = self.rows
        return rows[0] if len(rows) == 1 else None

    @property
    def offline(self) -> tuple[str, ...]:
        """All workers that are offline."""
        return tuple(row.hostname for row in self.snapshot.rows if row.state is WorkerState.OFFLINE)

    @property
    def dismissable(self) -> tuple[str, ...]:
        """The chosen workers that are offline."""
        return tuple(row.hostname for row in self.rows if row.state is WorkerState.OFFLINE)

    def refusal(self, action: Action) -> str | None:
        """Why `action` cannot be done now, in words; None when it can."""
        if not self.attached:
            return "No connection is open"
        rows = self.rows
        if not rows:
            return refusal_of_all(action, ())
        # What is forbidden comes first: what a worker has not said may be unknown for that very reason.
        forbidden = self._runner.refusal(self._sample(action))
        return forbidden or refusal_of_all(action, rows)

    # --- What forms offer --------------------------------------------------------------------------------

    def known_queues(self) -> tuple[str, ...]:
        """Queues that some worker consumes or consumed."""
        return self._service.queues()

    def consumed_queues(self) -> tuple[str, ...]:
        """Queues that some chosen worker consumes."""
        return tuple(sorted({queue for row in self.rows for queue in row.queues or ()}))

    def registered(self) -> dict[str, TaskInfo]:
        """Tasks that some chosen worker has registered, by name."""
        return {info.name: info for row in self.rows for info in row.said.registered or ()}

    # --- What a person does ------------------------------------------------------------------------------

    def set_visible(self, visible: bool) -> None:
        self._visible = visible
        self._service.set_visible(visible)
        if visible:
            self.read_again_if_due()

    def refresh(self) -> None:
        """F5: the workers and the open tab."""
        self._service.refresh()
        self.read_listing()

    def set_search(self, text: str) -> None:
        self.search = text
        self.rows_changed.emit()

    def set_states(self, states: frozenset[WorkerState]) -> None:
        """Show workers in these states only; none is all."""
        self.states = states
        self.rows_changed.emit()

    def choose(self, hostnames: Sequence[str]) -> None:
        chosen = tuple(hostnames)
        if chosen != self.chosen:
            self.chosen = chosen
            self._drop_listing()
            self.chosen_changed.emit()
            self.read_listing()

    def choose_tab(self, tab: Tab) -> None:
        if tab is not self.tab:
            self.tab = tab
            self._drop_listing()
            self.read_listing()

    def do(self, action: Action, parameters: Parameters | None = None) -> None:
        """Do `action` with the chosen workers, through the single write path.

        Those actions whose words end with "…", but for the shut down, need the `parameters` of their form.
        """
        if self.chosen and self.refusal(action) is None:
            self._tasks.start(self._run(self.operation(action, parameters)), name=action.value)

    def dismiss(self, hostnames: Sequence[str]) -> None:
        """Show these offline workers no longer."""
        self._tasks.start(self._service.dismiss(hostnames), name="dismiss")

    def operation(
        self,
        action: Action,
        parameters: Parameters | None = None,
        *,
        hostnames: Sequence[str] | None = None,
    ) -> Operation:
        """What `do` would run with the chosen workers, or with others."""
        make, names = self._service.operations, self.chosen if hostnames is None else hostnames
        plain: dict[Action, Callable[..., Operation]] = {
            Action.PING: make.ping,
            Action.RESTART_POOL: make.restart_pool,
            Action.ENABLE_EVENTS: make.enable_events,
            Action.SHUT_DOWN: make.shut_down,
        }
        if action in plain:
            return plain[action](*names)
        match action, parameters:
            case Action.GROW, _:
                by = parameters.by if isinstance(parameters, Places) else self.places
                return make.grow(*names, by=by)
            case Action.SHRINK, _:
                by = parameters.by if isinstance(parameters, Places) else self.places
                return make.shrink(*names, by=by)
            case Action.AUTOSCALE, Range(least, most):
                return make.autoscale(*names, least=least, most=most)
            case Action.ADD_QUEUE, QueueName(queue):
                return make.add_queue(*names, queue=queue)
            case Action.STOP_CONSUMING, QueueName(queue):
                return make.stop_consuming(*names, queue=queue)
            case Action.RATE_LIMIT, RateLimit(task, limit):
                return make.rate_limit(*names, task=task, limit=limit)
            case Action.TIME_LIMIT, TimeLimits(task, soft_s, hard_s):
                return make.time_limit(*names, task=task, soft_s=soft_s, hard_s=hard_s)
            case _:
                raise ValueError(f"{action.value} needs its parameters, not {parameters}")

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

    def read_again_if_due(self) -> None:
        """Lists follow the worker: soon when its counters move, now and then when they do not.

        Called every second while somebody looks; how often workers may be asked at all, the service says.
        """
        row, pause_s = self.row, _AGAIN_S.get(self.tab)
        if not self._visible or row is None or self.reading or pause_s is None:
            return
        if self.tab in _COUNTED and (row.active, row.processed) != self._read_at:
            pause_s = MOVED_S
        if self.listing_error is not None:
            pause_s = AFTER_ERROR_S
        due = self._clock.monotonic_s() - self._read_s >= pause_s
        if due and row.state is not WorkerState.OFFLINE and self._service.may_read_again:
            self.read_listing()

    # --- What the service tells --------------------------------------------------------------------------

    def _sample(self, action: Action) -> Operation:
        """An operation of the kind of `action`, to ask whether the connection allows it at all."""
        samples: dict[Action, Parameters] = {
            Action.AUTOSCALE: Range(1, 1),
            Action.ADD_QUEUE: QueueName("-"),
            Action.STOP_CONSUMING: QueueName("-"),
            Action.RATE_LIMIT: RateLimit("-", ""),
            Action.TIME_LIMIT: TimeLimits("-", None, None),
        }
        return self.operation(action, samples.get(action), hostnames=self.chosen[:1])

    async def _run(self, operation: Operation) -> None:
        await self._runner.run(operation)
        self.chosen_changed.emit()
        if self.tab in (Tab.REGISTERED, Tab.STATISTICS):
            self.read_listing()

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
        self.read_again_if_due()

    async def aclose(self) -> None:
        """End what runs in the background."""
        self._disconnect()
        await self._tasks.aclose()


def _words(row: WorkerRow) -> str:
    """Everything by which a worker is searched."""
    return " ".join((row.hostname, row.pool or "", row.software, *(row.queues or ()))).casefold()
