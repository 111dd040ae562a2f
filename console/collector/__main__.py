"""`python -m console.collector`: reads one line of configuration, then events, until its input ends.

The window owns it: standard input stays open as long as the window lives, so whatever becomes of the
window, the collector stores what it has and goes. It loads no Qt.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from logging.handlers import RotatingFileHandler

from console.collector.collector import Collector, open_line
from console.collector.event_line import EventLine
from console.collector.reconcile import Reconciler
from console.collector.wire import (
    CollectorConfig,
    LineSplitter,
    decode_config,
    decode_retention,
    encode_summary,
)
from console.core.errors import ConsoleError
from console.core.redaction import RedactingFormatter
from console.history.model import CollectorSummary

LOG_BYTES = 2 * 1024 * 1024
NICENESS = 5
# At the interpreter's 5 ms the thread that moves the bytes waits too long for its turn (FACTS, section 1).
SWITCH_INTERVAL_S = 0.0002


class SummaryPipe:
    """Standard output without ever waiting: a window that does not read must not stop the reading.

    A summary that does not fit is dropped; the next says the same and more.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""
        self._workers_owed = False
        os.set_blocking(descriptor, False)

    def tell(self, summary: CollectorSummary, with_workers: bool) -> None:
        """Write one line. Raises `BrokenPipeError` when nobody is left to read."""
        if self._rest and not self._write(self._rest):
            self._workers_owed = self._workers_owed or with_workers
            return
        with_workers = with_workers or self._workers_owed
        self._workers_owed = False
        self._write(encode_summary(summary, with_workers=with_workers))

    def _write(self, data: bytes) -> bool:
        """Whether all of `data` is out; otherwise its rest is kept, so that no line is ever cut."""
        try:
            written = os.write(self._descriptor, data)
        except BlockingIOError:
            written = 0
        self._rest = data[written:]
        return not self._rest


def main() -> int:
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        config = decode_config(sys.stdin.buffer.readline())
    except ConsoleError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    _log_to(config)
    pipe = SummaryPipe(sys.stdout.fileno())

    def tell(summary: CollectorSummary, with_workers: bool) -> None:
        try:
            pipe.tell(summary, with_workers)
        except BrokenPipeError:
            collector.stop()

    line = open_line(config.address)
    _lower_priority(line)
    collector = Collector(
        address=config.address,
        history_file=config.history_file,
        tell=tell,
        line=line,
        retention=config.retention,
        make_reconciler=lambda give: Reconciler(
            history_file=config.history_file, address=config.address, results=config.results, give=give
        ),
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: collector.stop())
    threading.Thread(target=_watch_lifeline, args=(collector,), name="lifeline", daemon=True).start()
    try:
        collector.run()
    except Exception:
        logging.getLogger(__name__).exception("The collector failed")
        return 1
    return 0


def _lower_priority(line: EventLine) -> None:
    """The window goes first, but what empties the socket cannot wait."""
    log = logging.getLogger(__name__)
    try:
        line.prepare()
    except ConsoleError as error:
        log.warning("%s", error)  # tried again when it is needed
    try:
        os.nice(NICENESS)
    except OSError:
        log.info("The priority could not be lowered")


def _watch_lifeline(collector: Collector) -> None:
    splitter = LineSplitter()
    while data := os.read(sys.stdin.fileno(), 4096):
        told = [bounds for line in splitter.feed(data) if (bounds := decode_retention(line)) is not None]
        if told:
            collector.keep(told[-1])
        else:
            collector.check()
    collector.stop()


def _log_to(config: CollectorConfig) -> None:
    handler: logging.Handler
    try:
        config.log_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handler = RotatingFileHandler(config.log_file, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8")
    except OSError:
        handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


if __name__ == "__main__":
    # Daemon threads may still sit in a read: leave without waiting for them, everything is flushed.
    code = main()
    logging.shutdown()
    os._exit(code)
