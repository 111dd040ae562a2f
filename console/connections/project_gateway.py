"""Reads a project in a subprocess with the project's own interpreter, and leaves nothing of it running.

Blocking: it runs on a lane. Importing a project runs the project's code, with all that this may do: it may
print, exit, fork, or wait for ever. So it has its own session and a limit of time, and what the console reads
is one pipe on which the answer begins with a mark that only the probe knows. No secret goes into arguments,
the environment or a file: extra variables reach the probe by its standard input.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import psutil

from console.connections.project import Candidate, CandidateKind, ProjectSettings, project_settings
from console.connections.project_errors import error_of, literal_secrets, silent_end, too_slow
from console.connections.project_search import FILE_BYTES_AT_MOST, find_candidates, find_env_files
from console.core.errors import Cause, ConsoleError

PROBE = Path(__file__).with_name("project_probe.py")
TIMEOUT_S = 30.0
GRACE_S = 1.0
"""How long the project may take for its own end once it was read."""
LAST_WORDS_S = 5.0
"""For what it said before its end: all of that is in the pipe, but our thread may wait for a core."""
POLL_S = 0.05
ANSWER_BYTES_AT_MOST = 4 * 1024 * 1024
ORDER_BYTES_AT_MOST = 48 * 1024
"""Less than a pipe holds, so that writing the order never waits for the interpreter."""
TAIL_BYTES = 16 * 1024

# What describes our own Python or names another project's settings; a frozen program sets some of them.
NOT_HANDED_ON = frozenset(
    {
        *("DJANGO_SETTINGS_MODULE", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONSAFEPATH"),
        *("PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__", "VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT"),
    }
)
_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*(?::[^\W\d]\w*(?:\.[^\W\d]\w*)*)?")
_ENV_LINE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$")


def read_project(
    folder: Path,
    interpreter: Path,
    candidate: Candidate,
    *,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
    stop: threading.Event | None = None,
) -> ProjectSettings:
    """The settings that `candidate` of the project in `folder` holds, read by `interpreter`.

    `environment` are variables on top of ours, such as those of an .env file. `stop`, once set, ends the
    reading. Raises `ConsoleError` when nothing could be read: `MissingVariableError` when a variable is
    missing, `Cause.TIMEOUT` after `timeout_s`, `Cause.NOT_FOUND` for an interpreter without Celery or Django.
    """
    environment = dict(environment or {})
    order = _order(candidate, environment)
    process = _start(interpreter, candidate.root)
    mark = order["mark"].encode()
    answer = _Answer(process.stdout, mark)
    tail = _Tail(process.stderr)
    try:
        with contextlib.suppress(OSError):  # it has ended already, or is no Python
            _pipe(process.stdin).write(json.dumps(order).encode() + b"\n")
        in_time = _wait(process, answer, time.monotonic() + timeout_s, stop)
    finally:
        code = _end(process, answer, tail)
    if answer.document is None:
        known = {*environment.values(), *_plain_secrets(candidate)}
        if stop is not None and stop.is_set():
            raise ConsoleError("Reading the project was stopped", cause=Cause.OTHER)
        if answer.too_long:
            raise ConsoleError(
                f"{candidate.name} says too much",
                detail="Its settings are larger than 4 MB.",
                cause=Cause.INVALID,
            )
        if not in_time:
            raise too_slow(timeout_s, tail.text, candidate, known=known)
        raise silent_end(code, tail.text, candidate, interpreter, known=known)
    if "error" in answer.document:
        raise error_of(
            answer.document,
            candidate,
            interpreter,
            env_files=find_env_files(folder),
            known=set(environment.values()),
        )
    return project_settings(answer.document, candidate)


def require_candidates(folder: Path) -> tuple[Candidate, ...]:
    """`find_candidates`, or a `ConsoleError` that says there are none."""
    if not folder.is_dir():
        raise ConsoleError(
            f"There is no folder {folder}", remedy="Choose the project's folder.", cause=Cause.NOT_FOUND
        )
    found = find_candidates(folder)
    if not found:
        raise ConsoleError(
            f"No Celery app and no Django settings were found in {folder}",
            detail="It looks for Celery(…), manage.py, settings.py and celery -A … in the folder and below.",
            remedy="Choose the folder in which the project is started, or type the app's name.",
            cause=Cause.NOT_FOUND,
        )
    return found


def read_env_file(path: Path) -> dict[str, str]:
    """The variables of an .env file, when a person has chosen it. Raises `ConsoleError`."""
    try:
        if path.stat().st_size > FILE_BYTES_AT_MOST:
            raise ConsoleError(
                f"{path.name} is too large", remedy="Choose another file.", cause=Cause.INVALID
            )
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise ConsoleError(
            f"{path.name} cannot be read",
            detail=error.strerror or type(error).__name__,
            cause=Cause.NOT_FOUND,
        ) from error
    found: dict[str, str] = {}
    for line in text.splitlines():
        if match := _ENV_LINE.match(line):
            found[match.group(1)] = _env_value(match.group(2))
    return found


def _env_value(text: str) -> str:
    quoted = re.match(r"""(["'])(.*?)(?<!\\)\1""", text)
    if quoted is None:
        return re.split(r"\s+#", text, maxsplit=1)[0]
    value = quoted.group(2)
    return value.replace(r"\"", '"').replace(r"\n", "\n") if quoted.group(1) == '"' else value


def _order(candidate: Candidate, environment: dict[str, str]) -> dict[str, Any]:
    if not _NAME.fullmatch(candidate.name):
        raise ConsoleError(
            f"{candidate.name or 'An empty text'} is not the name of a module",
            remedy="Name it with dots, for example shop.celery or shop.celery:app.",
            cause=Cause.INVALID,
        )
    if any("\0" in name + value or "=" in name or not name for name, value in environment.items()):
        raise ConsoleError("A variable has a name or a value that cannot be used", cause=Cause.INVALID)
    root = candidate.root.absolute()
    order = {
        "mark": f"\x1e{secrets.token_hex(16)}:",
        "kind": "celery" if candidate.kind is CandidateKind.CELERY else "django",
        "name": candidate.name,
        "root": str(root),
        "paths": [str(root), *([str(root / "src")] if (root / "src").is_dir() else [])],
        "environment": environment,
    }
    if len(json.dumps(order)) > ORDER_BYTES_AT_MOST:
        raise ConsoleError(
            "There are too many variables", detail="Together they may have 48 kB.", cause=Cause.INVALID
        )
    return order


def _child_environment() -> dict[str, str]:
    """Ours without what is ours alone."""
    child = {name: value for name, value in os.environ.items() if name not in NOT_HANDED_ON}
    if getattr(sys, "frozen", False):
        child.pop("PYTHONPATH", None)
        for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LIBPATH"):
            # PyInstaller keeps the person's value beside its own.
            child.pop(name, None)
            if original := child.pop(f"{name}_ORIG", ""):
                child[name] = original
    return child


def _start(interpreter: Path, root: Path) -> subprocess.Popen[bytes]:
    if not root.is_dir():
        raise ConsoleError(
            f"There is no folder {root}", remedy="Choose the project's folder.", cause=Cause.NOT_FOUND
        )
    try:
        # -B: reading a project leaves no compiled files in it.
        return subprocess.Popen(
            [str(interpreter.absolute()), "-B", str(PROBE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=root,
            env=_child_environment(),
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        raise ConsoleError(
            f"{interpreter} {'does not exist' if missing else 'cannot be started'}",
            detail=error.strerror or type(error).__name__,
            remedy="Choose the interpreter that runs the project.",
            cause=Cause.NOT_FOUND if missing else Cause.NOT_PERMITTED,
        ) from error


def _wait(
    process: subprocess.Popen[bytes], answer: _Answer, deadline: float, stop: threading.Event | None
) -> bool:
    """Until there is an answer or an end; False when time ran out or `stop` was set."""
    while not answer.over.wait(POLL_S):
        if process.poll() is not None:
            answer.over.wait(GRACE_S)  # a copy of it may hold the pipe; what was said is there by now
            return True
        if time.monotonic() > deadline or (stop is not None and stop.is_set()):
            return False
    return True


def _end(process: subprocess.Popen[bytes], answer: _Answer, tail: _Tail) -> int | None:
    """End the process and everything that it started; gives its exit status, None when it was ended by us."""
    below = _descendants(process.pid)
    with contextlib.suppress(OSError):
        _pipe(process.stdin).close()  # the probe may go; without an answer, it ends its group itself
    ended_itself = True
    if answer.over.is_set():
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            ended_itself = False
    else:
        ended_itself = process.poll() is not None
    if os.name == "posix":
        # The number of the process is not given anew as long as anyone of its group is left.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    for one in below:
        with contextlib.suppress(psutil.Error):
            one.kill()  # psutil looks at the start time first
    code = process.wait()
    for reader in (answer, tail):
        reader.close()
    return code if ended_itself else None


def _descendants(pid: int) -> list[psutil.Process]:
    """What runs below `pid`, also in sessions of its own: the probe keeps it from detaching (Linux)."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _plain_secrets(candidate: Candidate) -> set[str]:
    """The secrets that stand in plain text beside the file that was read."""
    module = candidate.module.replace(".", "/")
    places = [candidate.found_in.parent]
    for root in (candidate.root, candidate.root / "src"):
        places += [root / module, (root / module).parent]
    found: set[str] = set()
    for file in sorted({file for place in places for file in place.glob("*.py")})[:100]:
        with contextlib.suppress(OSError):
            if file.stat().st_size <= FILE_BYTES_AT_MOST:
                found |= literal_secrets(file.read_text(encoding="utf-8", errors="replace"))
    return found


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise RuntimeError("the process has pipes")
    return pipe


class _Reader:
    """Reads a pipe on a thread to its end, so that the process never waits for us."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        self._pipe = _pipe(pipe)
        self._thread = threading.Thread(target=self._read, name="project-reader", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        # Whatever the project wrote: that is no answer, and not waited for.
        with contextlib.suppress(OSError, ValueError, RecursionError):
            while piece := os.read(self._pipe.fileno(), 65536):
                self._take(piece)
        self._at_end()

    def _take(self, piece: bytes) -> None:
        raise NotImplementedError

    def _at_end(self) -> None:
        pass

    def close(self) -> None:
        """Wait for the end of the pipe; everyone who held it was ended."""
        self._thread.join(LAST_WORDS_S)
        if not self._thread.is_alive():
            self._pipe.close()


class _Tail(_Reader):
    """The end of standard error."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        self._bytes = b""
        super().__init__(pipe)

    @property
    def text(self) -> str:
        return self._bytes.decode(errors="replace")

    def _take(self, piece: bytes) -> None:
        self._bytes = (self._bytes + piece)[-TAIL_BYTES:]


class _Answer(_Reader):
    """The one document behind the mark; what comes before it (a sitecustomize may print) is dropped."""

    def __init__(self, pipe: IO[bytes] | None, mark: bytes) -> None:
        self.document: dict[str, Any] | None = None
        self.over = threading.Event()
        self.too_long = False
        self._mark = mark
        self._bytes = b""
        self._begun = False
        super().__init__(pipe)

    def _take(self, piece: bytes) -> None:
        if self.over.is_set():
            return
        self._bytes += piece
        if not self._begun:
            before, mark, after = self._bytes.partition(self._mark)
            self._begun = bool(mark)
            self._bytes = after if mark else before[-len(self._mark) :]
        if not self._begun:
            return
        line, newline, _rest = self._bytes.partition(b"\n")
        if newline:
            document = json.loads(line)
            self.document = document if isinstance(document, dict) else None
            self.over.set()
        elif len(self._bytes) > ANSWER_BYTES_AT_MOST:
            self.too_long = True
            self.over.set()

    def _at_end(self) -> None:
        self.over.set()
