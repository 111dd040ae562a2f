"""The tabs of the editor: which fields stand where, and which of them matter for what was chosen."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from console.broker.address import BrokerKind
from console.connections.draft_fields import Draft, ResultsChoice, SchedulesChoice, TunnelChoice, TunnelLogin
from console.connections.form_panel import Form, RowNote, TabPage, below_label, row
from console.connections.model import Colour
from console.core.connection import Environment, Mode
from console.widgets.button import Button
from console.widgets.entry_fields import EntryField
from console.widgets.fields import RadioButton
from console.widgets.flow import FlowLayout
from console.widgets.label import Glyph, Text

ENVIRONMENT_DOTS = {
    Environment.DEVELOPMENT.value: "st_started",
    Environment.STAGING.value: "st_retrying",
    Environment.PRODUCTION.value: "st_failed",
}
COLOUR_DOTS = {
    Colour.BLUE.value: "link",
    Colour.TEAL.value: "st_started",
    Colour.GREEN.value: "st_succeeded",
    Colour.AMBER.value: "st_retrying",
    Colour.RED.value: "st_failed",
    Colour.VIOLET.value: "st_lost",
    Colour.PINK.value: "st_rejected",
}
_NOT_VERIFIED = (
    "Not verified: whoever stands between can read and change everything, passwords included. "
    "For a test only; name the certificate authority instead."
)


class BrokerTab(TabPage):
    """What most connections need, and nothing else. `show_schedules`: what Change… does."""

    def __init__(self, form: Form, show_schedules: Callable[[], None]) -> None:
        super().__init__("Broker")
        self.add(
            (form.text("name", "Name"), 204),
            (form.select("environment", "Environment", list(Environment), dots=ENVIRONMENT_DOTS), 142),
            (form.select("kind", "Broker kind", list(BrokerKind)), 136),
        )
        self.add(
            (
                form.text(
                    "broker_url", "Broker URL", mono=True, placeholder="paste a URL, or fill the fields below"
                ),
                1,
            )
        )
        note = RowNote()
        self._host = form.text("host", "Host")
        self._port = form.text("port", "Port", note=note)
        self._sentinels = form.text("sentinels", "Sentinels", placeholder="host:26379, host:26379")
        self._socket = form.text("socket_path", "Socket path", placeholder="/run/redis/redis.sock")
        self._database = form.text("database", "Database", note=note)
        self._vhost = form.text("vhost", "Vhost", placeholder="/")
        self._prefix = form.text("key_prefix", "Global key prefix", placeholder="none")
        self.add(
            (self._host, 200),
            (self._sentinels, 288),
            (self._socket, 288),
            (self._port, 76),
            (self._database, 76),
            (self._vhost, 206),
            (self._prefix, 118),
        )
        self.rows.addWidget(note)
        self._primary = form.text("master_name", "Primary's name", placeholder="mymaster")
        self._sentinel_user = form.text("sentinel_username", "Sentinel user", placeholder="none")
        self._sentinel_password = form.secret("sentinel_password", "Sentinel password")
        self._sentinel_row = QWidget()
        sentinel = row((self._primary, 160), (self._sentinel_user, 120), (self._sentinel_password, 202))
        sentinel.setContentsMargins(0, 0, 0, 0)
        self._sentinel_row.setLayout(sentinel)
        self.rows.addWidget(self._sentinel_row)
        self.add(
            (form.text("username", "User", placeholder="none"), 160),
            (form.secret("password", "Password"), 334),
        )
        self.keyring = Text(role="label", tone="muted", wrap=True)
        hint = QHBoxLayout()
        hint.setContentsMargins(0, 0, 0, 0)
        hint.setSpacing(6)
        hint.addWidget(Glyph("key-round", "muted"))
        hint.addWidget(self.keyring, 1)
        self.rows.addSpacing(4 - self.rows.spacing())
        self.rows.addLayout(hint)
        self._tls = below_label(form.check("tls", "Use TLS"))
        self._authority = form.path("ca_file", "Certificate authority", placeholder="System store")
        self._server_name = form.text("server_name", "Server name", placeholder="same as host")
        self.add((self._tls, 160), (self._authority, 182), (self._server_name, 140))
        self._add_schedules(form, show_schedules)
        self._add_modes(form)
        self.end()

    def _add_schedules(self, form: Form, show_schedules: Callable[[], None]) -> None:
        change = Button("Change…")
        change.setToolTip("Fields of the schedules database, with TLS")
        change.clicked.connect(show_schedules)
        self.add(
            (form.text("schedules_url", "Schedules database", placeholder="none", icon="database"), 1),
            (below_label(change), 0),
        )

    def _add_modes(self, form: Form) -> None:
        line = FlowLayout(gap=16)
        label = Text("What may be done", role="label-name", tone="text2")
        label.setFixedHeight(24)
        line.addWidget(label)
        self._modes = [RadioButton(mode.value) for mode in Mode]
        for button in self._modes:
            line.addWidget(button)
        form.radios("mode", self._modes)
        self.rows.addLayout(line)

    def arrange(self, draft: Draft) -> None:
        """Show what the kind of broker has."""
        kind = draft.kind
        plain = kind in (BrokerKind.REDIS, BrokerKind.RABBITMQ)
        self._host.setVisible(plain)
        self._port.setVisible(plain)
        self._sentinels.setVisible(kind is BrokerKind.SENTINEL)
        self._sentinel_row.setVisible(kind is BrokerKind.SENTINEL)
        self._socket.setVisible(kind is BrokerKind.SOCKET)
        self._vhost.setVisible(kind is BrokerKind.RABBITMQ)
        self._database.setVisible(kind.is_redis)
        self._prefix.setVisible(kind.is_redis)
        has_tls = kind is not BrokerKind.SOCKET
        self._tls.control.setEnabled(has_tls)
        self._tls.control.setToolTip("" if has_tls else "A Unix socket does not leave this computer")
        for field in (self._authority, self._server_name):
            field.control.setEnabled(has_tls and draft.tls)
            field.control.setToolTip("" if has_tls and draft.tls else "Turn Use TLS on first")


class TlsTab(TabPage):
    """The rest of the broker's TLS."""

    def __init__(self, form: Form) -> None:
        super().__init__("TLS")
        self._off = self.add_words("The broker is reached without TLS. Turn on Use TLS to set it up.")
        self.rows.addWidget(form.check("tls", "Use TLS"))
        self._inside = TlsFields(form, "")
        self.rows.addWidget(self._inside)
        self.end()

    def arrange(self, draft: Draft) -> None:
        on = draft.tls and draft.kind is not BrokerKind.SOCKET
        self._off.setVisible(not on)
        self._inside.setVisible(on)
        self._inside.arrange(verify=draft.verify)


class TlsFields(QWidget):
    """The TLS of one line; `what` is the draft's prefix, `called` goes before the accessible names."""

    def __init__(self, form: Form, prefix: str, *, called: str = "") -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)

        def name(label: str) -> str:
            return f"{called} {label[0].lower()}{label[1:]}" if called else label

        column.addWidget(
            form.check(f"{prefix}verify", "Verify the certificate", called=name("Verify the certificate"))
        )
        self._warning = Text(_NOT_VERIFIED, role="label", tone="error", wrap=True)
        column.addWidget(self._warning)
        authority = form.path(
            f"{prefix}ca_file",
            "Certificate authority",
            placeholder="System store",
            called=name("Certificate authority"),
        )
        server = form.text(
            f"{prefix}server_name", "Server name", placeholder="same as host", called=name("Server name")
        )
        column.addLayout(row((authority, 2), (server, 1)))
        column.addLayout(
            row(
                (
                    form.path(
                        f"{prefix}cert_file",
                        "Client certificate",
                        placeholder="none",
                        called=name("Client certificate"),
                    ),
                    1,
                ),
                (
                    form.path(
                        f"{prefix}key_file",
                        "Client key",
                        placeholder="in the certificate's file",
                        called=name("Client key"),
                    ),
                    1,
                ),
            )
        )

    def arrange(self, *, verify: bool) -> None:
        self._warning.setVisible(not verify)


class TunnelTab(TabPage):
    """How broker, results and schedules database are reached: directly, or through a jump host."""

    def __init__(self, form: Form) -> None:
        super().__init__("SSH tunnel")
        self.add_words(
            "For what cannot be reached from here: the line goes through an SSH server, whose key must be "
            "known to this computer."
        )
        self._parts = {
            "broker": _TunnelFields(form, "broker", "Broker"),
            "results": _TunnelFields(form, "results", "Results"),
            "schedules": _TunnelFields(form, "schedules", "Schedules database"),
        }
        for part in self._parts.values():
            self.rows.addWidget(part)
        self.end()

    def arrange(self, draft: Draft) -> None:
        for what, part in self._parts.items():
            part.arrange(getattr(draft, f"{what}_tunnel"), getattr(draft, f"{what}_tunnel_login"))
        self._parts["results"].setVisible(draft.results is ResultsChoice.REDIS)
        self._parts["schedules"].setVisible(
            draft.schedules in (SchedulesChoice.POSTGRESQL, SchedulesChoice.MYSQL)
        )


class _TunnelFields(QWidget):
    """The tunnel of one line."""

    def __init__(self, form: Form, what: str, title: str) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 4)
        column.setSpacing(8)
        own = what == "broker"
        choices = [one for one in TunnelChoice if not (own and one is TunnelChoice.SAME)]

        def name(label: str) -> str:
            return label if own else f"{title} {label}"

        note = RowNote()

        top = row(
            (form.select(f"{what}_tunnel", title, choices, called=f"{title} is reached"), 1),
            (QWidget(), 1),
        )
        column.addLayout(top)
        self._inside = QWidget()
        inside = QVBoxLayout(self._inside)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(8)
        inside.addLayout(
            row(
                (form.text(f"{what}_tunnel_host", "SSH host", called=name("SSH host")), 3),
                (form.text(f"{what}_tunnel_port", "SSH port", called=name("SSH port"), note=note), 1),
                (
                    form.text(
                        f"{what}_tunnel_user",
                        "SSH user",
                        placeholder="as on this computer",
                        called=name("SSH user"),
                    ),
                    2,
                ),
            )
        )
        inside.addWidget(note)
        self._key = form.path(f"{what}_tunnel_key_file", "Key file", called=name("Key file"))
        self._passphrase = form.secret(
            f"{what}_tunnel_passphrase", "Key passphrase", called=name("Key passphrase")
        )
        inside.addLayout(
            row(
                (
                    form.select(
                        f"{what}_tunnel_login", "SSH login", list(TunnelLogin), called=name("SSH login")
                    ),
                    2,
                ),
                (self._key, 3),
                (self._passphrase, 3),
            )
        )
        column.addWidget(self._inside)

    def arrange(self, choice: TunnelChoice, login: TunnelLogin) -> None:
        self._inside.setVisible(choice is TunnelChoice.OWN)
        self._key.setVisible(login is TunnelLogin.KEY)
        self._passphrase.setVisible(login is TunnelLogin.KEY)


class SchedulesTab(TabPage):
    """The database with django-celery-beat's tables."""

    def __init__(self, form: Form) -> None:
        super().__init__("Schedules")
        self.add_words("The database with django-celery-beat's tables. Without one, Schedules stays empty.")
        self.add(
            (form.select("schedules", "Kind", list(SchedulesChoice), called="Schedules database kind"), 1),
            (
                form.text(
                    "schedules_url",
                    "URL",
                    mono=True,
                    placeholder="postgresql://user@host/name",
                    called="Schedules database URL",
                ),
                3,
            ),
        )
        self._path = form.path("schedules_path", "File", called="Schedules database file")
        self.rows.addWidget(self._path)
        self._server = QWidget()
        server = QVBoxLayout(self._server)
        server.setContentsMargins(0, 0, 0, 0)
        server.setSpacing(8)
        note = RowNote()
        server.addLayout(
            row(
                (form.text("schedules_host", "Host", called="Database host"), 3),
                (form.text("schedules_port", "Port", called="Database port", note=note), 1),
                (form.text("schedules_name", "Database", called="Database name"), 2),
            )
        )
        server.addWidget(note)
        server.addLayout(
            row(
                (form.text("schedules_username", "User", called="Database user"), 1),
                (form.secret("schedules_password", "Password", called="Database password"), 2),
            )
        )
        server.addWidget(form.check("schedules_tls", "Use TLS", called="Database use TLS"))
        self._tls = TlsFields(form, "schedules_", called="Database")
        server.addWidget(self._tls)
        self.rows.addWidget(self._server)
        self.end()

    def arrange(self, draft: Draft) -> None:
        is_server = draft.schedules in (SchedulesChoice.POSTGRESQL, SchedulesChoice.MYSQL)
        self._path.setVisible(draft.schedules is SchedulesChoice.SQLITE)
        self._server.setVisible(is_server)
        self._tls.setVisible(draft.schedules_tls)
        self._tls.arrange(verify=draft.schedules_verify)


class MoreTab(TabPage):
    """What few connections need."""

    def __init__(self, form: Form) -> None:
        super().__init__("More")
        self.add(
            (form.select("colour", "Colour", list(Colour), dots=COLOUR_DOTS), 1),
            (form.text("timeout_s", "Timeout (s)"), 1),
            (QWidget(), 1),
        )
        self.rows.addWidget(
            form.text(
                "queues",
                "Extra queue names",
                placeholder="none",
                hint="Beside those that workers and broker tell of, apart by commas",
            )
        )
        self._management = form.text("management_url", "Management URL")
        self.rows.addWidget(self._management)
        self._results_url = form.text(
            "results_url", "Results URL", mono=True, placeholder="redis://host:6379/1"
        )
        self._results_password = form.secret("results_password", "Results password")
        self.add((form.select("results", "Result backend", list(ResultsChoice)), 1), (QWidget(), 1))
        self.add((self._results_url, 2), (self._results_password, 1))
        self.end()

    def arrange(self, draft: Draft) -> None:
        is_redis = draft.results is ResultsChoice.REDIS
        self._results_url.setVisible(is_redis)
        self._results_password.setVisible(is_redis)
        self._management.setVisible(draft.kind is BrokerKind.RABBITMQ)
        scheme, port = ("https", 15671) if draft.tls else ("http", 15672)
        host = draft.host.strip() or "host"
        shown = f"[{host}]" if ":" in host else host
        control = self._management.control
        if isinstance(control, EntryField):
            control.setPlaceholderText(f"{scheme}://{shown}:{port}")
