"""Fingerprints: what varies is left out, what an error is stays."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from console.history.errors import LONGEST, fingerprint


@pytest.mark.parametrize(
    ("exception", "expected"),
    [
        ("ValueError('no')", "ValueError: no"),
        ("django.db.utils.OperationalError(2006, 'Gone away')", "OperationalError: Gone away"),
        ("KeyError('user_17')", "KeyError: #"),
        ("ConnectionError('Connection to 10.0.0.7:6379 timed out after 5 s')",
         "ConnectionError: Connection to #:# timed out after # s"),
        ("TimeoutError()", "TimeoutError"),
        ("""NotFound("User 'jo' at a@b.org has no /var/x/y")""", "NotFound: User # at # has no #"),
        ("ConnectionError(MaxRetryError(\"Pool(host='api', port=443): Max retries\"))",
         "ConnectionError: MaxRetryError: Pool(host=#, port=#): Max retries"),
        ("can't open order 5, it's gone", "can't open order #, it's gone"),
        ("ValueError: bad\n   id 0x7f1c", "ValueError: bad id #"),
        ("", ""),
    ],
)  # fmt: skip
def test_what_is_left_of_an_exception(exception: str, expected: str) -> None:
    assert fingerprint(exception) == expected


@given(st.one_of(st.text(max_size=300), st.text("aB1 .:('\"`)\\,n@/#…-", max_size=40)))
@example("A(B('x')")
@example("A('')")
@example("A0(")
@example("0''")
def test_a_fingerprint_is_its_own(text: str) -> None:
    once = fingerprint(text)
    assert fingerprint(once) == once
    assert len(once) <= LONGEST


IDS = st.one_of(
    st.integers(0).map(str),
    st.uuids().map(str),
    st.uuids().map(lambda one: one.hex),
    st.ip_addresses(v=4).map(str),
    st.from_regex(r"[a-z.]{1,9}@[a-z]{1,9}\.org", fullmatch=True),
    st.from_regex(r"'[a-z ]{1,10}'", fullmatch=True),
    st.from_regex(r"/[a-z]{1,5}/[a-z]{1,5}", fullmatch=True),
)


@given(
    st.sampled_from(["Order {} is gone", "{} has no price", "no such thing: {}", "bad value={} (retried)"]),
    IDS,
    IDS,
)
def test_messages_that_differ_in_an_id_have_one_fingerprint(message: str, one: str, other: str) -> None:
    first, second = (fingerprint(f"GoneError({message.format(value)!r})") for value in (one, other))
    assert first == second
    assert first.startswith("GoneError: ")


def test_it_costs_a_few_microseconds() -> None:
    texts = [
        f"ConnectionError('Connection to 10.0.0.{n} timed out after {n} s, order A-{n}')" for n in range(500)
    ]
    best = 1.0
    for _ in range(5):
        began_s = time.perf_counter()
        for text in texts:
            fingerprint(text)
        best = min(best, (time.perf_counter() - began_s) / len(texts))
    assert best < 0.000_05  # 4 us on an idle machine
