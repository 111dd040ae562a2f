"""Recipes as data: what a field takes, what is sent, and what an outcome means in words."""

from __future__ import annotations

import ast
from pathlib import Path
from uuid import uuid4

import pytest

from console.core.notices import Level
from console.history.model import TaskState
from console.resend.model import (
    BUNDLED,
    FilledForm,
    FixedArgument,
    NotValidError,
    NumberField,
    Recipe,
    progress_words,
    recipes_for,
)
from tests.unit.resend.world import LOCAL, SHOP, detail

SHOP_SOURCE = Path(__file__).parents[3] / "bundled_project" / "shop"
NUMBER = NumberField("user_id", "User number", "The number of the user.", 1, 5000, "7")
WELCOME, INVOICE = BUNDLED


def form(recipe: Recipe = WELCOME, number: int = 7) -> FilledForm:
    return FilledForm(recipe, {recipe.fields[0].key: number}, "key-1")


@pytest.mark.parametrize(("text", "number"), [("7", 7), (" 5000 ", 5000), ("007", 7), ("1", 1)])
def test_a_number_is_read(text: str, number: int) -> None:
    assert NUMBER.read(text) == number


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "User number is missing"),
        ("   ", "User number is missing"),
        ("seven", "User number has digits only, for example 7"),
        ("7.0", "User number has digits only, for example 7"),
        ("1e3", "User number has digits only, for example 7"),
        ("1_000", "User number has digits only, for example 7"),
        ("--7", "User number has digits only, for example 7"),
        ("-", "User number has digits only, for example 7"),
        ("٧", "User number has digits only, for example 7"),
        ("0", "User number must be 1 to 5,000"),
        ("-7", "User number must be 1 to 5,000"),
        ("5001", "User number must be 1 to 5,000"),
        ("9" * 10_000_000, "User number must be 1 to 5,000"),
    ],
    ids=lambda value: value[:12],
)
def test_what_is_no_number_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(NotValidError) as caught:
        NUMBER.read(text)
    assert str(caught.value) == words


def test_recipes_are_offered_on_the_local_stack_only() -> None:
    assert [recipe.title for recipe in recipes_for(LOCAL)] == ["Resend welcome e-mail", "Resend invoice"]
    assert recipes_for(SHOP) == ()


@pytest.mark.parametrize("recipe", BUNDLED, ids=lambda recipe: recipe.id)
def test_a_bundled_recipe_fits_the_task_that_it_names(recipe: Recipe) -> None:
    # The project's source is read and not imported: its package names itself in DJANGO_SETTINGS_MODULE,
    # and every worker that a later test starts would load it.
    source = (SHOP_SOURCE / "tasks.py").read_text()
    function = next(
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name == recipe.task.rpartition(".")[2]
    )
    assert recipe.task.startswith("bundled_project.shop.tasks.")
    assert {argument.arg for argument in function.args.args} - {"self"} == set(form(recipe).arguments)
    for answer in recipe.answers:
        assert answer.words.format_map(form(recipe).values)
        assert f'"{answer.returned}"' in source + (SHOP_SOURCE / "delivery.py").read_text()


def test_the_arguments_are_what_was_typed_what_is_fixed_and_the_key() -> None:
    key = str(uuid4())
    fixed = Recipe(
        id="r",
        title="R",
        summary="",
        explanation="",
        effect="",
        task="t",
        queue="q",
        fields=(NUMBER,),
        fixed=(FixedArgument("urgent", value=True),),
        derived=WELCOME.derived,
    )
    assert FilledForm(fixed, {"user_id": 7}, key).arguments == {
        "user_id": 7,
        "urgent": True,
        "resend_key": key,
    }


def test_the_sentence_says_what_where_and_with_what() -> None:
    sentence = "".join(text for text, _ in form().sentence("Local stack"))
    assert sentence == (
        "User 7 gets the welcome e-mail once more: resend_welcome_email runs once with user_id = 7 "
        "in the queue mail on Local stack."
    )
    assert form().target == "Resend welcome e-mail, user number 7"


@pytest.mark.parametrize(
    ("result", "level", "words"),
    [
        ("'sent'", Level.OK, "Sent to user 7"),
        ('"sent"', Level.OK, "Sent to user 7"),
        ("sent", Level.OK, "Sent to user 7"),
        ("'already sent'", Level.INFO, "Already sent: nothing went out a second time"),
        ("'no such user'", Level.WARNING, "Nothing sent: there is no user 7"),
        ("'queued'", Level.OK, "It succeeded and returned queued"),
        ("{'sent': 1}", Level.OK, "It succeeded and returned {'sent': 1}"),
        (None, Level.OK, "It succeeded; what it returned is not known"),
    ],
)
def test_what_a_task_returned_in_words(result: str | None, level: Level, words: str) -> None:
    assert progress_words(form(), detail(TaskState.SUCCEEDED, result=result)) == (level, words)


def test_every_state_has_words() -> None:
    found = {state: progress_words(form(), detail(state, exception="OSError('no')")) for state in TaskState}
    assert found[TaskState.FAILED] == (Level.ERROR, "It failed: OSError('no')")
    assert found[TaskState.RETRYING][0] is Level.WARNING
    assert found[TaskState.STARTED] == (Level.INFO, "Running on celery@w")
    assert progress_words(form(), None) == (Level.INFO, "Waiting for a worker of the queue mail")
    assert len({words for _, words in found.values()}) == len(TaskState)


def test_a_long_exception_is_cut() -> None:
    _, words = progress_words(form(), detail(TaskState.FAILED, exception="x" * 100_000))
    assert len(words) < 300
