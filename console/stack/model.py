"""What the local stack consists of, and the rules that need no process to be checked.

Standard library only: the shim's outcome, the states of services and steps, worker options, restart policy.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from console.core.errors import Cause, ConsoleError


class ServiceName(StrEnum):
    """In the order of starting."""

    BROKER = "Broker"
    WORKER = "Worker"
    BEAT = "Beat"


class ServiceState(StrEnum):
    STOPPED = "Stopped"
    STARTING = "Starting"
    READY = "Ready"
    STOPPING = "Stopping"
    FAILED = "Failed"


class StackState(StrEnum):
    """The stack as a whole; FAILED means that a start did not get through."""

    STOPPED = "Stopped"
    STARTING = "Starting"
    READY = "Ready"
    STOPPING = "Stopping"
    FAILED = "Failed"


class StepName(StrEnum):
    """In the order of a start."""

    BROKER = "Broker"
    DATABASE = "Database"
    DEMO_DATA = "Demo data"
    WORKER = "Worker"
    BEAT = "Beat"
    FIRST_TASK = "First task"


class StepState(StrEnum):
    WAITING = "Waiting"
    STARTING = "Starting"
    READY = "Ready"
    FAILED = "Failed"


class Pool(StrEnum):
    PREFORK = "prefork"
    THREADS = "threads"
    SOLO = "solo"
    GEVENT = "gevent"


class LogLevel(StrEnum):
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a process ended: an exit status, a signal, an `error` that kept it from starting at all, or
    `unwatched` when its shim was killed and nobody saw it.
    """

    code: int | None = None
    signal: int | None = None
    error: str = ""
    unwatched: bool = False

    @property
    def clean(self) -> bool:
        return self.code == 0

    @property
    def words(self) -> str:
        """In words for a person, without a full stop."""
        if self.error:
            return f"could not be started: {self.error.strip().rstrip(':')}"
        if self.unwatched:
            return "ended together with its watcher, which was killed"
        if self.signal is not None:
            return f"killed by {_signal_name(self.signal)}"
        return "ended by itself" if self.code == 0 else f"exited with status {self.code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process and all below it use: percent of one core, resident bytes."""

    cpu_percent: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One row of the table. `cpu` and `memory` are the last samples, oldest first; None is unknown.

    `restarts` counts restarts by the policy since a person started it; `problem` is why it is Failed.
    """

    name: ServiceName
    state: ServiceState = ServiceState.STOPPED
    detail: str = ""
    pid: int | None = None
    started: datetime | None = None
    restarts: int = 0
    outcome: Outcome | None = None
    problem: str = ""
    usage: Usage | None = None
    cpu: tuple[float | None, ...] = ()
    memory: tuple[float | None, ...] = ()

    @property
    def running(self) -> bool:
        return self.state in (ServiceState.STARTING, ServiceState.READY, ServiceState.STOPPING)


@dataclass(frozen=True, slots=True)
class StepStatus:
    """One step of a start; `seconds` is what it took (None until then), `since_s` its start (monotonic)."""

    name: StepName
    text: str
    state: StepState = StepState.WAITING
    seconds: float | None = None
    since_s: float | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something did not start or keep running: `where` names the step or service; texts for people."""

    where: str
    title: str
    cause: str
    remedy: str
    lines: tuple[str, ...] = ()

    def as_error(self, cause: Cause = Cause.OTHER) -> ConsoleError:
        return ConsoleError(self.title, detail=self.cause, remedy=self.remedy, cause=cause, retryable=True)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A stop that waits for running tasks (None: not known yet) since `since_s` (monotonic)."""

    tasks: int | None
    since_s: float


@dataclass(frozen=True, slots=True)
class StackSnapshot:
    """Everything the page and the window show of the stack."""

    state: StackState = StackState.STOPPED
    services: tuple[ServiceStatus, ...] = tuple(ServiceStatus(name) for name in ServiceName)
    steps: tuple[StepStatus, ...] = ()
    failure: Failure | None = None
    address_shown: str = ""
    waiting: Waiting | None = None
    demo_rate: str = "off"
    sent_mail: int | None = None
    started_s: float | None = None
    """When the start began (monotonic)."""
    took_s: float | None = None
    """What the last start took in all."""
    cleaned: str = ""
    """What was found of an earlier run and ended, in words."""

    def service(self, name: ServiceName) -> ServiceStatus:
        return next(status for status in self.services if status.name is name)

    @property
    def ready_services(self) -> int:
        return sum(status.state is ServiceState.READY for status in self.services)


DEMO_RATES: tuple[str, ...] = ("off", "1/s", "2/s", "10/s", "as fast as possible")
QUEUES: tuple[str, ...] = ("default", "mail", "reports")
MAX_CONCURRENCY = 64
_QUEUE_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,100}")


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How the worker of the stack runs; events are always on."""

    concurrency: int = 2
    pool: Pool = Pool.PREFORK
    queues: tuple[str, ...] = QUEUES
    log_level: LogLevel = LogLevel.INFO

    def check(self) -> None:
        """Raise `ConsoleError` (`Cause.INVALID`) that says which value is wrong."""
        if not 1 <= self.concurrency <= MAX_CONCURRENCY:
            raise _invalid(f"Concurrency must be 1 to {MAX_CONCURRENCY}.")
        if not self.queues:
            raise _invalid("A worker needs at least one queue.")
        for queue in self.queues:
            if not _QUEUE_NAME.fullmatch(queue):
                raise _invalid(f"{queue!r} is not a queue name: letters, digits, dot, dash and underscore.")
        if len(set(self.queues)) != len(self.queues):
            raise _invalid("A queue is named twice.")

    @property
    def words(self) -> str:
        """The line under the worker's name."""
        unit = {
            Pool.PREFORK: "process" if self.concurrency == 1 else "processes",
            Pool.THREADS: "thread" if self.concurrency == 1 else "threads",
            Pool.GEVENT: "greenlet" if self.concurrency == 1 else "greenlets",
        }
        size = "1 task at a time" if self.pool is Pool.SOLO else f"{self.concurrency} {unit[self.pool]}"
        noun = "queue" if len(self.queues) == 1 else "queues"
        return f"{size}, {self.pool}, {noun} {', '.join(self.queues)}"

    @property
    def short_words(self) -> str:
        """The same without the queues: for the list of steps."""
        return self.words.rsplit(", queue", 1)[0]


def _invalid(detail: str) -> ConsoleError:
    return ConsoleError("The worker options are not valid", detail=detail, cause=Cause.INVALID)


def parse_queues(text: str) -> tuple[str, ...]:
    """Queue names as a person types them: commas or spaces between."""
    return tuple(part for part in re.split(r"[,\s]+", text) if part)


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When a service that died is started again: pauses of 0.5, 1, 2, 4 … s; a crash loop is left alone."""

    first_pause_s: float = 0.5
    longest_pause_s: float = 30.0
    window_s: float = 60.0
    loop_exits: int = 5

    def pause_s(self, exits_s: Sequence[float], now_s: float) -> float | None:
        """Seconds to wait after the exits at `exits_s` (monotonic, the newest included); None: do not."""
        recent = sum(1 for at_s in exits_s if now_s - at_s <= self.window_s)
        if recent >= self.loop_exits:
            return None
        return min(self.longest_pause_s, self.first_pause_s * 2.0 ** max(0, recent - 1))


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail that the project has sent, as far as a list shows it."""

    name: str
    when: datetime
    sender: str
    recipient: str
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line of a log. `time` is "HH:MM:SS.mmm" as the process wrote it; a continuation has no time and
    level of its own and carries those of the line it belongs to.
    """

    time: str
    source: str
    level: str
    text: str
    continuation: bool = False


@dataclass(slots=True)
class LogReader:
    """Turns the lines of one process into entries; remembers the last head for continuation lines."""

    source: str
    _time: str = field(default="", init=False)
    _level: str = field(default="INFO", init=False)
    _headed: bool = field(default=False, init=False)
    _in_traceback: bool = field(default=False, init=False)
    _arrived: str = field(default="", init=False)

    def read(self, line: str, arrived: str) -> LogEntry | None:
        """`arrived` ("HH:MM:SS.mmm") stands in where a line has no time of its own.

        None for what the file has and nobody reads: blank lines, and the banner that worker and beat begin
        with (art, and options that the page shows).
        """
        line = _ANSI.sub("", line.rstrip("\r\n"))
        if not line.strip():
            return None
        head = _CELERY.match(line)
        if head is not None:
            level = _LEVELS.get(head["level"], "INFO")
            return self._head(f"{head['time']}.{head['ms']}", level, head["text"])
        head = _VALKEY.match(line)
        if head is not None:
            return self._head(head["time"], _VALKEY_LEVELS[head["mark"]], head["text"])
        if self._headed and self._belongs_to_head(line):
            return LogEntry(self._time, self.source, self._level, line, True)
        if self._headed or self.source not in _WITH_BANNER:
            return LogEntry(arrived, self.source, "INFO", line)
        if _BANNER.match(line):
            return None
        # Said before logging begins: what comes in one go is one message.
        goes_on, self._arrived = arrived == self._arrived, arrived
        return LogEntry(arrived, self.source, "INFO", line, goes_on)

    def _belongs_to_head(self, line: str) -> bool:
        if line[:1].isspace() or self._level == "ERROR":
            return True
        if line.startswith(_TRACEBACK_WORDS):
            self._in_traceback = True
            return True
        # The first line at the left edge is the exception itself: it ends the traceback.
        was, self._in_traceback = self._in_traceback, False
        return was

    def _head(self, time: str, level: str, text: str) -> LogEntry:
        self._time, self._level, self._headed, self._in_traceback = time, level, True, False
        return LogEntry(time, self.source, level, text)


_TRACEBACK_WORDS = ("Traceback (most", "During handling of", "The above exception")
_WITH_BANNER = ("worker", "beat")
_BANNER = re.compile(
    r"\s*--|- \*|\s+\.>? |\[tasks\]$|__ {4}|celery beat v.* is starting|(?:LocalTime|Configuration) ->"
)
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_CELERY = re.compile(
    r"\[\d{4}-\d\d-\d\d (?P<time>\d\d:\d\d:\d\d),(?P<ms>\d{3}): (?P<level>[A-Z]+)(?:/[^\]]*)?\] ?(?P<text>.*)"
)
_VALKEY = re.compile(
    r"\d+:[A-Z] \d\d [A-Z][a-z]{2} \d{4} (?P<time>\d\d:\d\d:\d\d\.\d{3}) (?P<mark>[.\-*#]) (?P<text>.*)"
)
_LEVELS = {"DEBUG": "DEBUG", "INFO": "INFO", "WARNING": "WARN", "ERROR": "ERROR", "CRITICAL": "ERROR"}
_VALKEY_LEVELS = {".": "DEBUG", "-": "INFO", "*": "INFO", "#": "WARN"}
