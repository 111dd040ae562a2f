"""The connections file: what is kept, what is refused, what is never in it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from console.broker.database import parse_database_url
from console.broker.url import parse_broker_url
from console.connections.file_format import dump_connections, load_connections
from console.connections.gateway import ConnectionsFile
from console.connections.model import Connection
from console.core.connection import Environment, Mode
from console.core.errors import Cause, ConsoleError


def one() -> Connection:
    return Connection(
        "abc",
        "Shop production",
        Environment.PRODUCTION,
        replace(parse_broker_url("rediss://console@redis.example:6380/0"), key_prefix="shop:"),
        schedules=parse_database_url("postgresql://c@pg.example/shop"),
        mode=Mode.READ_ONLY,
        last_used=datetime(2026, 1, 2, tzinfo=UTC),
    )


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    file = ConnectionsFile(tmp_path / "connections.json")
    assert file.read() == []
    file.write([one()])
    assert file.read() == [replace(one(), last_used=None)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("[]", "list of connections"),
        ('{"version": 3, "connections": []}', "version 3"),
        ('{"version": 1, "connections": [{"id": "a"}]}', "Entry 1"),
        ('{"version": 1, "connections": [3]}', "Entry 1"),
        ('{"version": 1, "connections": [{"id": "a", "name": "b", "environment": "Moon"}]}', "Entry 1"),
    ],
)
def test_a_broken_file_is_refused_with_the_place(text: str, says: str) -> None:
    with pytest.raises(ConsoleError) as caught:
        load_connections(text)
    assert says in caught.value.detail


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    file = ConnectionsFile(tmp_path / "connections.json")
    file.write([one()])
    before = (tmp_path / "connections.json").read_text()
    for wrong in (replace(one(), id="b", name="two\nlines"), replace(one(), id="../b", name="B")):
        with pytest.raises(ConsoleError, match="not saved"):
            file.update(lambda found, wrong=wrong: [*found, wrong])  # type: ignore[misc]
    assert (tmp_path / "connections.json").read_text() == before
    assert file.read() == [replace(one(), last_used=None)]


def test_the_text_ends_with_a_line() -> None:
    assert dump_connections([one()]).endswith("}\n")


def test_a_broker_url_is_taken_apart() -> None:
    address = parse_broker_url("rediss://con%40sole:p%2Fw@[::1]:6380/3")
    assert (address.host, address.port, address.database, address.username) == ("::1", 6380, 3, "con@sole")
    assert address.password.reveal() == "p/w"
    assert address.tls
    assert address.reveal_url() == "rediss://con%40sole:p%2Fw@[::1]:6380/3"
    assert address.shown == "rediss://con%40sole:••••@[::1]:6380/3"


@pytest.mark.parametrize(
    "url", ["", "http://host", "redis://", "redis://host:port/0", "redis://host/name", "redis://h:99999/0"]
)
def test_a_wrong_url_is_refused_in_words(url: str) -> None:
    with pytest.raises(ConsoleError) as caught:
        parse_broker_url(url)
    assert caught.value.cause is Cause.INVALID
    assert "Example" in caught.value.remedy
