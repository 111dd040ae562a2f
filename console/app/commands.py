"""The command line. Nothing heavy is imported before it is known what is wanted."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from console.app import connections_command, record_command, tasks_command

DISTRIBUTION = "celery-console"


@dataclass(frozen=True, slots=True)
class Arguments:
    """What was asked for. `connection` is a name, empty for none; `new_window` is one beside an open one.

    `without_window`: what is to be done instead of opening a window; its `command` says which.
    """

    home: Path
    connection: str
    start_stack: bool
    new_window: bool = False
    without_window: argparse.Namespace | None = None


def version() -> str:
    """The version of the installed distribution, or of the checkout."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed(DISTRIBUTION)
    except PackageNotFoundError:
        import tomllib

        project = Path(__file__).resolve().parents[2] / "pyproject.toml"
        value: str = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"]
        return value


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_rest: object) -> None:
        sys.stdout.write(f"Celery Console {version()}\n")
        parser.exit()


def parse(arguments: Sequence[str]) -> Arguments:
    """Exits with 2 and a line on standard error when the arguments are wrong."""
    parser = argparse.ArgumentParser(prog=DISTRIBUTION, description="A desktop console for Celery.")
    parser.add_argument("--home", metavar="DIR", help="the folder that holds all state of this console")
    parser.add_argument("--connection", metavar="NAME", default="", help="connect to this connection")
    parser.add_argument("--start-stack", action="store_true", help="start the local stack")
    parser.add_argument("--new-window", action="store_true", help="open one more window beside an open one")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="without a window")
    for one in (connections_command, record_command, tasks_command):
        one.add_parser(commands)
    found = parser.parse_args(tasks_command.with_query_last(arguments))
    chosen = found.home or os.environ.get("CELERY_CONSOLE_HOME") or default_home()
    home = Path(chosen).expanduser().absolute()
    without_window = found if found.command else None
    return Arguments(home, found.connection, found.start_stack, found.new_window, without_window)


def default_home() -> str:
    """Where state is kept when nobody says: the user's own data folder."""
    from platformdirs import user_data_dir

    return user_data_dir(DISTRIBUTION, appauthor=False)


def run(arguments: Sequence[str]) -> int:
    """Do what the arguments say; the exit status."""
    wanted = parse(arguments)
    if wanted.without_window is not None:
        known = {
            "connections": connections_command.run_connections,
            "record": record_command.run_record,
            "tasks": tasks_command.run_tasks,
        }
        return known[wanted.without_window.command](wanted.home, wanted.without_window)
    from console.app.start import start

    return start(wanted)
