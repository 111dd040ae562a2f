"""Messages that are no events, by the thousand: of each kind that a broken or hostile sender makes.

The small size runs with the tests (`test_garbage`), the full size is `tests.bench.malformed_bench`.
"""

from __future__ import annotations

import base64
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console.collector.events import MAX_MESSAGE_BYTES, EventDecoder, envelope
from console.history.model import CollectorState, TaskState
from console.history.reader import HistoryReader
from tests.integration.collector.conftest import life
from tests.integration.collector.kills import RunningCollector
from tests.valkey import ValkeyServer

PIPELINED = 200
NAMES = (
    "uuid",
    "hostname",
    "timestamp",
    "pid",
    "name",
    "retries",
    "runtime",
    "active",
    "processed",
    "loadavg",
)
TYPES = ("task-sent", "task-received", "task-started", "task-succeeded", "task-failed", "worker-heartbeat")


def _wrapped(body: bytes, content_type: Any = "application/json") -> bytes:
    return json.dumps({"body": base64.b64encode(body).decode(), "content-type": content_type}).encode()


def _event(rng: random.Random, **fields: Any) -> dict[str, Any]:
    return {
        "type": rng.choice(TYPES),
        "uuid": f"{rng.random()}",
        "hostname": "celery@odd",
        "timestamp": 1.5,
        **fields,
    }


def _random_bytes(rng: random.Random) -> bytes:
    return b"\x00" + rng.randbytes(rng.randrange(2000))


def _deep(rng: random.Random) -> bytes:
    depth = rng.randrange(2000, 50_000)
    opening, closing_ = rng.choice(((b"[", b"]"), (b'{"a":', b"}")))
    nested = opening * depth + b"0" + closing_ * (depth if rng.random() < 0.5 else 0)
    return rng.choice((nested, _wrapped(nested), _wrapped(b'{"type":' + nested + b"}")))


def _cut(rng: random.Random) -> bytes:
    whole = envelope(_event(rng))
    return whole[: rng.randrange(len(whole) - 1)]


def _cut_body(rng: random.Random) -> bytes:
    body = base64.b64encode(json.dumps(_event(rng)).encode()).rstrip(b"=")
    return b'{"body": "' + body[: rng.randrange(4, len(body) - 4)] + b'", "content-type": "application/json"}'


def _wrong_types(rng: random.Random) -> bytes:
    wrong: Any = rng.choice(({"a": [1]}, [[]], [{}], {}))
    return envelope(_event(rng, **{rng.choice(("uuid", "hostname", "timestamp", "pid", "retries")): wrong}))


def _no_text(rng: random.Random) -> bytes:
    return envelope({**_event(rng), "type": rng.choice((None, 5, True, ["task-sent"], {}))})


def _lists_of_lists(rng: random.Random) -> bytes:
    inner: Any = rng.choice((1, None, "task-sent", [], {}))
    for _ in range(rng.randrange(1, 6)):
        inner = [inner, inner]
    return envelope([inner])


def _huge_numbers(rng: random.Random) -> bytes:
    number = rng.choice((b"1e999", b"-1e999", b"9" * rng.randrange(300, 10_000)))
    name = rng.choice((b"uuid", b"hostname"))
    return _wrapped(b'{"type": "task-started", "%b": %b}' % (name, number))


def _too_long(rng: random.Random) -> bytes:
    return envelope(_event(rng, result="x" * (MAX_MESSAGE_BYTES + rng.randrange(10))))


def _other_content(rng: random.Random) -> bytes:
    return _wrapped(
        rng.randbytes(20), rng.choice(("application/x-python-serialize", "", None, 7, "text/plain"))
    )


def _other_json(rng: random.Random) -> bytes:
    other = rng.choice((b"5", b"null", b"true", b'"task-sent"', b"[1, 2]", b"{}", b'{"type": {}}'))
    return rng.choice((other, _wrapped(other)))


COUNTED: Sequence[Callable[[random.Random], bytes]] = (
    _random_bytes, _deep, _cut, _cut_body, _wrong_types, _no_text, _lists_of_lists, _huge_numbers,
    _other_content, _other_json,
)  # fmt: skip


def _not_utf8(rng: random.Random) -> bytes:
    return _wrapped(json.dumps(_event(rng, result="?")).encode().replace(b"?", b"\xff\xfe\xed\xa0\x80"))


def _senseless_numbers(rng: random.Random) -> bytes:
    numbers = (float("nan"), float("inf"), -1e300, 2**80, -(2**70), 0, "1e5")
    return envelope(_event(rng, **{rng.choice(NAMES[2:]): rng.choice(numbers) for _ in range(3)}))


def _twice_the_key(rng: random.Random) -> bytes:
    return _wrapped(
        b'{"type": "task-started", "uuid": "%d", "type": "shop-opened", "uuid": []}' % rng.randrange(99)
    )


def _null_fields(rng: random.Random) -> bytes:
    return envelope(_event(rng, **dict.fromkeys(rng.sample(NAMES, 4))))


def _many_keys(rng: random.Random) -> bytes:
    return envelope({**_event(rng), **{f"key{number}": number for number in range(2000)}})


ODD: Sequence[Callable[[random.Random], bytes]] = (
    _not_utf8, _senseless_numbers, _twice_the_key, _null_fields, _many_keys,
)  # fmt: skip


def garbage(count: int, seed: int) -> Iterator[tuple[bytes, bool]]:
    """Messages, and whether at least one thing in each must be counted; the others are odd but may pass."""
    rng = random.Random(seed)
    for number in range(count):
        if number % 500 == 499:
            yield _too_long(rng), True
        elif number % 6 == 5:
            yield rng.choice(ODD)(rng), False
        else:
            yield rng.choice(COUNTED)(rng), True


@dataclass(frozen=True, slots=True)
class Survived:
    """What a collector made of it: counted as malformed, how many at least must be, good tasks, its log."""

    malformed: int
    at_least: int
    good: int
    good_stored: int
    took_s: float
    log: str


def survive(broker: ValkeyServer, history_file: Path, *, count: int, seed: int, every: int = 10) -> Survived:
    """Publish `count` such messages, a good task after each `every`, and wait until all were read."""
    at_least = good = 0
    collector = RunningCollector(broker.address, history_file)
    collector.reading()
    began_s = time.monotonic()
    with broker.client() as client:
        pipe = client.pipeline(transaction=False)
        for number, (message, counted) in enumerate(garbage(count, seed)):
            at_least += counted
            pipe.publish("/0.celeryev/task.multi", message)
            if number % every == 0:
                good += 1
                pipe.publish("/0.celeryev/task.multi", envelope(life(f"good-{number}", name="good")))
            if number % PIPELINED == 0:
                pipe.execute()
        pipe.publish("/0.celeryev/task.multi", envelope(life("last", name="last")[:2]))
        pipe.execute()
    with closing(HistoryReader(history_file)) as reader:
        last = collector.until(lambda _: reader.detail("last") is not None)
    took_s = time.monotonic() - began_s
    assert last.state is CollectorState.READING
    collector.close()
    with closing(HistoryReader(history_file)) as reader:
        details = [reader.detail(f"good-{number}") for number in range(0, count, every)]
    stored = sum(one is not None and one.row.state is TaskState.SUCCEEDED for one in details)
    text = history_file.with_suffix(".log").read_text(encoding="utf-8")
    return Survived(last.malformed, at_least, good, stored, took_s, text)


def counted_alone(count: int, seed: int) -> Iterator[tuple[bytes, bool, int]]:
    """Each message, whether something in it must be counted, and how much the decoder counted."""
    decoder = EventDecoder()
    for message, counted in garbage(count, seed):
        before = decoder.malformed
        decoder.decode(message)
        yield message, counted, decoder.malformed - before
