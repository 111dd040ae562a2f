"""The Connections page on the real service and a real file, with a keyring and a test in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtGui import QInputMethodEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QWidget

from console.broker.address import BrokerAddress
from console.broker.database import DatabaseAddress, DatabaseKind
from console.broker.tls import TlsOptions
from console.connections.check_model import CheckStep
from console.connections.check_run import ConnectionChecker
from console.connections.gateway import ConnectionsFile, SecretStore
from console.connections.model import Connection, Purpose, Secrets
from console.connections.page import ConnectionsPage
from console.connections.service import ConnectionsService
from console.connections.view_model import ConnectionsViewModel
from console.core.clock import SystemClock
from console.core.connection import Environment, Mode
from console.core.errors import ConsoleError
from console.core.home import Home
from console.core.notices import NoticeBoard
from console.core.operations import OperationRunner
from console.core.redaction import Secret
from console.widgets.data_table import DataTable
from console.widgets.dialog import ConsoleDialog
from console.widgets.entry_fields import EntryField
from console.widgets.fields import CheckBox, RadioButton, Select
from console.widgets.label import Text
from tests.gui.active_window import show_active
from tests.unit.resend.world import Log

WAIT_S = 8.0
Kind = TypeVar("Kind", bound=QWidget)

STAGING = Connection(
    "staging",
    "Shop staging",
    Environment.STAGING,
    BrokerAddress("redis.stg.shop.example", 6380, username="console", tls=TlsOptions()),
    schedules=DatabaseAddress(
        DatabaseKind.POSTGRESQL, host="pg.stg.shop.example", port=5432, name="shop_stg", username="console"
    ),
    last_used=datetime(2026, 11, 22, 14, 2, tzinfo=UTC),
)
PRODUCTION = Connection(
    "production",
    "Shop production",
    Environment.PRODUCTION,
    BrokerAddress("redis.shop.example", 6380, username="console", tls=TlsOptions()),
    schedules=DatabaseAddress(
        DatabaseKind.POSTGRESQL, host="pg.shop.example", port=5432, name="shop", username="console"
    ),
    mode=Mode.FULL,
    last_used=datetime(2026, 11, 22, 11, 47, tzinfo=UTC),
)


class MemorySecrets:
    """A keyring in memory; with `problem` set it is none."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.problem: ConsoleError | None = None

    def probe(self) -> str:
        self._fail()
        return "Secret Service"

    def get(self, entry: str) -> Secret | None:
        self._fail()
        return Secret(self.kept[entry]) if entry in self.kept else None

    def set(self, entry: str, secret: Secret) -> None:
        self._fail()
        self.kept[entry] = secret.reveal()

    def remove(self, entry: str) -> None:
        self._fail()
        self.kept.pop(entry, None)

    def _fail(self) -> None:
        if self.problem is not None:
            raise self.problem


class FakeChecker:
    """Plays the steps that a test wants; `go_on` lets one that waits end."""

    def __init__(self) -> None:
        self.steps: list[tuple[CheckStep, ...]] = []
        self.asked: list[tuple[Connection, Secrets]] = []
        self.go_on = asyncio.Event()
        self.cancelled = 0

    async def check(
        self,
        connection: Connection,
        secrets: Secrets,
        on_steps: Callable[[tuple[CheckStep, ...]], None],
        *,
        typed: Collection[Purpose] = (),
    ) -> tuple[CheckStep, ...]:
        self.asked.append((connection, secrets))
        try:
            for steps in self.steps[:-1]:
                on_steps(steps)
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        on_steps(self.steps[-1])
        return self.steps[-1]


class World:
    """`async with` shows the page and closes everything."""

    def __init__(
        self,
        folder: Path,
        *connections: Connection,
        store: SecretStore | None = None,
        file_text: str | None = None,
        checker: ConnectionChecker | None = None,
    ) -> None:
        self.home = Home(folder / "home")
        self.home.prepare()
        self.file = ConnectionsFile(self.home.connections_file)
        if connections:
            self.file.write(list(connections))
        if file_text is not None:
            self.home.connections_file.write_text(file_text)
        self.clock = SystemClock()
        self.notices = NoticeBoard(self.clock)
        self.log = Log()
        self.secrets = MemorySecrets()
        self.local: tuple[BrokerAddress, DatabaseAddress] | None = None
        self.service = ConnectionsService(
            home=self.home,
            file=self.file,
            secrets=store if store is not None else self.secrets,
            notices=self.notices,
            clock=self.clock,
            local=lambda: self.local,
        )
        self.runner = OperationRunner(
            activity=self.log, notices=self.notices, clock=self.clock, connection=lambda: None, who="me"
        )
        self.checker = FakeChecker()
        self.view_model = ConnectionsViewModel(
            self.service,
            self.runner,
            checker=checker if checker is not None else self.checker,
            notices=self.notices,
            clock=self.clock,
            known_hosts_file=self.home.known_hosts_file,
        )
        self.page = ConnectionsPage(self.view_model)

    async def __aenter__(self) -> World:
        await self.service.load()
        self.page.resize(1088, 732)
        await show_active(self.page)
        self.page.activate()
        await self.until(lambda: bool(self.service.keyring_state.name or self.service.keyring_state.problem))
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.view_model.aclose()
        await self.service.aclose()
        self.page.close()
        self.page.deleteLater()

    async def until(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not true():
            assert time.monotonic() < deadline, f"it did not happen; the page says {self.texts()}"
            QCoreApplication.processEvents()
            await asyncio.sleep(0.002)

    # What is seen

    @property
    def table(self) -> DataTable:
        (found,) = [one for one in self.page.findChildren(DataTable) if one.accessibleName() == "Connections"]
        return found

    def cells(self, column: str) -> list[str]:
        return [row.cells[column].text for row in self.table.rows()]

    def states(self) -> dict[str, str]:
        """What is marked in the table, by key."""
        return {
            row.key: badge[0] for row in self.table.rows() if (badge := row.cells["name"].badge) is not None
        }

    def field(self, name: str) -> EntryField:
        return self._one(EntryField, name)

    def select(self, name: str) -> Select:
        return self._one(Select, name)

    def box(self, name: str) -> CheckBox:
        return self._one(CheckBox, name)

    def radio(self, name: str) -> RadioButton:
        return self._one(RadioButton, name)

    def button(self, name: str) -> QAbstractButton:
        return self._one(QAbstractButton, name)

    def dialog(self) -> ConsoleDialog:
        (found,) = self._shown(ConsoleDialog)
        return found

    def texts(self) -> list[str]:
        return [one.text() for one in self._shown(Text)]

    def says(self, words: str) -> bool:
        return any(words in text for text in self.texts())

    def offers(self, button: str) -> bool:
        """Whether there is a button of this name to press."""
        return any(one.accessibleName() == button for one in self._shown(QAbstractButton))

    def _one(self, kind: type[Kind], name: str) -> Kind:
        found = [one for one in self._shown(kind) if one.accessibleName() == name]
        assert len(found) == 1, f"{name}: {[one.accessibleName() for one in self._shown(kind)]}"
        return found[0]

    def _shown(self, kind: type[Kind]) -> Iterator[Kind]:
        return (one for one in self.page.findChildren(kind) if one.isVisible())

    # What a person does

    async def choose_row(self, key: str) -> None:
        self.table.select_keys([key])
        await self.until(lambda: self.view_model.selected_id == key)

    def type_into(self, name: str, text: str) -> None:
        """Replace what stands in a field, key by key."""
        field = self.field(name)
        field.setFocus()
        field.selectAll()
        if text.isascii() and text:
            QTest.keyClicks(field, text)
        elif text:
            # QTest types ASCII only; everything else comes as from an input method.
            event = QInputMethodEvent()
            event.setCommitString(text)
            QCoreApplication.sendEvent(field, event)
        else:
            QTest.keyClick(field, Qt.Key.Key_Backspace)

    def choose(self, name: str, word: str) -> None:
        select = self.select(name)
        select.setFocus()
        select.set_current(word)
        select.activated.emit(select.currentIndex())

    def tab(self, name: str) -> None:
        from console.widgets.tabs import TabBar

        (tabs,) = self._shown(TabBar)
        tabs.set_current(name)
