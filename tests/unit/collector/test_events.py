"""What is no event is counted and skipped, and never evaluated."""

from __future__ import annotations

import base64
import json
import pickle
from typing import Any

import pytest

from console.collector.events import EventDecoder, envelope

GOOD = {"type": "task-started", "uuid": "a", "timestamp": 1.0, "hostname": "w", "pid": 1, "clock": 2}


class Bomb:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("something was unpickled",))


def wrapped(body: bytes, content_type: Any = "application/json", **more: Any) -> bytes:
    return json.dumps(
        {"body": base64.b64encode(body).decode(), "content-type": content_type, **more}
    ).encode()


MALFORMED = {
    "empty": b"",
    "not json": b"hello",
    "not utf-8": b'{"body": "\xff\xfe"}',
    "json but no envelope": b"[1, 2]",
    "null": b"null",
    "no body": b"{}",
    "body is no base64": b'{"body": "***", "content-type": "application/json"}',
    "body is a number": b'{"body": 5}',
    "body is not json": wrapped(b"nope"),
    "body is not utf-8": wrapped(b'{"type": "\xff"}'),
    "body is a number in base64": wrapped(b"5"),
    "type is missing": wrapped(b"{}"),
    "type is a number": wrapped(b'{"type": 5}'),
    "pickled": wrapped(pickle.dumps(Bomb()), "application/x-python-serialize"),
    "pickled and called json": wrapped(pickle.dumps(Bomb())),
    "content type is a list": wrapped(json.dumps(GOOD).encode(), ["application/json"]),
    "uuid is a list": envelope({**GOOD, "uuid": []}),
    "timestamp is text": envelope({**GOOD, "timestamp": "yesterday"}),
    "retries is a list": envelope({**GOOD, "type": "task-received", "retries": [1]}),
    "a number that no float holds": wrapped(b'{"type": "task-started", "uuid": "a", "timestamp": 1e999}'),
    "deep nesting": wrapped(b'{"type":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "deep nesting of the envelope": b"[" * 100_000,
    "ten megabytes": envelope({**GOOD, "result": "x" * 10_000_000}),
    "ten megabytes of zeros": bytes(10_000_000),
}


@pytest.mark.parametrize("message", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_is_counted_and_skipped(message: bytes) -> None:
    decoder = EventDecoder()
    assert decoder.decode(message) == []
    assert decoder.malformed == 1
    assert [one.uuid for one in decoder.decode(envelope(GOOD))] == ["a"]


def test_one_event_and_a_list_of_events() -> None:
    decoder = EventDecoder()
    assert [one.type for one in decoder.decode(envelope(GOOD))] == ["task-started"]
    assert [one.uuid for one in decoder.decode(envelope([GOOD, {**GOOD, "uuid": "b"}]))] == ["a", "b"]
    assert decoder.malformed == 0


def test_a_bad_event_does_not_take_the_good_ones_of_its_message_with_it() -> None:
    decoder = EventDecoder()
    events = decoder.decode(envelope([GOOD, {**GOOD, "uuid": 5}, {**GOOD, "uuid": "c"}]))
    assert [one.uuid for one in events] == ["a", "c"]
    assert decoder.malformed == 1


def test_the_nan_that_python_writes_is_unknown() -> None:
    decoder = EventDecoder()
    events = decoder.decode(envelope([{**GOOD, "timestamp": float("nan")}, GOOD]))
    assert [one.timestamp for one in events] == [None, 1.0]
    (alone,) = decoder.decode(envelope({**GOOD, "timestamp": float("inf")}))
    assert alone.timestamp is None


def test_custom_events_are_allowed_and_counted_whatever_their_fields() -> None:
    decoder = EventDecoder()
    assert decoder.decode(envelope({"type": "order-paid", "uuid": [1], "args": {"a": 1}})) == []
    assert decoder.decode(envelope({"type": "task-progress", "uuid": "x"})) == []
    assert (decoder.custom, decoder.malformed) == (2, 0)


def test_events_of_other_programs_keep_what_fits() -> None:
    decoder = EventDecoder()
    texts = {"args": [1, {"a": None}], "kwargs": {}, "eta": 5}
    odd = {**GOOD, **texts, "type": "task-received", "timestamp": "1.5", "retries": "2"}
    (event,) = decoder.decode(envelope([odd]))
    assert (event.timestamp, event.args, event.kwargs, event.eta, event.retries) == (
        1.5, '[1, {"a": null}]', "{}", "5", 2,
    )  # fmt: skip
    assert decoder.decode(envelope([{**odd, "uuid": 5}, {**odd, "timestamp": "noon"}])) == []
    assert decoder.malformed == 2


def test_a_body_without_encoding() -> None:
    message = json.dumps({"body": json.dumps(GOOD), "content-type": "application/json"}).encode()
    assert [one.uuid for one in EventDecoder().decode(message)] == ["a"]


def test_only_the_first_malformed_ones_are_logged_and_shortened(caplog: pytest.LogCaptureFixture) -> None:
    decoder = EventDecoder()
    for _ in range(100):
        decoder.decode(b"x" * 10_000)
    assert decoder.malformed == 100
    assert len(caplog.records) == 20
    assert max(len(record.getMessage()) for record in caplog.records) < 400
