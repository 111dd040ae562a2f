"""Schedules over time: when the database is read, what a switch or a run by hand does, what undo takes back.

The database is not the broker: it is read while a connection is attached, whatever the state of the line.
Two short queries every few seconds tell whether anything changed; only then are the rows read again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from console.broker.database import DatabaseAddress
from console.broker.session import Session
from console.core.clock import Clock
from console.core.connection import Right
from console.core.errors import Cause, ConsoleError
from console.core.happening import Happening
from console.core.notices import NoticeBoard
from console.core.operations import Danger, Operation, OperationRunner, Subject
from console.core.spawn import Tasks
from console.schedules.gateway import (
    ScheduleBroker,
    ScheduleTables,
    Timetable,
    open_broker,
    open_tables,
    open_timetable,
)
from console.schedules.model import (
    Change,
    Fingerprint,
    NextRun,
    NextState,
    Schedule,
    ScheduleView,
    Switched,
    WorkerSettings,
)
from console.schedules.routing import queue_for

log = logging.getLogger(__name__)

VISIBLE_S = 5.0
HIDDEN_S = 30.0
ASK_WORKER_S = 60.0
ASK_RIGHTS_S = 60.0
OUTAGE = "schedules database"
SETTLE_S = 0.4
"""How long after a change to look whether beat, which was just noting a run, has written over it."""
TRIES = 3
AT_ONCE = 1_000
"""More rows than this are shown before their next runs are worked out."""
PORTION_S = 0.01
"""How long next runs are worked out at a time: the window, which shares the interpreter, waits at most so."""


@dataclass(frozen=True, slots=True)
class ScheduleSnapshot:
    """`rows` None: never read. `attached` False: no connection is open, the rows are of the last one.

    `as_of`: when the database was last looked at with success (aware UTC).
    """

    rows: tuple[ScheduleView, ...] | None = None
    as_of: datetime | None = None
    error: ConsoleError | None = None
    configured: bool = True
    attached: bool = False


class ScheduleService:
    """One per console; `attach` and `detach` follow the connection."""

    def __init__(
        self,
        *,
        clock: Clock,
        notices: NoticeBoard,
        runner: OperationRunner,
        tables: Callable[[DatabaseAddress], ScheduleTables] = open_tables,
        timetable: Callable[[], Timetable] = open_timetable,
        broker: Callable[[Session], ScheduleBroker] = open_broker,
    ) -> None:
        self._clock = clock
        self._notices = notices
        self._runner = runner
        self._make_tables = tables
        self._make_timetable = timetable
        self._make_broker = broker
        self.snapshot = ScheduleSnapshot()
        self.changed: Happening[ScheduleSnapshot] = Happening()
        self._tasks = Tasks("schedules")
        self._session: Session | None = None
        self._forget_rights: Callable[[], None] = lambda: None
        self._tables: ScheduleTables | None = None
        self._timetable: Timetable | None = None
        self._wake = asyncio.Event()
        self._visible = False
        self._fingerprint: Fingerprint | None = None
        self._changes: dict[int, Change] = {}
        self._undoable: tuple[Switched, ...] = ()
        self._writing = asyncio.Lock()
        self._worker: WorkerSettings | None = None
        self._asked_worker_s = float("-inf")
        self._asked_rights_s = float("-inf")
        runner.changed.connect(lambda subjects: self.refresh() if Subject.SCHEDULES in subjects else None)

    # --- Following the connection ------------------------------------------------------------------------

    def attach(self, session: Session) -> None:
        """A connection was opened: read its schedules until it is closed."""
        self._session = session
        self._forget_rights = session.rights_changed.connect(lambda _rights: self.changed.emit(self.snapshot))
        self._wake = asyncio.Event()
        self._forget()
        self._publish(ScheduleSnapshot(configured=session.schedules is not None, attached=True))
        if session.schedules is not None:
            self._tasks.start(self._poll(session), name="poll")

    async def detach(self) -> None:
        """The connection is closed: stop reading; the rows stay, marked by their time."""
        session, tables = self._session, self._tables
        self._session = self._tables = None
        self._undoable = ()
        self._forget_rights()
        self._wake.set()
        await self._tasks.aclose()
        if session is not None and tables is not None:
            try:
                await session.database.run(tables.close, timeout_s=2.0)
            except ConsoleError:
                pass  # a stuck database keeps its connection; its own timeout ends it
        self._publish(replace(self.snapshot, attached=False))

    def set_visible(self, visible: bool) -> None:
        """Whether somebody looks: then the database is asked more often."""
        self._visible = visible
        if visible:
            self._wake.set()

    def refresh(self) -> None:
        """Look at the database now, and at every row of it."""
        self._fingerprint = None
        self._wake.set()

    def _forget(self) -> None:
        self._fingerprint = None
        self._changes = {}
        self._undoable = ()
        self._worker = None
        self._asked_worker_s = float("-inf")
        self._asked_rights_s = float("-inf")
        self._timetable = None

    # --- Reading -----------------------------------------------------------------------------------------

    async def _poll(self, session: Session) -> None:
        while self._session is session:
            self._wake.clear()
            try:
                await self._look(session)
                self._notices.withdraw(OUTAGE)
            except ConsoleError as error:
                if self.snapshot.rows is not None and not self._visible:
                    self._notices.post_error(error, key=OUTAGE)  # who looks at the page has its banner
                self._publish(replace(self.snapshot, error=error))
                if error.cause is Cause.REFUSED_LOGIN and session.schedules_problem is None:
                    session.schedules_refused.emit(error)
            self._ask_worker(session)
            try:
                # Not wait_for: under Python 3.11 it swallows a cancellation that meets the wake-up.
                async with asyncio.timeout(VISIBLE_S if self._visible else HIDDEN_S):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _look(self, session: Session) -> None:
        tables = await self._open(session)
        seen = await session.database.run(tables.fingerprint)
        now = self._clock.now()
        rows = self.snapshot.rows
        if rows is None or seen != self._fingerprint:
            schedules = await session.database.run(tables.read)
            await self._ask_rights(session, tables)
            if rows is None and len(schedules) > AT_ONCE:
                self._publish(ScheduleSnapshot(tuple(map(_not_worked_out, schedules)), now, attached=True))
        else:
            schedules = tuple(view.schedule for view in rows)
        views = await self._work_out(session, schedules)
        self._fingerprint = seen
        self._changes = {key: change for key, change in self._changes.items() if _is_young(change, now)}
        self._publish(
            ScheduleSnapshot(self._unchanged_or(tuple(map(self._marked, views))), now, attached=True)
        )

    def _unchanged_or(self, rows: tuple[ScheduleView, ...]) -> tuple[ScheduleView, ...]:
        """The tuple that pages already show, when `rows` says nothing new: they compare by identity."""
        before = self.snapshot.rows
        return before if before is not None and before == rows else rows

    async def _ask_rights(self, session: Session, tables: ScheduleTables) -> None:
        """What the database would refuse is said before the click: asked once a minute, when rows change.

        A person who reads the rows again, because the right was given meanwhile, is not kept waiting.
        """
        now_s = self._clock.monotonic_s()
        asked_for = self._fingerprint is None
        if not asked_for and now_s - self._asked_rights_s < ASK_RIGHTS_S:
            return
        self._asked_rights_s = now_s
        why = await session.database.run(tables.why_no_changes)
        session.set_rights({Right.CHANGE_SCHEDULES: why} if why else {}, source="schedules")

    async def _open(self, session: Session) -> ScheduleTables:
        if session.schedules_problem is not None:
            raise session.schedules_problem
        if self._tables is None:
            self._tables = await session.database.run(self._make_tables, session.schedules)
        return self._tables

    async def _work_out(self, session: Session, schedules: Sequence[Schedule]) -> list[ScheduleView]:
        if self._timetable is None:
            self._timetable = await session.database.run(self._make_timetable)
        timetable, views = self._timetable, list[ScheduleView]()
        while len(views) < len(schedules):
            left, now = schedules[len(views) :], self._clock.now()
            views += await session.database.run(timetable.work_out, left, now, PORTION_S)
        await session.database.run(timetable.keep_only, {schedule.id for schedule in schedules})
        return views

    def _marked(self, view: ScheduleView) -> ScheduleView:
        change = self._changes.get(view.schedule.id)
        code = self._worker.code_schedules if self._worker else frozenset()
        managed = view.managed_by_code or view.schedule.name in code
        if change is None and managed == view.managed_by_code:
            return view
        return replace(view, change=change, managed_by_code=managed)

    def _publish(self, snapshot: ScheduleSnapshot) -> None:
        before, self.snapshot = self.snapshot, snapshot
        if before != snapshot:
            self.changed.emit(snapshot)

    async def coming_runs(self, schedule: Schedule, count: int) -> tuple[datetime, ...]:
        """The next runs of one row. Raises `ConsoleError`."""
        session, timetable = self._session, self._timetable
        if session is None or timetable is None:
            return ()
        return await session.database.run(timetable.coming_runs, schedule, self._clock.now(), count)

    # --- What a worker tells of its project --------------------------------------------------------------

    def _ask_worker(self, session: Session) -> None:
        """Which rows are managed by code: one broadcast per connection, when somebody looks at the page.

        A broadcast costs the broker about ten commands, so while nobody answers it is asked once a minute.
        """
        now_s = self._clock.monotonic_s()
        wanted = self._worker is None and self._visible and session.connected
        if wanted and now_s - self._asked_worker_s >= ASK_WORKER_S:
            self._asked_worker_s = now_s
            self._tasks.start(self._mark_code(session), name="worker settings")

    async def _mark_code(self, session: Session) -> None:
        try:
            settings = await self._worker_settings(session)
        except ConsoleError:
            return  # asked again later; the page lives without it
        if settings is not None and self.snapshot.rows is not None:
            marked = tuple(map(self._marked, self.snapshot.rows))
            self._publish(replace(self.snapshot, rows=marked))

    async def _worker_settings(self, session: Session) -> WorkerSettings | None:
        if self._worker is None:
            broker = self._make_broker(session)
            self._worker = await session.control.run(broker.worker_settings, key="worker settings")
        return self._worker

    # --- Operations --------------------------------------------------------------------------------------

    def switch(self, ids: Sequence[int], *, enabled: bool) -> Operation:
        """Enable or disable rows."""
        word = "Enable" if enabled else "Disable"
        names = self._names(ids)
        return Operation(
            name=f"{word} schedule" if len(names) == 1 else f"{word} schedules",
            target=", ".join(names),
            danger=Danger.SAFE,
            verb=word,
            run=lambda: self._in_turn(lambda: self._switch(ids, enabled=enabled)),
            changes=frozenset({Subject.SCHEDULES}),
            needs=(Right.CHANGE_SCHEDULES,),
            undo=self.start_undo,
        )

    async def _in_turn(self, write: Callable[[], Awaitable[str]]) -> str:
        """One change after the other: the second look of a switch must not meet its own undo."""
        async with self._writing:
            return await write()

    async def _switch(self, ids: Sequence[int], *, enabled: bool) -> str:
        session, tables = self._ready()
        switched = await session.database.run(lambda: tables.set_enabled(ids, enabled=enabled))
        word = "Enabled" if enabled else "Disabled"
        self._undoable = switched
        if not switched:
            return f"{word} already"
        now = self._clock.now()
        for row in switched:
            self._changes[row.id] = Change(enabled, now)
        self.refresh()
        await self._make_sure(session, tables, [row.id for row in switched], enabled=enabled)
        return f"{word} {_named([row.name for row in switched])}; beat takes the change within 5 s"

    async def _make_sure(
        self, session: Session, tables: ScheduleTables, ids: Sequence[int], *, enabled: bool
    ) -> None:
        """Write again what beat has written over.

        Beat notes a run by reading the row and saving all of its columns (django-celery-beat 2.9,
        `ModelEntry.save`): a change that falls between the two is lost, without an error for anybody.
        Raises `ConsoleError` when it is lost again and again.
        """
        for _ in range(TRIES):
            await asyncio.sleep(SETTLE_S)
            lost = await session.database.run(lambda: tables.set_enabled(ids, enabled=enabled))
            if not lost:
                return
            log.info("beat wrote over the change of %s; written again", ", ".join(row.name for row in lost))
        raise ConsoleError(
            "Beat writes over the change",
            detail="It notes its runs so often that the change is lost each time.",
            remedy="Try again, or stop beat for a moment.",
            cause=Cause.CONFLICT,
            retryable=True,
        )

    @property
    def can_undo(self) -> bool:
        return bool(self._undoable)

    def undo(self) -> Operation:
        """Take back the last `switch`, for the rows that nobody has moved since."""
        switched = self._undoable
        word = "disabling" if switched and switched[0].was_enabled else "enabling"
        return Operation(
            name=f"Undo {word}",
            target=", ".join(row.name for row in switched),
            danger=Danger.SAFE,
            verb="Undo",
            run=lambda: self._in_turn(lambda: self._undo(switched)),
            changes=frozenset({Subject.SCHEDULES}),
            needs=(Right.CHANGE_SCHEDULES,),
        )

    def start_undo(self) -> None:
        """Run `undo` in the background, when there is something to take back."""
        if self._undoable:
            self._tasks.start(self._runner.run(self.undo()), name="undo")

    async def _undo(self, switched: tuple[Switched, ...]) -> str:
        session, tables = self._ready()
        names = await session.database.run(tables.switch_back, switched)
        now = self._clock.now()
        for row in switched:
            if row.name in names:
                self._changes[row.id] = Change(row.was_enabled, now)
        self._undoable = ()
        self.refresh()
        done = [row.id for row in switched if row.name in names]
        await self._make_sure(session, tables, done, enabled=switched[0].was_enabled)
        left = len(switched) - len(names)
        if not names:
            raise ConsoleError(
                "Nothing was taken back",
                detail="Somebody else has changed or deleted it since.",
                cause=Cause.CONFLICT,
            )
        said = f"{'Enabled' if switched[0].was_enabled else 'Disabled'} {_named(list(names))} again"
        return said if not left else f"{said}; {left} had been changed by somebody else and stay as they are"

    async def run_now(self, schedule: Schedule) -> Operation:
        """The operation that publishes one run of `schedule`, after asking where it goes.

        Raises `ConsoleError` when the row names no queue and no worker tells where such a task goes.
        """
        session = self._session
        if session is None:
            raise _no_connection()
        queue = schedule.queue
        if queue is None and not (schedule.exchange or schedule.routing_key):
            settings = await self._worker_settings(session)
            if settings is None:
                raise ConsoleError(
                    "Nobody tells which queue this task goes to",
                    detail=f"{schedule.name} names none, and no worker answered to tell the routes.",
                    remedy="Start a worker and try again.",
                    cause=Cause.NOT_FOUND,
                    retryable=True,
                )
            queue = queue_for(schedule.task, settings)
        broker = self._make_broker(session)
        return Operation(
            name="Run schedule now",
            target=schedule.name,
            danger=Danger.DISRUPTIVE,
            verb="Run",
            question=f"Run {schedule.name} now?",
            consequence=run_consequence(schedule, queue),
            run=lambda: self._run(session, broker, schedule, queue),
            changes=frozenset({Subject.TASKS, Subject.QUEUES}),
            needs=(Right.SEND_TASKS,),
        )

    async def _run(
        self, session: Session, broker: ScheduleBroker, schedule: Schedule, queue: str | None
    ) -> str:
        task_id = await session.queues.run(lambda: broker.run_now(schedule, queue=queue))
        return f"Sent {schedule.name} as {task_id}"

    def _ready(self) -> tuple[Session, ScheduleTables]:
        if self._session is None:
            raise _no_connection()
        if self._tables is None:
            raise self.snapshot.error or _no_connection()
        return self._session, self._tables

    def _names(self, ids: Sequence[int]) -> list[str]:
        wanted = set(ids)
        return [view.schedule.name for view in self.snapshot.rows or () if view.schedule.id in wanted]


def run_consequence(schedule: Schedule, queue: str | None) -> str:
    """What a run by hand sends, in one sentence: everything the row says is honoured."""
    where = f"to queue {queue}" if queue else f"to exchange {schedule.exchange or 'default'}"
    if schedule.routing_key:
        where += f" with routing key {schedule.routing_key}"
    options = [f"arguments {schedule.args or '[]'} and {schedule.kwargs or '{}'}"]
    if schedule.priority is not None:
        options.append(f"priority {schedule.priority}")
    if schedule.expires is not None or schedule.expire_seconds is not None:
        options.append("its expiry")
    if schedule.headers not in ("", "{}"):
        options.append("its headers")
    return f"{schedule.task} is sent {where} with {', '.join(options)}. Its timetable does not change."


def _not_worked_out(schedule: Schedule) -> ScheduleView:
    state = NextRun(NextState.UNKNOWN, why="Being worked out") if schedule.enabled else NextRun(NextState.OFF)
    return ScheduleView(schedule, "–", state, None)


def _is_young(change: Change, now: datetime) -> bool:
    return (now - change.when).total_seconds() < 600


def _named(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} schedules"


def _no_connection() -> ConsoleError:
    return ConsoleError("No schedules database is open", remedy="Connect first.", cause=Cause.UNREACHABLE)
