"""The rules of the Tasks page: what a form says, how an error and a client are read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.tasks.model import (
    SendErrors,
    SendRequest,
    client_words,
    error_of,
    read_send_form,
)


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
