"""The workers of the open connection: who lives, what they are, what is done to them.

Heartbeats come for nothing with the collector's summaries and go into the roster; inspection asks
workers what heartbeats do not tell; the history knows who failed. Here the three become one picture.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from console.broker.session import Session
from console.core.clock import Clock
from console.core.connection import ConnectionInfo, Environment, LinkStatus, Right
from console.core.errors import Cause, ConsoleError
from console.core.happening import Happening
from console.core.notices import Level, NoticeAction, NoticeBoard
from console.core.operations import OperationRunner, Subject
from console.core.spawn import Tasks
from console.history.model import CollectorState, CollectorSummary
from console.workers.dismissals import Dismissals, FileDismissals
from console.workers.effects import Crew
from console.workers.gateway import CeleryControl, Control
from console.workers.inspection import ROUND_S, Inspection, Turns
from console.workers.listings import ask_for_tab
from console.workers.model import (
    Inspected,
    Listing,
    Replies,
    Request,
    Tab,
    WorkerRow,
    WorkersSnapshot,
    WorkerState,
)
from console.workers.operations import WorkerOperations
from console.workers.replies import listing_rows, with_registered, with_stats
from console.workers.roster import EVENTS_LATE_S, Known, Roster
from console.workers.task_history import SeenInHistory, SqliteWorkerHistory, WorkerHistory

TICK_S = 1.0
HISTORY_S = 5.0
EVENTS_HEARD_WITHIN = timedelta(minutes=10)


def open_celery_control(session: Session) -> Control:
    """Remote control over a session's broker."""
    return CeleryControl(session.celery_app, session.address)


def open_file_dismissals(session: Session) -> Dismissals:
    """Which workers of a session a person no longer wants to see."""
    return FileDismissals(session.history_file)


def open_sqlite_history(session: Session) -> WorkerHistory:
    """What the collector of a session stores."""
    return SqliteWorkerHistory(session.history_file)


class WorkersService:
    """Workers with state, counters and what they consume."""

    def __init__(
        self,
        *,
        clock: Clock,
        notices: NoticeBoard,
        runner: OperationRunner,
        open_control: Callable[[Session], Control] = open_celery_control,
        open_history: Callable[[Session], WorkerHistory] = open_sqlite_history,
        open_dismissals: Callable[[Session], Dismissals] = open_file_dismissals,
        round_s: float = ROUND_S,
    ) -> None:
        self._clock = clock
        self._notices = notices
        self._open_control = open_control
        self._open_history = open_history
        self._open_dismissals = open_dismissals
        self._session: Session | None = None
        self._control: Control | None = None
        self._history: WorkerHistory | None = None
        self._dismissals: Dismissals | None = None
        self._seen_in_history: SeenInHistory | None = None
        self._history_change = -1
        self._history_read: tuple[float, int] | None = None
        self._heard_s: float | None = None
        self._tasks = Tasks("workers")
        self._wake = asyncio.Event()
        self._disconnect: Callable[[], None] = lambda: None
        self._unlisten: Callable[[], None] = lambda: None
        self._visible = False
        self._needed_by: set[str] = set()
        self._listing_was_last = False
        self._round_s = round_s
        self._turns = Turns(clock, round_s=round_s)
        self._roster = Roster(clock.monotonic_s())
        self._inspection = Inspection(self._roster, ask=self._ask_by_itself, clock=clock, turns=self._turns)
        self._malformed = 0
        self._heard = False
        self._reading = False
        self._connected = False
        self.snapshot = WorkersSnapshot()
        self._row_by_name: dict[str, WorkerRow] = {}
        self.changed: Happening[WorkersSnapshot] = Happening()
        self.operations = WorkerOperations(
            Crew(ask=self._ask, tell=self._tell, row=self.row, learn=self._learn),
            row=self.row,
            rows=lambda: self.snapshot.rows,
            production=lambda: self._is_production,
        )
        runner.changed.connect(self._on_operation)

    def attach(self, session: Session) -> None:
        """Follow the workers of `session` until `detach`."""
        self._forget()
        self._session = session
        self._control = self._open_control(session)
        self._history = self._open_history(session)
        self._dismissals = self._open_dismissals(session)
        self._disconnect = session.status_changed.connect(self._on_status)
        self._unlisten = session.rights_changed.connect(lambda _rights: self.refresh())
        self._tasks.start(self._read_dismissals(session), name="dismissals")
        self._tasks.start(self._watch(session), name="inspect")
        self._tasks.start(self._tick(session), name="tick")
        self._publish()

    async def detach(self) -> None:
        """Stop following and forget."""
        self._disconnect()
        self._unlisten()
        session, control = self._session, self._control
        self._session = self._control = self._history = self._dismissals = None
        if control is not None:
            control.leave()
        self._wake.set()  # a lane may swallow the cancellation; the loop then ends by itself
        await self._tasks.aclose()
        if session is not None and control is not None:
            try:
                await session.control.run(control.close, timeout_s=2.0)
            except ConsoleError:
                pass  # a stuck lane: the sockets end with their own timeouts
        for known in self._roster:
            self._notices.withdraw(_notice_key(known.hostname))
        self._forget()
        self._publish()

    @property
    def attached(self) -> bool:
        """Whether a connection is open, up or not."""
        return self._session is not None

    def set_visible(self, visible: bool) -> None:
        """Whether somebody looks at the page."""
        self._visible = visible
        self._inspection.set_visible(visible)
        if visible:
            self._wake.set()

    def set_needed(self, page: str, needed: bool) -> None:
        """Whether another page shows what only workers can say (who consumes which queue)."""
        if needed:
            self._needed_by.add(page)
        else:
            self._needed_by.discard(page)
        self._inspection.set_needed(bool(self._needed_by))
        if needed:
            self._wake.set()

    def refresh(self) -> None:
        """Inspect everybody now."""
        self._inspection.want_everybody()
        self._wake.set()

    def row(self, hostname: str) -> WorkerRow | None:
        """The row of a worker, None if there is none."""
        return self._row_by_name.get(hostname)

    def consumers_by_queue(self) -> dict[str, int] | None:
        """How many live workers consume each queue; None while some live worker has not said."""
        return self._roster.consumers_by_queue() if self._informed else None

    def registered_tasks(self) -> tuple[str, ...]:
        """Names of all tasks that some worker of this connection has registered."""
        return tuple(
            sorted({info.name for known in self._roster for info in known.inspected.registered or ()})
        )

    def queues(self) -> tuple[str, ...]:
        """Names of all queues that some worker of this connection consumes or consumed."""
        return tuple(sorted({name for known in self._roster for name in known.inspected.queues or ()}))

    def default_queue(self) -> str | None:
        """Where the workers send what names no queue; None while they have not said, or do not agree."""
        said = {
            known.inspected.default_queue for known in self._roster if known.state is not WorkerState.OFFLINE
        }
        return said.pop() if len(said) == 1 else None

    @property
    def beats(self) -> tuple[str, ...]:
        """Beats that answered the last look; celery 5.7 needs a setting for it, so none says nothing."""
        return self._inspection.beats

    @property
    def connection(self) -> ConnectionInfo | None:
        """The open connection."""
        return None if self._session is None else self._session.info

    @property
    def _is_production(self) -> bool:
        return self._session is not None and self._session.info.environment is Environment.PRODUCTION

    @property
    def may_read_again(self) -> bool:
        """Whether a listing may be read again by itself; questions about the roster have every other turn."""
        if self._turns.wait_s > 0 or self._session is None or not self._session.connected:
            return False
        return not (self._listing_was_last and self._inspection.is_waiting)

    async def listing(self, hostname: str, tab: Tab) -> Listing:
        """What `tab` shows of one worker, asked now. Raises `ConsoleError` when it does not answer."""
        self._listing_was_last = True
        value = await ask_for_tab(self._ask, hostname, tab)
        if tab is Tab.STATISTICS:
            self._learn(hostname, lambda before: with_stats(before, value), told=True)
        elif tab is Tab.REGISTERED:
            self._learn(hostname, lambda before: with_registered(before, value))
        return Listing(hostname, tab, listing_rows(tab, value), self._clock.now())

    # Workers that are gone.

    async def dismiss(self, hostnames: Collection[str]) -> None:
        """Show these offline workers no longer, until they are heard again; can be undone in the notice."""
        before = dict(self._roster.dismissed)
        gone = {
            row.hostname: row.last_heartbeat
            for row in self.snapshot.rows
            if row.hostname in hostnames
            and row.state is WorkerState.OFFLINE
            and row.last_heartbeat is not None
        }
        if not gone or not await self._set_dismissed({**before, **gone}):
            return
        text = next(iter(gone)) if len(gone) == 1 else f"{len(gone):,} offline workers"
        self._notices.post(
            Level.INFO,
            f"{text} dismissed",
            detail="A worker that comes back is shown again.",
            action=NoticeAction("Undo", lambda: self._restore(tuple(gone))),
        )

    def _restore(self, hostnames: Collection[str]) -> None:
        kept = {name: at for name, at in self._roster.dismissed.items() if name not in hostnames}
        self._tasks.start(self._set_dismissed(kept), name="undo dismissal")

    async def _set_dismissed(self, dismissed: Mapping[str, datetime]) -> bool:
        session, dismissals = self._session, self._dismissals
        if session is None or dismissals is None:
            return False
        self._roster.dismissed = dismissed
        self._publish()
        try:
            await session.history.run(lambda: dismissals.write(dismissed))
        except ConsoleError as error:
            self._notices.post_error(error, key="dismissals")
        return True

    async def _read_dismissals(self, session: Session) -> None:
        dismissals = self._dismissals
        if dismissals is not None:
            self._roster.dismissed = await session.history.run(dismissals.read)
            self._publish()

    # Heartbeats.

    def on_summary(self, summary: CollectorSummary) -> None:
        """The collector spoke: heartbeats, goodbyes, or that it cannot hear."""
        if self._session is None:
            return
        self._set_reading(summary.state is CollectorState.READING)
        if self._roster.hear(summary.workers, now=self._clock.now(), now_s=self._clock.monotonic_s()):
            self._wake.set()
        self._heard = self._heard or self._reading
        self._history_change = summary.change
        self._publish()

    def _on_status(self, _status: LinkStatus) -> None:
        self._set_reading(self._reading)
        connected = self._session is not None and self._session.connected
        if connected and not self._connected:
            self._inspection.want_everybody()
            self._wake.set()
        self._connected = connected
        self._publish()

    def _set_reading(self, reading: bool) -> None:
        self._reading = reading
        hears = reading and self._session is not None and self._session.connected
        self._roster.set_hearing(hears, now_s=self._clock.monotonic_s())

    async def _tick(self, session: Session) -> None:
        """A worker that falls silent sends nothing: only time tells."""
        while self._session is session:
            await asyncio.sleep(TICK_S)
            await self._read_history(session)
            self._publish()

    async def _read_history(self, session: Session) -> None:
        """Who failed how often, and who sends task events: when that may have changed and matters."""
        history, now_s = self._history, self._clock.monotonic_s()
        if history is None or self._history_change < 0 or not self._history_is_due(now_s):
            return
        self._history_read = (now_s, self._history_change)
        names = [known.hostname for known in self._roster if known.state is not WorkerState.OFFLINE]
        since = self._clock.now() - EVENTS_HEARD_WITHIN
        try:
            self._seen_in_history = await session.history.run(lambda: history.seen(names, since=since))
        except ConsoleError:  # no history: unknown, not none
            self._seen_in_history = None
        self._heard_s = now_s

    def _history_is_due(self, now_s: float) -> bool:
        if self._history_read is None:
            return True
        read_s, change = self._history_read
        if now_s - read_s < HISTORY_S:
            return False
        rows = self.snapshot.rows
        if change != self._history_change and (
            self._visible or any(row.task_events is False for row in rows)
        ):
            return True
        # A worker that works and is not known to send events: silence in the history is the answer.
        return any(row.task_events is None and self._worked_since(row.hostname, read_s) for row in rows)

    def _worked_since(self, hostname: str, read_s: float) -> bool:
        known = self._roster.get(hostname)
        return known is not None and known.worked_s is not None and read_s - known.worked_s < EVENTS_LATE_S

    # Questions.

    async def _watch(self, session: Session) -> None:
        while self._session is session:
            self._wake.clear()
            if session.connected:
                await self._inspection.look(self._publish)
            try:
                # Not wait_for: under Python 3.11 it swallows a cancellation that meets the wake-up.
                async with asyncio.timeout(self._inspection.next_look_s):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _ask_by_itself(self, *requests: Request, timeout_s: float) -> Replies:
        self._listing_was_last = False
        return await self._ask(*requests, timeout_s=timeout_s)

    async def _ask(self, *requests: Request, timeout_s: float, key: Hashable = None) -> Replies:
        session, control = self._line()
        self._turns.take()
        replies = await session.control.run(lambda: control.ask(requests, timeout_s=timeout_s), key=key)
        self._malformed += replies.malformed
        return replies

    async def _tell(self, request: Request) -> None:
        session, control = self._line()
        self._turns.take()
        await session.control.run(lambda: control.tell(request))

    def _line(self) -> tuple[Session, Control]:
        if self._session is None or self._control is None:
            raise ConsoleError("No connection is open")
        if not self._session.connected:
            raise ConsoleError(
                "The broker is away",
                remedy="Try again when the connection is back.",
                cause=Cause.UNREACHABLE,
                retryable=True,
            )
        if (refused := self._session.rights.get(Right.ASK_WORKERS)) is not None:
            raise ConsoleError(
                "Workers are not asked",
                detail=f"{refused.rstrip('.')}. What heartbeats and events tell is shown.",
                cause=Cause.NOT_PERMITTED,
            )
        return self._session, self._control

    def _learn(self, hostname: str, learned: Callable[[Inspected], Inspected], *, told: bool = False) -> None:
        """An operation or a tab has seen something about a worker; `told` is its statistics, just now."""
        known = self._roster.get(hostname)
        if known is not None:
            known.inspected = learned(known.inspected)
            if told:
                known.said_at = self._clock.now()
            self._publish()

    def _on_operation(self, changes: frozenset[Subject]) -> None:
        if Subject.WORKERS in changes and self._session is not None:
            self.refresh()

    # The picture.

    @property
    def _informed(self) -> bool:
        return self._heard or self._inspection.looked_s is not None

    def _publish(self) -> None:
        now_s = self._clock.monotonic_s()
        for known, before, age_s in self._roster.age(now_s):
            self._tell_of_silence(known, before, age_s)
        stale = self._session is None or not self._session.connected or not self._reading
        as_of = self.snapshot.as_of
        if not self._informed:
            as_of = None
        elif not stale or as_of is None:
            as_of = self._clock.now()
        history = self._seen_in_history
        snapshot = WorkersSnapshot(
            rows=self._roster.rows(
                failed=None if history is None else history.failed,
                heard=() if history is None else history.heard,
                heard_s=None if history is None else self._heard_s,
            ),
            as_of=as_of,
            error=self._inspection.error,
            stale=stale,
            silent=self._inspection.silent,
            beats=self._inspection.beats,
            malformed=self._malformed,
        )
        old, self.snapshot = self.snapshot, snapshot
        self._row_by_name = {row.hostname: row for row in snapshot.rows}
        if replace(old, as_of=None) != replace(snapshot, as_of=None):
            self.changed.emit(snapshot)

    def _tell_of_silence(self, known: Known, before: WorkerState | None, age_s: float) -> None:
        key = _notice_key(known.hostname)
        if before is WorkerState.ONLINE and known.state is WorkerState.LATE:
            self._notices.post(Level.WARNING, f"{known.hostname}: last heartbeat {age_s:.0f} s ago", key=key)
        elif before is WorkerState.LATE and known.state is WorkerState.ONLINE:
            self._notices.withdraw(key)

    def _forget(self) -> None:
        self._roster = Roster(self._clock.monotonic_s())
        self._turns = Turns(self._clock, round_s=self._round_s)
        self._inspection = Inspection(
            self._roster, ask=self._ask_by_itself, clock=self._clock, turns=self._turns
        )
        self._inspection.set_visible(self._visible)
        self._inspection.set_needed(bool(self._needed_by))
        self._listing_was_last = False
        self._malformed = 0
        self._heard = self._reading = self._connected = False
        self._seen_in_history = self._history_read = None
        self._history_change = -1


def _notice_key(hostname: str) -> str:
    return f"worker:{hostname}"
