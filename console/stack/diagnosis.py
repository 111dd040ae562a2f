"""From the last lines of a log to a cause and a remedy in words. Pure rules, so each has a test.

Stands beside the model because it grows with every failure that is met; nothing else needs to change for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from console.stack.model import Failure, Outcome

SHOWN_LINES = 12


@dataclass(frozen=True, slots=True)
class _Rule:
    """`pattern` in the log; `cause` and `remedy` may use its groups as {0}, {1}."""

    pattern: re.Pattern[str]
    cause: str
    remedy: str


def _rule(pattern: str, cause: str, remedy: str) -> _Rule:
    return _Rule(re.compile(pattern, re.IGNORECASE), cause, remedy)


_RULES = (
    _rule(
        r"no space left on device|errno 28|database or disk is full",
        "The disk is full.",
        "Make room on the disk, or choose another folder with --home.",
    ),
    _rule(
        r"No module named '?gevent'?|gevent.*(?:is not installed|requires)",
        "The gevent pool is chosen, but gevent is not installed.",
        "Choose another pool in the worker options, or install celery-console[gevent].",
    ),
    _rule(
        r"(?:ModuleNotFoundError|ImportError): No module named '?([\w.]+)'?",
        "The Python module {0} was not found.",
        "Install it into the environment of the console, or correct the import.",
    ),
    _rule(
        r"Unable to load celery application.*?\n?.*?The module ([\w.]+) was not found",
        "The Celery application {0} was not found.",
        "Check that the project can be imported by the Python that runs the console.",
    ),
    _rule(
        r"(?:ImportError|SyntaxError|IndentationError|NameError): (.+)",
        "The project's code does not load: {0}.",
        "Correct the code and try again.",
    ),
    _rule(
        r"attempt to write a readonly database|unable to open database file|PermissionError.*sqlite",
        "The database file cannot be written.",
        "Give yourself the right to write to the stack folder, or choose another one with --home.",
    ),
    _rule(
        r"database is locked",
        "Another program holds the database.",
        "Close the program that has the stack's database open, and try again.",
    ),
    _rule(
        r"(?:OperationalError|ProgrammingError|IntegrityError|InconsistentMigrationHistory"
        r"|NodeNotFoundError)[:\w.]* ?(.*)",
        "The database refused: {0}.",
        "If its data is not needed, delete the database file in the stack folder and start again.",
    ),
    _rule(
        r"Pidfile \((.+?)\) already exists[\s\S]*?pid: ?(\d+)",
        "A pid file of an earlier run names process {1}, which runs.",
        "End that process, or delete {0}.",
    ),
    _rule(
        r"Permission denied:? ?'?([^'\n]*)|Can't open the append-only|Can't chdir to",
        "A file or folder cannot be used: permission denied {0}.",
        "Give yourself the right to read and write there.",
    ),
    _rule(
        r"Bad file format reading the append only file|Short read or OOM loading DB|Fatal error loading",
        "The broker's data on disk is damaged.",
        "Move the folder stack/broker aside and start again; waiting messages in it are lost.",
    ),
    _rule(
        r"MemoryError|Cannot allocate memory|Out Of Memory|OOM",
        "The machine has too little free memory.",
        "Close other programs, or lower the concurrency of the worker.",
    ),
    _rule(
        r"(?:invalid username-password pair|WRONGPASS|NOAUTH)",
        "The broker refused the password.",
        "Stop the stack and start it again: each start makes a new password.",
    ),
    _rule(
        r"Cannot connect to redis|Error 111 connecting|Connection refused",
        "It could not reach the broker.",
        "Look at the broker's log, and start the stack again.",
    ),
    _rule(
        r"Usage: .*\n(?:.*\n)*?.*Error: (.+)",
        "It does not understand its options: {0}.",
        "Change the worker options.",
    ),
)
_PORT_TAKEN = re.compile(r"Address already in use|bind: Address|Failed listening on port", re.IGNORECASE)


def diagnose(
    where: str,
    outcome: Outcome | None,
    lines: Sequence[str],
    *,
    port: int | None = None,
    port_owner: Callable[[int], str] | None = None,
    seconds: float | None = None,
) -> Failure:
    """Name the cause of a failure of step or service `where`.

    `outcome` is None when the process lives but did not become ready in `seconds`; `port_owner` gives the
    process that holds a port, in words ("redis-server (process 812)"), or "".
    """
    shown = tuple(line for line in lines if line.strip())[-SHOWN_LINES:]
    title = f"{where} did not start"
    text = "\n".join(lines)
    if port is not None and _PORT_TAKEN.search(text):
        owner = port_owner(port) if port_owner is not None else ""
        by = f" by {owner}" if owner else " by another process"
        return Failure(
            where,
            title,
            f"Port {port} on 127.0.0.1 is taken{by}.",
            "Start again: another port is chosen. If it happens again, end that process.",
            shown,
        )
    for rule in _RULES:
        found = None
        for found in rule.pattern.finditer(text):  # noqa: B007 - the last one is the one that ended it
            pass
        if found is not None:
            words = [(group or "").strip().rstrip(".") for group in found.groups()]
            cause = re.sub(r" ?: ?\.|\s+\.", ".", rule.cause.format(*words))
            return Failure(where, title, cause, rule.remedy.format(*words), shown)
    return Failure(where, title, *_by_outcome(outcome, seconds), shown)


def _by_outcome(outcome: Outcome | None, seconds: float | None) -> tuple[str, str]:
    if outcome is None:
        waited = "" if seconds is None else f" within {seconds:.0f} s"
        return f"It runs, but did not become ready{waited}.", "The machine may be busy. Try again."
    if outcome.error:
        missing = "No such file" in outcome.error
        remedy = "Install the console again." if missing else "Check the rights of the file."
        return f"It {outcome.words}.", remedy
    if outcome.signal == 9:
        return (
            "It was killed by SIGKILL: by a person, or by the system because memory ran out.",
            "Start it again. If it happens again, look at the system's log for an out-of-memory kill.",
        )
    if outcome.unwatched:
        return "Its watcher was killed, so it ended too.", "Start it again."
    return f"It {outcome.words}.", "The last lines of its log say more."
