"""The bundled project in real processes: prepared databases, workers and beats, and what they left behind.

The project is never loaded into the test's own process (Django has one set of settings for a process): tasks
are sent by name and results are read from the SQLite file. Every process has a session of its own, is waited
for by a condition with a deadline, and is ended by its process id. Nothing here knows pytest, so that other
suites can use it.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil
from celery import Celery

from console.broker.kombu_lines import close_celery_app

ROOT = Path(__file__).parents[2]
DEADLINE_S = 20.0
POLL_S = 0.02
TASKS = "bundled_project.shop.tasks"
QUEUES = {
    "send_welcome_email": "mail",
    "send_invoice": "mail",
    "resend_welcome_email": "mail",
    "resend_invoice": "mail",
    "build_report": "reports",
}
ENDED = ("SUCCESS", "FAILURE", "REVOKED")

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
        """Wait until the log has ``text``; raises ``TimeoutError`` or, if it ended, ``AssertionError``."""

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

    def below(self) -> list[psutil.Process]:
        """The processes below this one (a prefork pool)."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def kill(self) -> None:
        """SIGKILL the process and everything below it, as the kernel does when memory runs out."""
        if self.process.poll() is None:
            below = self.below()
            self.process.kill()
            for member in below:
                if member.is_running():
                    member.kill()
            psutil.wait_procs(below, timeout=DEADLINE_S)
        self.process.wait(DEADLINE_S)

    def stop(self, sig: signal.Signals = signal.SIGTERM, *, deadline_s: float = DEADLINE_S) -> int:
        """Ask with ``sig``, wait, and return the exit status; raises ``subprocess.TimeoutExpired``."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        return self.process.wait(deadline_s)


@dataclass(slots=True)
class Project:
    """The bundled project on a broker, with its data in a folder of its own.

    ``settings`` go into the environment of every process, a call's own keyword arguments on top of them.
    """

    broker_url: str = field(repr=False)
    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    children: list[Child] = field(default_factory=list)
    _app: Celery | None = None

    @property
    def mail_dir(self) -> Path:
        """Where its sent mail is."""
        return self.folder / "mail"

    def env(self, **more: str) -> dict[str, str]:
        """The environment of its processes."""
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "",
            "BUNDLED_PROJECT_DATA": str(self.folder),
            "CELERY_BROKER_URL": self.broker_url,
            "DJANGO_SETTINGS_MODULE": "bundled_project.settings",
            **self.settings,
            **more,
        }

    def run(self, *arguments: str, check: bool = True, **more: str) -> subprocess.CompletedProcess[str]:
        """Run ``python -m bundled_project ...`` to its end."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return subprocess.run(
            [sys.executable, "-m", "bundled_project", *arguments],
            env=self.env(**more),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
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

    def worker(
        self,
        name: str,
        *options: str,
        wait: bool = True,
        more: Mapping[str, str] | None = None,
        **settings: str,
    ) -> Child:
        """Start ``name@test`` with ``settings`` (or ``more``) on top and wait until it is ready."""
        command = ["-m", "celery", "-A", "bundled_project", "worker", "-l", "INFO", "-n", f"{name}@test"]
        child = self.spawn(
            name, [*command, "--without-mingle", "--without-gossip", *options], **(more or {}), **settings
        )
        if wait:
            child.wait_for_log(" ready.")
        return child

    def beat(self, *options: str, **more: str) -> Child:
        """Start beat and wait for its first tick."""
        pidfile = str(self.folder / "beat.pid")
        command = ["-m", "celery", "-A", "bundled_project", "beat", "-l", "INFO", "--pidfile", pidfile]
        child = self.spawn("beat", [*command, *options], **more)
        child.wait_for_log("First tick done")
        return child

    def app(self) -> Celery:
        """A bare Celery application on the same broker, which knows none of the tasks."""
        if self._app is None:
            self._app = Celery(broker=self.broker_url, set_as_current=False)
            self._app.conf.update(broker_connection_retry_on_startup=True, accept_content=["json"])
        return self._app

    def send(self, task: str, *args: Any, queue: str | None = None, **options: Any) -> str:
        """Send a task of the shop by its short name and return its id."""
        queue = queue or QUEUES.get(task, "default")
        return str(self.app().send_task(f"{TASKS}.{task}", args, queue=queue, **options).id)

    def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """Read the project's database."""
        with closing(sqlite3.connect(self.folder / "bundled_project.sqlite3", timeout=10)) as database:
            database.row_factory = sqlite3.Row
            return database.execute(sql, values).fetchall()

    def value(self, sql: str, *values: object) -> Any:
        """The first column of the first row, None without one."""
        found = self.rows(sql, *values)
        return found[0][0] if found else None

    def state(self, task_id: str) -> str | None:
        """The task's state in the result table."""
        state: str | None = self.value(
            "SELECT status FROM django_celery_results_taskresult WHERE task_id = ?", task_id
        )
        return state

    def wait_state(self, task_id: str, *states: str, deadline_s: float = DEADLINE_S) -> sqlite3.Row:
        """Wait for one of ``states`` (default: an end) and return the result's row."""
        wanted = states or ENDED
        wait_until(lambda: self.state(task_id) in wanted, f"{wanted} of {task_id}", deadline_s=deadline_s)
        return self.rows("SELECT * FROM django_celery_results_taskresult WHERE task_id = ?", task_id)[0]

    def end(self) -> None:
        """Kill whatever still runs and let go of the broker."""
        for child in self.children:
            child.kill()
        if self._app is not None:
            close_celery_app(self._app)
