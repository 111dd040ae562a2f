"""The query language: what it reads, and that an error marks the place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.history.model import TaskState
from console.history.query import QueryError, parse_query, quoted, text_with_states
from console.history.query_parser import MAX_NESTING, MAX_QUERY
from console.history.query_terms import (
    And,
    ArgumentTerm,
    Field,
    FingerprintTerm,
    IdTerm,
    NameTerm,
    Node,
    Not,
    Or,
    RangeTerm,
    StateTerm,
    TextTerm,
    TimeTerm,
    all_of,
    any_of,
    text_of,
)

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
BERLIN = timezone(timedelta(hours=1))


def tree(text: str) -> Node | None:
    return parse_query(text, zone=BERLIN, now=NOW).expr


def test_every_kind_of_term() -> None:
    query = parse_query('state:failed,retry -name:*mail*,x worker:"web 1" queue:hi id:1CE9*,ab since:15m')
    assert query.states == {TaskState.FAILED, TaskState.RETRYING}
    assert query.since_s == 900
    assert query.expr == And(
        (
            Not(NameTerm(Field.NAME, ("*mail*", "x"))),
            NameTerm(Field.WORKER, ("web 1",)),
            NameTerm(Field.QUEUE, ("hi",)),
            IdTerm(("1CE9", "ab")),
            TimeTerm(Field.SINCE, ago_s=900.0),
        )
    )
    assert tree('args.user.plan:pro args.0:42 args."a b":"x y" args:order,"whole words"') == And(
        (
            ArgumentTerm(("user", "plan"), "pro"),
            ArgumentTerm(("0",), "42"),
            ArgumentTerm(("a b",), "x y"),
            Or((TextTerm("order", Field.ARGS), TextTerm("whole words", Field.ARGS, exact=True))),
        )
    )
    assert tree("result:ok error:timeout fingerprint:12,13") == And(
        (TextTerm("ok", Field.RESULT), TextTerm("timeout", Field.ERROR), FingerprintTerm((12, 13)))
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("runtime:>2s", RangeTerm(Field.RUNTIME, low=2.0, low_open=True)),
        ("runtime:<=250ms", RangeTerm(Field.RUNTIME, high=0.25)),
        ("waited:1s..1m30s", RangeTerm(Field.WAITED, low=1.0, high=90.0)),
        ("waited:>=1.5", RangeTerm(Field.WAITED, low=1.5)),
        ("retries:>0", RangeTerm(Field.RETRIES, low=0.0, low_open=True)),
        ("retries:3", RangeTerm(Field.RETRIES, low=3.0, high=3.0)),
        ("since:2026-11-20", TimeTerm(Field.SINCE, at=datetime(2026, 11, 20, tzinfo=BERLIN).astimezone(UTC))),
        ('since:"2026-11-20 14:00"', TimeTerm(Field.SINCE, at=datetime(2026, 11, 20, 13, tzinfo=UTC))),
        ("before:2026-11-20T14:00Z", TimeTerm(Field.BEFORE, at=datetime(2026, 11, 20, 14, tzinfo=UTC))),
        ("since:10:15", TimeTerm(Field.SINCE, at=datetime(2026, 11, 22, 9, 15, tzinfo=UTC))),
        ("since:14:00", TimeTerm(Field.SINCE, at=datetime(2026, 11, 21, 13, 0, tzinfo=UTC))),
        ("before:1h", TimeTerm(Field.BEFORE, ago_s=3600.0)),
    ],
)
def test_measures_and_instants(text: str, expected: Node) -> None:
    assert tree(text) == expected


def test_or_not_and_parentheses() -> None:
    a, b, c = TextTerm("a"), TextTerm("b"), TextTerm("c")
    assert tree("a b or c") == Or((And((a, b)), c))
    assert tree("a (b OR c)") == And((a, Or((b, c))))
    assert tree("-(a or b) AND c") == And((Not(Or((a, b))), c))
    assert tree("(a) or ((b) or c)") == Or((a, b, c))
    assert tree("state:failed or a") == Or((StateTerm(frozenset({TaskState.FAILED})), a))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("http://x.org/a?b=c", "http://x.org/a?b=c"),
        ("12:30", "12:30"),
        ("10.0.0.1:6379", "10.0.0.1:6379"),
        ("localhost:6379", "localhost:6379"),
        ("KeyError:", "KeyError:"),
        ("TimeoutError('a,b')", "TimeoutError('a,b')"),
        ("--force", "--force"),
        ("re-send", "re-send"),
        ("android", "android"),
        ("a,b", "a,b"),
        ("django.db:x", "django.db:x"),
        ("{'order':5}", "{'order':5}"),
    ],
)
def test_text_that_looks_like_something_else(text: str, words: str) -> None:
    assert tree(text) == TextTerm(words)


def test_celerys_words_for_states() -> None:
    assert parse_query("state:FAILURE").states == {TaskState.FAILED}
    assert tree("-state:success") == Not(StateTerm(frozenset({TaskState.SUCCEEDED})))
    assert parse_query("state:sent,failed state:failed").states == {TaskState.FAILED}
    assert not parse_query("  ").filters
    assert not parse_query("state:lost").filters


@pytest.mark.parametrize(
    ("text", "position", "word"),
    [
        ("state:broken", 6, "broken"),
        ("a state:failed,x", 15, "x"),
        ("state:failed state:sent", 13, "state:sent"),
        ("since:soon", 6, "soon"),
        ("since:14:61", 6, "14:61"),
        ("since:2026-13-01", 6, "2026-13-01"),
        ("since:1h,2h", 9, "2h"),
        ("abc colour:red", 4, "colour"),
        ("stat:3", 0, "stat"),
        ("name.x:y", 0, "name.x"),
        ("name:", 0, "name:"),
        ("name:a,", 6, ","),
        ('abc "open', 4, '"open'),
        ('name:"open', 5, '"open'),
        ("runtime:2s", 8, "2s"),
        ("runtime:>soon", 8, ">soon"),
        ("retries:>1s", 8, ">1s"),
        ("waited:5s..1s", 7, "5s..1s"),
        ("fingerprint:x", 12, "x"),
        ("a or", 2, "or"),
        ("or a", 0, "or"),
        ("a or or b", 5, "or"),
        ("a (b", 2, "("),
        ("a b)", 3, ")"),
        ("a ()", 2, "()"),
        ("a -", 2, "-"),
        ("a ... b", 2, "..."),
        ("id:*", 3, "*"),
    ],
)
def test_an_error_marks_the_wrong_word(text: str, position: int, word: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_query(text)
    assert (caught.value.position, caught.value.word) == (position, word)
    assert caught.value.length == len(word)
    assert caught.value.remedy


def test_an_error_says_what_was_meant() -> None:
    with pytest.raises(QueryError, match="Did you mean state"):
        parse_query("stat:failed")
    with pytest.raises(QueryError, match="Did you mean succeeded"):
        parse_query("state:suceeded")


def test_what_has_no_bound_is_refused_in_words() -> None:
    with pytest.raises(QueryError, match="longer than 2,000") as caught:
        parse_query("a" * (MAX_QUERY + 7))
    assert (caught.value.position, caught.value.length) == (MAX_QUERY, 7)
    deep = "(" * MAX_NESTING + "a" + ")" * MAX_NESTING
    assert tree(deep) == TextTerm("a")
    with pytest.raises(QueryError, match="more than 64 parentheses"):
        parse_query(f"({deep})")
    parse_query("-(" * MAX_NESTING + "a" + ")" * MAX_NESTING)


@given(st.one_of(st.text(max_size=60), st.text('ab :-(),".*or1state', max_size=40)))
def test_any_text_is_read_or_refused(text: str) -> None:
    error: QueryError | None = None
    try:
        parse_query(text)
    except QueryError as raised:
        error = raised
    if error is not None:
        assert 0 <= error.position < len(text)
        assert error.length > 0
        assert error.remedy


@given(st.text(min_size=1, max_size=30).filter(lambda text: any(one.isalnum() for one in text)))
def test_a_quoted_text_means_itself(text: str) -> None:
    found = parse_query(quoted(text)).expr
    assert isinstance(found, TextTerm)
    assert found.words == text


WORDS = st.text(min_size=1, max_size=8).filter(lambda text: any(one.isalnum() for one in text))
RAW = st.from_regex(r"[a-z0-9_./@'=*-]{0,6}[a-z0-9]", fullmatch=True).filter(
    lambda word: not word.startswith("-") and word not in ("and", "or")
)
STATES = st.frozensets(st.sampled_from(list(TaskState)), min_size=1)
SECONDS = st.one_of(
    st.integers(0, 10**7).map(float), st.floats(0, 1e6, allow_subnormal=False).map(lambda one: round(one, 9))
)
FIELDS = st.sampled_from([None, Field.ARGS, Field.RESULT, Field.ERROR])


TIMES = st.sampled_from([Field.SINCE, Field.BEFORE])
T = TypeVar("T")


def several(values: st.SearchStrategy[T]) -> st.SearchStrategy[tuple[T, ...]]:
    return st.lists(values, min_size=1, max_size=3).map(tuple)


def ranges(field: Field, numbers: st.SearchStrategy[float]) -> st.SearchStrategy[RangeTerm]:
    return st.one_of(
        st.builds(lambda low, is_open: RangeTerm(field, low=low, low_open=is_open), numbers, st.booleans()),
        st.builds(
            lambda high, is_open: RangeTerm(field, high=high, high_open=is_open), numbers, st.booleans()
        ),
        st.builds(lambda one, two: RangeTerm(field, min(one, two), max(one, two)), numbers, numbers),
    )


TERMS: st.SearchStrategy[Node] = st.one_of(
    st.builds(StateTerm, STATES),
    st.builds(
        NameTerm,
        st.sampled_from([Field.NAME, Field.WORKER, Field.QUEUE]),
        several(st.text(min_size=1, max_size=6)),
    ),
    st.builds(IdTerm, several(st.from_regex(r"[a-f0-9-]{0,5}[a-f0-9]", fullmatch=True))),
    st.builds(FingerprintTerm, several(st.integers(0, 10**9))),
    st.builds(TextTerm, WORDS, FIELDS, st.just(True)),
    st.builds(TextTerm, RAW, FIELDS, st.just(False)),
    st.builds(ArgumentTerm, several(st.text(min_size=1, max_size=4)), st.text(min_size=1, max_size=6)),
    ranges(Field.RUNTIME, SECONDS),
    ranges(Field.WAITED, SECONDS),
    ranges(Field.RETRIES, st.integers(0, 1000).map(float)),
    st.builds(lambda field, ago: TimeTerm(field, ago_s=ago), TIMES, SECONDS),
    st.builds(
        lambda field, at: TimeTerm(field, at=at),
        TIMES,
        st.integers(-(10**9), 10**10).map(lambda second: datetime.fromtimestamp(second, UTC)),
    ),
)  # fmt: skip


def joined(children: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    parts = st.lists(children, min_size=2, max_size=4)
    return st.one_of(children.map(Not), parts.map(all_of), parts.map(any_of))


@given(st.recursive(TERMS, joined, max_leaves=8))
def test_a_tree_that_is_written_is_read_again(node: Node) -> None:
    # In brackets of its own, so that a state: term is a part of the tree and no chip.
    both = parse_query(f"anchor or ({text_of(node)})").expr
    assert both == Or((TextTerm("anchor"), *(node.parts if isinstance(node, Or) else (node,))))


def test_chips_rewrite_the_states_of_a_text_and_nothing_else() -> None:
    text = 'name:"a b" state:failed -state:sent since:1h state:retry'
    both = frozenset({TaskState.STARTED, TaskState.FAILED})
    assert text_with_states(text, both) == 'state:started,failed name:"a b" -state:sent since:1h'
    assert text_with_states(text, frozenset()) == 'name:"a b" -state:sent since:1h'
    assert text_with_states("", both) == "state:started,failed"
    assert text_with_states("state:lost and a", both) == "state:started,failed a"
    assert text_with_states("state:lost or a", both) == "state:started,failed (state:lost or a)"
    assert text_with_states("state:lost (a or b)", frozenset()) == "(a or b)"
    assert text_with_states('state:lost "open', both) == 'state:started,failed "open'
