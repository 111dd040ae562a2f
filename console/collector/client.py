"""The window's end of the collector: starts the child, reads its summaries, starts it again when it dies.

Qt-free and on the loop. The child has its own session, so that ending it ends all of it; the password
is written to its standard input, which stays open as the child's lifeline.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from dataclasses import replace
from pathlib import Path

from console.broker.address import BrokerAddress
from console.broker.database import DatabaseAddress
from console.collector.line import GIVES_BACK
from console.collector.wire import (
    CollectorConfig,
    LineSplitter,
    decode_summary,
    encode_config,
    encode_retention,
)
from console.core.clock import Clock
from console.core.happening import Happening
from console.core.spawn import Tasks
from console.history.bounds import STANDARD_RETENTION, Retention
from console.history.model import CollectorState, CollectorSummary, TaskState

log = logging.getLogger(__name__)

SILENCE_S = 15.0
STOP_WITHIN_S = 5.0
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
STEADY_S = 30.0
READ_BYTES = 65_536
NOTHING_YET = CollectorSummary(
    state=CollectorState.STOPPED,
    change=0,
    events=0,
    events_per_s=0.0,
    lag_s=None,
    malformed=0,
    counts=dict.fromkeys(TaskState, 0),
    workers=(),
)


class CollectorClient:
    """One collector for the connection that is open.

    `summaries` emits what it tells (and, while it is down, a summary that says so); `summary` is the
    last one. `pid` is None while no child runs.
    """

    def __init__(self, *, python: str, clock: Clock, environment: dict[str, str] | None = None) -> None:
        self._python = python
        self._clock = clock
        self._environment = environment
        self.summaries: Happening[CollectorSummary] = Happening()
        self.summary = NOTHING_YET
        self.pid: int | None = None
        self.restarts = 0
        self._tasks = Tasks("collector")
        self._process: asyncio.subprocess.Process | None = None
        self._closing = False
        self._config: CollectorConfig | None = None

    def start(
        self,
        address: BrokerAddress,
        history_file: Path,
        log_file: Path,
        *,
        results: BrokerAddress | DatabaseAddress | None = None,
        retention: Retention = STANDARD_RETENTION,
    ) -> None:
        """Begin to read the events of `address`; call `aclose` before another start.

        `results`: the result backend, which is asked for the end of tasks whose events were missed.
        `retention`: how much of the history is kept.
        """
        self._closing = False
        self.summary = NOTHING_YET  # of another connection, perhaps
        self._config = CollectorConfig(address, history_file, log_file, results, retention)
        self._tasks.start(self._keep_running(), name="keep running")

    def keep(self, retention: Retention) -> None:
        """Keep so much of the history from now on, also in the child that runs."""
        if self._config is not None:
            self._config = replace(self._config, retention=retention)
            self._tell(encode_retention(retention))

    def check(self) -> None:
        """Have the child ask the broker now: the window's own line to it has died, and its may have too."""
        self._tell(b"\n")

    def _tell(self, line: bytes) -> None:
        stdin = None if self._process is None else self._process.stdin
        if stdin is not None and not stdin.is_closing():
            stdin.write(line)

    async def aclose(self) -> None:
        """Have the child store what it holds and end; kill it when it does not within 5 s."""
        self._closing = True
        process = self._process
        if process is not None:
            if process.stdin is not None:
                process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), STOP_WITHIN_S)
            except TimeoutError:
                log.warning("The collector did not end in time and is killed")
                _kill_group(process)
                await process.wait()
        await self._tasks.aclose()

    async def _keep_running(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            began_s = self._clock.monotonic_s()
            try:
                how = await self._run_once()
            except OSError as error:
                how = f"could not be started ({error.strerror or error})"
            if self._ended():
                return
            if self._clock.monotonic_s() - began_s > STEADY_S:
                pause_s = FIRST_PAUSE_S
            self.restarts += 1
            log.warning("The collector %s; it is started again in %.1f s", how, pause_s)
            self._publish(
                replace(
                    self.summary,
                    state=CollectorState.RECONNECTING,
                    events_per_s=0.0,
                    error=f"The reader of events {how}. It is started again.",
                )
            )
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _ended(self) -> bool:
        return self._closing

    async def _run_once(self) -> str:
        """One life of the child; returns how it ended, in words."""
        process = await asyncio.create_subprocess_exec(
            self._python,
            "-m",
            "console.collector",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            env={**(self._environment or os.environ), **GIVES_BACK},
        )
        self._process, self.pid = process, process.pid
        try:
            if process.stdin is None or process.stdout is None or self._config is None:
                raise RuntimeError("the child has no pipes")
            process.stdin.write(encode_config(self._config))
            await process.stdin.drain()
            silent = await self._read(process.stdout)
            if silent:
                _kill_group(process)
            code = await process.wait()
        except (BrokenPipeError, ConnectionResetError):
            code = await process.wait()
            silent = False
        finally:
            if process.returncode is None:
                _kill_group(process)
            self._process, self.pid = None, None
        if silent:
            return f"said nothing for {SILENCE_S:.0f} s"
        return f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"

    async def _read(self, stdout: asyncio.StreamReader) -> bool:
        """Publish what the child tells until its end; True when it fell silent instead."""
        splitter = LineSplitter()
        while True:
            try:
                data = await asyncio.wait_for(stdout.read(READ_BYTES), SILENCE_S)
            except TimeoutError:
                return True
            if not data:
                return False
            latest: CollectorSummary | None = None
            for line in splitter.feed(data):
                try:
                    latest = decode_summary(line, workers=(latest or self.summary).workers)
                except ValueError:
                    log.warning("The collector said something that is no summary")
            if latest is not None:
                self._publish(latest)

    def _publish(self, summary: CollectorSummary) -> None:
        self.summary = summary
        self.summaries.emit(summary)


def _kill_group(process: asyncio.subprocess.Process) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
