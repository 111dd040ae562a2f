"""Passwords over time: from the keyring, from a person, and how long either may take.

A keyring may show a prompt, refuse or never answer at all, and none of that may hold up anything else: each
call waits a little, then its thread is left to it and the next call takes another one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

from console.connections.gateway import SecretStore
from console.connections.model import (
    NO_SECRET,
    Connection,
    KeyringState,
    Purpose,
    SecretAnswer,
    SecretQuestion,
    Secrets,
    keyring_entry,
    wanted_secrets,
)
from console.core.connection import ConnectionInfo
from console.core.errors import Cause, ConsoleError
from console.core.lanes import Lane
from console.core.notices import Level, NoticeBoard
from console.core.redaction import Secret
from console.core.spawn import Tasks

PATIENCE_S = 3.0
IMPATIENCE_S = 0.5  # when another call already waits for the keyring
CALL_S = 600.0
THREADS_LEFT_BEHIND = 3
NOTICE = "keyring"

T = TypeVar("T")
Ask = Callable[[SecretQuestion], Awaitable[SecretAnswer | None]]


class NotAnswered(Exception):  # noqa: N818
    """The person was asked for a secret and has cancelled."""


class SecretKeeper:
    """All secrets that this run knows, and the way to the keyring. On the loop.

    What was read once is not read again until `read_again`: a keyring may ask at each reading.
    """

    def __init__(
        self, store: SecretStore, *, notices: NoticeBoard, tasks: Tasks, patience_s: float = PATIENCE_S
    ) -> None:
        self._store = store
        self._notices = notices
        self._tasks = tasks
        self._patience_s = patience_s
        self._lanes = _KeyringLanes(tasks)
        self._known: dict[str, Secret] = {}
        self._this_run: set[str] = set()
        self._wishes: dict[str, int] = {}
        self.state = KeyringState()
        self.ask: Ask | None = None

    async def probe(self) -> KeyringState:
        """Have the keyring prove itself."""
        try:
            name = await self._called(self._store.probe)
        except ConsoleError as error:
            self.state = KeyringState(problem=error)
        else:
            self.state = KeyringState(name)
        return self.state

    async def wanted(
        self, connection: Connection, why: ConsoleError | None, about: Purpose | None
    ) -> Secrets:
        """The secrets that `connection` may have; a person is asked for what cannot be read.

        With `why` they are asked for the one `about` which it is anyway. Raises `NotAnswered`.
        """
        found: list[tuple[Purpose, Secret]] = []
        for purpose in wanted_secrets(connection):
            if why is not None and purpose is about:
                secret = await self.asked(SecretQuestion(connection.info, purpose, why))
            else:
                secret = await self._wanted(connection.info, purpose)
            found.append((purpose, secret))
        return Secrets(tuple(found))

    async def _wanted(self, connection: ConnectionInfo, purpose: Purpose) -> Secret:
        entry = keyring_entry(connection.id, purpose)
        if (known := self._known.get(entry)) is not None:
            return known
        try:
            reading = self._lanes.start(self._store.get, entry)
            if await self._within(reading):
                return self._read(entry, reading.result())
        except ConsoleError as error:
            self._refused(error)
            return await self.asked(SecretQuestion(connection, purpose, error))
        return await self._asked_meanwhile(SecretQuestion(connection, purpose, waiting=True), reading)

    def _read(self, entry: str, secret: Secret | None) -> Secret:
        self._known.setdefault(entry, secret or NO_SECRET)
        return self._known[entry]

    async def asked(self, question: SecretQuestion) -> Secret:
        """What the person types. Without anybody to ask the connection goes without."""
        if self.ask is None:
            if question.why is not None:
                self._notices.post(
                    Level.WARNING, question.why.title, detail=_behind(question.why), key=NOTICE
                )
            return NO_SECRET
        return await self._answered(question, await self.ask(question))

    async def _answered(self, question: SecretQuestion, answer: SecretAnswer | None) -> Secret:
        if answer is None:
            raise NotAnswered
        entry = keyring_entry(question.connection.id, question.purpose)
        if answer.keep:
            await self.keep(entry, answer.secret)
        else:
            self._known[entry] = answer.secret
            self._this_run.add(entry)
        return answer.secret

    async def _asked_meanwhile(
        self, question: SecretQuestion, reading: asyncio.Task[Secret | None]
    ) -> Secret:
        """What comes first: the keyring's answer, which withdraws the question, or the person's."""
        entry = keyring_entry(question.connection.id, question.purpose)
        if self.ask is None:
            return await self.asked(replace(question, why=_silent()))
        asking = self._tasks.start(_awaited(self.ask(question)), name="ask for a secret")
        try:
            await asyncio.wait({reading, asking}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done() and not reading.cancelled() and reading.exception() is None:
                return self._read(entry, reading.result())
            answer: SecretAnswer | None = await asking  # the keyring has refused, or the person was faster
        finally:
            if not asking.done():
                asking.cancel()
                await asyncio.wait({asking})
        return await self._answered(question, answer)

    async def known(self, connection: Connection, typed: Secrets) -> Secrets:
        """The `typed` ones, then what is known or kept; nobody is asked and nothing is told."""
        with contextlib.suppress(ConsoleError):
            for purpose in wanted_secrets(connection):
                if purpose not in dict(typed.values) and (
                    secret := await self._peeked(keyring_entry(connection.id, purpose))
                ):
                    typed = typed.with_secret(purpose, secret)
        return typed

    async def _peeked(self, entry: str) -> Secret:
        known = self._known.get(entry)
        if known is not None:
            return known
        try:
            return self._read(entry, await self._called(self._store.get, entry))
        except ConsoleError as error:
            self._refused(error)
            raise

    async def kept(self, connection_id: str) -> dict[Purpose, bool]:
        """Which of the secrets stand in the keyring; those of this run only do not."""
        found = dict.fromkeys(Purpose, False)
        with contextlib.suppress(ConsoleError):
            for purpose in Purpose:
                entry = keyring_entry(connection_id, purpose)
                found[purpose] = entry not in self._this_run and bool(await self._peeked(entry))
        return found

    def of_this_run(self, connection_id: str) -> frozenset[Purpose]:
        """Which secrets are in memory only, and are asked for again at the next start."""
        return frozenset(
            purpose
            for purpose in Purpose
            if (entry := keyring_entry(connection_id, purpose)) in self._this_run and self._known.get(entry)
        )

    async def read_again(self, entry: str) -> bool:
        """Whether the keyring holds another secret than the one that is known: someone has changed it."""
        if entry in self._this_run:
            return False
        try:
            found = await self._called(self._store.get, entry) or NO_SECRET
        except ConsoleError:
            return False
        before = self._known.get(entry, NO_SECRET)
        self._known[entry] = found
        return bool(found) and found != before

    async def keep(self, entry: str, secret: Secret) -> bool:
        """Put `secret` into the keyring, or take it out when it is empty; whether that was done.

        It counts at once. When the keyring refuses or is slow that is told, and the secret lives for this
        run; a slow one may still take it later.
        """
        self._known[entry] = secret
        self._this_run.add(entry)
        wish = self._wishes[entry] = self._wishes.get(entry, 0) + 1
        try:
            writing = self._begin_writing(entry, secret)
            if await self._within(writing):
                writing.result()
                self._this_run.discard(entry)
                return True
        except ConsoleError as error:
            self._refused(error)
            self._tell(secret, _behind(error))
            return False
        self._tell(secret, _behind(_silent()))
        writing.add_done_callback(lambda done: self._written_late(entry, wish, done))
        return False

    def _begin_writing(self, entry: str, secret: Secret) -> asyncio.Task[None]:
        if secret:
            return self._lanes.start(self._store.set, entry, secret)
        return self._lanes.start(self._store.remove, entry)

    def _tell(self, secret: Secret, detail: str) -> None:
        text = "The password is kept for this run only" if secret else "The old password may still be kept"
        self._notices.post(Level.WARNING, text, detail=detail, key=NOTICE)

    def _written_late(self, entry: str, wish: int, done: asyncio.Task[None]) -> None:
        """The prompt was answered after all. What was wished since must not be undone by it."""
        if done.cancelled() or done.exception() is not None:
            return
        if self._wishes.get(entry) == wish:
            self._this_run.discard(entry)
            self._notices.withdraw(NOTICE)
        else:
            self._tasks.start(
                self.keep(entry, self._known.get(entry, NO_SECRET)), name="keep the newer secret"
            )

    async def copy(self, from_id: str, to_id: str, purposes: Iterable[Purpose]) -> None:
        """The secrets of one connection for another, each kept as long as the first one's is."""
        for purpose in purposes:
            source, target = keyring_entry(from_id, purpose), keyring_entry(to_id, purpose)
            try:
                secret = await self._peeked(source)
            except ConsoleError as error:
                self._notices.post(
                    Level.WARNING, "The passwords could not be copied", detail=_behind(error), key=NOTICE
                )
                return
            if not secret:
                continue
            if source in self._this_run:
                self._known[target] = secret
                self._this_run.add(target)
            else:
                await self.keep(target, secret)

    async def remove(self, connection_id: str, purposes: Iterable[Purpose] = tuple(Purpose)) -> None:
        """Forget secrets, here and in the keyring; what it does not let go of is told once."""
        problem: ConsoleError | None = None
        for purpose in purposes:
            entry = keyring_entry(connection_id, purpose)
            self._wishes[entry] = self._wishes.get(entry, 0) + 1
            self._known.pop(entry, None)
            self._this_run.discard(entry)
            try:
                await self._called(self._store.remove, entry)
            except ConsoleError as error:
                problem = problem or error
        if problem is not None:
            self._refused(problem)
            self._tell(NO_SECRET, _behind(problem))

    async def _called(self, function: Callable[..., T], *arguments: Any) -> T:
        call = self._lanes.start(function, *arguments)
        if not await self._within(call):
            raise _silent()
        return call.result()

    async def _within(self, call: asyncio.Task[Any]) -> bool:
        """Whether `call` ended within our patience; if not, its thread is left to it."""
        patience_s = min(self._patience_s, IMPATIENCE_S) if self._lanes.left_behind else self._patience_s
        await asyncio.wait({call}, timeout=patience_s)
        if not call.done():
            self._lanes.leave(call)
            return False
        return True

    def _refused(self, error: ConsoleError) -> None:
        self.state = KeyringState(problem=error)

    async def aclose(self) -> None:
        await self._lanes.aclose()


class _KeyringLanes:
    """One thread for the keyring, and another one when that has been left to a call that does not end."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._current: Lane | None = None
        self._of: dict[asyncio.Task[Any], Lane] = {}
        self._left: list[Lane] = []

    @property
    def left_behind(self) -> int:
        return len(self._left)

    def start(self, function: Callable[..., T], *arguments: Any) -> asyncio.Task[T]:
        """Raises `ConsoleError` when too many calls hang already: then the keyring is given up."""
        if self._current is None:
            if len(self._left) >= THREADS_LEFT_BEHIND:
                raise _silent()
            self._current = Lane("keyring", threads=1, timeout_s=CALL_S)
        lane = self._current
        call = self._tasks.start(lane.run(function, *arguments), name="keyring")
        self._of[call] = lane
        call.add_done_callback(self._ended)
        return call

    def leave(self, call: asyncio.Task[Any]) -> None:
        lane = self._of.get(call)
        if lane is not None and lane is self._current:
            self._current = None
            self._left.append(lane)

    def _ended(self, call: asyncio.Task[Any]) -> None:
        lane = self._of.pop(call, None)
        if call.cancelled():
            return  # the end of all tasks: `aclose` ends the lanes
        if lane in self._left and lane not in self._of.values():
            self._left.remove(lane)
            self._tasks.start(lane.aclose(wait_s=0.2), name="end a keyring thread")

    async def aclose(self) -> None:
        lanes = [*self._left, *([self._current] if self._current else [])]
        self._left, self._current = [], None
        for lane in lanes:
            with contextlib.suppress(ConsoleError):
                await lane.aclose(wait_s=0.2)


async def _awaited(work: Awaitable[T]) -> T:
    return await work


def _behind(error: ConsoleError) -> str:
    return " ".join(part for part in (error.detail, error.remedy) if part)


def _silent() -> ConsoleError:
    return ConsoleError(
        "The keyring does not answer",
        detail="It may show a prompt that waits for you, or it hangs.",
        remedy="Answer its prompt, or type the password: it is then kept in memory for this run only.",
        cause=Cause.TIMEOUT,
        retryable=True,
    )
