"""Two sessions of tests at once: the end of one leaves the keyring of the other alone."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "packaging" / "test_session.sh"
END_S = 60.0
# Says which daemon is its own, waits for a line, and then keeps and finds a secret.
INSIDE = """
import os, pathlib, sys, keyring
number = pathlib.Path(os.environ["SESSION_FOLDER"], "keyring.pid").read_text().strip()
print(number, pathlib.Path("/proc", number, "comm").read_text().strip(), flush=True)
sys.stdin.readline()
keyring.set_password("test", "name", number)
print(keyring.get_password("test", "name"), flush=True)
"""


def _session(stack: ExitStack) -> subprocess.Popen[str]:
    process = stack.enter_context(
        subprocess.Popen(
            ["bash", str(SCRIPT), sys.executable, "-c", INSIDE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    )
    stack.callback(lambda: process.stdin is not None and process.stdin.close())  # it ends by itself
    return process


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_the_end_of_one_leaves_the_other_its_keyring() -> None:
    with ExitStack() as stack:
        sessions = [_session(stack) for _ in range(3)]
        daemons = [_line(session).split() for session in sessions]
        assert {name for _number, name in daemons} == {"gnome-keyring-d"}
        assert len({number for number, _name in daemons}) == len(sessions)
        for session, (number, _name) in zip(sessions, daemons, strict=True):
            _go_on(session)
            assert _line(session) == number
            assert session.wait(END_S) == 0
            # A process that has ended may still stand in the table, without anything behind it.
            command = Path("/proc", number, "cmdline")
            assert not command.exists() or command.read_bytes() == b""
