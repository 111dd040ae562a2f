"""The dialog in which a connection is made or changed."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtWidgets import QHBoxLayout, QWidget

from console.broker.database import parse_database_url
from console.broker.url import parse_broker_url
from console.connections.model import Connection, Purpose, Secrets
from console.core.connection import Environment, Mode
from console.core.errors import ConsoleError
from console.core.redaction import Secret
from console.widgets.dialog import ConsoleDialog
from console.widgets.fields import Field, Select, TextField


class EditConnectionDialog(ConsoleDialog):
    """`connection` and `secrets` hold what was entered once `finished` came with 1.

    A secret whose field was left alone is absent from `secrets`: the kept one stays.
    """

    def __init__(self, parent: QWidget, connection: Connection, *, new: bool, names: set[str]) -> None:
        super().__init__(parent, "New connection" if new else "Edit connection", width=560)
        self.connection = connection
        self.secrets = Secrets()
        self._names = names
        self._name = TextField(name="Name")
        self._name.setText(connection.name)
        self._environment = Select([(one.value, one.value) for one in Environment], name="Environment")
        self._environment.set_current(connection.environment.value)
        self._mode = Select([(one.value, one.value) for one in Mode], name="What may be done")
        self._mode.set_current(connection.mode.value)
        self._url = TextField(name="Broker URL", placeholder="redis://user@host:6379/0", mono=True)
        self._url.setText(connection.broker.url if connection.broker else "")
        self._password = TextField(name="Password", placeholder="" if new else "unchanged", password=True)
        self._prefix = TextField(name="Global key prefix", placeholder="none", mono=True)
        self._prefix.setText(connection.broker.key_prefix if connection.broker else "")
        self._schedules = TextField(
            name="Schedules database", placeholder="postgresql://user@host/name or sqlite:///path", mono=True
        )
        self._schedules.setText(connection.schedules.url if connection.schedules else "")
        self._name_field = Field("Name", self._name)
        self._url_field = Field("Broker URL", self._url)
        first = QHBoxLayout()
        first.setSpacing(12)
        first.addWidget(self._name_field, 2)
        first.addWidget(Field("Environment", self._environment), 1)
        first.addWidget(Field("What may be done", self._mode), 1)
        second = QHBoxLayout()
        second.setSpacing(12)
        second.addWidget(
            Field("Password", self._password, hint="Kept in the keyring of this computer, never in a file"), 2
        )
        second.addWidget(Field("Global key prefix", self._prefix), 1)
        self.body.addLayout(first)
        self.body.addWidget(self._url_field)
        self.body.addLayout(second)
        self._schedules_field = Field(
            "Schedules database", self._schedules, hint="The database with django-celery-beat's tables"
        )
        self._schedules_password = TextField(
            name="Database password", placeholder="" if new else "unchanged", password=True
        )
        third = QHBoxLayout()
        third.setSpacing(12)
        third.addWidget(self._schedules_field, 2)
        third.addWidget(Field("Database password", self._schedules_password), 1)
        self.body.addLayout(third)
        self.add_button("Save", kind="primary", role="accept")

    def accept(self) -> None:
        """Take the entries if they are right; otherwise say at the field what is not."""
        name = self._name.text().strip()
        self._name_field.set_error("")
        self._url_field.set_error("")
        self._schedules_field.set_error("")
        if not name:
            self._name_field.set_error("A name is needed")
            return
        if name in self._names:
            self._name_field.set_error("Another connection has this name")
            return
        try:
            broker = parse_broker_url(self._url.text())
        except ConsoleError as error:
            self._url_field.set_error(error.detail)
            return
        text = self._schedules.text().strip()
        try:
            schedules = parse_database_url(text) if text else None
        except ConsoleError as error:
            self._schedules_field.set_error(error.detail)
            return
        typed = {Purpose.BROKER: self._password.text(), Purpose.SCHEDULES: self._schedules_password.text()}
        self.secrets = Secrets(tuple((purpose, Secret(text)) for purpose, text in typed.items() if text))
        self.connection = replace(
            self.connection,
            name=name,
            environment=Environment(self._environment.current()),
            mode=Mode(self._mode.current()),
            broker=replace(broker, key_prefix=self._prefix.text().strip()),
            schedules=schedules,
        )
        super().accept()
