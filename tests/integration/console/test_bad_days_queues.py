"""Garbage in the queues themselves: what can be shown is shown, what cannot is said."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from pathlib import Path
from typing import Any

from PySide6.QtWidgets import QApplication

from console.app.wiring import Console
from console.queues.model import Alert
from tests.integration.console.bad_days import bad_day, connect, connected, figure, said
from tests.running import until
from tests.valkey import ValkeyServer

MANY = b'{"body": "' + base64.b64encode(b'[[], {"a": [' + b"{}," * 5_000_000 + b"{}]}, {}]") + b'", '
HUGE = (
    MANY
    + b'"content-type": "application/json", "headers": {"task": "shop.huge", "id": "huge"}, '
    + (b'"properties": {"body_encoding": "base64", "delivery_tag": "t", "correlation_id": "huge"}}')
)


def message(number: int) -> bytes:
    body = base64.b64encode(json.dumps([[number], {}, {}]).encode()).decode()
    return json.dumps(
        {
            "body": body,
            "content-type": "application/json",
            "headers": {"task": "shop.send", "id": f"id-{number}"},
            "properties": {"body_encoding": "base64", "delivery_tag": f"tag-{number}"},
        }
    ).encode()


def fill(broker: ValkeyServer) -> None:
    with broker.client() as client:
        for queue in ("garbage", "text", "stream", "hash", "good", "huge"):
            client.sadd("_kombu.binding.celery", f"{queue}\x06\x16\x06\x16{queue}")
        client.lpush(
            "garbage", *(os.urandom(200) for _ in range(30)), b"", b"null", b"[" * 100_000, message(1)
        )
        client.set("text", "not a list")
        client.xadd("stream", {"a": "1"})
        client.hset("hash", "a", "1")
        client.lpush("good", *(message(number) for number in range(7)))
        client.lpush("huge", HUGE)


async def messages_of(console: Console, queue: str) -> str:
    """Open the messages of a queue and read what the page says."""
    view, page = console.queues_view, console.window.page("queues")
    view.choose(queue)
    view.open_messages()
    await until(lambda: not view.reading and (view.peek or view.peek_error) is not None, 10, queue)
    await asyncio.sleep(0.05)
    return said(page)


def test_garbage_in_the_queues(qapp: QApplication, tmp_path: Path, broker: ValkeyServer) -> None:
    fill(broker)

    async def scenario(console: Console) -> None:
        console.window.show_page("queues")
        await connect(console, broker.port, broker.password)
        await connected(console)

        def rows() -> dict[str, Any]:
            return {row.name: row for row in console.queues.snapshot.rows}

        await until(lambda: "huge" in rows(), 5, "the queues")
        assert {name: row.ready for name, row in rows().items()} == {
            "garbage": 34, "good": 7, "huge": 1, "text": None, "stream": None, "hash": None,
        }  # fmt: skip
        assert {row.alert for name, row in rows().items() if name in ("text", "stream", "hash")} == {
            Alert.NOT_A_QUEUE
        }
        for queue in ("text", "stream", "hash"):
            assert f"{queue} is not a queue" in await messages_of(console, queue)
        await messages_of(console, "garbage")
        peek = console.queues_view.peek
        assert peek is not None
        assert peek.total == 34
        assert sum(bool(one.problem) for one in peek.messages) == 33
        assert peek.messages[-1].id == "id-1" or any(one.id == "id-1" for one in peek.messages)
        began_s = time.monotonic()
        await messages_of(console, "huge")
        peek = console.queues_view.peek
        assert peek is not None
        (huge,) = peek.messages
        figure(f"a message of {huge.size_bytes} B: {time.monotonic() - began_s:.2f} s, {huge.problem}")
        assert (huge.task, huge.id) == ("shop.huge", "huge")
        console.queues_view.choose_message("huge")
        with broker.client() as client:
            client.delete("hash")
        console.queues.refresh()
        await until(lambda: rows()["hash"].ready == 0, 5, "mended")
        assert console.queues.snapshot.error is None
        await asyncio.sleep(2.5)

    bad_day(qapp, tmp_path / "home", scenario)
