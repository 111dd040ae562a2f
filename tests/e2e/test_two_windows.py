"""Two windows on one home, each a process of its own, on two connections at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.e2e.atspi import Bus, wait_until
from tests.e2e.processes import processes_of
from tests.e2e.test_real_window import ROOT, bus, close, console, go_to
from tests.valkey import ValkeyServer, valkey_server

__all__ = ["bus"]


@contextmanager
def _second(home: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A window beside the first; of its processes only, whatever becomes of it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "console", "--home", str(home), "--new-window", *arguments],
        cwd=ROOT,
        env={**os.environ, "QT_LINUX_ACCESSIBILITY_ALWAYS_ON": "1"},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _write_connections(home: Path, **servers: ValkeyServer) -> None:
    """A home in which each server has a connection; the passwords go to the keyring at the first start."""
    home.mkdir(parents=True)
    entries = [
        {"id": name, "name": name.title(), "environment": "Staging", "broker_url": server.url}
        for name, server in servers.items()
    ]
    (home / "connections.json").write_text(json.dumps({"version": 1, "connections": entries}))


def test_two_windows_on_two_connections_at_once(tmp_path: Path, bus: Bus) -> None:
    home = tmp_path / "home"
    with valkey_server(tmp_path / "a") as first, valkey_server(tmp_path / "b") as second:
        _write_connections(home, shop=first, billing=second)
        with console(home, "--connection", "Shop") as process:
            window = bus.application(process.pid)
            window.find("Connected", within_s=20)
            with _second(home, "--connection", "Billing") as other_process:
                other = bus.application(other_process.pid)
                other.find("Connected", within_s=20)
                assert window.find("Connected")
                assert _clients(first) >= 1
                assert _clients(second) >= 1
                go_to(other, "Local stack")
                other.find("Start local stack", "push button", within_s=10).press()
                other.find("The local stack belongs to another window", within_s=10)
                close(other_process)
            assert window.find("Connected")
            window.find("Connection", "push button").press()
            window.find("Billing", "list item").press()
            wait_until(lambda: _clients(second) >= 1 and not _clients(first), 10, "the other connection")
            window.find("Connected", within_s=10)
            close(process)
        assert not processes_of(home)


def test_a_command_opens_another_window(tmp_path: Path, bus: Bus) -> None:
    home = tmp_path / "home"
    with console(home) as process:
        window = bus.application(process.pid)
        window.find("Start local stack", "push button", within_s=20)  # the commands are there by then
        window.find("Search or run a command", "push button").press()
        window.find("Command", "text").set_text("New window")
        window.find("New window", "list item", within_s=5).press()
        pid = _another(home, process.pid)
        other = bus.application(pid)
        other.find("Pages", "list", within_s=20)
        close(process)
        # What a person opened stays open; it ends by itself, like any window.
        psutil.Process(pid).terminate()
        psutil.Process(pid).wait(20)
    assert not processes_of(home)


def _clients(server: ValkeyServer) -> int:
    with server.client() as client:
        return sum(str(one["name"]).startswith("celery-console") for one in client.client_list())


def _another(home: Path, pid: int) -> int:
    def found() -> list[int]:
        return [one.pid for one in processes_of(home) if one.pid != pid and "--new-window" in one.cmdline()]

    wait_until(lambda: bool(found()), 10, "another window")
    return found()[0]
