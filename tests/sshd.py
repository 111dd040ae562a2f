"""A real OpenSSH server and a real ssh-agent for tests: loopback, free port, own keys, own configuration.

The server runs as whoever runs the tests, and that person is the only one who can log in, by a key made for
the purpose. Nothing of ~/.ssh or /etc/ssh is read. The fixtures `sshd` and `ssh_agent` are of one test each.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.postgres import ends_with_us
from tests.valkey import free_port

START_S = 10.0
PRIVILEGE_SEPARATION = Path("/run/sshd")
MISSING = (
    "OpenSSH's {name} is not on this machine. Install it with: sudo bash packaging/system_libraries.sh test"
)


def program(name: str) -> str:
    """The absolute path, which sshd insists on."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin")
    if found is None:
        raise RuntimeError(MISSING.format(name=name))
    return found


@dataclass(frozen=True, slots=True)
class SshKey:
    """An Ed25519 key: the private file (OpenSSH's form), its public line, the passphrase or ""."""

    file: Path
    public: str
    passphrase: str = field(repr=False)


def make_key(file: Path, passphrase: str = "") -> SshKey:
    """A new key in `file` and `file.pub`, in place of any other."""
    for old in (file, file.with_name(f"{file.name}.pub")):
        old.unlink(missing_ok=True)
    command = [program("ssh-keygen"), "-q", "-t", "ed25519", "-C", file.name, "-N", passphrase]
    subprocess.run([*command, "-f", str(file)], check=True, timeout=30, stdin=subprocess.DEVNULL)
    return SshKey(file, file.with_name(f"{file.name}.pub").read_text().strip(), passphrase)


@dataclass
class SshServer:
    """Forwards TCP for `user`. `key` has no passphrase, `locked_key` has one; both may log in."""

    folder: Path
    port: int = field(default_factory=free_port)
    host: str = "127.0.0.1"
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.user = pwd.getpwuid(os.geteuid()).pw_name
        self.key = make_key(self.folder / "key")
        self.locked_key = make_key(self.folder / "locked-key", "correct horse")
        self.stranger_key = make_key(self.folder / "stranger-key")
        """One that may not log in."""
        self.host_key = make_key(self.folder / "host-key")
        (self.folder / "authorized_keys").write_text(f"{self.key.public}\n{self.locked_key.public}\n")
        self.known_hosts.write_text(self.known_hosts_line())

    @property
    def known_hosts(self) -> Path:
        """Knows the host key that the server had first, and nothing else."""
        return self.folder / "known_hosts"

    @property
    def log(self) -> str:
        """What the server said so far."""
        return (self.folder / "log").read_text(errors="replace")

    def known_hosts_line(self) -> str:
        """The present host key as a line of a known-hosts file, for the address and for `localhost`."""
        kind, key, *_ = self.host_key.public.split()
        return f"[{self.host}]:{self.port},[localhost]:{self.port} {kind} {key}\n"

    def start(self) -> None:
        """Start it and wait until it listens."""
        if os.geteuid() == 0:
            # The service would make it; nothing is ever put there (sshd(8), FILES).
            PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        self._configuration_file.write_text(self._configuration())
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*ends_with_us("KILL"), program("sshd"), "-D", "-e", "-f", str(self._configuration_file)],
                cwd=self.folder,
                env={"PATH": os.environ.get("PATH", os.defpath)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_S
        own = psutil.Process(self.process.pid)
        while True:
            # Asked of the system: a connection without a login would be counted against the next ones.
            with suppress(psutil.Error):
                if any(one.status == psutil.CONN_LISTEN for one in own.net_connections("tcp")):
                    return
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError(f"sshd did not start:\n{self.log[-2000:]}")
            time.sleep(0.01)

    def cut(self) -> None:
        """End the sessions that stand; new ones are served."""
        if self.process is not None:
            _end(psutil.Process(self.process.pid).children(recursive=True))

    def kill(self) -> None:
        """The server is gone with all its sessions."""
        process, self.process = self.process, None
        if process is not None:
            sessions = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            process.wait()
            _end(sessions)

    def restart(self, *, new_host_key: bool = False) -> None:
        """Gone and back on the same port; with another host key, which `known_hosts` does not know."""
        self.kill()
        if new_host_key:
            self.host_key = make_key(self.folder / "host-key")
        self.start()

    @property
    def _configuration_file(self) -> Path:
        return self.folder / "sshd_config"

    def _configuration(self) -> str:
        return "\n".join(
            [
                f"ListenAddress {self.host}:{self.port}",
                f"HostKey {self.host_key.file}",
                f"AuthorizedKeysFile {self.folder / 'authorized_keys'}",
                "PidFile none",
                f"AllowUsers {self.user}",
                "PermitRootLogin prohibit-password",
                "PasswordAuthentication no",
                "KbdInteractiveAuthentication no",
                "UsePAM no",
                # pytest's folders are below one that everybody may write to.
                "StrictModes no",
                "AllowTcpForwarding yes",
                "MaxStartups 200",
                "MaxSessions 200",
                "UseDNS no",
                "PrintMotd no",
                "LogLevel VERBOSE",
                "",
            ]
        )


def _end(processes: list[psutil.Process]) -> None:
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(processes, START_S)


@dataclass
class SshAgent:
    """An agent at `socket`: what `SSH_AUTH_SOCK` is to name. It starts empty."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.folder / "agent"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.process = subprocess.Popen(
            [*ends_with_us("KILL"), program("ssh-agent"), "-D", "-a", str(self.socket)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_S
        # ssh-add -l: 1 says "no identities", 2 that no agent answers (ssh-add(1), EXIT STATUS).
        while self._ssh_add("-l") == 2:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError("ssh-agent did not start")
            time.sleep(0.01)

    def add(self, key: SshKey) -> None:
        """Let it hold the key, unlocked."""
        ask = self.folder / "ask"
        ask.write_text('#!/bin/sh\nprintf "%s\\n" "$PASSPHRASE"\n')
        ask.chmod(0o700)
        answers = {
            "SSH_ASKPASS": str(ask),
            "SSH_ASKPASS_REQUIRE": "force",
            "PASSPHRASE": key.passphrase,
        }
        if self._ssh_add("-q", str(key.file), **answers):
            raise RuntimeError(f"ssh-add refused {key.file}")

    def kill(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()
            self.socket.unlink(missing_ok=True)

    def _ssh_add(self, *arguments: str, **more: str) -> int:
        return subprocess.run(
            [program("ssh-add"), *arguments],
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "SSH_AUTH_SOCK": str(self.socket),
                **more,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            check=False,
        ).returncode


@contextmanager
def ssh_server(folder: Path) -> Iterator[SshServer]:
    """A running server that is gone, with its folder, at the end."""
    server = SshServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[SshServer]:
    """A server of this test's own, to be cut, killed and started again."""
    with ssh_server(tmp_path / "sshd") as server:
        yield server


@pytest.fixture
def ssh_agent() -> Iterator[SshAgent]:
    """An empty agent of this test's own; name it by `monkeypatch.setenv("SSH_AUTH_SOCK", ...)`."""
    # A folder of its own: the path of a socket must be shorter than pytest's often are.
    with tempfile.TemporaryDirectory(prefix="agent-") as folder:
        agent = SshAgent(Path(folder))
        try:
            agent.start()
            yield agent
        finally:
            agent.kill()
