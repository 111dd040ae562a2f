"""The shim with real children: nothing outlives it, and no flood stops anybody."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from console.stack.process import SHIM
from tests.integration.stack.conftest import is_alive

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the shim is for POSIX systems")

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    " print('up', flush=True); time.sleep(60)"
)


class Kept:
    """A shim as a test talks to it."""

    def __init__(self, folder: Path, argv: list[str], **order: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(SHIM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.log_file = folder / "child.log"
        self.send(
            {
                "argv": argv,
                "env": {"PATH": os.environ["PATH"]},
                "cwd": str(folder),
                "log_file": str(self.log_file),
                "log_max_bytes": 1_000_000,
                "on_eof": [["TERM", 0.5]],
                **order,
            }
        )

    def send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def messages(self) -> Iterator[dict[str, Any]]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield json.loads(line)

    def first(self, key: str) -> Any:
        return next(message[key] for message in self.messages() if key in message)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()


@contextmanager
def kept(folder: Path, *argv: str, **order: Any) -> Iterator[Kept]:
    shim = Kept(folder, list(argv), **order)
    try:
        yield shim
    finally:
        if shim.process.poll() is None:
            shim.process.kill()
        shim.process.wait()
        for pipe in (shim.process.stdin, shim.process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def wait_gone(pids: list[int], within_s: float) -> None:
    deadline_s = time.monotonic() + within_s
    processes = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    while any(is_alive(process) for process in processes):
        assert time.monotonic() < deadline_s, processes
        time.sleep(0.01)


def test_the_end_of_a_child_is_told_with_its_output(tmp_path: Path) -> None:
    with kept(tmp_path, "/bin/sh", "-c", "echo out; echo err >&2; exit 3") as shim:
        messages = list(shim.messages())
    assert "pid" in messages[0]
    assert sorted(line for message in messages for line in message.get("log", [])) == ["err", "out"]
    assert messages[-1] == {"exit": {"code": 3, "signal": None}}
    assert sorted(shim.log_file.read_text().splitlines()) == ["err", "out"]


def test_a_signal_is_told_as_a_signal(tmp_path: Path) -> None:
    with kept(tmp_path, "/bin/sh", "-c", "kill -SEGV $$") as shim:
        assert shim.first("exit") == {"code": None, "signal": signal.SIGSEGV}


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with kept(tmp_path, "/no/such/program") as shim:
        assert shim.first("error")["errno"] == 2


def test_when_the_console_goes_a_stubborn_child_and_its_runaways_die(tmp_path: Path) -> None:
    script = f'setsid sleep 61 & echo $!; sleep 62 & echo $!; exec {sys.executable} -c "{STUBBORN}"'
    with kept(tmp_path, "/bin/sh", "-c", script) as shim:
        lines: list[str] = []
        pids = [shim.first("pid")]
        for message in shim.messages():
            lines += message.get("log", [])
            if "up" in lines:
                break
        pids += [int(line) for line in lines if line.isdecimal()]
        assert len(pids) == 3
        began_s = time.monotonic()
        shim.close()
        assert shim.process.wait(timeout=5) == 0
        assert time.monotonic() - began_s < 2
        wait_gone(pids, 0.5)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_when_the_shim_is_killed_its_child_dies(tmp_path: Path) -> None:
    with kept(tmp_path, sys.executable, "-c", STUBBORN) as shim:
        pid = shim.first("pid")
        shim.first("log")
        shim.process.kill()
        wait_gone([pid], 2)


def test_a_terminal_cannot_end_the_shim(tmp_path: Path) -> None:
    with kept(tmp_path, "/bin/sleep", "30") as shim:
        pid = shim.first("pid")
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            shim.process.send_signal(number)
        shim.send({"do": "stop", "plan": [["TERM", 5]]})
        assert shim.first("exit") == {"code": None, "signal": signal.SIGTERM}
        wait_gone([pid], 1)


def test_a_plan_goes_on_to_the_next_signal_and_then_kills(tmp_path: Path) -> None:
    with kept(tmp_path, sys.executable, "-c", STUBBORN) as shim:
        shim.first("log")
        shim.send({"do": "stop", "plan": [["TERM", 0.1], ["QUIT", 5]]})
        assert shim.first("exit") == {"code": None, "signal": signal.SIGQUIT}
    with kept(tmp_path, sys.executable, "-c", STUBBORN) as shim:
        shim.first("log")
        shim.send({"do": "stop", "plan": [["TERM", 0.1]]})
        assert shim.first("exit") == {"code": None, "signal": signal.SIGKILL}


def test_a_flood_that_nobody_reads_neither_blocks_the_child_nor_fills_memory(tmp_path: Path) -> None:
    script = (
        "import os; line = b'x' * 99 + b'\\n'\n"
        "for _ in range(2000): os.write(1, line * 655)\n"  # 131 MB
        "open('done', 'w').close()"
    )
    with kept(tmp_path, sys.executable, "-c", script) as shim:
        usage = psutil.Process(shim.process.pid)
        peak = 0
        deadline_s = time.monotonic() + 60
        while not (tmp_path / "done").exists():
            assert time.monotonic() < deadline_s
            peak = max(peak, usage.memory_info().rss)
            time.sleep(0.02)
        messages = list(shim.messages())
    assert peak < 40_000_000
    shown = sum(len(message.get("log", [])) for message in messages)
    assert shown + sum(message.get("dropped", 0) for message in messages) == 2000 * 655
    files = sorted(path.name for path in tmp_path.glob("child.log*"))
    assert files == ["child.log", "child.log.1", "child.log.2", "child.log.3"]
    assert all(path.stat().st_size <= 1_000_000 for path in tmp_path.glob("child.log*"))


def test_an_endless_line_is_cut(tmp_path: Path) -> None:
    script = "import os; os.write(1, b'y' * 3_000_000)"
    with kept(tmp_path, sys.executable, "-c", script) as shim:
        messages = list(shim.messages())
    assert all(len(line) <= 8192 for message in messages for line in message.get("log", []))


def test_bytes_that_are_no_text_are_shown_and_bounded(tmp_path: Path) -> None:
    script = "import os\nfor _ in range(60): os.write(1, (bytes(range(10)) + b'\\xff' * 8000 + b'\\n') * 8)"
    with kept(tmp_path, sys.executable, "-c", script) as shim:
        messages = list(shim.messages())
    assert max(len(json.dumps(message)) for message in messages) < 2_000_000
    assert messages[-1] == {"exit": {"code": 0, "signal": None}}


def test_a_kill_that_comes_with_the_order_is_obeyed(tmp_path: Path) -> None:
    with kept(tmp_path, "/bin/sleep", "30") as shim:
        shim.send({"do": "kill"})
        assert shim.first("exit") == {"code": None, "signal": signal.SIGKILL}


def test_a_log_of_one_gigabyte_is_moved_aside(tmp_path: Path) -> None:
    with (tmp_path / "child.log").open("wb") as file:
        file.truncate(1_000_000_000)
    with kept(tmp_path, "/bin/echo", "new") as shim:
        list(shim.messages())
    assert shim.log_file.read_text() == "new\n"
    assert (tmp_path / "child.log.1").stat().st_size == 1_000_000_000


def test_a_log_that_cannot_be_written_is_told_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "child.log").mkdir()
    with kept(tmp_path, "/bin/echo", "said") as shim:
        messages = list(shim.messages())
    assert {"log": ["said"]} in messages
    assert any("log_error" in message for message in messages)
    assert messages[-1] == {"exit": {"code": 0, "signal": None}}


def test_a_secret_reaches_neither_the_file_nor_the_window(tmp_path: Path) -> None:
    with kept(tmp_path, "/bin/echo", "password is hunter22", redact=["hunter22"]) as shim:
        messages = list(shim.messages())
    assert {"log": ["password is ****"]} in messages
    assert "hunter22" not in shim.log_file.read_text()


def test_input_reaches_the_child(tmp_path: Path) -> None:
    with kept(tmp_path, "/bin/cat", stdin_text="configured\n") as shim:
        assert shim.first("log") == ["configured"]
