"""One shim with its child, seen from the window: an awaitable process with lines and an outcome.

Stands apart from the service because it is the only place where the stack meets asyncio's subprocesses.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from console.core.spawn import Tasks
from console.stack.model import Outcome

log = logging.getLogger(__name__)

SHIM = Path(__file__).with_name("shim.py")
SHIM_NEEDS = (
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
)  # a Python outside the usual folders does not start without
MESSAGE_BYTES = 8_388_608
LOG_MAX_BYTES = 10_485_760

StopPlan = Sequence[tuple[str, float | None]]
"""Signals in order, each with the seconds to wait for the end (None: for ever); then SIGKILL."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a shim is told. `redact` are secrets that never reach the log; `on_eof` is what happens when the
    console is gone: at most about 6 s in all.
    """

    argv: Sequence[str]
    env: Mapping[str, str] = field(repr=False)
    cwd: Path
    log_file: Path
    on_eof: StopPlan
    stdin_text: str = field(default="", repr=False)
    redact: Sequence[str] = field(default=(), repr=False)
    log_max_bytes: int = LOG_MAX_BYTES

    def as_json(self) -> bytes:
        order = {
            "argv": list(self.argv),
            "env": dict(self.env),
            "cwd": str(self.cwd),
            "log_file": str(self.log_file),
            "log_max_bytes": self.log_max_bytes,
            "stdin_text": self.stdin_text,
            "redact": list(self.redact),
            "on_eof": list(self.on_eof),
        }
        return json.dumps(order).encode() + b"\n"


class KeptProcess:
    """A started shim. `pid` is the child's (None until it runs), `outcome` is set when it has ended.

    `on_lines` gets batches of at most 500 lines, at most ten times a second; `on_dropped` how many lines
    were left out because the window was too slow (the log file has them); `on_end` the outcome, once.
    """

    def __init__(
        self,
        *,
        on_lines: Callable[[list[str]], None],
        on_dropped: Callable[[int], None],
        on_end: Callable[[Outcome], None],
    ) -> None:
        self.pid: int | None = None
        self.shim_pid: int | None = None
        self.outcome: Outcome | None = None
        self._on_lines = on_lines
        self._on_dropped = on_dropped
        self._on_end = on_end
        self._shim: asyncio.subprocess.Process | None = None
        self._tasks = Tasks("stack process")
        self._running = asyncio.Event()
        self._ended = asyncio.Event()

    @property
    def started(self) -> bool:
        """Whether there is a shim to talk to, or there was."""
        return self._shim is not None

    @property
    def pids(self) -> list[int]:
        """The shim and its child, as far as they were started."""
        return [pid for pid in (self.shim_pid, self.pid) if pid is not None]

    async def start(self, order: Order) -> None:
        """Start it and wait until the child runs or has failed to (`outcome` says so)."""
        # Isolated and without site packages: the shim needs neither, and starts three times as fast.
        try:
            self._shim = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-I", "-S", str(SHIM)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={name: order.env[name] for name in SHIM_NEEDS if name in order.env},
                limit=MESSAGE_BYTES,
                start_new_session=True,
            )
        except BaseException:  # cancelled, too: asyncio has ended the shim, and it had no order yet
            self.outcome = Outcome(error="it was not started")
            self._ended.set()
            raise
        self.shim_pid = self._shim.pid
        self._tasks.start(self._read(self._shim), name=Path(order.argv[0]).name)
        self._write(order.as_json())
        await self._running.wait()

    def stop(self, plan: StopPlan) -> None:
        """Ask it to end; a later call replaces the plan of an earlier one."""
        self._write(json.dumps({"do": "stop", "plan": list(plan)}).encode() + b"\n")

    def kill(self) -> None:
        """SIGKILL to it and everything below it."""
        self._write(b'{"do": "kill"}\n')

    async def wait(self) -> Outcome:
        """Wait for the end."""
        await self._ended.wait()
        if self.outcome is None:
            raise RuntimeError("a process ended without an outcome")
        return self.outcome

    def _write(self, data: bytes) -> None:
        if self._shim is None or self._shim.stdin is None or self._shim.stdin.is_closing():
            return
        self._shim.stdin.write(data)

    async def _read(self, shim: asyncio.subprocess.Process) -> None:
        outcome = Outcome(unwatched=True)
        if shim.stdout is None or shim.stdin is None:
            raise RuntimeError("a shim has pipes")
        try:
            while line := await shim.stdout.readline():
                message: dict[str, Any] = json.loads(line)
                if "log" in message:
                    self._on_lines(message["log"])
                elif "dropped" in message:
                    self._on_dropped(message["dropped"])
                elif "pid" in message:
                    self.pid = message["pid"]
                    self._running.set()
                elif "error" in message:
                    outcome = Outcome(error=message["error"]["text"])
                elif "exit" in message:
                    outcome = Outcome(code=message["exit"]["code"], signal=message["exit"]["signal"])
                elif "log_error" in message:
                    self._on_lines([f"console: the log file cannot be written: {message['log_error']}"])
        except (ValueError, OSError):
            log.exception("The shim of process %s said something else", self.pid)
        finally:
            self.outcome = outcome
            shim.stdin.close()
            await shim.wait()
            self._running.set()
            self._ended.set()
            self._on_end(outcome)
