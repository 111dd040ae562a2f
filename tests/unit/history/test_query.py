"""The query language: what it reads, and that an error names the place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.history.model import TaskState
from console.history.query import Field, QueryError, Term, parse_query, quoted, text_with_states
from console.history.statements import matches


def test_words_fields_quotes_and_negation() -> None:
    query = parse_query('state:failed,retry -name:*mail* worker:"web 1" since:15m "connection reset" -boom -')
    assert query.states == {TaskState.FAILED, TaskState.RETRYING}
    assert query.since_s == 900
    assert query.terms == (
        Term(Field.NAME, "*mail*", negated=True),
        Term(Field.WORKER, "web 1"),
        Term(None, "connection reset"),
        Term(None, "boom", negated=True),
        Term(None, "-"),
    )
    assert query.searches_text


def test_celerys_words_for_states_and_negated_states() -> None:
    assert parse_query("state:FAILURE").states == {TaskState.FAILED}
    assert parse_query("-state:success").not_states == {TaskState.SUCCEEDED}
    assert not parse_query("  ").filters


@pytest.mark.parametrize(
    ("text", "position", "word"),
    [
        ("state:broken", 6, "broken"),
        ("a state:failed,x", 15, "x"),
        ("since:soon", 6, "soon"),
        ("-since:1h", 7, "1h"),
        ("abc colour:red", 4, "colour"),
        ("name:", 0, "name:"),
        ('abc "open', 4, '"open'),
        ('name:"open', 0, "name:"),
    ],
)
def test_an_error_names_position_and_word(text: str, position: int, word: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_query(text)
    assert (caught.value.position, caught.value.word) == (position, word)
    assert caught.value.remedy


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    position = 0
    try:
        parse_query(text)
    except QueryError as error:
        position = error.position
    assert 0 <= position <= len(text)


@given(st.text(min_size=1, max_size=30))
def test_a_quoted_text_means_itself(text: str) -> None:
    assert parse_query(quoted(text)).terms == (Term(None, text),)


def test_names_match_whole_by_their_end_or_with_stars() -> None:
    assert matches("shop.tasks.send_invoice", "send_invoice")
    assert matches("shop.tasks.send_invoice", "*INVOICE*")
    assert matches("celery@web-2", "web-2")
    assert not matches("shop.tasks.resend_invoice", "send_invoice")
    assert not matches("ab", "a[*")
    assert matches("a[b]", "a[*")


def test_chips_rewrite_the_states_of_a_text_and_nothing_else() -> None:
    text = 'name:"a b" state:failed -state:sent since:1h state:retry'
    both = frozenset({TaskState.STARTED, TaskState.FAILED})
    assert text_with_states(text, both) == 'state:started,failed name:"a b" -state:sent since:1h'
    assert text_with_states(text, frozenset()) == 'name:"a b" -state:sent since:1h'
    assert text_with_states("", both) == "state:started,failed"
