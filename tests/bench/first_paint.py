"""First paint: seconds from process start to the first picture, beside a bare Qt window in the same run."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from console.app.start import FIRST_PAINT_MARK

ROOT = Path(__file__).parents[2]
ROUNDS = 7
WITHIN_S = 20.0
BARE = f"""
import os, time
from PySide6.QtWidgets import QApplication, QMainWindow
class Window(QMainWindow):
    def paintEvent(self, event):
        with open(os.environ[{FIRST_PAINT_MARK!r}], "w") as mark: mark.write(repr(time.time()))
app = QApplication([])
window = Window()
window.resize(1280, 800)
window.show()
app.exec()
"""


def painted_after_s(command: list[str]) -> float:
    """Start `command`, wait for its mark, end it."""
    with tempfile.TemporaryDirectory() as folder:
        mark = Path(folder) / "mark"
        started = time.time()
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, FIRST_PAINT_MARK: str(mark)}, stderr=subprocess.DEVNULL
        )
        try:
            while not (mark.exists() and mark.stat().st_size):
                if process.poll() is not None or time.time() - started > WITHIN_S:
                    raise RuntimeError(f"{command[:3]} did not paint")
                time.sleep(0.002)
            return float(mark.read_text()) - started
        finally:
            process.kill()
            process.wait()


def main() -> None:
    bare, console = [], []
    with tempfile.TemporaryDirectory() as home:
        for _ in range(ROUNDS):
            bare.append(painted_after_s([sys.executable, "-c", BARE]))
            console.append(painted_after_s([sys.executable, "-m", "console", "--home", home]))
    # The first round reads everything from disk.
    bare_s, console_s = statistics.median(bare[1:]), statistics.median(console[1:])
    print(f"first paint: {console_s:.3f} s (limit 0.4); bare Qt window {bare_s:.3f} s")
    print(f"first paint: {console_s / bare_s:.2f} times the bare window (limit 2.5)")
    print(f"first paint: {console[0]:.3f} s in the first round")
