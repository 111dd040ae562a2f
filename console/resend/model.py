"""Recipes: what may be resent by filling in a form, the form when it is filled in, and how it ended.

A recipe is data: nothing in it is run or evaluated here. No outside, only rules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import assert_never

from console.core.connection import ConnectionInfo
from console.core.notices import Level
from console.history.model import TaskDetail, TaskState

MOST_DIGITS = 18
EXCEPTION_SHOWN = 200
_QUOTED = re.compile(r"""(?P<quote>['"])(?P<text>[^'"\\]*)(?P=quote)""")


class NotValidError(ValueError):
    """What a person typed is not what a field takes; the text says why, in words for them."""


@dataclass(frozen=True, slots=True)
class NumberField:
    """A whole number that a person types; `key` is the task's argument, the limits are inclusive."""

    key: str
    label: str
    help: str
    minimum: int
    maximum: int
    example: str

    def read(self, text: str) -> int:
        """The number in `text`. Raises `NotValidError`."""
        typed = text.strip()
        if not typed:
            raise NotValidError(f"{self.label} is missing")
        digits = typed.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal()):
            raise NotValidError(f"{self.label} has digits only, for example {self.example}")
        limits = f"{self.label} must be {self.minimum:,} to {self.maximum:,}"
        if len(digits) > MOST_DIGITS:
            raise NotValidError(limits)
        number = int(typed)
        if not self.minimum <= number <= self.maximum:
            raise NotValidError(limits)
        return number


@dataclass(frozen=True, slots=True)
class FixedArgument:
    """An argument that is the same at every resend."""

    key: str
    value: str | int | bool


class Source(Enum):
    """Where an argument comes from that nobody types."""

    RESEND_KEY = "resend key"


@dataclass(frozen=True, slots=True)
class DerivedArgument:
    """An argument that the console fills in."""

    key: str
    source: Source


@dataclass(frozen=True, slots=True)
class Answer:
    """What the task may return, and what that means; `words` may name the fields as `{user_id}`."""

    returned: str
    level: Level
    words: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """One thing that may be resent.

    `summary` is for the list, `explanation` one sentence for the head of the form; `effect` begins the
    sentence that says what will happen. `effect` and the answers' words may name the fields as `{user_id}`.
    """

    id: str
    title: str
    summary: str
    explanation: str
    effect: str
    task: str
    queue: str
    fields: tuple[NumberField, ...]
    fixed: tuple[FixedArgument, ...] = ()
    derived: tuple[DerivedArgument, ...] = ()
    answers: tuple[Answer, ...] = ()


@dataclass(frozen=True, slots=True)
class FilledForm:
    """A recipe with valid values.

    `resend_key` was made when the form was filled in: however often it is pressed, the task sees one key.
    """

    recipe: Recipe
    values: Mapping[str, int]
    resend_key: str

    @property
    def target(self) -> str:
        """What the activity log names: the recipe and the numbers."""
        typed = (f"{field.label.lower()} {self.values[field.key]}" for field in self.recipe.fields)
        return ", ".join((self.recipe.title, *typed))

    @property
    def arguments(self) -> dict[str, str | int | bool]:
        """The keyword arguments of the task: exact, nothing of them comes from a display text."""
        return {
            **self.values,
            **{one.key: one.value for one in self.recipe.fixed},
            **{one.key: self._derived(one.source) for one in self.recipe.derived},
        }

    def _derived(self, source: Source) -> str:
        match source:
            case Source.RESEND_KEY:
                return self.resend_key
        assert_never(source)

    def sentence(self, connection: str) -> tuple[tuple[str, bool], ...]:
        """What will happen, in one sentence: pieces of text, with True for those that stand out."""
        typed = ", ".join(f"{key} = {value}" for key, value in self.values.items())
        return (
            (self.recipe.effect.format_map(self.values), False),
            (": ", False),
            (self.recipe.task.rpartition(".")[2], True),
            (f" runs once with {typed} in the queue ", False),
            (self.recipe.queue, True),
            (" on ", False),
            (connection, True),
            (".", False),
        )


@dataclass(frozen=True, slots=True)
class Run:
    """A resend that left, or was to leave, and what is known of it now.

    `state` is None when the message was not taken by the broker. `words` say where it stands, `ended`
    that nothing more is looked for. `took_s` is from the press to the last look that changed something.
    """

    form: FilledForm
    task_id: str
    state: TaskState | None
    level: Level
    words: str
    ended: bool = False
    took_s: float | None = None


def progress_words(form: FilledForm, detail: TaskDetail | None) -> tuple[Level, str]:
    """Where a task stands that `detail` tells of (None: nothing was heard of it yet), in words."""
    queue = form.recipe.queue
    if detail is None:
        return Level.INFO, f"Waiting for a worker of the queue {queue}"
    match detail.row.state:
        case TaskState.SENT:
            return Level.INFO, f"Waiting for a worker of the queue {queue}"
        case TaskState.RECEIVED:
            return Level.INFO, f"Taken by {detail.row.worker or 'a worker'}"
        case TaskState.STARTED:
            return Level.INFO, f"Running on {detail.row.worker or 'a worker'}"
        case TaskState.RETRYING:
            return Level.WARNING, f"It failed and is tried again by itself{_because(detail)}"
        case TaskState.SUCCEEDED:
            return _returned(form, detail.result)
        case TaskState.FAILED:
            return Level.ERROR, f"It failed{_because(detail)}"
        case TaskState.REVOKED:
            return Level.WARNING, "It was revoked before it ended"
        case TaskState.REJECTED:
            return Level.ERROR, "The worker rejected it"
        case TaskState.LOST:
            return Level.ERROR, "No worker has it and no queue holds it"
    assert_never(detail.row.state)


def _because(detail: TaskDetail) -> str:
    return f": {detail.exception[:EXCEPTION_SHOWN]}" if detail.exception else ""


def _returned(form: FilledForm, result: str | None) -> tuple[Level, str]:
    if result is None:
        return Level.OK, "It succeeded; what it returned is not known"
    text = result.strip()
    if quoted := _QUOTED.fullmatch(text):
        text = quoted["text"]
    for answer in form.recipe.answers:
        if answer.returned == text:
            return answer.level, answer.words.format_map(form.values)
    return Level.OK, f"It succeeded and returned {text[:EXCEPTION_SHOWN]}"


def recipes_for(connection: ConnectionInfo) -> tuple[Recipe, ...]:
    """What may be resent on `connection`: the bundled project's recipes on the local stack, else none."""
    return BUNDLED if connection.is_local_stack else ()


_ALREADY = Answer("already sent", Level.INFO, "Already sent: nothing went out a second time")
_LARGEST = 999_999_999
BUNDLED = (
    Recipe(
        id="resend-welcome-email",
        title="Resend welcome e-mail",
        summary="Sends the first e-mail",
        explanation="Sends a user's welcome e-mail once more.",
        effect="User {user_id} gets the welcome e-mail once more",
        task="bundled_project.shop.tasks.resend_welcome_email",
        queue="mail",
        fields=(
            NumberField("user_id", "User number", "As it stands in the shop's user list", 1, _LARGEST, "1"),
        ),
        derived=(DerivedArgument("resend_key", Source.RESEND_KEY),),
        answers=(
            Answer("sent", Level.OK, "Sent to user {user_id}"),
            _ALREADY,
            Answer("no such user", Level.WARNING, "Nothing sent: there is no user {user_id}"),
        ),
    ),
    Recipe(
        id="resend-invoice",
        title="Resend invoice",
        summary="Sends an order's invoice",
        explanation="Sends an order's invoice to the customer once more.",
        effect="The customer of order {order_id} gets its invoice once more",
        task="bundled_project.shop.tasks.resend_invoice",
        queue="mail",
        fields=(
            NumberField("order_id", "Order number", "As it stands on the customer's order", 1, _LARGEST, "1"),
        ),
        derived=(DerivedArgument("resend_key", Source.RESEND_KEY),),
        answers=(
            Answer("sent", Level.OK, "Sent: the invoice of order {order_id}"),
            _ALREADY,
            Answer("no such order", Level.WARNING, "Nothing sent: there is no order {order_id}"),
        ),
    ),
)
