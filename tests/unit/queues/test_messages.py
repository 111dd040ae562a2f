"""Messages are decoded as data, whatever is in them."""

from __future__ import annotations

import base64
import json
import pickle
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.queues.messages import NOT_READABLE, TEXT_LIMIT, decode_message, message_head
from tests.unit.queues.fakes import envelope


def test_reads_a_message_of_protocol_2() -> None:
    raw = envelope(
        kwargs={"locale": "en"}, priority=5, tag="t", eta="2026-03-01T12:00:00", origin="gen7@web", retries=2
    )
    message = decode_message(raw, position=4, bucket=3)
    assert (message.position, message.bucket, message.tag, message.task) == (4, 3, "t", "shop.send_invoice")
    assert (message.args, message.kwargs) == ("[88409]", '{"locale": "en"}')
    assert message.arguments == '[88409] {"locale": "en"}'
    assert json.loads(message.embed or "")["chord"] is None
    assert (message.priority, message.redelivered, message.origin, message.retries) == (
        5,
        False,
        "gen7@web",
        2,
    )
    assert message.eta == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert message.problem == ""


def test_names_a_pickle_and_does_not_open_it() -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (pytest.fail, ("a pickle was opened",))

    content = json.loads(envelope())
    content["body"] = base64.b64encode(pickle.dumps(Bomb())).decode()
    content["content-type"] = "application/x-python-serialize"
    message = decode_message(json.dumps(content).encode(), position=1, bucket=0)
    assert message.arguments == "not shown: pickle"
    assert (message.task, message.args) == ("shop.send_invoice", None)


def test_reads_protocol_1_where_everything_is_in_the_body() -> None:
    content = json.loads(envelope())
    content["headers"] = {}
    body = {"task": "old.add", "id": "x", "args": [1, 2], "kwargs": {}, "retries": 1}
    content["body"] = base64.b64encode(json.dumps(body).encode()).decode()
    message = decode_message(json.dumps(content).encode(), position=1, bucket=0)
    assert (message.task, message.id, message.args, message.retries) == ("old.add", "x", "[1, 2]", 1)


@pytest.mark.parametrize("place", ["headers", "delivery_info"])
def test_sees_a_redelivered_message(place: str) -> None:
    content = json.loads(envelope())
    where = content["headers"] if place == "headers" else content["properties"]["delivery_info"]
    where["redelivered"] = True
    assert decode_message(json.dumps(content).encode(), position=1, bucket=0).redelivered


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"not json",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{}",
        b'{"headers": 3, "properties": []}',
        b"[" * 100_000,
    ],
)
def test_garbage_is_a_message_with_a_problem(raw: bytes) -> None:
    message = decode_message(raw, position=1, bucket=0)
    assert message.problem.startswith("not shown")
    assert message.arguments == message.problem
    assert message_head(raw) == ("", "")


def test_a_body_of_another_shape_is_not_shown() -> None:
    content = json.loads(envelope())
    content["body"] = base64.b64encode(b'"text"').decode()
    assert decode_message(json.dumps(content).encode(), position=1, bucket=0).problem == NOT_READABLE


def test_huge_arguments_are_cut() -> None:
    message = decode_message(envelope(args=["x" * 100_000]), position=1, bucket=0)
    assert len(message.args or "") == TEXT_LIMIT
    assert message.size_bytes > 100_000


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text() | st.integers(),
       lambda inner: st.lists(inner) | st.dictionaries(
           st.sampled_from(["body", "headers", "properties", "task", "content-type", "delivery_info"]), inner
       )).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_never_raises(raw: bytes) -> None:
    decode_message(raw, position=1, bucket=0)
    message_head(raw)
