"""What each process of the stack is started with: arguments, environment, input, and how it ends.

Stands apart from the gateway because nothing here touches the outside: these are the settings one reads and
tunes. The password of the broker travels on standard input or in the environment, never in an argument.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import console
from console.broker.address import BrokerAddress
from console.core.home import Home
from console.stack.model import WorkerOptions
from console.stack.process import Order, StopPlan

PROJECT = "bundled_project"
FIRST_TASK = "bundled_project.shop.tasks.send_welcome_email"
FIRST_TASK_QUEUE = "mail"
MAX_WAITING = 200
"""Demo traffic waits while so many tasks wait: it keeps the worker busy and fills no broker."""

# What happens when the console is gone: all within 6 s. The broker stays until the worker has handed back
# what it had taken; QUIT makes a worker do that even while a task runs.
WORKER_ON_EOF: StopPlan = (("TERM", 2.0), ("QUIT", 1.5))
BEAT_ON_EOF: StopPlan = (("TERM", 2.0),)
BROKER_ON_EOF: StopPlan = (("", 3.8), ("TERM", 1.8))
HELPER_ON_EOF: StopPlan = (("TERM", 1.0),)

_PASSED_ON = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_CTYPE",
    "TMPDIR",
    "VIRTUAL_ENV",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "SSL_CERT_FILE",
)


@dataclass(frozen=True, slots=True)
class StackFiles:
    """Where the stack keeps what it keeps; all below the home's `stack` folder."""

    root: Path

    @classmethod
    def of(cls, home: Home) -> StackFiles:
        return cls(home.stack.absolute())

    @property
    def broker(self) -> Path:
        return self.root / "broker"

    @property
    def database(self) -> Path:
        return self.root / "db.sqlite3"

    @property
    def mail(self) -> Path:
        return self.root / "mail"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def beat_pid(self) -> Path:
        return self.root / "celerybeat.pid"

    @property
    def run_file(self) -> Path:
        return self.root / "run.json"

    @property
    def options_file(self) -> Path:
        return self.root / "options.json"

    @property
    def database_url(self) -> str:
        return f"sqlite:///{quote(str(self.database))}"

    def log_file(self, source: str) -> Path:
        return self.logs / f"{source}.log"


@dataclass(frozen=True, slots=True)
class Orders:
    """Makes the orders of one session of the stack: one broker address, one zone."""

    files: StackFiles
    address: BrokerAddress
    zone: str
    node: str
    environ: Mapping[str, str]

    def broker(self, binary: Path) -> Order:
        """The broker: loopback only, its configuration with the password on standard input."""
        return Order(
            argv=(str(binary), "-"),
            env=self._base(),
            cwd=self.files.broker,
            log_file=self.files.log_file("broker"),
            on_eof=BROKER_ON_EOF,
            stdin_text=broker_config(self.address, self.files.broker),
            redact=(self.address.password.reveal(),),
        )

    def prepare(self) -> Order:
        """Migrations and first-run demo data; tells its progress as JSON lines."""
        return self._python("setup", ("-m", PROJECT, "prepare", "--demo"), HELPER_ON_EOF)

    def worker(self, options: WorkerOptions) -> Order:
        """The worker.

        Mingle would wait one second for other workers to tell what they have revoked, and gossip would have
        it follow every event of theirs: there are none on this broker.
        """
        arguments = (
            *("-m", "celery", "-A", PROJECT, "worker", "--hostname", self.node),
            *("--task-events", "--concurrency", str(options.concurrency), "--pool", options.pool.value),
            *("--queues", ",".join(options.queues), "--loglevel", options.log_level.value),
            *("--without-mingle", "--without-gossip"),
        )
        return self._python("worker", arguments, WORKER_ON_EOF)

    def beat(self) -> Order:
        """Beat with the schedules of the database; its first tick is a line in the log, so at level INFO."""
        arguments = (
            *("-m", "celery", "-A", PROJECT, "beat", "--loglevel", "INFO"),
            *("--scheduler", "django_celery_beat.schedulers:DatabaseScheduler"),
            *("--pidfile", str(self.files.beat_pid)),
        )
        return self._python("beat", arguments, BEAT_ON_EOF)

    def traffic(self, rate: float) -> Order:
        """Demo tasks, `rate` per second, as long as the worker keeps up."""
        arguments = ("-m", PROJECT, "demo_traffic", "--rate", f"{rate:g}", "--max-waiting", str(MAX_WAITING))
        return self._python("traffic", arguments, HELPER_ON_EOF)

    def _python(self, source: str, arguments: tuple[str, ...], on_eof: StopPlan) -> Order:
        return Order(
            argv=(sys.executable, *arguments),
            env=self._base() | self._project(),
            cwd=self.files.root,
            log_file=self.files.log_file(source),
            on_eof=on_eof,
            redact=(self.address.password.reveal(),),
        )

    def _base(self) -> dict[str, str]:
        passed_on = {name: self.environ[name] for name in _PASSED_ON if name in self.environ}
        return passed_on | {"TZ": self.zone}  # all logs in one zone

    def _project(self) -> dict[str, str]:
        return {
            "CELERY_BROKER_URL": self.address.reveal_url(),
            "DATABASE_URL": self.files.database_url,
            "MAIL_DIR": str(self.files.mail),
            "BUNDLED_PROJECT_DATA": str(self.files.root),
            "CELERY_TIMEZONE": self.zone,
            "DJANGO_SETTINGS_MODULE": f"{PROJECT}.settings",
            "PYTHONPATH": python_path(self.environ),
            "PYTHONUNBUFFERED": "1",
            "PYTHONSAFEPATH": "1",
            "NO_COLOR": "1",
        }


def python_path(environ: Mapping[str, str]) -> str:
    """The folder that holds `console` and the bundled project (a checkout or site-packages), then what was
    there before.
    """
    folder = Path(console.__file__).resolve().parent.parent
    return os.pathsep.join(part for part in (str(folder), environ.get("PYTHONPATH", "")) if part)


def broker_config(address: BrokerAddress, folder: Path) -> str:
    """The broker's configuration: what is acknowledged survives a kill but for the last second.

    The append-only file is enough for that: a snapshot at the end, too, would keep the broker from ending
    on a full disk.
    """
    quoted = str(folder).replace("\\", "\\\\").replace('"', '\\"')
    return "\n".join(
        (
            f"bind {address.host}",
            f"port {address.port}",
            "protected-mode yes",
            f"requirepass {address.password.reveal()}",
            "daemonize no",
            'logfile ""',
            f'dir "{quoted}"',
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "maxmemory-policy noeviction",
            "",
        )
    )
