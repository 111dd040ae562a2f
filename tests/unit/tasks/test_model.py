"""The rules of the Tasks page: what a form says, how a life is told, what can be done."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.history.model import Attempt, TaskDetail, TaskRow, TaskState
from console.tasks.model import (
    SendErrors,
    SendRequest,
    client_words,
    error_of,
    moments,
    read_send_form,
    spans,
    whole_s,
)

T0 = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


ROW = TaskRow(
    rowid=1, id="t", name="shop.send", state=TaskState.FAILED, worker="w", queue="mail", sent=at(0),
    received=at(1), started=at(2), ended=at(10), waited_s=2.0, runtime_s=1.0, retries=1, change=1,
)  # fmt: skip
DETAIL = TaskDetail(
    row=ROW, args="()", kwargs="{}", result=None, exception="ValueError('no')", traceback=None, root_id="t",
    parent_id=None, eta=None, expires=None, routing_key="rk", exchange="", pid=1, client="gen7@api",
    attempts=(
        Attempt(1, "w", at(1), at(2), at(4), TaskState.RETRYING, "OSError('gone')", None),
        Attempt(2, "w2", None, at(9), at(10), TaskState.FAILED, "ValueError('no')", None),
    ),
)  # fmt: skip


def test_a_life_is_told_in_its_order() -> None:
    told = [(one.state.value, one.lines, one.lapse_s) for one in moments(DETAIL)]
    assert told == [
        ("Sent", ("api, PID 7", "to mail, routing key rk"), None),
        ("Received", ("w",), 1.0),
        ("Started", ("attempt 1",), None),
        ("Retrying", ("OSError",), 2.0),
        ("Started", ("attempt 2", "w2"), None),
        ("Failed", ("ValueError",), 1.0),
    ]
    assert whole_s(DETAIL) == 10.0
    assert [(one.start, one.end) for one in spans(DETAIL)] == [(0.2, 0.4), (0.9, 1.0)]


def test_a_task_of_which_nothing_is_known_has_no_story() -> None:
    bare = replace(
        DETAIL, attempts=(), client=None, row=replace(ROW, sent=None, received=None, ended=None, queue=None)
    )
    assert moments(bare) == ()
    assert spans(bare) == ()
    assert whole_s(bare) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ValueError('no')", ("ValueError", "no")),
        ("smtplib.SMTPServerDisconnected('a: b')", ("SMTPServerDisconnected", "a: b")),
        ("KeyError('x',)", ("KeyError", "x")),
        ("Boom()", ("Boom", "")),
        ("it went (badly) wrong", ("", "it went (badly) wrong")),
        ("", ("", "")),
    ],
)
def test_an_exception_text_is_class_and_message(text: str, said: tuple[str, str]) -> None:
    assert error_of(text) == said


def test_who_sent_it() -> None:
    assert client_words("gen12@shop-1") == "shop-1, PID 12"
    assert client_words("celery@a") == "celery@a"
    assert client_words(None) is None


def form(**fields: str) -> SendRequest | SendErrors:
    return read_send_form(**{"name": "a.b", "queue": "", "args": "", "kwargs": "", **fields})


def test_a_form_that_is_right() -> None:
    assert form(name=" a.b ", queue="mail", args="[1]", kwargs='{"x": [null]}') == SendRequest(
        "a.b", "mail", [1], {"x": [None]}
    )
    assert form() == SendRequest("a.b", "", [], {})


@pytest.mark.parametrize(
    ("field", "value", "starts"),
    [
        ("name", "", "A task name"),
        ("name", "a b", "A task name"),
        ("queue", "a b", "A queue name"),
        ("args", "{}", "This must be a JSON list"),
        ("args", "[1,", "Line 1, column"),
        ("args", "[NaN]", "NaN is not JSON"),
        ("args", "[1e999]", "1e999 is too large"),
        ("args", "[" * 100_000, "It is nested too deeply"),
        ("args", f'["{"x" * 1_000_001}"]', "At most 1,000,000"),
        ("kwargs", "[]", "This must be a JSON object"),
        ("kwargs", "{'a': 1}", "Line 1, column 2"),
    ],
)
def test_a_form_that_is_wrong_says_where(field: str, value: str, starts: str) -> None:
    errors = form(**{field: value})
    assert isinstance(errors, SendErrors)
    assert getattr(errors, field).startswith(starts)


@given(st.text(max_size=50), st.text(max_size=50))
def test_any_text_is_read_or_refused(args: str, kwargs: str) -> None:
    read = form(args=args, kwargs=kwargs)
    assert bool(read) or isinstance(read, SendRequest)
