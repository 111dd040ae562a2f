"""Resending by recipe: what is offered on the open connection, one press as an operation, and its outcome.

What is pressed is followed to its end by reading the history on this machine, so waiting costs the
broker nothing.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from console.broker.session import Session
from console.core.clock import Clock
from console.core.connection import LinkStatus, Right
from console.core.errors import Cause, ConsoleError
from console.core.happening import Happening
from console.core.notices import Level, NoticeBoard
from console.core.operations import Danger, Operation, OperationRunner, Subject
from console.core.spawn import Tasks
from console.history.model import TaskDetail, TaskState
from console.resend.gateway import Message, send_message
from console.resend.model import FilledForm, Recipe, Run, progress_words, recipes_for

POLL_S = 0.5
FOLLOW_S = 60.0
NOT_OPEN = "No connection is open"


@dataclass(frozen=True, slots=True)
class ResendSnapshot:
    """`connection` is the open one's name, `refusal` why nothing can be sent now, `run` the last press."""

    connection: str | None = None
    recipes: tuple[Recipe, ...] = ()
    refusal: str | None = NOT_OPEN
    run: Run | None = None


class ResendService:
    """`task_state` reads what the history knows of a task by its id; None while it knows nothing."""

    def __init__(
        self,
        *,
        clock: Clock,
        notices: NoticeBoard,
        runner: OperationRunner,
        task_state: Callable[[str], Awaitable[TaskDetail | None]],
        send: Callable[[Session, Message], None] = send_message,
        poll_s: float = POLL_S,
        follow_s: float = FOLLOW_S,
    ) -> None:
        self._clock = clock
        self._notices = notices
        self._runner = runner
        self._task_state = task_state
        self._send = send
        self._poll_s = poll_s
        self._follow_s = follow_s
        self._session: Session | None = None
        self._disconnect: Callable[[], None] = lambda: None
        self._tasks = Tasks("resend")
        self.snapshot = ResendSnapshot()
        self.changed: Happening[ResendSnapshot] = Happening()

    def attach(self, session: Session) -> None:
        """Offer what `session` may resend until `detach`."""
        self._session = session
        self._disconnect = session.status_changed.connect(self._on_status)
        self._publish(ResendSnapshot(session.info.name, recipes_for(session.info), refusal=_refusal(session)))

    async def detach(self) -> None:
        """Stop following and forget; what was sent stands in Activity and in Tasks."""
        self._disconnect()
        self._session = None
        self._publish(ResendSnapshot())
        await self._tasks.aclose()

    def refusal(self, form: FilledForm) -> str | None:
        """Why `form` cannot be sent now, in words."""
        return self.snapshot.refusal or self._runner.refusal(self.resend(form))

    def resend(self, form: FilledForm) -> Operation:
        """One press of `form`: a new task, whose resend key is the form's."""
        task_id = str(uuid.uuid4())

        async def run() -> str:
            return await self._resend(form, task_id)

        return Operation(
            name="Resend",
            target=form.target,
            danger=Danger.SAFE,
            run=run,
            changes=frozenset({Subject.TASKS}),
            recipe=True,
            needs=(Right.SEND_TASKS,),
            quiet=True,  # the outcome is what a person waits for; it is told when it is known
        )

    async def _resend(self, form: FilledForm, task_id: str) -> str:
        session = self._session
        if session is None or form.recipe not in self.snapshot.recipes:
            raise ConsoleError(
                "This recipe is not of the open connection",
                detail="Nothing was sent.",
                cause=Cause.CONFLICT,
            )
        recipe = form.recipe
        pressed_s = self._clock.monotonic_s()
        sending = Run(form, task_id, TaskState.SENT, Level.INFO, "Sending")
        self._show(sending)
        message = Message(task_id, recipe.task, recipe.queue, form.arguments)
        try:
            await session.queues.run(self._send, session, message)
        except ConsoleError as error:
            words = f"{error.title}. Press Resend again: it cannot send twice"
            self._show(replace(sending, state=None, level=Level.ERROR, words=words, ended=True))
            raise
        if session is self._session:
            level, words = progress_words(form, None)
            sent = replace(sending, level=level, words=words)
            self._show(sent)
            self._tasks.start(self._follow(sent, pressed_s), name="follow")
        return f"Sent to the queue {recipe.queue} as task {task_id}"

    async def _follow(self, run: Run, pressed_s: float) -> None:
        """Read where the task stands until it has ended, for at most `follow_s`."""
        while not run.ended:
            await asyncio.sleep(self._poll_s)
            waited_s = self._clock.monotonic_s() - pressed_s
            run = _looked_at(run, await self._read(run.task_id), waited_s)
            if not run.ended and waited_s >= self._follow_s:
                run = replace(
                    run,
                    level=Level.WARNING,
                    words=f"{run.words}. Not ended after {self._follow_s:.0f} s, and no longer followed here",
                    ended=True,
                )
            self._show(run, if_shown=True)
        self._notices.post(run.level, run.words, detail=run.form.target, key=f"resend {run.task_id}")

    async def _read(self, task_id: str) -> TaskDetail | None:
        try:
            return await self._task_state(task_id)
        except ConsoleError:
            return None  # a history that cannot be read now may be at the next look

    def _show(self, run: Run, *, if_shown: bool = False) -> None:
        """Tell of `run`; with `if_shown` only while no later press has taken its place."""
        shown = self.snapshot.run
        if if_shown and (shown is None or shown.task_id != run.task_id):
            return
        if shown != run and self._session is not None:
            self._publish(replace(self.snapshot, run=run))

    def _on_status(self, _status: LinkStatus) -> None:
        if self._session is not None:
            refusal = _refusal(self._session)
            if refusal != self.snapshot.refusal:
                self._publish(replace(self.snapshot, refusal=refusal))

    def _publish(self, snapshot: ResendSnapshot) -> None:
        self.snapshot = snapshot
        self.changed.emit(snapshot)


def _refusal(session: Session) -> str | None:
    if session.connected:
        return None
    return f"{session.info.name} is not connected: {session.status.state.value}"


def _looked_at(run: Run, detail: TaskDetail | None, waited_s: float) -> Run:
    """`run` after a look; one that finds nothing (new) leaves it as it is."""
    if detail is None:
        return run
    level, words = progress_words(run.form, detail)
    state = detail.row.state
    if (state, words) == (run.state, run.words):
        return run
    return replace(run, state=state, level=level, words=words, ended=state.is_final, took_s=waited_s)
