"""Every query against brute force: random trees, all orders, paged by cursor.

The plans are forced apart by small bounds: a walk that is ended at once, sets that are too large, and
the bounds the program has. Whatever the plan, the same tasks come in the same order, each once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.history import plan, plan_counts
from console.history.model import TaskState
from console.history.query import Sort, TaskQuery, parse_query, sort_value
from console.history.query_terms import (
    ArgumentTerm,
    Field,
    FingerprintTerm,
    IdTerm,
    NameTerm,
    Node,
    Not,
    RangeTerm,
    StateTerm,
    TextTerm,
    TimeTerm,
    all_of,
    any_of,
)
from console.history.reader import HistoryReader
from console.history.schema import WordKind
from tests.contract.history.query_world import NOW, TASKS, World, fill, fits

PATIENT: dict[str, Any] = {"COUNTING_S": 30.0}
NO_WALK = {**PATIENT, "FIRST_CHECKS": -1, "FIRST_CHECKS_OF_ROWS": -1, "FIRST_CHECKS_OF_IDS": -1, "SAMPLE": 1}
PLANS: dict[str, dict[str, Any]] = {
    "normal": PATIENT,
    "no walk": NO_WALK,
    "no set": {
        **NO_WALK,
        "SET_AT_MOST": 3,
        "SORTED_AT_MOST": 3,
        "SMALL_SET": 0,
        "QUICK_SETS": (0,),
        "LARGE_SET": 3,
    },
    "large set": {
        **NO_WALK,
        "SET_AT_MOST": 3,
        "SORTED_AT_MOST": 3,
        "SMALL_SET": 0,
        "QUICK_SETS": (0,),
        "MEMBERS_WALKED_FROM": 1,
    },
    "members": {
        **PATIENT,
        "SAMPLE": 1,
        "WORTH_CHECKING": 0,
        "FREQUENT": 2.0,
        "MEMBERS_WALKED_FROM": 1,
        "SMALL_SET": 0,
        "QUICK_SETS": (0,),
    },
}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "h.sqlite3"
        fill(path)
        with HistoryReader(path, now=lambda: NOW) as reader:
            everything = [detail for batch in reader.export(parse_query(""), batch=50) for detail in batch]
            assert len({detail.row.id for detail in everything}) == len(everything) == TASKS
            yield World(reader, everything, {word: number for number, word in reader._words(WordKind.ERROR)})


TEXTS = ["order", "ord", "o", "mail", "example.org", "jo@example", "ok", "timed out", "10.0.0.5", "17"]
TEXTS += ["custom-1", "0", "send", "nothing", "pro", "lang", "la", "lang en"]
WHERE = [None, Field.ARGS, Field.RESULT, Field.ERROR]
TIMES = [Field.SINCE, Field.BEFORE]
NAMED: dict[Field, list[tuple[str, ...]]] = {
    Field.NAME: [("*send*",), ("charge", "reports.*"), ("none",), ("*",)],
    Field.WORKER: [("web-1",), ("celery@*",), ("*web*", "mail")],
    Field.QUEUE: [("mail",), ("default",), ("x",)],
}
IDS = [("0",), ("a",), ("0a", "1"), ("custom",), ("custom-1", "a1"), ("zz",)]
ARGUMENTS = [
    ArgumentTerm(("order",), "3"),
    ArgumentTerm(("user", "plan"), "pro"),
    ArgumentTerm(("user", "n"), "1"),
    ArgumentTerm(("0",), "7"),
    ArgumentTerm(("0",), "Order-*"),
    ArgumentTerm(("1", "0"), "mail"),
    ArgumentTerm(("1",), "*@example.org"),
    ArgumentTerm(("none",), "*"),
]
RANGES = [
    RangeTerm(Field.RUNTIME, 2.0),
    RangeTerm(Field.RUNTIME, 2.0, low_open=True),
    RangeTerm(Field.WAITED, None, 1.5),
    RangeTerm(Field.WAITED, None, 1.5, high_open=True),
    RangeTerm(Field.RUNTIME, 0.2, 3.0),
    RangeTerm(Field.RETRIES, 0.0, low_open=True),
    RangeTerm(Field.RETRIES, 3.0, 3.0),
]
TERMS: st.SearchStrategy[Node] = st.one_of(
    st.frozensets(st.sampled_from(list(TaskState)), min_size=1, max_size=7).map(StateTerm),
    st.sampled_from([NameTerm(field, values) for field, several in NAMED.items() for values in several]),
    st.sampled_from(IDS).map(IdTerm),
    st.sampled_from([(1, 2, 3), tuple(range(1, 20)), (999,)]).map(FingerprintTerm),
    st.builds(TextTerm, st.sampled_from(TEXTS), st.sampled_from(WHERE), st.booleans()),
    st.builds(TextTerm, st.just("lang"), st.sampled_from(WHERE), st.booleans()).map(Not),
    st.sampled_from(ARGUMENTS),
    st.sampled_from(RANGES),
    st.sampled_from([TimeTerm(field, ago_s=ago) for field in TIMES for ago in (0.0, 300.0, 1200.0)]),
)


def joined(children: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    parts = st.lists(children, min_size=2, max_size=4)
    return st.one_of(children.map(Not), parts.map(all_of), parts.map(any_of))


TREES = st.one_of(st.none(), st.recursive(TERMS, joined, max_leaves=5))
CHIPS = st.frozensets(st.sampled_from(list(TaskState)), max_size=2)


@pytest.mark.parametrize("chosen", list(PLANS))
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(tree=TREES, states=CHIPS, sort=st.sampled_from(list(Sort)), descending=st.booleans())
def test_whatever_the_plan_the_same_tasks_come_once_and_in_order(
    world: World, chosen: str, tree: Node | None, states: frozenset[TaskState], sort: Sort, descending: bool
) -> None:
    query = TaskQuery(tree, states, sort, descending)
    reader = world.reader
    fitting = [one for one in world.everything if fits(tree, one, world.errors)]
    wanted = [one for one in fitting if not states or one.row.state in states]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in PLANS[chosen].items():
            patch.setattr(plan_counts if name == "COUNTING_S" else plan, name, value)
        found = []
        cursor = None
        while page := reader.page(query, cursor, 23):
            found += page
            cursor = query.cursor(page[-1])
        counted = reader.counts(query)
    assert sorted(row.id for row in found) == sorted(one.row.id for one in wanted)
    if sort is not Sort.ID:  # those that are no UUIDs come before the others
        keys = [sort_value(sort, row) for row in found]
        assert keys == sorted(keys, reverse=descending)
    assert counted.complete
    assert counted.total == len(fitting)
    assert sorted(reader.ids(query, TASKS)) == sorted(row.id for row in found)
    groups = reader.error_groups(query)
    failed = {one.row.id for one in wanted if one.exception}
    assert sum(group.count for group in groups) == len(failed)
    assert {group.example_id for group in groups} <= failed


def test_the_place_after_a_row_does_not_depend_on_the_row(world: World) -> None:
    query = parse_query("name:*send*").sorted_by(Sort.TASK, descending=False)
    rows = world.reader.page(query, None, 500)
    for number, row in enumerate(rows[:-1]):
        assert world.reader.page(query, query.cursor(row), 1) == [rows[number + 1]]
    assert world.reader.newer(query, rows[7]) == 7
