"""`celery-console record`: the collector without a window, as a service, so that history has no holes. No Qt.

The same collector process as the window's, kept running by the same code; a window on the same home finds
the history in use and reads along. Signals end it after everything that was read is stored.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from console.app.connections_command import SECRETS_HELP, add_home_option, add_secret_options, in_words
from console.app.history_bounds import bounds_of

if TYPE_CHECKING:
    import asyncio

    from console.connections.model import Connection, Secrets
    from console.connections.tunnels import Tunnels, Ways
    from console.core.home import Home
    from console.history.model import CollectorSummary

_HELP = """\
It stays until it is ended (SIGTERM, Ctrl+C) and connects again by itself whatever happens to the broker.
Of several collectors on one home and connection one records; the others wait and take over when it ends.
A line on standard error tells of each change. A systemd unit stands in packaging/systemd.

"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `record`."""
    parser = commands.add_parser(
        "record",
        help="record the events of a connection into its history",
        description="Record the events of a connection into its history, without a window.",
        epilog=_HELP + SECRETS_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_home_option(parser)
    parser.add_argument(
        "--connection", metavar="NAME", default=argparse.SUPPRESS, help="the connection (needed)"
    )
    add_secret_options(parser)


def run_record(root: Path, wanted: argparse.Namespace) -> int:
    """Record until ended; the exit status."""
    return in_words(lambda: _record(root, wanted))


def _record(root: Path, wanted: argparse.Namespace) -> int:
    import asyncio

    from console.app.connections_actions import existing_connections, named_connection
    from console.app.connections_secrets import all_secrets, given_secrets
    from console.connections.model import with_secrets
    from console.core.errors import Cause, ConsoleError
    from console.core.home import Home

    if not wanted.connection:
        raise ConsoleError("Say which connection", remedy="Add --connection NAME.", cause=Cause.INVALID)
    home = Home(root)
    home.prepare()
    connection = named_connection(existing_connections(home), wanted.connection)
    secrets, problem = all_secrets(connection, given_secrets(wanted, connection))
    if problem is not None:
        _tell(f"{problem} Going on without passwords.")
    return asyncio.run(_run(home, with_secrets(connection, secrets), secrets))


async def _run(home: Home, connection: Connection, secrets: Secrets) -> int:
    import asyncio
    import signal

    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, ended.set)
        except NotImplementedError:
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(ended.set))
    from console.connections.tunnels import Tunnels, known_hosts_files

    tunnels = Tunnels(connection, secrets, known_hosts=known_hosts_files(home))
    try:
        ways = await _reach(tunnels, ended)
        if ways is not None:
            await _collect(home, connection, ways, ended)
    finally:
        await asyncio.to_thread(tunnels.close)
    return 0


async def _reach(tunnels: Tunnels, ended: asyncio.Event) -> Ways | None:
    """Through the tunnels, as often as it takes; None when ended before."""
    import asyncio
    import contextlib

    from console.connections.life import is_final, pause_s
    from console.core.errors import ConsoleError

    failures = 0
    while not ended.is_set():
        try:
            return await asyncio.to_thread(tunnels.reach)
        except ConsoleError as error:
            if not error.retryable or is_final(error):
                raise
            _tell(str(error))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s(failures)):
                await ended.wait()
        failures += 1
    return None


async def _collect(home: Home, connection: Connection, ways: Ways, ended: asyncio.Event) -> None:
    from console.collector.client import CollectorClient
    from console.core.clock import SystemClock

    said = ""

    def on_summary(summary: CollectorSummary) -> None:
        nonlocal said
        words = summary_words(summary)
        if words != said:
            said = words
            _tell(f"{connection.name}: {words}")

    client = CollectorClient(python=sys.executable, clock=SystemClock())
    client.summaries.connect(on_summary)
    history = home.history_file(connection.id)
    _tell(f"{connection.name}: the history is {history}")
    log_file = home.logs / f"collector-{connection.id}.log"
    kept = bounds_of(home.settings_file)
    client.start(ways.broker, history, log_file, results=ways.results, retention=kept)
    try:
        await ended.wait()
    finally:
        await client.aclose()
    stored = client.summary
    _tell(f"{connection.name}: ended; {stored.events:,} events were recorded in this run")


def summary_words(summary: CollectorSummary) -> str:
    """What a change of the collector's state is to somebody who reads a log."""
    from console.history.model import CollectorState

    match summary.state:
        case CollectorState.READING if summary.along:
            return "another collector records this history; waiting to take over"
        case CollectorState.READING:
            return "recording"
        case CollectorState.CONNECTING:
            return f"connecting{_because(summary.error)}"
        case CollectorState.RECONNECTING:
            return f"reconnecting{_because(summary.error)}"
        case CollectorState.FAILED:
            return f"not recording{_because(summary.error)}"
        case CollectorState.STOPPED:
            return "stopped"


def _because(error: str) -> str:
    return f": {error}" if error else ""


def _tell(line: str) -> None:
    from console.core.redaction import redact

    sys.stderr.write(redact(f"{line}\n"))
    sys.stderr.flush()
