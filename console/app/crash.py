"""The four doors through which a bug could leave unseen, and what happens at each: log, report, notice."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType
from typing import Any

from PySide6.QtCore import QMessageLogContext, QtMsgType, qInstallMessageHandler

from console.core.redaction import RedactingFormatter, redact

log = logging.getLogger("console")
KEPT_REPORTS = 20
_LEVELS = {
    QtMsgType.QtDebugMsg: logging.DEBUG,
    QtMsgType.QtInfoMsg: logging.INFO,
    QtMsgType.QtWarningMsg: logging.WARNING,
    QtMsgType.QtCriticalMsg: logging.ERROR,
    QtMsgType.QtFatalMsg: logging.CRITICAL,
}


def open_log(folder: Path, *, beside_another: bool = False) -> None:
    """The program's own log: one rotated file, redacted; a window beside another has a file of its own."""
    name = "console.log"
    if beside_another:
        # Two processes that rotate one file lose each other's lines.
        name = f"window-{os.getpid()}.log"
        for old in sorted(folder.glob("window-*.log"), key=lambda file: file.stat().st_mtime)[:-KEPT_REPORTS]:
            old.unlink(missing_ok=True)
    handler = RotatingFileHandler(folder / name, maxBytes=2_000_000, backupCount=3, encoding="utf-8")
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)


class CrashReports:
    """Writes each bug to a file of its own and tells `on_bug` its name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.on_bug: Callable[[str], None] | None = None

    def close_the_doors(self) -> None:
        sys.excepthook = self._unhandled
        threading.excepthook = self._in_thread
        qInstallMessageHandler(_qt_message)

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.set_exception_handler(self._in_loop)

    def _unhandled(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        self.report(error)

    def _in_thread(self, arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None:
            self.report(arguments.exc_value)

    def _in_loop(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException):
            self.report(error)
        else:
            log.error("event loop: %s", context.get("message"))

    def report(self, error: BaseException) -> None:
        """Log it, keep a redacted report, tell the person."""
        text = redact("".join(traceback.format_exception(error)))
        log.error("A bug: %s", text)
        name = f"crash-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.txt"
        try:
            (self._folder / name).write_text(text, encoding="utf-8")
            for old in sorted(self._folder.glob("crash-*.txt"))[:-KEPT_REPORTS]:
                old.unlink()
        except OSError as failure:
            log.error("The report could not be written: %s", failure)
        if self.on_bug is not None:
            self.on_bug(name)


def _qt_message(kind: QtMsgType, _context: QMessageLogContext, message: str) -> None:
    logging.getLogger("qt").log(_LEVELS.get(kind, logging.WARNING), "%s", redact(message))
