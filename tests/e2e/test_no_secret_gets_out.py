"""Every secret a connection may have, as a marker: nothing the program writes or starts may show one.

Real servers behind every kind of line, a real window, a real Secret Service. What is searched: every file of
the home folder, arguments and environment of every process of the console while it runs, what it prints, what
the window shows to assistive technology, and the exported form.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from console.broker.database import parse_database_url
from console.broker.tls import TlsOptions
from console.broker.tunnel_settings import TunnelSettings
from console.broker.url import parse_broker_url
from console.connections.file_format import dump_connections
from console.connections.gateway import KeyringSecrets
from console.connections.model import Connection, Purpose, ResultBackend, keyring_entry, without_secrets
from console.core.connection import Environment
from console.core.redaction import Secret
from tests.certificates import Certificates
from tests.e2e.atspi import Bus, Node, NotThereError, wait_until
from tests.e2e.processes import processes_of
from tests.e2e.test_real_window import ROOT, bus, go_to
from tests.postgres import PostgresServer
from tests.rabbitmq import RabbitServer
from tests.sentinel import sentinel_group
from tests.sshd import SshServer, make_key
from tests.valkey import ServerTls, valkey_server

__all__ = ["bus"]

PAGES = ("Overview", "Workers", "Queues", "Tasks", "Schedules", "Activity", "Connections")


def marker(purpose: str) -> str:
    """A secret that is found wherever it shows: plain, percent-encoded, escaped or in base64."""
    return f"mark-{purpose}-{secrets.token_hex(6)} /#?@:%ü"


class Hunt:
    """Looks for `markers` everywhere, in all the forms in which a program may write one down."""

    def __init__(self, markers: Mapping[str, str]) -> None:
        self._forms = {
            form: name
            for name, value in markers.items()
            for form in (
                value.encode(),
                quote(value, safe="").encode(),
                json.dumps(value)[1:-1].encode(),
                b64encode(value.encode()),
                # The part that no encoding changes.
                value[:20].encode(),
            )
        }
        self.found: set[str] = set()

    def look(self, data: bytes, where: str) -> None:
        for form, name in self._forms.items():
            if form in data:
                self.found.add(f"{name} in {where}")

    def files(self, folder: Path) -> None:
        for file in folder.rglob("*"):
            if file.is_file() and not file.is_symlink():
                self.look(file.read_bytes(), f"the file {file.relative_to(folder)}")

    def processes(self, home: Path) -> int:
        running = processes_of(home)
        for process in running:
            try:
                self.look("\0".join(process.cmdline()).encode(), f"the arguments of {process.name()}")
                self.look(repr(process.environ()).encode(), f"the environment of {process.name()}")
            except psutil.NoSuchProcess:
                continue
        return len(running)

    def window(self, window: Node) -> None:
        for node in window.walk():
            try:
                self.look(node.name.encode(), f"the window ({node.role})")
            except NotThereError:
                continue


def test_the_hunt_finds_what_it_is_for() -> None:
    value = marker("x")
    for form in (value, quote(value, safe=""), json.dumps(value), b64encode(value.encode()).decode()):
        hunt = Hunt({"x": value})
        hunt.look(f"before {form} after".encode(), "a text")
        assert hunt.found == {"x in a text"}


def keep(connection: Connection) -> Connection:
    """`connection` as the file has it; its secrets are in the keyring afterwards."""
    clean, found = without_secrets(connection)
    for purpose, secret in found.values:
        KeyringSecrets().set(keyring_entry(clean.id, purpose), secret)
    return clean


@contextmanager
def _running(home: Path, output: Path, connection: str) -> Iterator[subprocess.Popen[bytes]]:
    with output.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "console", "--home", str(home), "--connection", connection],
            cwd=ROOT,
            env={**os.environ, "QT_LINUX_ACCESSIBILITY_ALWAYS_ON": "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        for left in processes_of(home):
            left.kill()


@pytest.mark.timeout(240)
def test_no_secret_is_anywhere_it_does_not_belong(
    tmp_path: Path,
    bus: Bus,
    certificates: Certificates,
    sshd: SshServer,
    postgres_tls: PostgresServer,
    rabbitmq: RabbitServer,
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "known_hosts").write_text(sshd.known_hosts_line())
    passphrase = marker("passphrase")
    key = make_key(tmp_path / "keys", passphrase)
    with (sshd.folder / "authorized_keys").open("a") as keys:
        keys.write(f"{key.public}\n")
    tls = TlsOptions(ca_file=str(certificates.ca_file))
    markers = {name: marker(name) for name in ("redis", "results", "rabbit", "wrong")}
    markers["sentinel"] = f"mark-sentinel-{secrets.token_hex(12)}"  # its configuration takes no blanks
    markers |= {"passphrase": passphrase, "postgres": postgres_tls.password}
    rabbitmq.add_user("marked", markers["rabbit"], "monitoring")
    tunnel = TunnelSettings(sshd.host, sshd.port, sshd.user, str(key.file))
    database = parse_database_url(postgres_tls.make_database("marked"))
    with (
        valkey_server(tmp_path / "tls", tls=ServerTls(certificates.issue("broker"))) as broker,
        valkey_server(tmp_path / "results") as results,
        sentinel_group(tmp_path / "sentinel", sentinel_password=markers["sentinel"]) as group,
    ):
        broker.change_password(markers["redis"])
        results.change_password(markers["results"])
        redis = parse_broker_url(f"rediss://localhost:{broker.port}/0")
        tunnelled = Connection(
            "tunnelled",
            "Tunnelled",
            Environment.PRODUCTION,
            replace(redis, tls=tls, password=Secret(markers["redis"])),
            schedules=replace(database, tls=tls),
            results=ResultBackend(
                redis=replace(parse_broker_url(results.url), password=Secret(markers["results"]))
            ),
            broker_tunnel=tunnel,
            schedules_tunnel=tunnel,
        )
        watched = Connection(
            "watched",
            "Watched",
            Environment.STAGING,
            replace(
                parse_broker_url(";".join(f"sentinel://127.0.0.1:{port}" for port in group.ports)),
                master_name=group.master_name,
                password=Secret(group.password),
                sentinel_password=Secret(markers["sentinel"]),
            ),
        )
        rabbit = Connection(
            "rabbit",
            "Rabbit",
            Environment.STAGING,
            replace(
                parse_broker_url(f"amqps://marked@localhost:{rabbitmq.tls_port}//"),
                tls=tls,
                password=Secret(markers["rabbit"]),
                management_url=rabbitmq.management_url,
            ),
        )
        refused = replace(tunnelled, id="refused", name="Refused")
        assert refused.broker is not None
        refused = replace(refused, broker=refused.broker.with_password(Secret(markers["wrong"])))
        markers["primary"] = group.password
        kept = [keep(one) for one in (tunnelled, watched, rabbit, refused)]
        for one in (tunnelled, refused):
            for purpose in (Purpose.BROKER_TUNNEL, Purpose.SCHEDULES_TUNNEL):
                KeyringSecrets().set(keyring_entry(one.id, purpose), Secret(passphrase))
        exported = dump_connections(kept)
        (home / "connections.json").write_text(exported)
        hunt = Hunt(markers)
        hunt.look(exported.encode(), "the exported form")
        output = tmp_path / "output.txt"
        _visit(home, output, "Tunnelled", bus, hunt, PAGES)
        for name in ("Watched", "Rabbit"):
            _visit(home, output, name, bus, hunt, PAGES[-1:])
        with _running(home, output, "Refused") as process:
            window = bus.application(process.pid)
            wait_until(lambda: bool(window.find_all("Disconnected")), 20, "the login is refused")
            hunt.processes(home)
            hunt.window(window)
        shutil.rmtree(home / "known_hosts", ignore_errors=True)
        hunt.files(home)
        hunt.look(output.read_bytes(), "what the console printed")
        assert not hunt.found


def _visit(home: Path, output: Path, name: str, bus: Bus, hunt: Hunt, pages: tuple[str, ...]) -> None:
    """Connect, look at `pages`, and search while all of it runs."""
    with _running(home, output, name) as process:
        window = bus.application(process.pid)
        window.find("Connected", within_s=30)
        for page in pages:
            go_to(window, page)
            hunt.window(window)
        wait_until(lambda: hunt.processes(home) >= 2, 10, "the console and its collector")
