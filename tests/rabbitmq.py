"""A real RabbitMQ for tests: loopback only, ports of its own, its own folder, node and port mapper.

The fixture `rabbitmq` is one server for the whole run (it takes seconds to start); `rabbitmq_vhost` is an
empty virtual host for one test. A machine without RabbitMQ fails the tests that need it and says what to
install.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.certificates import Certificates
from tests.postgres import ends_with_us
from tests.valkey import ServerTls, free_port

START_S = 60.0
STOP_S = 20.0
ADMIN = "console"
PROGRAMS = Path("/usr/lib/rabbitmq/bin")
MISSING = (
    "RabbitMQ is not on this machine: neither /usr/lib/rabbitmq/bin nor PATH has {name}. "
    "Install it with: sudo bash packaging/system_libraries.sh test"
)
SMALL = "+S 1:1 +A 4 +SDcpu 1:1 +SDio 1"
"""One scheduler and few threads instead of several per core (erl(1))."""

STOPPED = b"Management plugin: to stop collect_statistics"
SAMPLES = ("global", "basic", "detailed")


def program(name: str) -> str:
    """One of RabbitMQ's programs. Debian's on PATH are wrappers that insist on the user rabbitmq."""
    if (PROGRAMS / name).exists():
        return str(PROGRAMS / name)
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(MISSING.format(name=name))
    return found


@dataclass
class RabbitServer:
    """`console` administers it; give the console's own connections users made by `add_user`."""

    folder: Path
    tls: ServerTls
    port: int = field(default_factory=free_port)
    tls_port: int = field(default_factory=free_port)
    management_port: int = field(default_factory=free_port)
    management_tls_port: int = field(default_factory=free_port)
    passwords: dict[str, str] = field(default_factory=lambda: {ADMIN: secrets.token_urlsafe(16)}, repr=False)
    process: subprocess.Popen[bytes] | None = None
    _mapper: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _mapper_port: int = field(default_factory=free_port, init=False)
    _node_port: int = field(default_factory=free_port, init=False)

    @property
    def management_url(self) -> str:
        """The management API, without a login."""
        return f"http://127.0.0.1:{self.management_port}"

    @property
    def management_tls_url(self) -> str:
        """The management API over TLS, with the same certificate as amqps."""
        return f"https://localhost:{self.management_tls_port}"

    def url(self, vhost: str = "/", *, user: str = ADMIN, tls: bool = False, host: str = "127.0.0.1") -> str:
        """`amqp://` or `amqps://`, with the password."""
        login = f"{quote(user, safe='')}:{quote(self.passwords[user], safe='')}"
        scheme, port = ("amqps", self.tls_port) if tls else ("amqp", self.port)
        return f"{scheme}://{login}@{host}:{port}/{quote(vhost, safe='')}"

    def add_vhost(self, name: str) -> None:
        """An empty virtual host, in place of any other of this name; the administrator may do all in it."""
        self.delete_vhost(name)
        self.manage("PUT", f"/api/vhosts/{quote(name, safe='')}", {})
        self.set_permissions(ADMIN, vhost=name)

    def delete_vhost(self, name: str) -> None:
        self.manage("DELETE", f"/api/vhosts/{quote(name, safe='')}", missing_ok=True)

    def add_user(
        self,
        name: str,
        password: str,
        tags: str = "",
        *,
        vhost: str = "/",
        configure: str = ".*",
        write: str = ".*",
        read: str = ".*",
    ) -> None:
        """A user, or another password for it; `tags` as `monitoring,policymaker`."""
        self.manage("PUT", f"/api/users/{quote(name, safe='')}", {"password": password, "tags": tags})
        self.passwords[name] = password
        self.set_permissions(name, vhost=vhost, configure=configure, write=write, read=read)

    def set_permissions(
        self, user: str, *, vhost: str = "/", configure: str = ".*", write: str = ".*", read: str = ".*"
    ) -> None:
        """What the user may do, as regular expressions of names; an empty one permits nothing."""
        self.manage(
            "PUT",
            f"/api/permissions/{quote(vhost, safe='')}/{quote(user, safe='')}",
            {"configure": configure, "write": write, "read": read},
        )

    def delete_user(self, name: str) -> None:
        """Gone; the server closes the user's connections."""
        self.manage("DELETE", f"/api/users/{quote(name, safe='')}", missing_ok=True)
        self.passwords.pop(name, None)

    def connections(self) -> list[dict[str, Any]]:
        """Who is connected, as the management API tells it: a new one is listed within a second or so."""
        found: list[dict[str, Any]] = self.manage("GET", "/api/connections")
        return found

    def close_all_connections(self) -> None:
        """Close every connection that is listed, with a `connection.close` as an administrator would."""
        for one in self.connections():
            self.manage("DELETE", f"/api/connections/{quote(one['name'], safe='')}", missing_ok=True)

    def manage(self, method: str, path: str, body: object = None, *, missing_ok: bool = False) -> Any:
        """A call of the management API as administrator; what it answers, read from JSON.

        Raises `RuntimeError` with the answer unless it is a success.
        """
        login = b64encode(f"{ADMIN}:{self.passwords[ADMIN]}".encode()).decode()
        connection = HTTPConnection("127.0.0.1", self.management_port, timeout=10)
        try:
            connection.request(
                method,
                path,
                None if body is None else json.dumps(body),
                {"Authorization": f"Basic {login}", "Content-Type": "application/json"},
            )
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        if answer.status >= 400 and not (missing_ok and answer.status == 404):
            raise RuntimeError(f"{method} {path}: {answer.status} {said.decode(errors='replace')}")
        return json.loads(said) if said and answer.status < 400 else None

    def start(self) -> None:
        """Start it, or start it again with its data, and wait until it and its management answer."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_configuration()
        if self._mapper is None:
            self._start_mapper()
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [*ends_with_us("KILL"), program("rabbitmq-server")],
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_S
        while True:
            try:
                self.manage("GET", "/api/whoami")
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
                socket.create_connection(("127.0.0.1", self.tls_port), timeout=5).close()
                return
            except (OSError, HTTPException, RuntimeError) as error:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    said = (self.folder / "log").read_text(errors="replace")
                    raise RuntimeError(f"RabbitMQ did not start:\n{said[-3000:]}") from error
                time.sleep(0.05)

    def stop(self) -> None:
        """End it in order: clients are told, durable data is kept."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + STOP_S
            while self.process.poll() is None and time.monotonic() < deadline:
                # Its connections, queues and stores are closed by then; the plugin waits 5 seconds more.
                if STOPPED in (self.folder / "log").read_bytes():
                    break
                time.sleep(0.02)
        self.kill()

    def kill(self) -> None:
        """SIGKILL, as an out-of-memory killer would."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()

    def restart(self) -> None:
        """Stop and start on the same ports; takes seconds."""
        self.stop()
        self.start()

    def stop_app(self) -> None:
        """Stop the broker inside its node: its ports refuse. `start_app` is its opposite."""
        self.control("stop_app")

    def start_app(self) -> None:
        self.control("start_app")

    def control(self, *arguments: str) -> str:
        """`rabbitmqctl`; what it printed. About a second each."""
        done = subprocess.run(
            [program("rabbitmqctl"), "--quiet", *arguments],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"rabbitmqctl {arguments[0]} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def end(self) -> None:
        """Gone, with the port mapper it was started with."""
        self.kill()
        mapper, self._mapper = self._mapper, None
        if mapper is not None:
            mapper.kill()
            mapper.wait()

    def _start_mapper(self) -> None:
        """Erlang's port mapper: a node that finds none starts one that outlives it."""
        epmd = shutil.which("epmd")
        if epmd is None:
            raise RuntimeError(MISSING.format(name="epmd"))
        self._mapper = subprocess.Popen(
            [*ends_with_us("KILL"), epmd, "-address", "127.0.0.1", "-port", str(self._mapper_port)],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._mapper_port), timeout=5).close()
                return
            except OSError:
                if time.monotonic() > deadline or self._mapper.poll() is not None:
                    raise
                time.sleep(0.01)

    def _write_configuration(self) -> None:
        asked = self.tls.client_ca_file is not None
        authority = self.tls.client_ca_file or self.tls.pair.cert_file
        files = {
            "cacertfile": authority,
            "certfile": self.tls.pair.cert_file,
            "keyfile": self.tls.pair.key_file,
        }
        lines = [
            f"listeners.tcp.1 = 127.0.0.1:{self.port}",
            f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}",
            *(f"ssl_options.{name} = {path}" for name, path in files.items()),
            f"ssl_options.verify = {'verify_peer' if asked else 'verify_none'}",
            f"ssl_options.fail_if_no_peer_cert = {'true' if asked else 'false'}",
            "management.tcp.ip = 127.0.0.1",
            f"management.tcp.port = {self.management_port}",
            "management.ssl.ip = 127.0.0.1",
            f"management.ssl.port = {self.management_tls_port}",
            *(f"management.ssl.{name} = {path}" for name, path in files.items()),
            f"default_user = {ADMIN}",
            f"default_pass = {self.passwords[ADMIN]}",
            "default_user_tags.administrator = true",
            # Figures of the management API are a second old at most, not five seconds as they would be.
            "collect_statistics_interval = 500",
            *(f"management.sample_retention_policies.{kind}.minute = 1" for kind in SAMPLES),
            "disk_free_limit.absolute = 10MB",
            "log.console = true",
            "log.console.level = info",
            "log.file = false",
        ]
        self._write("rabbitmq.conf", "\n".join(lines) + "\n")
        self._write("enabled_plugins", "[rabbitmq_management].\n")
        self._write("rabbitmq-env.conf", "")

    def _write(self, name: str, text: str) -> None:
        handle = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(text)

    def _environment(self) -> dict[str, str]:
        """Everything that RabbitMQ would otherwise take from the machine or the user."""
        folder = str(self.folder)
        loopback = "-kernel inet_dist_use_interface {127,0,0,1}"
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C.UTF-8",
            # Erlang's cookie is kept there.
            "HOME": folder,
            "RABBITMQ_NODENAME": "console@localhost",
            "RABBITMQ_DIST_PORT": str(self._node_port),
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/rabbitmq-env.conf",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/advanced.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": f"{folder}/logs",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{loopback} {SMALL}",
            "RABBITMQ_CTL_ERL_ARGS": f"{loopback} {SMALL}",
            # The start script then becomes the server instead of waiting for it.
            "detached": "yes",
        }


@contextmanager
def rabbitmq_server(folder: Path, tls: ServerTls) -> Iterator[RabbitServer]:
    """A running server that is gone, with its folder, at the end."""
    server = RabbitServer(folder, tls)
    try:
        server.start()
        yield server
    finally:
        server.end()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[RabbitServer]:
    """One server for the whole run, its certificate signed by `certificates`; take a `rabbitmq_vhost`.

    Whoever stops it starts it again.
    """
    tls = ServerTls(certificates.issue("rabbitmq"))
    with rabbitmq_server(tmp_path_factory.mktemp("rabbitmq"), tls) as server:
        yield server


@pytest.fixture
def rabbitmq_vhost(rabbitmq: RabbitServer) -> Iterator[str]:
    """The name of an empty virtual host; its connections are closed with it at the end."""
    name = f"test-{secrets.token_hex(4)}"
    rabbitmq.add_vhost(name)
    yield name
    rabbitmq.delete_vhost(name)
