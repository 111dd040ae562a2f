"""A jump host for each test module, and tunnels that are closed and proved gone at the end."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from console.broker.tunnel import SshTunnel, TunnelSettings
from console.core.redaction import Secret
from tests.contract.tunnel.sshd import Sshd, key_pair

MakeTunnel = Callable[..., SshTunnel]


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the key pairs `user`, `stranger`, `host` and `other_host`."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("user", "stranger", "host", "other_host"):
        key_pair(folder / name)
    return folder


@pytest.fixture
def start_sshd(tmp_path: Path, keys: Path) -> Iterator[Callable[..., Sshd]]:
    started: list[Sshd] = []

    def start(*options: str, host_key: Path | None = None, **more: Any) -> Sshd:
        folder = tmp_path / f"sshd-{len(started)}"
        folder.mkdir()
        server = Sshd(folder, keys / "user", host_key or keys / "host", options, **more)
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def sshd(start_sshd: Callable[..., Sshd]) -> Sshd:
    return start_sshd()


@pytest.fixture(autouse=True)
def nothing_left_to_the_collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A socket or a transport that only the garbage collector closes says so here."""
    said: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda left: said.append(f"{left.exc_value}"))
    yield
    gc.collect()
    assert said == []


@pytest.fixture
def known_hosts(tmp_path: Path) -> Path:
    return tmp_path / "known_hosts"


@pytest.fixture
def tunnel(keys: Path, known_hosts: Path) -> Iterator[MakeTunnel]:
    """Makes tunnels to a server that is already known, with the right key, unless told otherwise."""
    made: list[SshTunnel] = []

    def make(
        sshd: Sshd,
        *,
        known: str | None = None,
        passphrase: str = "",
        timeout_s: float = 5.0,
        keepalive_s: float = 5.0,
        **settings: Any,
    ) -> SshTunnel:
        known_hosts.write_text(f"{sshd.known_hosts_line if known is None else known}\n")
        wanted = {"host": "127.0.0.1", "port": sshd.port, "user": sshd.user, "key_file": str(keys / "user")}
        one = SshTunnel(
            TunnelSettings(**{**wanted, **settings}),
            passphrase=Secret(passphrase),
            known_hosts=[known_hosts.with_name("missing"), known_hosts],
            timeout_s=timeout_s,
            keepalive_s=keepalive_s,
        )
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()
        assert not one.alive
    assert tunnel_threads() == []
    assert [
        line for line in psutil.Process().net_connections("tcp") if line.status == psutil.CONN_LISTEN
    ] == []


def tunnel_threads() -> list[str]:
    """Those that live; a look-up of a name ends by itself a moment after it has answered."""
    mine = [thread for thread in threading.enumerate() if thread.name.startswith("tunnel-")]
    for thread in mine:
        if thread.name.endswith("-name"):
            thread.join(5)
    return [thread.name for thread in mine if thread.is_alive()]
