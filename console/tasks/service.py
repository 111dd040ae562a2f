"""The tasks of the open connection as a list that follows the event stream, and what can be done to one.

Reads happen on the history lane, at most four a second and only while somebody looks: at the top of
the list the first page is read again, further down only what changed is, and new rows wait.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from console.broker.database import DatabaseAddress
from console.broker.results import BackendResult
from console.broker.session import Session
from console.core.clock import Clock
from console.core.connection import Environment, LinkStatus, Right
from console.core.errors import Cause, ConsoleError, unexpected
from console.core.happening import Happening
from console.core.operations import Danger, Operation, Subject
from console.core.spawn import Tasks
from console.history.model import (
    CollectorState,
    CollectorSummary,
    Counts,
    Names,
    TaskDetail,
    TaskRow,
    TaskState,
)
from console.history.query import QueryError, Sort, TaskQuery, parse_query
from console.history.reader import HistoryReader
from console.tasks.counting import Counting
from console.tasks.gateway import Answer, CeleryTaskControl, TaskControl
from console.tasks.model import SendRequest, TasksSnapshot, TaskStory
from console.tasks.operations import KillSignal
from console.tasks.result_gateway import read_result, why_no_results
from console.tasks.search_reading import (
    PAGE_ROWS,
    WINDOW_ROWS,
    Reading,
    Wanted,
    details_of,
    page_after,
    page_before,
    read,
    read_top,
)

log = logging.getLogger(__name__)

READ_EVERY_S = 0.2
READ_SHARE = 4.0
UNASKED_S = 5.0
MANY_ROWS = 1_000
NOT_YET = frozenset({Cause.NOT_FOUND, Cause.NOT_MIGRATED})


def open_celery_control(session: Session) -> TaskControl:
    """Remote control and publishing through a session's own application."""
    return CeleryTaskControl(session.celery_app, session.address)


class TasksService:
    """Rows by query, one task's story, and the operations on tasks.

    `registered` names the tasks that workers have registered, for completion; `default_queue` is where
    workers send what names no queue.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        registered: Callable[[], Iterable[str]] = lambda: (),
        default_queue: Callable[[], str | None] = lambda: None,
        open_history: Callable[[Path], HistoryReader] = HistoryReader,
        open_control: Callable[[Session], TaskControl] = open_celery_control,
    ) -> None:
        self._clock = clock
        self._registered = registered
        self._default_queue = default_queue
        self._open_history = open_history
        self._open_control = open_control
        self._session: Session | None = None
        self._reader: HistoryReader | None = None
        self._control: TaskControl | None = None
        self._tasks = Tasks("tasks")
        self._wake = asyncio.Event()
        self._disconnect: Callable[[], None] = lambda: None
        self._summary: CollectorSummary | None = None
        self._visible = False
        self._at_top = True
        self._keep: frozenset[str] = frozenset()
        self._top: TaskRow | None = None
        self._needs_detail = False
        self._grouped = False
        self._change = -1
        self._wanted = True
        self._turning = False
        self._counting = Counting(clock=clock, open_history=open_history, counted=self._on_counted)
        self._asked = asyncio.Event()
        self.snapshot = TasksSnapshot()
        self.changed: Happening[TasksSnapshot] = Happening()

    def attach(self, session: Session) -> None:
        """Show the history of `session` until `detach`."""
        self._session = session
        self._reader = self._open_history(session.history_file)
        self._control = self._open_control(session)
        self._summary = None
        self._forget()
        self._disconnect = session.status_changed.connect(self._on_status)
        self._counting.open(session.history_file)
        self._tasks.start(self._watch(session, self._reader), name="watch")

    async def detach(self) -> None:
        """Stop following and forget."""
        self._disconnect()
        session, reader = self._session, self._reader
        self._session = self._reader = self._control = None
        self._wake.set()
        await self._tasks.aclose()
        await self._counting.aclose()
        if session is not None and reader is not None:
            try:
                await session.history.run(reader.close)
            except ConsoleError:
                pass  # the lane is closed already; the file goes with the reader
        self._forget()

    def set_visible(self, visible: bool) -> None:
        """Whether somebody looks at the page."""
        self._visible = visible
        if visible:
            self._want()

    def refresh(self) -> None:
        """Read again now."""
        self._counting.forget()
        self._want()

    def on_summary(self, summary: CollectorSummary) -> None:
        """The collector spoke; when the history changed the rows are read again."""
        before, self._summary = self._summary, summary
        if summary.change != self._change:
            self._wake.set()
        if before is None or _line_of(before) != _line_of(summary):
            self._publish(self._with_line(self.snapshot))

    # What is shown.

    def show(self, text: str) -> None:
        """Show what the query `text` finds; one that cannot be read leaves the rows as they are."""
        now = self.snapshot
        if text == now.text and now.query_error is None:
            return
        try:
            query = parse_query(text)
        except QueryError as error:
            self._publish(replace(now, text=text, query_error=error))
            return
        query = query.sorted_by(now.query.sort, descending=now.query.descending)
        self._show(query, text)

    def sort(self, sort: Sort, *, descending: bool) -> None:
        """Show in another order."""
        self._show(self.snapshot.query.sorted_by(sort, descending=descending), self.snapshot.text)

    def set_at_top(self, at_top: bool) -> None:
        """Whether the first row is in view: below it, new rows wait instead of pushing the list down."""
        if at_top != self._at_top:
            self._at_top = at_top
            if at_top:
                self._want()

    def keep_rows(self, task_ids: Iterable[str]) -> None:
        """These rows are selected: while they are in the list, new ones do not push them out of it."""
        self._keep = frozenset(task_ids)

    def set_needs_detail(self, needed: bool) -> None:
        """Whether a column is shown that a list does not read."""
        if needed != self._needs_detail:
            self._needs_detail = needed
            self._want()

    def set_grouped(self, grouped: bool) -> None:
        """Whether the errors of what matches are shown besides the tasks."""
        if grouped != self._grouped:
            self._grouped = grouped
            self._publish(replace(self.snapshot, groups=None))
            self._want()

    def on_events_off(self, hostnames: tuple[str, ...]) -> None:
        """These workers send no events, so that their tasks are not seen here."""
        self._publish(replace(self.snapshot, events_off=hostnames))

    async def more(self) -> None:
        """Read the page after the last row."""
        now = self.snapshot
        if now.rows and now.more:
            await self._turn(down=True)

    async def before(self) -> None:
        """Read the page before the first row, when that one is not the first of the list."""
        now = self.snapshot
        if now.rows and now.more_above:
            await self._turn(down=False)

    async def _turn(self, *, down: bool) -> None:
        now, session, reader = self.snapshot, self._session, self._reader
        if session is None or reader is None or not now.rows or self._turning:
            return
        edge = now.rows[-1 if down else 0]
        known = (now.details or {}) if self._needs_detail else None

        shown = now.rows

        def visit() -> tuple[list[TaskRow], Mapping[str, TaskDetail] | None]:
            page = (page_after if down else page_before)(reader, now.query, edge)
            return page, details_of(reader, (*shown, *page) if known is not None else (), known)

        self._turning = True
        try:
            page, details = await session.history.run(visit)
        except ConsoleError as error:
            self._publish(replace(self.snapshot, error=error))
            return
        finally:
            self._turning = False
        after = self.snapshot
        if after.query != now.query or not after.rows or after.rows[-1 if down else 0].id != edge.id:
            return
        held = {row.id for row in after.rows}
        page = [row for row in page if row.id not in held]
        complete = len(page) == PAGE_ROWS
        rows = (*after.rows, *page) if down else (*page, *after.rows)
        cut = len(rows) > WINDOW_ROWS
        self._publish(
            replace(
                after,
                rows=rows[-WINDOW_ROWS:] if down else rows[:WINDOW_ROWS],
                more=complete if down else after.more or cut,
                more_above=after.more_above or cut if down else complete,
                details=details,
            )
        )

    @property
    def clock(self) -> Clock:
        """The clock of the program."""
        return self._clock

    @property
    def history_file(self) -> Path | None:
        """The history of the open connection, for those who read it by themselves."""
        return None if self._session is None else self._session.history_file

    async def story(self, task_id: str) -> TaskStory | None:
        """Everything known of one task; None when the history has none. Raises `ConsoleError`."""
        session, reader = self._session, self._reader
        if session is None or reader is None:
            return None
        return await session.history.run(_story, reader, task_id, key=("tasks", "story", task_id))

    async def names(self) -> Names:
        """Words for completion: those of the history and the registered tasks. Raises `ConsoleError`."""
        session, reader = self._session, self._reader
        if session is None or reader is None:
            return Names((), (), ())
        try:
            known = await session.history.run(reader.names, key=("tasks", "names"))
        except ConsoleError as error:
            if error.cause not in NOT_YET:
                raise
            known = Names((), (), ())
        registered = tuple(self._registered())
        # There may be a hundred thousand: sorted where nobody waits.
        tasks = await session.history.run(lambda: tuple(sorted({*known.tasks, *registered})))
        return replace(known, tasks=tasks)

    def why_no_results(self) -> str | None:
        """Why the result backend cannot be asked; None when it can."""
        return why_no_results(self._session)

    async def stored_result(self, task_id: str) -> BackendResult | None:
        """What the result backend holds of a task; None: unknown to it. Raises `ConsoleError`."""
        session = self._session
        if session is None or session.results is None:
            raise ConsoleError(why_no_results(session) or "No connection is open", cause=Cause.INVALID)
        lane = session.database if isinstance(session.results, DatabaseAddress) else session.queues
        return await lane.run(read_result, session.results, task_id, key=("tasks", "result", task_id))

    # What can be done.

    def online(self) -> frozenset[str]:
        """The workers whose answers are waited for; empty when none is known."""
        summary = self._summary
        return frozenset(() if summary is None else (one.hostname for one in summary.workers if one.online))

    async def tell(self, task_ids: Sequence[str], signal: KillSignal | None) -> list[Answer]:
        """Have all workers revoke these tasks and, with `signal`, end them. Raises `ConsoleError`."""
        session, control = self._need()
        expected = len(self.online()) or None
        name = None if signal is None else signal.value
        return await session.control.run(lambda: control.tell(task_ids, signal=name, expected=expected))

    async def states(self, task_ids: Sequence[str]) -> Mapping[str, TaskState]:
        """The states in the history, of those that it has. Raises `ConsoleError`."""
        session, reader = self._session, self._reader
        if session is None or reader is None:
            return {}
        rows = await session.history.run(reader.changed_since, -1, list(task_ids))
        return {row.id: row.state for row in rows}

    def tell_error(self, error: ConsoleError) -> None:
        """Show what could not be read."""
        self._publish(replace(self.snapshot, error=error))

    async def rows_of(self, query: TaskQuery, limit: int) -> list[TaskRow]:
        """What matches, the newest first, at most `limit`. Raises `ConsoleError`."""
        session, reader = self._session, self._reader
        rows: list[TaskRow] = []
        query = query.sorted_by(Sort.RECEIVED, descending=True)
        while session is not None and reader is not None and len(rows) < limit:
            after = query.cursor(rows[-1]) if rows else None
            page = await session.history.run(reader.page, query, after, MANY_ROWS)
            rows += page
            if len(page) < MANY_ROWS:
                break
        return rows[:limit]

    def send(self, request: SendRequest, *, sent: Callable[[str], None]) -> Operation:
        """Publish a new task; `sent` is called with its id.

        What names no queue goes where the workers of this connection send such tasks: Celery's own default
        may be a queue that nobody consumes.
        """
        request = replace(request, queue=request.queue or self._default_queue() or "")

        async def run() -> str:
            session, control = self._need()
            task_id = str(uuid.uuid4())
            await session.queues.run(control.send, task_id, request)
            sent(task_id)
            return f"{request.name} sent to {request.queue or 'the default queue'}"

        info = self._session.info if self._session is not None else None
        production = info is not None and info.environment is Environment.PRODUCTION
        return Operation(
            name="Send task",
            target=f"{request.name} to {request.queue or 'the default queue'}",
            # The dialog in which it was filled in is question enough, except where customers are.
            danger=Danger.DISRUPTIVE if production else Danger.SAFE,
            verb="Send",
            question=f"Send {request.name}?",
            consequence="A worker runs it as soon as one takes it; that cannot be undone.",
            run=run,
            changes=frozenset({Subject.TASKS, Subject.QUEUES}),
            needs=(Right.SEND_TASKS,),
        )

    def _need(self) -> tuple[Session, TaskControl]:
        if self._session is None or self._control is None:
            raise ConsoleError("No connection is open", cause=Cause.UNREACHABLE)
        return self._session, self._control

    # The watch: one coroutine, one visit to the history at a time.

    def _show(self, query: TaskQuery, text: str) -> None:
        self._at_top = True
        self._keep = frozenset()
        now = self.snapshot
        counts = now.counts if now.query.expr == query.expr else None
        self._publish(
            replace(now, query=query, text=text, query_error=None, pending=0, more_above=False, counts=counts)
        )
        self._want()

    def _want(self) -> None:
        self._wanted = True
        self._wake.set()
        self._asked.set()

    def _forget(self) -> None:
        self._change = -1
        self._wanted = True
        self._at_top = True
        self._counting.forget()
        self._keep = frozenset()
        self._top = None
        now = self.snapshot
        self._publish(
            TasksSnapshot(
                text=now.text,
                query=now.query,
                query_error=now.query_error,
                attached=self._session is not None,
            )
        )

    def _publish(self, snapshot: TasksSnapshot) -> None:
        if snapshot != self.snapshot:
            self.snapshot = snapshot
            self.changed.emit(snapshot)

    def _on_status(self, _status: LinkStatus) -> None:
        self._publish(self._with_line(self.snapshot))

    def _with_line(self, snapshot: TasksSnapshot) -> TasksSnapshot:
        """`snapshot` with the state of the line and of the collector."""
        summary, session = self._summary, self._session
        if session is None or summary is None:
            return replace(snapshot, live=False)
        live = session.connected and summary.state is CollectorState.READING
        as_of = self._clock.now() if live or snapshot.live else snapshot.as_of
        waits = summary.state is CollectorState.CONNECTING and not summary.error
        return replace(
            snapshot,
            live=live,
            stale=not live and not waits,
            reason="" if live else summary.error,
            as_of=as_of,
            unjudged=summary.unjudged,
        )

    async def _watch(self, session: Session, reader: HistoryReader) -> None:
        while self._session is session:
            try:
                # Not wait_for: under Python 3.11 it swallows a cancellation that meets the wake-up.
                async with asyncio.timeout(self._patience_s()):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            if not self._visible or self._session is not session:
                continue
            began_s = self._clock.monotonic_s()
            await self._visit(session, reader)
            # A search of texts may take a tenth of a second; reading gets a fifth of the time at most.
            took_s = self._clock.monotonic_s() - began_s
            await self._pause(max(READ_EVERY_S, took_s * READ_SHARE))

    async def _pause(self, pause_s: float) -> None:
        """Wait before the next look at what the stream has brought; a person does not wait for it."""
        if not self._wanted:
            self._asked.clear()
            try:
                async with asyncio.timeout(pause_s):
                    await self._asked.wait()
            except TimeoutError:
                pass

    def _patience_s(self) -> float | None:
        """A span of time that moves on needs another look without news."""
        return UNASKED_S if self.snapshot.query.since_s is not None and self._visible else None

    async def _visit(self, session: Session, reader: HistoryReader) -> None:
        now = self.snapshot
        fresh = self._wanted or (self._at_top and not now.more_above)
        keeps = not self._wanted and bool(self._keep)
        self._wanted = False
        wanted = Wanted(
            query=now.query,
            held=() if fresh and not keeps else now.rows or (),
            top=self._top,
            change=self._change,
            details=(now.details or {}) if self._needs_detail else None,
            groups=self._grouped,
            keep=self._keep,
        )
        visit = read_top if fresh and keeps else read
        try:
            found = await session.history.run(visit, reader, wanted)
        except ConsoleError as error:
            if error.cause in NOT_YET:
                empty = Counts(dict.fromkeys(TaskState, 0))
                self._publish(self._with_line(replace(now, rows=(), counts=empty, error=None)))
            else:
                self._publish(replace(self.snapshot, error=error))
            return
        except Exception as error:  # whatever stands in a row: the next read may do, and Retry must
            broken = unexpected("The tasks could not be read", error)
            if self.snapshot.error is None or self.snapshot.error.title != broken.title:
                log.exception(broken.title)
                self._publish(replace(self.snapshot, error=broken))
            return
        if self.snapshot.query != now.query:
            return  # the person has asked for something else meanwhile; that is read next
        self._take(found, now)
        self._counting.want(now.query)

    def _on_counted(self, query: TaskQuery, counts: Counts) -> None:
        if self.snapshot.query.expr == query.expr:
            self._publish(replace(self.snapshot, counts=counts))

    def _take(self, found: Reading, before: TasksSnapshot) -> None:
        """Show what was read. Rows of a page that was turned meanwhile stay: they are read next time."""
        now = self.snapshot
        turned = not found.fresh and now.rows is not before.rows
        if not turned:
            self._change = found.change
        if found.fresh:
            self._top = found.rows[0] if found.rows else None
        self._publish(
            self._with_line(
                replace(
                    now,
                    rows=now.rows if turned else found.rows,
                    details=now.details if turned else found.details,
                    more=found.more if found.fresh else now.more,
                    more_above=False if found.fresh else now.more_above,
                    took_ms=found.took_ms if found.fresh else now.took_ms,
                    pending=found.pending,
                    gaps=found.gaps,
                    groups=found.groups if self._grouped else None,
                    error=None,
                )
            )
        )


def _line_of(summary: CollectorSummary) -> tuple[object, ...]:
    """What of a summary the page shows by itself."""
    return summary.state, summary.error, summary.unjudged


def _story(reader: HistoryReader, task_id: str) -> TaskStory | None:
    detail = reader.detail(task_id)
    if detail is None:
        return None
    same = reader.same_error(detail.row.name or "", detail.exception) if detail.exception else None
    return TaskStory(detail, tuple(reader.family(task_id)), same)
