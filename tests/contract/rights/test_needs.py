"""The table of what the console sends, held to what a server really receives from the pages' code."""

from __future__ import annotations

import re
import time

import pytest

from console.broker.needs import LOGIN_COMMANDS, REDIS_NEEDS, Place
from console.core.connection import Right
from tests.contract.rights.conftest import QUEUE, USES, Monitor, fill, session_of
from tests.valkey import ValkeyServer

PLACES = (
    (re.compile(r"_kombu\.binding\..*"), Place.BINDINGS),
    (re.compile(r"_kombu\.binding_permanent\..*"), Place.PERMANENT_BINDINGS),
    (re.compile(r"unacked"), Place.HELD),
    (re.compile(r"[0-9a-f-]{36}\.reply\.celery\.pidbox.*"), Place.REPLIES),
    (re.compile(r"/0\.celeryev/.*"), Place.EVENTS),
    (re.compile(r"/0\.celery\.pidbox"), Place.CONTROL),
    (re.compile(rf"{QUEUE}.*"), Place.QUEUE),
)
UNPLACED = {"scan", "multi", "exec"}
LOGIN = {"hello", "auth", *LOGIN_COMMANDS}


def _seen(commands: list[str]) -> set[tuple[str, Place]]:
    found: set[tuple[str, Place]] = set()
    for line in commands:
        words = line.split()
        command = words[0].lower()
        if command == "client":
            command = f"client|{words[1].lower()}"
        if command in LOGIN:
            continue
        if command in UNPLACED:
            found.add((command, Place.NOTHING))
            continue
        place = next((place for pattern, place in PLACES if pattern.fullmatch(words[1])), None)
        assert place is not None, f"on no known place: {line}"
        found.add((command, place))
    return found


@pytest.mark.parametrize("right", USES)
async def test_the_pages_send_what_the_table_says_and_nothing_else(
    own_broker: ValkeyServer, right: Right
) -> None:
    fill(own_broker)
    session = session_of(own_broker.address)
    monitor = Monitor(own_broker)
    try:
        USES[right](session)
    finally:
        seen = _seen(monitor.stop())
        await session.aclose()
    wanted = {(need.command, need.place) for need in REDIS_NEEDS if right in need.rights}
    # Looking at messages looks at the depths first.
    also = {(need.command, need.place) for need in REDIS_NEEDS if Right.READ_QUEUES in need.rights}
    allowed = wanted | (also if right is Right.READ_MESSAGES else set())
    assert seen <= allowed, f"sent, but not in the table: {seen - allowed}"
    # A task sent to an exchange of its own looks its queues up; no page of these tests does.
    spare = {("smembers", Place.BINDINGS)} if right is Right.SEND_TASKS else set()
    assert wanted - seen <= spare, f"in the table, but never sent: {wanted - seen}"


async def test_a_probe_carries_nothing_out_and_is_quick(own_broker: ValkeyServer) -> None:
    from console.broker.rights import probe_rights

    fill(own_broker)
    with own_broker.client() as client:
        before = {key: client.dump(key) for key in client.scan_iter()}
        listener = client.pubsub()
        listener.psubscribe("*")
        assert listener.get_message(timeout=5) is not None
        session = session_of(own_broker.address)
        probe_rights(session)
        started_s = time.perf_counter()
        assert probe_rights(session) == {}
        took_s = time.perf_counter() - started_s
        await session.aclose()
        assert listener.get_message(timeout=0.05) is None
        listener.close()
        assert {key: client.dump(key) for key in client.scan_iter()} == before
    assert took_s < 0.1
