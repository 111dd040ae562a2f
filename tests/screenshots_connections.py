"""The pictures around connections: the editor and its test, sheets, Production, lines that break."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from PySide6.QtWidgets import QApplication, QWidget

from console.app.wiring import Console
from console.connections.export_dialog import ExportDialog
from console.connections.import_dialog import ImportDialog
from console.connections.model import Purpose, SecretQuestion
from console.connections.page import ConnectionsPage
from console.connections.project_panel import ProjectPanel
from console.connections.secret_dialog import SecretDialog
from console.connections.view_model import ConnectionsViewModel
from console.core.connection import LinkState
from console.history.model import CollectorState
from console.widgets.button import SegmentedControl
from console.widgets.data_table import DataTable
from console.widgets.dialog import ConsoleDialog
from console.widgets.entry_fields import PathField
from console.widgets.fields import Select
from console.widgets.tabs import TabBar
from console.window.connection_chooser import ConnectionChooser
from tests.deployments import Deployments
from tests.running import until

TABS = ("TLS", "SSH tunnel", "Schedules", "More", "Rights")
LOOKED_S = 0.7
TRAFFIC_S = 6.0
LONG_S = 30.0
BILLING_APP = """\
from celery import Celery

app = Celery("billing", broker="redis://console@redis.billing.example:6379/2", backend="django-db")
app.conf.task_default_queue = "billing"
"""

Both = Callable[[str], Awaitable[None]]
Kind = TypeVar("Kind", bound=QWidget)


@dataclass
class Pictures:
    """`both(name)` keeps the window as it stands, light and dark."""

    console: Console
    places: Deployments
    folder: Path
    both: Both

    async def take(self) -> None:
        await self._set_up()
        await self._test()
        await self._tabs()
        await self._sheets()
        await self._production()
        await self._rabbitmq()

    async def _set_up(self) -> None:
        for connection, secrets in self.places.connections():
            await self.console.connections.save(connection, secrets)
        self.console.window.show_page("connections")
        await until(lambda: self.console.connections.keyring_state.name != "", LONG_S, "the keyring")

    @property
    def _page(self) -> ConnectionsPage:
        page = self.console.window.page("connections")
        assert isinstance(page, ConnectionsPage)
        return page

    def _one(self, kind: type[Kind], name: str = "", *, inside: QWidget | None = None) -> Kind:
        found = (inside or self.console.window).findChildren(kind)
        return next(one for one in found if one.isVisible() and (not name or one.accessibleName() == name))

    async def _test(self) -> None:
        """As in the target picture: two changes not saved, and a test that finds two commands refused."""
        view = self.console.connections_view
        self._one(DataTable, "Connections").select_keys(["shop-production"])
        await asyncio.sleep(LOOKED_S)
        view.edit("mode", "Read only")
        view.edit("queues", "mail, default, reports, payments, celery, priority")
        view.test()
        await until(lambda: view.check is not None and not view.check.running, LONG_S, "the test")
        await asyncio.sleep(LOOKED_S)
        await self.both("connections-test")
        view.cancel()

    async def _tabs(self) -> None:
        tabs = self._one(TabBar, "Connection settings")
        for tab in TABS:
            key = "shop-staging" if tab == "SSH tunnel" else "shop-production"
            self._one(DataTable, "Connections").select_keys([key])
            tabs.set_current(tab)
            await asyncio.sleep(LOOKED_S)
            await self.both(f"connections-{tab.lower().replace(' ', '-')}")
        for key in ("reports", "billing"):
            self._one(DataTable, "Connections").select_keys([key])
            tabs.set_current("Broker")
            await asyncio.sleep(LOOKED_S)
            await self.both(f"connections-{key}")
        tabs.set_current("Rights")
        await asyncio.sleep(LOOKED_S)
        await self.both("connections-rights-rabbitmq")
        tabs.set_current("Broker")

    async def _sheets(self) -> None:
        await self._sheet("connections-import-file", ImportDialog(self._page, self._view), self._from_file)
        await self._sheet("connections-import-url", ImportDialog(self._page, self._view), self._from_url)
        await self._sheet(
            "connections-import-project", ImportDialog(self._page, self._view), self._from_project
        )
        await self._sheet("connections-export", ExportDialog(self._page, self._view))
        info = self.places.connections()[0][0].info
        question = SecretDialog(
            self._page, SecretQuestion(info, Purpose.BROKER), self.console.connections.keyring_state
        )
        await self._sheet("connections-password", question)

    async def _sheet(
        self, name: str, dialog: ConsoleDialog, fill: Callable[[ConsoleDialog], Awaitable[None]] | None = None
    ) -> None:
        dialog.open()
        await asyncio.sleep(LOOKED_S)
        if fill is not None:
            await fill(dialog)
            await asyncio.sleep(LOOKED_S)
        await self.both(name)
        dialog.reject()
        await asyncio.sleep(LOOKED_S)

    @property
    def _view(self) -> ConnectionsViewModel:
        return self.console.connections_view

    async def _from_file(self, dialog: ConsoleDialog) -> None:
        """An export of a colleague: one is there, one is another, one is new."""
        text = self.console.connections.export_text(["shop-staging", "shop-production"])
        file = json.loads(text)
        staging = next(one for one in file["connections"] if one["id"] == "shop-staging")
        staging["mode"] = "Everything"
        file["connections"].append({**staging, "id": "shop-us", "name": "Shop US"})
        path = self.folder / "connections.json"
        path.write_text(json.dumps(file))
        field = self._one(PathField, "File of connections", inside=dialog)
        field.setText(str(path))
        field.returnPressed.emit()
        await asyncio.sleep(LOOKED_S)

    def _way(self, dialog: ConsoleDialog, way: str) -> None:
        ways = self._one(SegmentedControl, "Where from", inside=dialog)
        ways.set_current(way)
        ways.changed.emit(way)

    async def _from_url(self, dialog: ConsoleDialog) -> None:
        QApplication.clipboard().setText("rediss://console:a-password@redis.eu.shop.example:6380/1")
        self._way(dialog, "clipboard")

    async def _from_project(self, dialog: ConsoleDialog) -> None:
        project = self.folder / "billing"
        project.mkdir()
        (project / "billing_app.py").write_text(BILLING_APP)
        self._way(dialog, "project")
        field = self._one(PathField, "Project folder", inside=dialog)
        field.setText(str(project))
        field.returnPressed.emit()
        await until(lambda: self._project(dialog).ready, LONG_S, "the project was looked at")
        self._one(Select, "Interpreter", inside=dialog).set_current(sys.executable)
        dialog.accept()
        await until(lambda: self._project(dialog).draft is not None, LONG_S, "the project was read")

    def _project(self, dialog: ConsoleDialog) -> ProjectPanel:
        return self._one(ProjectPanel, inside=dialog)

    async def _production(self) -> None:
        window = self.console.window
        self.places.allow_all()
        await self._connect("shop-production")
        window.show_page("queues")
        await asyncio.sleep(TRAFFIC_S)
        table = self._one(DataTable, "Queues")
        table.selectRow(0)
        await asyncio.sleep(TRAFFIC_S)
        await self.both("production-queues")
        window.show_page("workers")
        await asyncio.sleep(LOOKED_S * 3)
        await self.both("production-workers")
        self._one(ConnectionChooser, "Connection").click()
        await asyncio.sleep(LOOKED_S)
        await self.both("production-chooser")
        self._one(ConnectionChooser, "Connection").click()
        window.show_page("queues")
        self.places.proxy.refuse()
        self.places.proxy.cut()
        await until(self._counts, LONG_S, "the countdown")
        await self.both("reconnecting")
        self.places.proxy.heal()
        await until(self._connected, LONG_S, "connected again")

    def _counts(self) -> bool:
        retry_at = self.console.connections.status.retry_at
        return retry_at is not None and (retry_at - datetime.now(UTC)).total_seconds() > 2

    def _connected(self) -> bool:
        return self.console.connections.status.state is LinkState.CONNECTED

    async def _connect(self, connection_id: str) -> None:
        await self.console.connections.connect(connection_id)
        await until(self._connected, LONG_S, f"connected to {connection_id}")
        await until(
            lambda: self.console.collector.summary.state is CollectorState.READING, LONG_S, "events are read"
        )

    async def _rabbitmq(self) -> None:
        await self._connect("billing")
        self.console.window.show_page("queues")
        await asyncio.sleep(TRAFFIC_S * 2)
        self._one(DataTable, "Queues").selectRow(0)
        await asyncio.sleep(LOOKED_S * 2)
        await self.both("rabbitmq-queues")
        self.console.window.show_page("workers")
        await asyncio.sleep(LOOKED_S * 3)
        await self.both("rabbitmq-workers")
