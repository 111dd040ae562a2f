"""What the tests of connections share: a service on a home of its own, and keyrings that behave as told."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from console.broker.address import BrokerAddress
from console.broker.database import DatabaseAddress
from console.broker.session import Session
from console.broker.url import parse_broker_url
from console.connections.gateway import ConnectionsFile, SecretStore
from console.connections.model import Connection, Purpose, SecretAnswer, SecretQuestion, Secrets
from console.connections.service import ConnectionsService
from console.core.clock import SystemClock
from console.core.connection import Environment, LinkState, Rights
from console.core.errors import ConsoleError
from console.core.home import Home
from console.core.notices import Notice, NoticeBoard
from console.core.redaction import Secret
from tests.valkey import ValkeyServer


@dataclass
class Keyring:
    """In memory; `refuses` with that error, and `hangs` for as long as the event is not set."""

    kept: dict[str, str] = field(default_factory=dict)
    refuses: ConsoleError | None = None
    answering: threading.Event = field(default_factory=threading.Event)
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.answering.set()

    def _answer(self, call: str) -> None:
        self.calls.append(call)
        self.answering.wait(60)
        if self.refuses is not None:
            raise self.refuses

    def probe(self) -> str:
        self._answer("probe")
        return "Test keyring"

    def get(self, entry: str) -> Secret | None:
        self._answer(f"get {entry}")
        value = self.kept.get(entry)
        return None if value is None else Secret(value)

    def set(self, entry: str, secret: Secret) -> None:
        self._answer(f"set {entry}")
        self.kept[entry] = secret.reveal()

    def remove(self, entry: str) -> None:
        self._answer(f"remove {entry}")
        self.kept.pop(entry, None)


def no_keyring() -> Keyring:
    return Keyring(refuses=ConsoleError("The keyring cannot be used", detail="There is none."))


@dataclass
class Person:
    """Answers questions as told; `answers` by purpose, and one that is not there never answers."""

    answers: dict[Purpose, SecretAnswer | None] = field(default_factory=dict)
    asked: list[SecretQuestion] = field(default_factory=list)
    withdrawn: list[SecretQuestion] = field(default_factory=list)

    async def ask(self, question: SecretQuestion) -> SecretAnswer | None:
        self.asked.append(question)
        if question.purpose in self.answers:
            return self.answers[question.purpose]
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.withdrawn.append(question)
            raise
        raise AssertionError("nobody answers")


@dataclass
class Setup:
    service: ConnectionsService
    notices: NoticeBoard
    home: Home
    keyring: Keyring
    local: tuple[BrokerAddress, DatabaseAddress] | None = None

    @property
    def state(self) -> LinkState:
        session = self.service.session
        return session.status.state if session else LinkState.DISCONNECTED

    @property
    def session(self) -> Session:
        assert self.service.session is not None
        return self.service.session

    def notice(self, text: str) -> Notice:
        found = [one for one in self.notices.notices if one.text == text]
        assert found, [one.text for one in self.notices.notices]
        return found[-1]

    async def until(self, condition: Callable[[], bool], within_s: float = 10.0) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, (
                f"still {self.state} after {within_s} s: {self.service.refused}, "
                f"{[one.text for one in self.notices.notices]}"
            )
            await asyncio.sleep(0.005)

    async def connected(self, within_s: float = 10.0) -> None:
        await self.until(lambda: self.state is LinkState.CONNECTED, within_s)


def nothing_missing(_session: Session) -> Rights:
    return {}


def make_setup(
    root: Path, keyring: Keyring | None = None, *, secrets: SecretStore | None = None, patience_s: float = 3.0
) -> Setup:
    home = Home(root)
    home.prepare()
    clock = SystemClock()
    notices = NoticeBoard(clock)
    holder: list[Setup] = []
    used = keyring or Keyring()
    service = ConnectionsService(
        home=home,
        file=ConnectionsFile(home.connections_file),
        secrets=secrets or used,
        notices=notices,
        clock=clock,
        local=lambda: holder[0].local,
        probe=nothing_missing,
        patience_s=patience_s,
    )
    holder.append(Setup(service, notices, home, used))
    return holder[0]


def broker_secret(password: str) -> Secrets:
    return Secrets(((Purpose.BROKER, Secret(password)),))


def typed(text: str, *, keep: bool = False) -> SecretAnswer:
    return SecretAnswer(Secret(text), keep)


def shop(server: ValkeyServer | int, *, url: str = "") -> Connection:
    port = server if isinstance(server, int) else server.port
    return Connection(
        "shop", "Shop", Environment.STAGING, parse_broker_url(url or f"redis://127.0.0.1:{port}/0")
    )
