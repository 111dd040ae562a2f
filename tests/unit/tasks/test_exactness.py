"""A text of arguments is called exact only when it is: held against Celery's own saferepr."""

from __future__ import annotations

import ast
import datetime as dt
import time
import uuid
from decimal import Decimal
from typing import Any

import pytest
from celery.utils.saferepr import saferepr
from hypothesis import given
from hypothesis import strategies as st

from console.tasks.arguments_exactness import Exactness, judge, plain_repr

PLAIN: Any = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)
ODD: Any = (
    st.binary(max_size=8)
    | st.decimals()
    | st.datetimes()
    | st.uuids()
    | st.sets(st.integers(), max_size=3)
    | st.complex_numbers()
)


@given(VALUES)
def test_what_is_called_exact_is_the_value(value: Any) -> None:
    text = saferepr(value, 1024)

    if judge(text).exactness is Exactness.EXACT:
        read = ast.literal_eval(text)
        assert (repr(read), type(read)) == (repr(value), type(value))
        assert plain_repr(value) == text


@given(st.lists(ODD | VALUES, min_size=1, max_size=4))
def test_nothing_that_is_not_plain_is_called_exact(values: list[Any]) -> None:
    text = saferepr(values, 1024)

    if judge(text).exactness is Exactness.EXACT:
        assert repr(ast.literal_eval(text)) == repr(values)


@given(st.text(max_size=300))
def test_no_text_raises(text: str) -> None:
    judge(text)


@pytest.mark.parametrize(
    "value",
    [(7, "a@example.org"), {"copy": True, "lines": [1, 2.5, None]}, [], (), "text", -3, ("one",), [[[1]]]],
)
def test_plain_values_are_exact(value: Any) -> None:
    assert judge(saferepr(value, 1024)).exactness is Exactness.EXACT


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ([[[[1]]]], "Cut"),
        ("x" * 2000, "Cut"),
        (["a\\b"], "backslash"),
        (["it's"], "backslash"),
        ([b"\xff\xfe"], "bytes"),
        (["two\nlines"], "line break"),
        ([dt.datetime(2026, 1, 2, tzinfo=dt.UTC)], "object"),
        ([Decimal("1.1")], "object"),
        ([uuid.UUID(int=7)], "object"),
        ([float("nan")], "object"),
        ([{1, 2}], "not print"),
        ([1 + 2j], "not print"),
    ],
)
def test_why_a_text_is_for_display_only(value: Any, word: str) -> None:
    said = judge(saferepr(value, 1024))

    assert said.exactness is Exactness.DISPLAY
    assert word in said.reason


def test_spellings_that_celery_does_not_write_are_not_exact() -> None:
    assert all(
        judge(text).exactness is Exactness.DISPLAY
        for text in ("[1,2]", "'a' 'b'", '"a"', "0x10", "1_0", "+1")
    )


def test_a_hostile_text_takes_no_time() -> None:
    began_s = time.perf_counter()
    for text in (
        "[" * 10_000 + "]" * 10_000,
        "(" * 1_000_000,
        "9" * 1_000_000,
        "-" * 19_000 + "1",
        "1+" * 9_000,
    ):
        assert judge(text).exactness is Exactness.DISPLAY
    assert time.perf_counter() - began_s < 1.0
