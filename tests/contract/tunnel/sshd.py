"""A real sshd, ssh-agent and key pairs for a test: loopback only, a free port, a folder of their own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.valkey import free_port

START_S = 10.0
PRIVILEGES = Path("/run/sshd")


def key_pair(file: Path, *, kind: str = "ed25519", passphrase: str = "", form: str = "") -> Path:
    """The private key's file; `form` "PEM" or "PKCS8" instead of OpenSSH's own."""
    more = ["-m", form] if form else []
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "test", *more, "-f", str(file)], check=True
    )
    return file


def public_half(key: Path) -> str:
    return Path(f"{key}.pub").read_text()


@dataclass
class Sshd:
    """Admits `key`; `options` are further lines of sshd_config."""

    folder: Path
    key: Path
    host_key: Path
    options: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def user(self) -> str:
        return getpass.getuser()

    @property
    def known_hosts_line(self) -> str:
        kind, data, *_ = public_half(self.host_key).split()
        return f"[127.0.0.1]:{self.port} {kind} {data}"

    def start(self) -> None:
        if os.geteuid() == 0:
            PRIVILEGES.mkdir(mode=0o755, exist_ok=True)
        authorized = self.folder / "authorized_keys"
        if not authorized.exists():
            authorized.write_text(public_half(self.key))
        config = self.folder / "sshd_config"
        lines = [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.host_key}",
            f"AuthorizedKeysFile {authorized}",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "StrictModes no",
            "UsePAM no",
            "PidFile none",
            "MaxStartups 100",
            "LoginGraceTime 20",
        ]
        config.write_text("\n".join((*self.options, *lines)) + "\n")
        with (self.folder / "sshd.log").open("ab") as log:
            program = shutil.which("sshd") or "/usr/sbin/sshd"
            self.process = subprocess.Popen([program, "-D", "-e", "-f", str(config)], stderr=log)
        deadline = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert self.process.poll() is None, (self.folder / "sshd.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.01)

    def children(self) -> list[psutil.Process]:
        """The processes of the connections that stand."""
        return [] if self.process is None else psutil.Process(self.process.pid).children(recursive=True)

    def kill(self) -> None:
        """The listener and every connection of it, at once."""
        if self.process is None:
            return
        for process in self.children():
            with_it = process
            try:
                with_it.kill()
            except psutil.NoSuchProcess:
                continue
        self.process.kill()
        self.process.wait()
        self.process = None


@contextmanager
def ssh_agent(folder: Path) -> Iterator[Path]:
    """The socket of a running agent without keys (`ssh-add` with SSH_AUTH_SOCK adds some)."""
    where = folder / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(where)], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_S
        while not where.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield where
    finally:
        process.terminate()
        process.wait()


def ssh_add(agent: Path, key: Path) -> None:
    subprocess.run(["ssh-add", "-q", str(key)], env={**os.environ, "SSH_AUTH_SOCK": str(agent)}, check=True)
