"""Export and import: what is handed out, and what taking a file in would change."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from console.broker.database import parse_database_url
from console.broker.tls import TlsOptions
from console.broker.tunnel_settings import TunnelSettings
from console.broker.url import parse_broker_url
from console.connections.exchange import read_shared
from console.connections.model import (
    Colour,
    Connection,
    Purpose,
    ResultBackend,
    Secrets,
    local_stack_connection,
    with_secrets,
    without_secrets,
)
from console.connections.sharing import ImportKind, export_text, free_name, plan_import, redirected
from console.core.connection import Environment
from console.core.errors import ConsoleError
from console.core.redaction import Secret

LOCAL = local_stack_connection()


def full() -> Connection:
    """Everything that a connection can have, with a secret wherever one fits."""
    tls = TlsOptions(ca_file="/ca", cert_file="/cert", key_file="/key", server_name="name")
    broker = replace(
        parse_broker_url("sentinel://console@s1.example;sentinel://s2.example/0"),
        master_name="mymaster",
        sentinel_username="watcher",
        tls=tls,
        key_prefix="shop:",
        management_url="",
    )
    tunnel = TunnelSettings("jump.example", 2222, "me", "/key")
    connection = Connection(
        "abc",
        "Shop",
        Environment.PRODUCTION,
        broker,
        schedules=parse_database_url("postgresql://c@pg.example/shop"),
        results=ResultBackend(redis=parse_broker_url("redis://r.example/2")),
        queues=("mail",),
        broker_tunnel=tunnel,
        schedules_tunnel=tunnel,
        results_tunnel=tunnel,
        last_used=datetime(2026, 1, 2, tzinfo=UTC),
    )
    return with_secrets(
        connection, Secrets(tuple((purpose, Secret(f"marker-{purpose}")) for purpose in Purpose))
    )


def plain(connection: Connection) -> Connection:
    [again] = plan_import(export_text([connection], {connection.id}), []).entries
    return again.connection


def test_an_export_holds_no_secret_and_not_when_it_was_used() -> None:
    text = export_text([LOCAL, full(), replace(full(), id="other", name="Other")], {"abc", "local-stack"})
    assert "marker" not in text
    assert "2026" not in text
    assert [one["id"] for one in json.loads(text)["connections"]] == ["abc"]


def test_what_was_exported_is_imported_as_it_was() -> None:
    text = export_text([full()], {"abc"})
    plan = plan_import(text, [LOCAL])
    [entry] = plan.entries
    assert (entry.kind, entry.connection.id, plan.errors) == (ImportKind.NEW, "abc", ())
    assert export_text([entry.connection], {"abc"}) == text
    [again] = plan_import(text, [LOCAL, entry.connection]).entries
    assert again.kind is ImportKind.SAME
    assert plan_import(text, [LOCAL, entry.connection]).changes == ()


def test_a_changed_one_says_what_is_changed() -> None:
    mine = plain(full())
    theirs = replace(mine, name="Shop new", environment=Environment.STAGING)
    [entry] = plan_import(export_text([theirs], {"abc"}), [LOCAL, mine]).entries
    assert (entry.kind, entry.changed) == (ImportKind.CHANGED, ("Name", "Environment"))


def test_a_name_that_is_taken_gets_a_number() -> None:
    mine = replace(plain(full()), id="mine")
    second = replace(mine, id="second", name="Shop 2")
    plan = plan_import(export_text([full()], {"abc"}), [LOCAL, mine, second])
    assert [(one.kind, one.connection.name) for one in plan.entries] == [(ImportKind.NAME_TAKEN, "Shop 3")]
    twice = [full(), replace(full(), id="def")]
    names = [one.connection.name for one in plan_import(export_text(twice, {"abc", "def"}), [LOCAL]).entries]
    assert names == ["Shop", "Shop 2"]
    assert free_name("x" * 200, {"x" * 200}) == "x" * 198 + " 2"


@pytest.mark.parametrize(
    ("change", "moved"),
    [
        ({"name": "Other", "colour": Colour.RED, "queues": ()}, ()),
        ({"broker": {"database": 3, "timeout_s": 9.0, "key_prefix": ""}}, ()),
        ({"broker": {"sentinels": (("evil.example", 26379),)}}, (Purpose.BROKER, Purpose.SENTINEL)),
        ({"broker": {"tls": None}}, (Purpose.BROKER, Purpose.SENTINEL)),
        ({"broker": {"management_url": "http://evil.example"}}, (Purpose.BROKER, Purpose.SENTINEL)),
        ({"broker_tunnel": TunnelSettings("evil.example")}, (Purpose.BROKER, Purpose.SENTINEL)),
        ({"results": ResultBackend(redis=parse_broker_url("redis://evil/2"))}, (Purpose.RESULTS,)),
        ({"schedules": parse_database_url("postgresql://c@evil/shop")}, (Purpose.SCHEDULES,)),
    ],
)
def test_a_password_does_not_follow_a_file_to_another_server(
    change: dict[str, Any], moved: tuple[Purpose, ...]
) -> None:
    before, _ = without_secrets(full())
    broker = change.get("broker")
    if broker is not None and before.broker is not None:
        change = {"broker": replace(before.broker, **broker)}
    assert redirected(before, replace(before, **change)) == moved


def entry(**values: object) -> dict[str, object]:
    return {"id": "a", "name": "A", "broker": {"url": "redis://h/0"}, **values}


def file_of(*entries: object) -> str:
    return json.dumps({"version": 2, "connections": entries})


def test_one_wrong_entry_does_not_spoil_the_others() -> None:
    wrong = entry(id="b", name="B", broker={"url": "redis://h:port/0"})
    plan = plan_import(file_of(entry(), wrong, 3), [LOCAL])
    assert [one.connection.id for one in plan.entries] == ["a"]
    assert len(plan.errors) == 2
    assert "Entry 2 (B), broker.url" in plan.errors[0].detail
    assert plan.errors[0].title == "An entry cannot be imported"


def test_a_password_in_it_counts_as_typed() -> None:
    [found] = plan_import(file_of(entry(broker={"url": "redis://:marker-1@h/0"})), [LOCAL]).entries
    assert found.secrets.get(Purpose.BROKER).reveal() == "marker-1"
    assert "marker-1" not in repr(found)
    assert found.connection.broker is not None
    assert not found.connection.broker.password


def test_a_file_that_would_stop_the_window_is_refused_at_once() -> None:
    many = file_of(*(entry(id=f"n{number}") for number in range(1_001)))
    for text, words in ((many, "more than 1,000"), ("[" * (4 * 1024 * 1024 + 1), "larger than 4 MB")):
        with pytest.raises(ConsoleError, match=words) as caught:
            plan_import(text, [LOCAL])
        assert caught.value.title == "The file cannot be imported"
    same = file_of(*(entry(id=f"n{number}") for number in range(1_000)))
    began_s = time.monotonic()
    assert len(plan_import(same, [LOCAL]).entries) == 1_000
    assert time.monotonic() - began_s < 2.0


def test_a_device_without_an_end_is_no_file_of_connections() -> None:
    with pytest.raises(ConsoleError, match="larger than 4 MB"):
        read_shared(Path("/dev/zero"))


@pytest.mark.parametrize("name", ["Shop\nAll is well", "Shop \u202enoitcudorp", "a\u200bb", "x" * 201, " "])
def test_a_name_that_could_mislead_is_refused_and_not_repeated(name: str) -> None:
    plan = plan_import(file_of(entry(name=name), entry(id="good", name="Läden 2 – Test")), [LOCAL])
    assert [one.connection.name for one in plan.entries] == ["Läden 2 – Test"]
    (error,) = plan.errors
    assert "name" in error.detail
    assert name.strip() == "" or name not in error.detail


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "", ".hidden", "x" * 65, "a\u0000b"])
def test_an_id_that_could_lead_out_of_our_folders_is_refused(name: str) -> None:
    plan = plan_import(file_of(entry(id=name)), [LOCAL])
    assert plan.entries == ()
    assert "id" in plan.errors[0].detail


def test_the_local_stack_is_never_imported() -> None:
    assert plan_import(file_of({"id": "local-stack", "name": "Local stack"}), [LOCAL]).entries == ()


@pytest.mark.parametrize("text", ["", "{", "[]", "redis://h/0", '{"version": 9, "connections": []}'])
def test_what_is_no_file_of_connections_is_refused(text: str) -> None:
    with pytest.raises(ConsoleError) as caught:
        plan_import(text, [LOCAL])
    assert caught.value.title == "The file cannot be imported"


def test_a_management_url_with_a_login_is_refused() -> None:
    broker = {"url": "amqp://u@h//", "management_url": "https://u:marker-2@h:15672/"}
    plan = plan_import(file_of(entry(broker=broker)), [LOCAL])
    assert "management_url" in plan.errors[0].detail
    assert "marker-2" not in str(plan.errors[0])
