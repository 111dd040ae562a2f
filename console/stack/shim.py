"""The keeper of one local process: a small program of its own, so that nothing outlives the console.

The console starts it as `python -I -S shim.py`, writes one JSON order to its standard input and leaves that
pipe open. When the pipe closes, because the console quit, crashed or was killed by SIGKILL, the shim ends its
child in the way the order says, and then kills everything that descends from it. It stands in one file and
imports next to nothing, because three of them start on every click (about 30 ms each).

To the shim, one JSON object per line:
    the order        {"argv": [...], "env": {...}, "cwd": "...", "log_file": "...", "log_max_bytes": 1, ...}
    {"do": "stop", "plan": [["TERM", 10.0], ["QUIT", null]]}    signal, seconds to wait (null: for ever)
    {"do": "kill"}                                              everything, now
From the shim, one JSON object per line:
    {"pid": 1}  {"log": ["line", ...]}  {"dropped": 12}  {"log_error": "..."}
    {"error": {"errno": 2, "text": "..."}}  {"exit": {"code": 0, "signal": null}}
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import time
from typing import Any

LINUX = sys.platform == "linux"
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

READ_BYTES = 65_536
LINE_BYTES = 8_192
ORDER_BYTES = 1_048_576
BATCH_S = 0.1
BATCH_LINES = 500
BATCH_BYTES = 262_144
OUTBOX_BYTES = 524_288
KEPT_FILES = 3
KILL_LIMIT_S = 2.0


class LogFile:
    """A file that is moved aside at `max_bytes`; the current one and `KEPT_FILES` older ones are kept."""

    def __init__(self, path: str, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._file = -1
        self._size = 0
        self.error = ""
        self._open()

    def _open(self) -> None:
        try:
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._size = os.fstat(self._file).st_size
        except OSError as error:
            self._file = -1
            self.error = error.strerror or str(error)

    def write(self, data: bytes) -> None:
        """Append `data`; a disk that is full or read-only is noted in `error` and never stops the child."""
        if self._size and self._size + len(data) > self._max_bytes:
            self._rotate()
        if self._file < 0:
            return
        try:
            self._size += os.write(self._file, data)
        except OSError as error:
            self.error = error.strerror or str(error)

    def _rotate(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        try:
            for number in range(KEPT_FILES, 0, -1):
                older = f"{self._path}.{number - 1}" if number > 1 else self._path
                if os.path.exists(older):  # noqa: PTH110 - pathlib would double the start-up time
                    os.replace(older, f"{self._path}.{number}")  # noqa: PTH105
        except OSError as error:
            self.error = error.strerror or str(error)
        self._open()


class Outbox:
    """Lines on their way to the window: bounded; what a slow window cannot take is counted and dropped."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._pending = bytearray()
        self._lines: list[str] = []
        self._lines_bytes = 0
        self._dropped = 0
        self._next_batch_s = 0.0
        self.closed = False

    @property
    def waiting(self) -> bool:
        """Whether bytes wait for the pipe."""
        return bool(self._pending) and not self.closed

    @property
    def batch_at_s(self) -> float | None:
        """When the next batch of lines is due, on the monotonic clock."""
        return self._next_batch_s if self._lines or self._dropped else None

    def add_lines(self, lines: list[bytes]) -> None:
        for number, line in enumerate(lines):
            if len(self._lines) >= BATCH_LINES or self._lines_bytes >= BATCH_BYTES:
                self._dropped += len(lines) - number
                return
            line = line[:LINE_BYTES]
            self._lines_bytes += len(line)
            self._lines.append(line.decode("utf-8", "replace"))

    def flush_lines(self, now_s: float) -> None:
        """Make a message of the lines collected so far, unless the window has not taken the last ones."""
        if len(self._pending) < OUTBOX_BYTES:
            if self._lines:
                self.say({"log": self._lines})
                self._lines = []
                self._lines_bytes = 0
            if self._dropped:
                self.say({"dropped": self._dropped})
                self._dropped = 0
        self._next_batch_s = now_s + BATCH_S

    def say(self, message: dict[str, Any]) -> None:
        self._pending += json.dumps(message).encode() + b"\n"
        self.push()

    def push(self) -> None:
        """Write what the pipe takes."""
        while self._pending and not self.closed:
            try:
                written = os.write(self._descriptor, self._pending[:READ_BYTES])
            except BlockingIOError:
                return
            except OSError:  # the window has gone
                self.closed = True
                return
            del self._pending[:written]


class Child:
    """The process that is kept, and everything that descends from it."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.pid = 0
        self.output, output_end = os.pipe()
        input_end, feed = os.pipe()
        failure, failure_end = os.pipe()
        prctl = _prctl()
        if prctl is not None:
            # Orphans of the child become children of the shim, so that none can hide from the last kill.
            prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        shim = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                _become(order, input_end, output_end, prctl, shim)
            except OSError as error:
                os.write(failure_end, f"{error.errno or 0} {error.strerror}: {error.filename or ''}".encode())
            finally:
                os._exit(127)
        for end in (input_end, output_end, failure_end):
            os.close(end)
        said = os.read(failure, 4096).decode("utf-8", "replace")
        os.close(failure)
        if said:
            os.waitpid(self.pid, 0)
            number, _, text = said.partition(" ")
            raise OSError(int(number), text)
        try:
            os.write(feed, order.get("stdin_text", "").encode())
        except BrokenPipeError:
            pass
        os.close(feed)
        os.set_blocking(self.output, False)

    def signal(self, name: str) -> None:
        """Send a signal to the process itself; a celery worker passes on to its pool what it wants to."""
        try:
            os.kill(self.pid, getattr(signal, f"SIG{name}"))
        except ProcessLookupError:
            pass

    def kill_all(self) -> None:
        """SIGKILL to the group and to every descendant, those that left the group included."""
        for _ in range(20):  # a descendant may fork while the list is read
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
            found = descendants(os.getpid())
            if not found:
                return
            for pid in found:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.005)
            if self.pid not in found:
                _reap_others()
            else:
                return  # the loop reaps it and calls again


def _prctl() -> Any:
    return ctypes.CDLL(None, use_errno=True).prctl if LINUX else None


def _become(order: dict[str, Any], source: int, output: int, prctl: Any, shim: int) -> None:
    """In the forked child: own session, dies with the shim, standard streams, then the program."""
    os.setsid()
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != shim:
            os._exit(0)
    for name in (
        "INT",
        "HUP",
        "QUIT",
        "TERM",
        "PIPE",
        "CHLD",
    ):  # what is ignored stays ignored across an exec
        signal.signal(getattr(signal, f"SIG{name}"), signal.SIG_DFL)
    os.dup2(source, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(order["cwd"])
    os.execve(order["argv"][0], order["argv"], order["env"])  # noqa: S606 - there is no shell


def descendants(pid: int) -> list[int]:
    """All processes below `pid` (Linux); empty where the system does not tell."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        try:
            for thread in os.listdir(f"/proc/{parent}/task"):  # noqa: PTH208
                with open(f"/proc/{parent}/task/{thread}/children", encoding="ascii") as file:  # noqa: PTH123
                    children = [int(word) for word in file.read().split()]
                found += children
                waiting += children
        except OSError:
            continue
    return found


def _reap_others() -> None:
    """Reap what was given to the shim as the reaper of orphans."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


class Shim:
    """The loop: the window's commands, the child's output, its end, and the steps of stopping it."""

    def __init__(self, order: dict[str, Any], rest: bytes, wakeup: int) -> None:
        self._order = order
        self._commands = b""
        self._rest = rest
        self._wakeup = wakeup
        self._secrets = [text.encode() for text in order.get("redact", []) if text]
        self._log = LogFile(order["log_file"], order["log_max_bytes"])
        self._log_error_said = ""
        self._outbox = Outbox(1)
        self._partial = b""
        self._plan: list[list[Any]] = []
        self._step_at_s: float | None = None
        self._orphaned = False
        self._status: int | None = None

    def run(self) -> int:
        try:
            self._child = Child(self._order)
        except OSError as error:
            self._outbox.say({"error": {"errno": error.errno, "text": error.strerror or str(error)}})
            self._end()
            return 0
        self._outbox.say({"pid": self._child.pid})
        self._obey(self._rest)  # commands that came together with the order
        output_open = True
        while self._status is None:
            readable, writable = self._wait(output_open)
            if self._wakeup in readable:
                self._on_signal()
            if 0 in readable:
                self._on_commands()
            if self._child.output in readable:
                output_open = self._on_output()
            if writable:
                self._outbox.push()
            now_s = time.monotonic()
            batch_at_s = self._outbox.batch_at_s
            if batch_at_s is not None and now_s >= batch_at_s:
                self._outbox.flush_lines(now_s)
                self._tell_log_error()
            if self._step_at_s is not None and now_s >= self._step_at_s:
                self._next_step(now_s)
        self._child.kill_all()
        if output_open:
            self._drain()
        signalled = os.WIFSIGNALED(self._status)
        code = None if signalled else os.WEXITSTATUS(self._status)
        self._end({"exit": {"code": code, "signal": os.WTERMSIG(self._status) if signalled else None}})
        return 0

    def _wait(self, output_open: bool) -> tuple[list[int], list[int]]:
        sources = [self._wakeup]
        if not self._orphaned:
            sources.append(0)
        if output_open:
            sources.append(self._child.output)
        due = [at_s for at_s in (self._outbox.batch_at_s, self._step_at_s) if at_s is not None]
        timeout_s = max(0.0, min(due) - time.monotonic()) if due else None
        targets = [1] if self._outbox.waiting else []
        readable, writable, _ = select.select(sources, targets, [], timeout_s)
        return readable, writable

    def _on_signal(self) -> None:
        for number in os.read(self._wakeup, 512):
            if number == signal.SIGTERM and not self._orphaned:
                self._begin(self._order.get("on_eof", [["TERM", 5.0]]))
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._child.pid:
                self._status = status

    def _on_commands(self) -> None:
        data = os.read(0, READ_BYTES)
        if not data:
            self._orphaned = True
            self._begin(self._order.get("on_eof", [["TERM", 5.0]]))
            return
        self._obey(data)

    def _obey(self, data: bytes) -> None:
        *lines, self._commands = (self._commands + data).split(b"\n")
        for line in lines:
            command = json.loads(line)
            if command["do"] == "stop":
                self._begin(command["plan"])
            elif command["do"] == "kill":
                self._begin([])

    def _begin(self, plan: list[list[Any]]) -> None:
        self._plan = list(plan)
        self._next_step(time.monotonic())

    def _next_step(self, now_s: float) -> None:
        if not self._plan:
            self._step_at_s = now_s + 0.2
            self._child.kill_all()
            return
        name, wait_s = self._plan.pop(0)
        if name:  # an empty name only waits: the broker outlives those that still talk to it
            self._child.signal(name)
        self._step_at_s = None if wait_s is None else now_s + wait_s

    def _on_output(self) -> bool:
        """Take one piece of output; False at its end."""
        try:
            data = os.read(self._child.output, READ_BYTES)
        except BlockingIOError:
            return True
        if not data:
            return False
        self._partial += data
        cut = self._partial.rfind(b"\n") + 1
        if not cut and len(self._partial) >= READ_BYTES:
            cut = len(self._partial)
        if cut:
            self._take(self._partial[:cut])
            self._partial = self._partial[cut:]
        return True

    def _take(self, data: bytes) -> None:
        for secret in self._secrets:
            data = data.replace(secret, b"****")
        self._log.write(data)
        self._outbox.add_lines(data.splitlines())

    def _drain(self) -> None:
        """Take what the child left in the pipe."""
        deadline_s = time.monotonic() + KILL_LIMIT_S
        while time.monotonic() < deadline_s and select.select([self._child.output], [], [], 0)[0]:
            if not self._on_output():
                return

    def _tell_log_error(self) -> None:
        if self._log.error != self._log_error_said:
            self._log_error_said = self._log.error
            self._outbox.say({"log_error": self._log.error})

    def _end(self, last: dict[str, Any] | None = None) -> None:
        if self._partial:
            self._take(self._partial + b"\n")
        self._outbox.flush_lines(0.0)
        self._tell_log_error()
        if last is not None:
            self._outbox.say(last)
        deadline_s = time.monotonic() + KILL_LIMIT_S
        while self._outbox.waiting and time.monotonic() < deadline_s:
            select.select([], [1], [], 0.1)
            self._outbox.push()


def _read_order() -> tuple[dict[str, Any], bytes] | None:
    data = b""
    while b"\n" not in data and len(data) < ORDER_BYTES:
        piece = os.read(0, READ_BYTES)
        if not piece:
            return None
        data += piece
    line, _, rest = data.partition(b"\n")
    return json.loads(line), rest


def main() -> int:
    """Keep one child until it has ended."""
    # A Ctrl+C or a closed terminal is the console's matter; the shim hears of it by the end of its input.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    wakeup, wakeup_end = os.pipe()
    for end in (wakeup, wakeup_end):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wakeup_end, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    order = _read_order()
    if order is None:
        return 0
    os.set_blocking(1, False)
    return Shim(*order, wakeup).run()


if __name__ == "__main__":
    sys.exit(main())
