"""What the Tasks page knows: the rows it shows, what can be done to one, and how its life is told."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from console.core.errors import ConsoleError
from console.history.model import (
    Counts,
    ErrorGroup,
    Gap,
    Relative,
    TaskDetail,
    TaskRow,
    TaskState,
)
from console.history.query import QueryError, TaskQuery

MAX_JSON = 1_000_000
_CLIENT = re.compile(r"gen(?P<pid>\d+)@(?P<host>.+)")


@dataclass(frozen=True, slots=True)
class TasksSnapshot:
    """What the page shows.

    `rows` None: not read yet; they are a stretch of the list, with `more` rows behind it and `more_above`
    before it. `details` is what columns show besides, None when none does. `groups` are the errors of what
    matches, None while nobody looks at them. `counts` are those of the chips, `pending` counts rows above
    that are held back while the person has scrolled down or selected a row. `events_off` are workers whose
    tasks are not seen because they send no events. `stale` says that events are not being read now;
    `as_of` is the last instant at which they were. `attached` says that a connection is open. `unjudged`:
    why nobody can say what became of silent tasks, "" while nobody asks.
    """

    text: str = ""
    query: TaskQuery = field(default_factory=TaskQuery)
    query_error: QueryError | None = None
    rows: tuple[TaskRow, ...] | None = None
    more: bool = False
    more_above: bool = False
    details: Mapping[str, TaskDetail] | None = None
    groups: tuple[ErrorGroup, ...] | None = None
    counts: Counts | None = None
    took_ms: float | None = None
    pending: int = 0
    gaps: tuple[Gap, ...] = ()
    events_off: tuple[str, ...] = ()
    as_of: datetime | None = None
    error: ConsoleError | None = None
    stale: bool = False
    live: bool = False
    attached: bool = False
    reason: str = ""
    unjudged: str = ""

    @property
    def found(self) -> int | None:
        """How many tasks fit, the states included; None while unknown."""
        if self.counts is None:
            return None
        wanted = self.query.states or frozenset(TaskState)
        return sum(self.counts.by_state.get(state, 0) for state in wanted)

    @property
    def narrowed(self) -> bool:
        """Whether a search or a chip hides some tasks."""
        return self.query.filters or bool(self.query.states)


@dataclass(frozen=True, slots=True)
class TaskStory:
    """One task with its relatives and the failures like its own."""

    detail: TaskDetail
    family: tuple[Relative, ...]
    same_error: ErrorGroup | None


def client_words(client: str | None) -> str | None:
    """Celery names a client gen<pid>@<host>; people read host and PID."""
    found = _CLIENT.fullmatch(client or "")
    return client if found is None else f"{found['host']}, PID {found['pid']}"


def error_of(exception: str) -> tuple[str, str]:
    """`ValueError('no')` is the class ValueError with the message no."""
    head, opened, rest = exception.partition("(")
    if not opened or not head.replace(".", "").replace("_", "").isalnum():
        return "", exception
    message = rest.removesuffix(")").rstrip(",")
    if len(message) >= 2 and message[0] == message[-1] and message[0] in "'\"":
        message = message[1:-1]
    return head.rsplit(".", 1)[-1], message


@dataclass(frozen=True, slots=True)
class SendRequest:
    """A task to be sent; `queue` empty is the default queue."""

    name: str
    queue: str
    args: list[Any]
    kwargs: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SendErrors:
    """What is wrong with each field of a task to be sent; empty when it is right."""

    name: str = ""
    queue: str = ""
    args: str = ""
    kwargs: str = ""

    def __bool__(self) -> bool:
        return any((self.name, self.queue, self.args, self.kwargs))


def read_send_form(*, name: str, queue: str, args: str, kwargs: str) -> SendRequest | SendErrors:
    """The task that the fields say, or what is wrong with each of them."""
    name, queue = name.strip(), queue.strip()
    wrong_name = "" if name and not any(letter.isspace() for letter in name) else "A task name without blanks"
    wrong_queue = "A queue name without blanks" if any(letter.isspace() for letter in queue) else ""
    list_value, wrong_args = _json(args.strip() or "[]", list, 'a JSON list, for example [1, "two"]')
    object_value, wrong_kwargs = _json(kwargs.strip() or "{}", dict, 'a JSON object, for example {"a": 1}')
    if wrong_name or wrong_queue or wrong_args or wrong_kwargs:
        return SendErrors(wrong_name, wrong_queue, wrong_args, wrong_kwargs)
    return SendRequest(name, queue, list_value, object_value)


def _json(text: str, kind: type, wanted: str) -> tuple[Any, str]:
    if len(text) > MAX_JSON:
        return None, f"At most {MAX_JSON:,} characters"

    def refused(word: str) -> Any:
        raise ValueError(f"{word} is not JSON")

    def finite(word: str) -> float:
        number = float(word)
        if not math.isfinite(number):
            raise ValueError(f"{word[:20]} is too large")
        return number

    try:
        value = json.loads(text, parse_constant=refused, parse_float=finite)
    except json.JSONDecodeError as error:
        return None, f"Line {error.lineno}, column {error.colno}: {error.msg}"
    except (ValueError, RecursionError) as error:
        return None, str(error) if isinstance(error, ValueError) else "It is nested too deeply"
    if not isinstance(value, kind):
        return None, f"This must be {wanted}"
    return value, ""
