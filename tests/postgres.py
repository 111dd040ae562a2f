"""A real PostgreSQL server for tests: loopback only, a free port, a password, a folder of its own.

The fixture `postgres` is one server for the whole run, `postgres_tls` one that speaks TLS only. A machine
without PostgreSQL fails the tests that need it and says what to install.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.certificates import Certificates
from tests.valkey import ServerTls, free_port

START_S = 20.0
STOP_S = 10.0
INSTALLED = Path("/usr/lib/postgresql")
MISSING = (
    "PostgreSQL's server is not on this machine: neither /usr/lib/postgresql/*/bin nor PATH has initdb and "
    "postgres. On Debian: apt-get install --no-install-recommends postgresql"
)
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "50",
    "shared_buffers": "16MB",
    # The data is thrown away: nothing of it need outlive a power cut.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


def program(name: str) -> Path:
    """A program of the newest PostgreSQL here. Debian keeps the server's out of PATH."""
    folders = sorted(
        (folder for folder in INSTALLED.glob("*/bin") if folder.parent.name.isdecimal()),
        key=lambda folder: int(folder.parent.name),
        reverse=True,
    )
    for candidate in (*(folder / name for folder in folders), shutil.which(name)):
        if candidate is not None and Path(candidate).exists():
            return Path(candidate)
    raise RuntimeError(MISSING)


@dataclass
class PostgresServer:
    """Its one role is `console`, which owns everything; `folder` belongs to whom the server runs as."""

    folder: Path
    run_as: Mapping[str, Any]
    port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)
    process: subprocess.Popen[bytes] | None = None
    tls: ServerTls | None = None
    """With it nobody gets in without TLS, nor, with its `client_ca_file`, without a client's certificate."""

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    def url(self, database: str = "postgres") -> str:
        """Where a database is, with the password: for an environment, never for an argument."""
        return f"postgresql://console:{self.password}@127.0.0.1:{self.port}/{database}"

    def make_database(self, name: str) -> str:
        """An empty database of this name, in place of any other; its URL."""
        with self._connect() as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A session of the test's own; it trusts the server whatever it shows."""
        shown: dict[str, Any] = {}
        if self.tls is not None and self.tls.client is not None:
            shown = {"sslcert": str(self.tls.client.cert_file), "sslkey": str(self.tls.client.key_file)}
        return psycopg.connect(self.url(), connect_timeout=2, autocommit=True, **shown)

    def _write_tls(self, tls: ServerTls) -> dict[str, str]:
        """The server's own copies, which must belong to whom it runs as; the settings that name them."""
        data = self.folder / "data"
        files = {"server.crt": tls.pair.cert_file, "server.key": tls.pair.key_file}
        if tls.client_ca_file is not None:
            files["root.crt"] = tls.client_ca_file
        for name, source in files.items():
            self._write(data / name, source.read_text())
        proof = " clientcert=verify-ca" if tls.client_ca_file is not None else ""
        self._write(data / "pg_hba.conf", f"hostssl all all 127.0.0.1/32 scram-sha-256{proof}\n")
        return {"ssl": "on"} | ({"ssl_ca_file": "root.crt"} if "root.crt" in files else {})

    def _write(self, path: Path, text: str) -> None:
        """A file that only whom the server runs as can read."""
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            if "user" in self.run_as:
                os.fchown(handle, self.run_as["user"], self.run_as["group"])
            file.write(text)

    def make_cluster(self) -> None:
        """`initdb`. The password goes in by a file that only its owner reads, gone afterwards."""
        secret = self.folder / "secret"
        self._write(secret, self.password)
        try:
            self._run(
                *(str(program("initdb")), "-D", str(self.folder / "data"), "-U", "console"),
                *("-A", "scram-sha-256", f"--pwfile={secret}", "-N", "-E", "UTF8", "--locale=C"),
            )
        finally:
            secret.unlink()

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **self.run_as,
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = {**SETTINGS, "port": str(self.port)}
        if self.tls is not None:
            settings |= self._write_tls(self.tls)
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *ends_with_us(),
                    str(program("postgres")),
                    "-D",
                    str(self.folder / "data"),
                    *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
                ],
                cwd=self.folder,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self.run_as,
            )
        deadline = time.monotonic() + START_S
        while True:
            try:
                self._connect().close()
                return
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    said = self._log.read_text(errors="replace")
                    raise RuntimeError(f"PostgreSQL did not start:\n{said[-2000:]}") from error
                time.sleep(0.02)

    def stop(self) -> None:
        """End it and all its processes; the sessions that are open are cut."""
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait(STOP_S)


def ends_with_us(by: str = "INT") -> tuple[str, ...]:
    """What to put before a command, where Linux can: a test run that is killed takes its server along."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", by) if setpriv is not None else ()


def _environment() -> dict[str, str]:
    """None of the PG variables of the person who runs the tests."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


def another_user() -> dict[str, Any]:
    """Database servers refuse to run as root: then they run as PostgreSQL's own user, else as nobody."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise RuntimeError("it does not run as root, and there is neither a user postgres nor nobody")


@contextmanager
def postgres_server(*, tls: ServerTls | None = None) -> Iterator[PostgresServer]:
    """A running server that is gone, with its folder, at the end."""
    run_as = another_user()
    # Not below pytest's folder, which is closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="console-postgres-"))
    server = PostgresServer(folder, run_as, tls=tls)
    try:
        if run_as:
            os.chown(folder, run_as["user"], run_as["group"])
        server.make_cluster()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for the whole run; take a database of your own with `make_database`."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_tls(certificates: Certificates) -> Iterator[PostgresServer]:
    """One server for the whole run that speaks TLS only, its certificate signed by `certificates`."""
    with postgres_server(tls=ServerTls(certificates.issue("postgres"))) as server:
        yield server
