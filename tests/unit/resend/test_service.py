"""One press is one message on record, followed to its end; what cannot be sent says so."""

from __future__ import annotations

import pytest

from console.core.activity import Outcome
from console.core.connection import LinkState, Mode
from console.core.errors import Cause, ConsoleError
from console.core.notices import Level
from console.history.model import TaskState
from console.resend.model import BUNDLED, FilledForm
from tests.unit.resend.world import SHOP, World, detail

WELCOME = "resend-welcome-email"


async def test_a_press_sends_records_and_follows_to_the_end() -> None:
    async with World() as world:
        world.fill_in(WELCOME, "7")
        world.view_model.resend()
        await world.until(lambda: len(world.sent) == 1)
        (message,) = world.sent
        assert (message.task, message.queue) == ("bundled_project.shop.tasks.resend_welcome_email", "mail")
        assert message.arguments["user_id"] == 7
        assert len(message.arguments["resend_key"]) == 36
        assert message.arguments["resend_key"] != message.id
        await world.until(lambda: world.words == "Waiting for a worker of the queue mail")
        world.told = detail(TaskState.STARTED)
        await world.until(lambda: world.words == "Running on celery@w")
        world.told = detail(TaskState.SUCCEEDED, result="'sent'")
        await world.until(lambda: world.words == "Sent to user 7")
        run = world.view_model.run
        assert run is not None
        assert (run.state, run.ended, run.task_id) == (TaskState.SUCCEEDED, True, message.id)
        assert run.took_s is not None
        await world.until(lambda: bool(world.notices.notices))
        (notice,) = world.notices.notices
        assert (notice.level, notice.text) == (Level.OK, "Sent to user 7")
        (entry,) = world.log.entries
        assert (entry.operation, entry.target) == ("Resend", "Resend welcome e-mail, user number 7")
        assert world.log.endings == [(Outcome.DONE, f"Sent to the queue mail as task {message.id}")]


async def test_a_double_click_sends_once_and_a_later_press_has_the_same_key() -> None:
    async with World() as world:
        world.fill_in(WELCOME, "7")
        world.view_model.resend()
        world.view_model.resend()
        await world.until(lambda: world.words == "Waiting for a worker of the queue mail")
        world.view_model.resend()
        assert world.view_model.refusal() == "Sent: its outcome is awaited"
        world.told = detail(TaskState.SUCCEEDED, result="'sent'")
        await world.until(lambda: world.view_model.refusal() is None)
        assert len(world.sent) == 1
        world.view_model.resend()
        await world.until(lambda: len(world.sent) == 2)
        first, second = world.sent
        assert first.id != second.id
        assert first.arguments == second.arguments


async def test_a_form_that_is_filled_in_anew_is_another_resend() -> None:
    async with World() as world:
        keys = set()
        for text in ("7", "8", "7"):
            world.fill_in(WELCOME, text)
            form = world.view_model.form
            assert form is not None
            keys.add(form.resend_key)
        assert len(keys) == 3


async def test_another_number_need_not_wait_for_the_first_and_both_are_told() -> None:
    async with World() as world:
        for count, text in enumerate(("7", "8"), 1):
            world.fill_in(WELCOME, text)
            await world.until(lambda: world.view_model.refusal() is None)
            world.view_model.resend()
            await world.until(lambda count=count: len(world.sent) == count)  # type: ignore[misc]
        world.told = detail(TaskState.SUCCEEDED, result="'sent'")
        await world.until(lambda: len(world.notices.notices) == 2)
        assert {notice.text for notice in world.notices.notices} == {"Sent to user 7", "Sent to user 8"}
        assert world.words == "Sent to user 8"


@pytest.mark.parametrize(
    ("text", "missing"),
    [("", "Order number is missing"), ("x", "Order number has digits only, for example 1")],
)
async def test_an_unfinished_form_sends_nothing_and_says_what_is_wrong(text: str, missing: str) -> None:
    async with World() as world:
        world.fill_in("resend-invoice", text)
        view_model = world.view_model
        assert view_model.recipe is not None
        assert view_model.refusal() == "Fill in the form first"
        view_model.resend()
        assert view_model.problem(view_model.recipe.fields[0]) == missing
        assert world.sent == []


async def test_an_empty_field_is_no_error_before_it_was_asked_for() -> None:
    async with World() as world:
        world.view_model.select(WELCOME)
        assert world.view_model.recipe is not None
        assert world.view_model.problem(world.view_model.recipe.fields[0]) == ""


async def test_a_broker_that_does_not_take_it_is_told_and_pressing_again_keeps_the_key() -> None:
    async with World() as world:
        world.failing = ConsoleError("Broker cannot be reached", cause=Cause.UNREACHABLE)
        world.fill_in(WELCOME, "7")
        before = world.view_model.form
        world.view_model.resend()
        await world.until(lambda: world.view_model.run is not None and world.view_model.run.ended)
        assert world.words == "Broker cannot be reached. Press Resend again: it cannot send twice"
        assert world.log.endings == [(Outcome.FAILED, "Broker cannot be reached")]
        assert [notice.level for notice in world.notices.notices] == [Level.ERROR]
        world.failing = None
        await world.until(lambda: world.view_model.refusal() is None)
        world.view_model.resend()
        await world.until(lambda: len(world.sent) == 1)
        assert before is not None
        assert world.sent[0].arguments["resend_key"] == before.resend_key


async def test_a_task_that_fails_is_told_in_words() -> None:
    async with World() as world:
        world.told = detail(TaskState.FAILED, exception="SMTPDataError(554, 'no')")
        world.fill_in(WELCOME, "7")
        world.view_model.resend()
        await world.until(lambda: world.words == "It failed: SMTPDataError(554, 'no')")
        await world.until(lambda: [notice.level for notice in world.notices.notices] == [Level.ERROR])


async def test_following_ends_with_what_is_known_then() -> None:
    async with World(follow_s=0.05) as world:
        world.fill_in(WELCOME, "7")
        world.view_model.resend()
        await world.until(lambda: world.view_model.run is not None and world.view_model.run.ended)
        assert world.words.startswith("Waiting for a worker of the queue mail. Not ended after")
        run = world.view_model.run
        assert run is not None
        assert run.state is TaskState.SENT
        assert run.took_s is None


async def test_a_history_that_cannot_be_read_for_a_while_is_waited_for() -> None:
    async with World() as world:
        world.history_failing = ConsoleError("The history cannot be read")
        world.fill_in(WELCOME, "7")
        world.view_model.resend()
        await world.until(lambda: world.words == "Waiting for a worker of the queue mail")
        world.history_failing = None
        world.told = detail(TaskState.SUCCEEDED, result="'already sent'")
        await world.until(lambda: world.words == "Already sent: nothing went out a second time")


async def test_other_connections_have_no_recipes_and_take_none() -> None:
    async with World(SHOP) as world:
        assert world.service.snapshot.recipes == ()
        assert world.view_model.recipe is None
        operation = world.service.resend(FilledForm(BUNDLED[0], {"user_id": 7}, "key"))
        assert not await world.runner.run(operation)
        assert world.sent == []
        assert world.notices.notices[-1].text == "This recipe is not of the open connection"


async def test_why_nothing_can_be_sent() -> None:
    async with World(None) as world:
        assert world.view_model.refusal() == "No connection is open"
    async with World(mode=Mode.READ_ONLY) as world:
        world.fill_in(WELCOME, "7")
        assert world.view_model.refusal() == "Local stack is read only"
    async with World() as world:
        assert world.view_model.refusal() == "Select a recipe first"
        world.fill_in(WELCOME, "7")
        assert world.view_model.refusal() is None
        assert world.session is not None
        world.session.set_status(LinkState.RECONNECTING)
        assert world.view_model.refusal() == "Local stack is not connected: Reconnecting…"
        world.view_model.resend()
        assert world.sent == []
        world.session.set_status(LinkState.CONNECTED)
        assert world.view_model.refusal() is None


async def test_closing_the_connection_forgets_the_form_and_stops_following() -> None:
    async with World() as world:
        world.fill_in(WELCOME, "7")
        world.view_model.resend()
        await world.until(lambda: world.words == "Waiting for a worker of the queue mail")
        await world.service.detach()
        assert world.view_model.recipe is None
        assert world.view_model.run is None
        assert world.notices.notices == []
