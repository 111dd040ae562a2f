"""Which processes belong to a home folder: found by what only they have, its path."""

from __future__ import annotations

from pathlib import Path

import psutil


def processes_of(home: Path) -> list[psutil.Process]:
    """Every live process with `home` in its arguments, environment, working folder or open files."""
    wanted = str(home)
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            words = [*process.cmdline(), *process.environ().values(), process.cwd()]
            if any(wanted in word for word in words) or any(
                wanted in file.path for file in process.open_files()
            ):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def described(processes: list[psutil.Process]) -> list[str]:
    """For the message of a failing test."""
    words = []
    for process in processes:
        try:
            words.append(f"{process.pid} {' '.join(process.cmdline())[:120]}")
        except psutil.NoSuchProcess:
            continue
    return words
