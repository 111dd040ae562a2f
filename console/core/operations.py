"""The single write path: everything that changes the outside is an `Operation` and goes through one runner.

The runner asks whether the connection allows it, has the person confirm what is dangerous, writes to
the activity log before and after, runs it and tells what changed. A page never writes by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Protocol

from console.core.activity import ActivityEntry, ActivityLog, Outcome
from console.core.clock import Clock
from console.core.connection import ConnectionInfo, Mode, Right, Rights
from console.core.errors import ConsoleError
from console.core.happening import Happening
from console.core.notices import Level, NoticeAction, NoticeBoard

log = logging.getLogger(__name__)


class Danger(StrEnum):
    """SAFE runs at once; DISRUPTIVE asks; DESTRUCTIVE asks with a red button and wants a reason."""

    SAFE = "safe"
    DISRUPTIVE = "disruptive"
    DESTRUCTIVE = "destructive"


class Subject(Enum):
    """What an operation may have changed; view models refresh by it."""

    WORKERS = "workers"
    QUEUES = "queues"
    TASKS = "tasks"
    SCHEDULES = "schedules"
    STACK = "stack"
    CONNECTIONS = "connections"


@dataclass(frozen=True, slots=True)
class Operation:
    """One act on one target.

    `name` is what the activity log says ("Revoke task"), `verb` the word on the confirming button
    ("Revoke"), `question` the dialog's title, `consequence` the sentence in it (plain text). `run` does
    it and returns the outcome in words ("Revoked on 2 workers"); it raises `ConsoleError`.
    `broker` is False for what happens on this machine only (the local stack), which no connection's
    mode forbids. `writes` is False for a question that leaves everything as it was: a read-only connection
    may ask it. `recipe` marks the one thing that a connection for support may do. `needs` are the rights
    without which the broker or the database would refuse. `type_name` is what must be typed on Production
    before something destructive; empty means the connection's name. `undo` reverts it and becomes the
    notice's button. `choices` are ways to do it: the dialog has one chosen, the first at first, and its
    operation is run instead.
    """

    name: str
    target: str
    danger: Danger
    run: Callable[[], Awaitable[str]]
    verb: str = ""
    question: str = ""
    consequence: str = ""
    changes: frozenset[Subject] = field(default_factory=frozenset)
    broker: bool = True
    writes: bool = True
    recipe: bool = False
    needs: tuple[Right, ...] = ()
    type_name: str = ""
    quiet: bool = False
    undo: Callable[[], None] | None = None
    choices: tuple[Choice, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to do an operation: its name in the dialog, what it does in words, and what is run."""

    name: str
    words: str
    operation: Operation


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A person said yes; `choice` is the place of the way that they chose among the operation's."""

    reason: str = ""
    choice: int = 0


class Confirm(Protocol):
    """Asks a person; None means no. Implemented by the window with a dialog that never blocks."""

    async def __call__(
        self, operation: Operation, connection: ConnectionInfo | None
    ) -> Confirmation | None: ...


class OperationRunner:
    """Runs operations; one instance per console."""

    def __init__(
        self,
        *,
        activity: ActivityLog,
        notices: NoticeBoard,
        clock: Clock,
        connection: Callable[[], ConnectionInfo | None],
        who: str,
        rights: Callable[[], Rights] = dict,
    ) -> None:
        self._activity = activity
        self._notices = notices
        self._clock = clock
        self._connection = connection
        self._who = who
        self._rights = rights
        self.confirm: Confirm | None = None
        self.changed: Happening[frozenset[Subject]] = Happening()

    def refusal(self, operation: Operation) -> str | None:
        """Why the connection forbids `operation`, in words; None when it may be tried."""
        if not operation.broker:
            return None
        connection = self._connection()
        if connection is None:
            return "No connection is open"
        if connection.mode is Mode.READ_ONLY and operation.writes:
            return f"{connection.name} is read only"
        if connection.mode is Mode.SUPPORT and not operation.recipe:
            return f"{connection.name} is for resending by recipe only"
        rights = self._rights()
        return next((rights[right] for right in operation.needs if right in rights), None)

    async def run(self, operation: Operation) -> bool:
        """Do `operation`. True when it succeeded; a refusal or a failure is told in a notice."""
        refusal = self.refusal(operation)
        if refusal is not None:
            self._notices.post(Level.WARNING, f"{operation.name}: not allowed", detail=refusal)
            return False
        connection = self._connection()
        confirmation = await self._confirmed(operation, connection)
        if confirmation is None:
            return False
        if operation.choices:
            operation = operation.choices[confirmation.choice].operation
        if self._is_elsewhere(operation, connection):
            self._tell_nothing_done(operation)
            return False
        entry = ActivityEntry(
            when=self._clock.now(),
            who=self._who,
            connection="This machine" if not operation.broker or connection is None else connection.name,
            operation=operation.name,
            target=operation.target,
            reason=confirmation.reason,
        )
        try:
            number = await self._activity.begin(entry)
        except ConsoleError as error:
            # What cannot be recorded is not done: the log is what the next person relies on.
            self._notices.post_error(error, key="activity")
            return False
        if self._is_elsewhere(operation, connection):  # while it was being recorded
            await self._finish(number, Outcome.FAILED, "Nothing was done: the connection changed")
            self._tell_nothing_done(operation)
            return False
        try:
            said = await operation.run()
        except ConsoleError as error:
            await self._finish(number, Outcome.FAILED, error.title)
            self._notices.post_error(error)
            return False
        except Exception as error:
            await self._finish(number, Outcome.FAILED, f"{type(error).__name__}")
            raise
        finally:
            self.changed.emit(operation.changes)
        await self._finish(number, Outcome.DONE, said)
        if not operation.quiet:
            undo = None if operation.undo is None else NoticeAction("Undo", operation.undo)
            self._notices.post(Level.OK, said or f"{operation.name}: done", action=undo)
        return True

    def _is_elsewhere(self, operation: Operation, connection: ConnectionInfo | None) -> bool:
        """Whether it would act on another place than `connection`, for which alone it was confirmed."""
        return operation.broker and self._connection() != connection

    def _tell_nothing_done(self, operation: Operation) -> None:
        self._notices.post(
            Level.WARNING,
            f"{operation.name}: nothing was done",
            detail="The connection changed meanwhile.",
        )

    async def _confirmed(
        self, operation: Operation, connection: ConnectionInfo | None
    ) -> Confirmation | None:
        if operation.danger is Danger.SAFE:
            return Confirmation()
        if self.confirm is None:
            raise RuntimeError("a dangerous operation needs somebody to ask")
        return await self.confirm(operation, connection)

    async def _finish(self, number: int, outcome: Outcome, said: str) -> None:
        try:
            await self._activity.finish(number, outcome, said)
        except ConsoleError as error:
            self._notices.post_error(error, key="activity")
