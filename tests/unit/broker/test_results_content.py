"""What stored results mean, without a backend."""

from __future__ import annotations

import json
import pickle
import zlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.broker.results import MAX_BYTES, key_prefix
from console.broker.results_content import child_ids, read_instant, result_of_payload, result_of_row


def stored(**fields: Any) -> bytes:
    return json.dumps({"status": "SUCCESS", "result": None, **fields}).encode()


def test_a_pickled_result_is_not_read() -> None:
    found = result_of_payload("a", pickle.dumps({"status": "SUCCESS"}))

    assert (found.state, found.result_text) == ("", None)
    assert "pickled" in found.problem


def test_none_is_a_result_and_the_absence_of_one_is_not() -> None:
    assert result_of_payload("a", stored()).result_text == "null"
    assert result_of_payload("a", stored(status="STARTED")).result_text is None


def test_of_a_huge_result_only_the_state_is_told() -> None:
    found = result_of_payload("a", stored(result="x" * (MAX_BYTES + 10))[: MAX_BYTES + 1])

    assert (found.state, found.result_text) == ("SUCCESS", None)
    assert "too large" in found.problem


def test_a_bomb_in_a_compressed_result_is_not_unpacked() -> None:
    body = zlib.compress(stored(result="x" * 50_000_000))

    found = result_of_payload("a", b"\x00celery-compressed\x00application/x-gzip\x00" + body)

    assert (found.state, found.problem) == ("SUCCESS", "It is larger than 1 MB, too large to show")


def test_an_unknown_compression_is_said() -> None:
    found = result_of_payload("a", b"\x00celery-compressed\x00application/zstd\x00xx")

    assert "compressed" in found.problem


def test_a_pickled_row() -> None:
    found = result_of_row(
        "a",
        {"status": "SUCCESS", "content_type": "application/x-python-serialize", "content_encoding": "binary"},
    )

    assert (found.state, found.problem) == ("SUCCESS", "It is pickled, which the console does not read")


def test_an_exception_with_several_arguments() -> None:
    value = {"exc_type": "OSError", "exc_message": [2, "no such file"], "exc_module": "builtins"}

    assert (
        result_of_payload("a", stored(status="RETRY", result=value)).exception == "OSError(2, 'no such file')"
    )


def test_instants_without_a_zone_are_utc() -> None:
    noon = datetime(2026, 10, 1, 12, tzinfo=UTC)

    assert read_instant("2026-10-01T12:00:00") == noon
    assert read_instant("2026-10-01 14:00:00+02:00") == noon
    assert read_instant("noon") is None


def test_children_are_bounded_and_garbage_is_left_out() -> None:
    assert child_ids([[["a", None], None], "x", [1, 2, 3], [["g", None], [[["b", None], None]]]]) == (
        "a",
        "b",
    )
    assert len(child_ids([[[str(number), None], None] for number in range(5000)])) == 1000


@pytest.mark.parametrize(
    ("given", "used"), [("", ""), ("shop", "shop_"), ("shop:", "shop:"), ("shop-", "shop-")]
)
def test_a_prefix_gets_its_separator(given: str, used: str) -> None:
    assert key_prefix(given) == used


@given(st.binary(max_size=200) | st.text(max_size=50).map(str.encode))
def test_no_content_raises(payload: bytes) -> None:
    result_of_payload("a", payload)


def test_deep_nesting_and_huge_numbers_raise_nothing() -> None:
    deep = b'{"status": "SUCCESS", "result": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert result_of_payload("a", deep).problem
    assert result_of_payload("a", b'{"status": "SUCCESS", "result": ' + b"9" * 10_000 + b"}").problem


def test_half_a_character_can_be_stored() -> None:
    """A file name that is not UTF-8 comes out of Celery's JSON as half a surrogate pair."""
    name = "caf\udce9"
    found = result_of_payload(
        "a", stored(result=name, worker=name, traceback=name, args=[name], children=[[[name, None], None]])
    )
    assert found.result_text == '"caf?"'
    texts = [found.worker, found.traceback, found.args_text, *found.children]
    assert all("?" in text and text.encode() for text in texts if text is not None)
    failed = result_of_payload(
        "a", stored(status="FAILURE", result={"exc_type": name, "exc_message": [name]})
    )
    assert failed.exception is not None
    assert failed.exception.encode()


@pytest.mark.parametrize("within", ["{}", '{{"exc_type": "E", "exc_message": {}}}'])
@pytest.mark.parametrize("state", ["SUCCESS", "FAILURE"])
def test_no_depth_of_nesting_breaks_a_round(state: str, within: str) -> None:
    for depth in range(900, 1000):
        value = within.format("[" * depth + "]" * depth)
        assert result_of_payload("a", f'{{"status": "{state}", "result": {value}}}'.encode()).task_id == "a"


@pytest.mark.parametrize("done", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+05:00", "soon"])
def test_an_instant_that_no_clock_has_is_none(done: str) -> None:
    assert result_of_payload("a", stored(date_done=done)).date_done is None
