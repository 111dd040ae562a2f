"""`celery-console tasks`: what the history knows, for scripts, in the language of the Tasks page. No Qt."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from console.app.connections_command import add_home_option, in_words

if TYPE_CHECKING:
    from console.core.home import Home
    from console.history.model import TaskDetail
    from console.history.query import TaskQuery
    from console.history.reader import HistoryReader

DEFAULT_LIMIT = 100
BATCH = 1000
FORMATS = ("table", "json", "csv")
SORTS = ("received", "state", "task", "id", "worker", "queue", "waited", "runtime", "retries")
_HELP = """\
QUERY is what would be typed into Search tasks, for example

  celery-console tasks --connection Shop 'state:failed name:*invoice* since:1h'

  celery-console tasks --connection Shop --format csv --limit 0 runtime:'>10s' -queue:mail

Words after the first are added to it. The history is what a window or `celery-console record` has recorded;
neither needs to run. The exit status is 0 also when nothing is found.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `tasks`."""
    parser = commands.add_parser(
        "tasks",
        help="list tasks from the history of a connection",
        description="List tasks from the history of a connection.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_home_option(parser)
    parser.add_argument("query", nargs="*", metavar="QUERY", help="all tasks without it")
    parser.add_argument(
        "--connection", metavar="NAME", default=argparse.SUPPRESS, help="the connection (needed)"
    )
    parser.add_argument(
        "--limit",
        type=_limit,
        default=DEFAULT_LIMIT,
        metavar="N",
        help=f"at most so many; 0 is all (default: {DEFAULT_LIMIT})",
    )
    parser.add_argument("--format", choices=FORMATS, default="table", help="default: table")
    parser.add_argument("--sort", choices=SORTS, default="received", help="default: received")
    parser.add_argument("--ascending", action="store_true", help="oldest, shortest or first letter first")


def with_query_last(arguments: Sequence[str]) -> list[str]:
    """`arguments` as argparse can read them: -state:failed is a word of the query and no option.

    No option of ours has one dash only, but -h.
    """
    words = list(arguments)
    if "tasks" not in words or "--" in words:
        return words
    after = words.index("tasks") + 1
    negated = [word for word in words[after:] if _is_negated(word)]
    if not negated:
        return words
    rest = [word for word in words[after:] if not _is_negated(word)]
    return [*words[:after], *rest, "--", *negated]


def _is_negated(word: str) -> bool:
    return len(word) > 1 and word[0] == "-" and word[1] != "-" and word != "-h"


def _limit(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise argparse.ArgumentTypeError("a number from 0 on")
    return int(text)


def run_tasks(root: Path, wanted: argparse.Namespace) -> int:
    """Print what the query finds; the exit status."""
    return in_words(lambda: _list(root, wanted))


def _list(root: Path, wanted: argparse.Namespace) -> int:
    from console.core.home import Home
    from console.history.query import Sort, parse_query
    from console.history.reader import HistoryReader
    from console.tasks.export import ALL_COLUMNS, write_csv, write_json

    home = Home(root)
    query = parse_query(" ".join(wanted.query))
    query = query.sorted_by(Sort(wanted.sort), descending=not wanted.ascending)
    reader = HistoryReader(home.history_file(_connection_id(home, wanted.connection)))
    try:
        found = _found(reader, query, wanted.limit)
        match wanted.format:
            case "json":
                write_json(sys.stdout, found, ALL_COLUMNS)
            case "csv":
                write_csv(sys.stdout, found, ALL_COLUMNS)
            case _:
                _print_table(found)
    finally:
        reader.close()
    return 0


def _connection_id(home: Home, name: str) -> str:
    from console.app.connections_actions import existing_connections, named_connection
    from console.connections.model import LOCAL_STACK_NAME
    from console.core.connection import LOCAL_STACK_ID
    from console.core.errors import Cause, ConsoleError

    if not name:
        raise ConsoleError("Say which connection", remedy="Add --connection NAME.", cause=Cause.INVALID)
    if name == LOCAL_STACK_NAME:
        return LOCAL_STACK_ID
    return named_connection(existing_connections(home), name).id


def _found(reader: HistoryReader, query: TaskQuery, limit: int) -> Iterator[list[TaskDetail]]:
    left = limit or sys.maxsize
    for batch in reader.export(query, batch=min(left, BATCH)):
        yield batch[:left]
        left -= len(batch)
        if left <= 0:
            return


def _print_table(found: Iterator[list[TaskDetail]]) -> None:
    """Columns as wide as their words, a batch at a time; ids are whole, so that they can be copied."""
    import itertools

    from console.widgets.text import UNKNOWN, duration_text

    heads = ("State", "Task", "ID", "Worker", "Queue", "Received", "Waited", "Runtime", "Retries")
    widths = [10, 0, 36, 0, 0, 19, 8, 8, 7]
    for number, batch in enumerate(itertools.chain([next(found, [])], found)):
        rows = [
            (
                task.row.state.value,
                task.row.name or UNKNOWN,
                task.row.id,
                task.row.worker or UNKNOWN,
                task.row.queue or UNKNOWN,
                f"{task.row.received.astimezone():%Y-%m-%d %H:%M:%S}" if task.row.received else UNKNOWN,
                duration_text(task.row.waited_s),
                duration_text(task.row.runtime_s),
                str(task.row.retries),
            )
            for task in batch
        ]
        shown = rows if number else [heads, *rows]
        widths = [max(width, *(len(row[column]) for row in shown)) for column, width in enumerate(widths)]
        for row in shown:
            line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
            sys.stdout.write(f"{line.rstrip()}\n")
