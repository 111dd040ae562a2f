"""A real MariaDB server for tests: loopback only, a free port, a password, a folder of its own.

The fixture `mariadb` is one server for the whole run; it speaks TLS to who asks for it. A machine without
MariaDB fails the tests that need it and says what to install.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
import pytest

from tests.certificates import Certificates
from tests.postgres import another_user, ends_with_us
from tests.valkey import ServerTls, free_port

START_S = 30.0
STOP_S = 20.0
USER = "console"
MISSING = (
    "MariaDB's {name} is not on this machine. Install it with: sudo bash packaging/system_libraries.sh test"
)


def program(name: str) -> str:
    """A program of the server, which a user's PATH leaves out."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin")
    if found is None:
        raise RuntimeError(MISSING.format(name=name))
    return found


@dataclass
class MariaServer:
    """Its user is `console`, who may do everything; `folder` belongs to whom the server runs as."""

    folder: Path
    run_as: Mapping[str, Any]
    tls: ServerTls
    require_tls: bool = False
    port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)
    process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "") -> str:
        """Where a database is, with the password: for an environment, never for an argument."""
        return f"mysql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str | None = None) -> pymysql.Connection[pymysql.cursors.Cursor]:
        """A session of the test's own, over TLS; it trusts the server whatever it shows."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user=USER,
            password=self.password,
            database=database,
            ssl=context,
            connect_timeout=5,
            autocommit=True,
        )

    def make_database(self, name: str) -> str:
        """An empty database of this name, in place of any other; its URL."""
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS `{name}`")
            cursor.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        return self.url(name)

    def make_data(self) -> None:
        """`mariadb-install-db`; whoever it makes is dropped by the first start."""
        done = subprocess.run(
            [
                program("mariadb-install-db"),
                "--no-defaults",
                f"--datadir={self._data}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
            ],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **self.run_as,
        )
        if done.returncode:
            raise RuntimeError(f"mariadb-install-db failed:\n{done.stdout}{done.stderr}")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        for name, source in (
            ("server.crt", self.tls.pair.cert_file),
            ("server.key", self.tls.pair.key_file),
        ):
            self._write(self.folder / name, source.read_text())
        # The user goes in by a file that only its owner reads; it is made before anybody may connect.
        self._write(self.folder / "init.sql", self._first_words())
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [*ends_with_us("KILL"), program("mariadbd"), "--no-defaults", *self._settings()],
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self.run_as,
            )
        deadline = time.monotonic() + START_S
        while True:
            try:
                self.connect().close()
                break
            except pymysql.Error as error:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    said = (self.folder / "log").read_text(errors="replace")
                    raise RuntimeError(f"MariaDB did not start:\n{said[-2000:]}") from error
                time.sleep(0.05)
        (self.folder / "init.sql").unlink()

    def stop(self) -> None:
        """End it; the sessions that are open are cut."""
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """SIGKILL, as an out-of-memory killer would."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _first_words(self) -> str:
        # MariaDB reads this file a line at a time, a statement each (--init-file).
        return (
            f"CREATE OR REPLACE USER '{USER}'@'%' IDENTIFIED BY '{self.password}';\n"
            f"GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'%' WITH GRANT OPTION;\n"
            f"DELETE FROM mysql.global_priv WHERE User NOT IN ('{USER}', 'mariadb.sys', 'PUBLIC');\n"
            "FLUSH PRIVILEGES;\n"
        )

    def _settings(self) -> list[str]:
        settings = {
            "datadir": str(self._data),
            "bind-address": "127.0.0.1",
            "port": str(self.port),
            # Relative to the data; a path that pytest makes may be too long for a socket.
            "socket": "socket",
            "pid-file": str(self.folder / "pid"),
            "init-file": str(self.folder / "init.sql"),
            "ssl-cert": str(self.folder / "server.crt"),
            "ssl-key": str(self.folder / "server.key"),
            "require-secure-transport": "ON" if self.require_tls else "OFF",
            # Small, and the data is thrown away: nothing of it need outlive a power cut.
            "innodb-buffer-pool-size": "16M",
            "innodb-log-file-size": "8M",
            "innodb-flush-log-at-trx-commit": "0",
            "innodb-doublewrite": "0",
            "key-buffer-size": "1M",
            "aria-pagecache-buffer-size": "1M",
            "performance-schema": "OFF",
            "max-connections": "50",
        }
        if self.tls.client_ca_file is not None:
            settings["ssl-ca"] = str(self.tls.client_ca_file)
        return [*(f"--{name}={value}" for name, value in settings.items()), "--skip-name-resolve"]

    def _write(self, path: Path, text: str) -> None:
        """A file that only whom the server runs as can read."""
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            if "user" in self.run_as:
                os.fchown(handle, self.run_as["user"], self.run_as["group"])
            file.write(text)

    def _environment(self) -> dict[str, str]:
        """None of the variables of the person who runs the tests."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C",
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
        }


@contextmanager
def mariadb_server(tls: ServerTls, *, require_tls: bool = False) -> Iterator[MariaServer]:
    """A running server that is gone, with its folder, at the end."""
    run_as = another_user()
    # Not below pytest's folder, which is closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="console-mariadb-"))
    server = MariaServer(folder, run_as, tls, require_tls=require_tls)
    try:
        if run_as:
            os.chown(folder, run_as["user"], run_as["group"])
        server.make_data()
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def mariadb(certificates: Certificates) -> Iterator[MariaServer]:
    """One server for the whole run, its certificate signed by `certificates`; take a `make_database`."""
    with mariadb_server(ServerTls(certificates.issue("mariadb"))) as server:
        yield server
