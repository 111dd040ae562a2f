"""The lines of the tabs: whatever a worker says, they are words, and times go on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.workers.facts import fact_hints, fact_pairs, software_text
from console.workers.listing_cells import TAB_COLUMNS, listing_rows, task_id_of
from console.workers.model import Inspected, Tab, WorkerRow, WorkerState

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@given(
    st.sampled_from(list(Tab)), st.lists(st.lists(st.text(max_size=30), min_size=5, max_size=5), max_size=5)
)
def test_any_text_becomes_a_line_with_a_key_of_its_own(tab: Tab, rows: list[list[str]]) -> None:
    lines = listing_rows(tab, rows, zone=UTC, now=NOW, offset_s=1e300)
    assert len({line.key for line in lines}) == len(lines) or tab is not Tab.ACTIVE
    columns = {column.key for column in TAB_COLUMNS[tab]}
    assert all(set(line.cells) <= columns for line in lines)


def test_the_same_task_twice_in_one_list_is_two_lines() -> None:
    row = ("shop.pay", "one", "()", (NOW + timedelta(hours=2)).isoformat(), "mail")
    lines = listing_rows(Tab.SCHEDULED, [row, row], zone=UTC, now=NOW)
    assert [line.key for line in lines] == ["one", "one#2"]
    assert [task_id_of(line) for line in lines] == ["one", "one"]
    assert lines[0].cells["due"].text == "in 2 h"


@pytest.mark.parametrize(
    ("offset_s", "words"),
    [(None, "–"), (0.012, "+12 ms"), (-0.4, "-400 ms"), (3.0, "3.0 s behind"), (-90.0, "1 min 30 s ahead")],
)
def test_a_clock_that_is_off_says_which_way(offset_s: float | None, words: str) -> None:
    row = WorkerRow(
        "w@h", WorkerState.ONLINE, 0, 0, 0, None, None, (), None, NOW, None, clock_offset_s=offset_s
    )
    assert {pair[0]: pair[1] for pair in fact_pairs(row, now=NOW)}["Clock"] == words


def test_facts_are_a_dash_where_nothing_was_said_and_time_goes_on() -> None:
    row = WorkerRow("w@h", WorkerState.ONLINE, 0, 0, 0, None, None, (), None, None, None)
    unknown = {pair[0]: pair[1] for pair in fact_pairs(row, now=NOW)}
    assert {name for name, value in unknown.items() if value != "–"} == {"Host"}
    told = WorkerRow(
        *("w@h", WorkerState.ONLINE, 0, 0, 0, "prefork", 3, (), None, NOW, False, (2, 8)),
        said=Inspected(uptime_s=100.0, prefetch=0),
        said_at=NOW - timedelta(seconds=20),
    )
    pairs = {pair[0]: pair[1] for pair in fact_pairs(told, now=NOW)}
    assert (pairs["Uptime"], pairs["Prefetch"], pairs["Pool"]) == (
        "2 min",
        "no limit",
        "prefork, 3 of 2 to 8",
    )
    assert pairs["Task events"] == "not sent"
    assert set(fact_hints(told, zone=UTC)) <= set(pairs)


def test_software_has_the_name_people_know() -> None:
    assert software_text("py-celery 5.7.0") == "Celery 5.7.0"
    assert software_text("own 1") == "own 1"
    assert software_text("") == "–"
