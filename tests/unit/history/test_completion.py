"""Completion: what is offered where the cursor stands, and what it replaces."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.history.completion import complete
from console.history.model import Names
from console.history.query import QueryError, parse_query

NAMES = Names(
    tasks=("reports.build", "shop.tasks.charge_user", "shop.tasks.send_invoice"),
    workers=("celery@web-1", "celery@web-2"),
    queues=("default", "mail", "on hold"),
)


def offered(marked: str) -> tuple[list[str], list[str]]:
    """Labels and whole texts after taking each, for a text in which | is the cursor."""
    cursor = marked.index("|")
    text = marked.replace("|", "")
    found = complete(text, cursor, NAMES)
    taken = [text[: found.start] + one.insert + text[found.end :] for one in found.items]
    return [one.label for one in found.items], taken


@pytest.mark.parametrize(
    ("marked", "label", "taken"),
    [
        ("st|", "state:", "state:"),
        ("|", "state:", "state:"),
        ("a |", "queue:", "a queue:"),
        ("-wo|", "worker:", "-worker:"),
        ("(wai|", "waited:", "(waited:"),
        ("state:fa|", "Failed", "state:failed"),
        ("state:failed,l| since:1h", "Lost", "state:failed,lost since:1h"),
        ("state:f|,lost", "Failed", "state:failed,lost"),
        ("name:inv|", "shop.tasks.send_invoice", "name:shop.tasks.send_invoice"),
        ("name:*inv*|", "shop.tasks.send_invoice", "name:shop.tasks.send_invoice"),
        ("task:bui|", "reports.build", "task:reports.build"),
        ("invo|", "shop.tasks.send_invoice", "name:shop.tasks.send_invoice"),
        ("worker:web-2|", "celery@web-2", "worker:celery@web-2"),
        ('queue:"on|', "on hold", 'queue:"on hold"'),
        ("queue:on|", "on hold", 'queue:"on hold"'),
        ("runtime:|", ">1s", "runtime:>1s"),
        ("retries:>|", ">0", "retries:>0"),
        ("a since:1|", "15m", "a since:15m"),
        ("a o|", "or", "a or"),
    ],
)
def test_what_is_offered(marked: str, label: str, taken: str) -> None:
    labels, texts = offered(marked)
    assert label in labels
    assert texts[labels.index(label)] == taken


@pytest.mark.parametrize(
    "marked", ["state:x|", "id:1|", '"open quo|', "zzz|", "colour:re|", "state:failed,failed|"]
)
def test_nothing_is_offered(marked: str) -> None:
    assert offered(marked)[0] in ([], ["Failed"])


def test_names_that_begin_so_come_first() -> None:
    names = Names(("a.mail", "mail.a", "xmail"), (), ())
    assert [one.label for one in complete("name:mail", 9, names).items] == ["mail.a", "a.mail", "xmail"]


@given(st.text('stae:nm"(-, *.or', max_size=20), st.integers(-1, 25))
def test_any_text_and_cursor(text: str, cursor: int) -> None:
    found = complete(text, cursor, NAMES)
    assert 0 <= found.start <= found.end <= len(text)


def test_what_is_offered_can_be_read() -> None:
    for field in ("state", "name", "worker", "queue", "runtime", "waited", "retries", "since", "before"):
        for one in complete(f"{field}:", len(field) + 1, NAMES).items:
            try:
                parse_query(f"{field}:{one.insert}")
            except QueryError as error:
                pytest.fail(str(error))


def test_thousands_of_names_take_no_time_to_speak_of() -> None:
    many = Names(tuple(f"shop.part_{n % 40}.task_{n}" for n in range(2000)), (), ())
    began_s = time.perf_counter()
    complete("name:task_1", 11, many)
    assert time.perf_counter() - began_s < 0.05


def test_a_hundred_thousand_names_do_not_hold_a_key() -> None:
    names = Names(tuple(f"App.task_{number:06}" for number in reversed(range(100_000))), (), ())
    complete("name:", 5, names)  # put in order once
    for text, first in (
        ("name:task_0999", "App.task_099900"),
        ("name:app", "App.task_000000"),
        ("name:zz", ""),
    ):
        began_s = time.perf_counter()
        found = complete(text, len(text), names).items
        assert time.perf_counter() - began_s < 0.5
        assert (found[0].label if found else "") == first
