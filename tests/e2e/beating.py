"""Run as a program: the real start of the console, with the heartbeat of its main thread from the window on.

Arguments: the home folder and the seconds to live. Prints one JSON line: beats, worst_ms, stalls.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from PySide6.QtCore import QTimer

from console.app.commands import run
from console.window.main_window import MainWindow
from tests.heartbeat import Heartbeat


class Beating(MainWindow):
    """The window, with a heartbeat."""

    def __init__(self) -> None:
        super().__init__()
        self._heart = Heartbeat()
        self._heart.__enter__()
        QTimer.singleShot(int(float(sys.argv[2]) * 1000), self, self._end)

    def _end(self) -> None:
        heart = self._heart
        stalls = [(round(stall.seconds * 1000), stall.where) for stall in heart.stalls]
        told = {"beats": heart.beats, "worst_ms": heart.worst_s * 1000, "stalls": stalls}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    import console.app.start

    vars(console.app.start)["MainWindow"] = Beating
    sys.exit(run(["--home", sys.argv[1], "--start-stack"]))
