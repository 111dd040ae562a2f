"""What is typed into the editor: URL and fields in step, errors at their fields, nothing lost on the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.broker.address import BrokerAddress, BrokerKind
from console.broker.database import DatabaseAddress, DatabaseKind
from console.broker.tls import TlsOptions
from console.broker.tunnel_settings import TunnelSettings
from console.broker.url import parse_broker_url
from console.connections.draft import changed_fields, draft_of, left, typed
from console.connections.draft_check import TABS, check_draft, tab_of
from console.connections.draft_fields import Draft, SchedulesChoice, TunnelChoice, Typed
from console.connections.model import (
    Colour,
    Connection,
    Purpose,
    ResultBackend,
    Secrets,
    without_secrets,
)
from console.core.connection import Environment, Mode
from console.core.redaction import Secret

BLANK = Connection("new", "", Environment.PRODUCTION, None)
SPECIAL = "pä ss/w#o?r@d:%€'\"\\漢"

hosts = st.from_regex(r"[a-z][a-z0-9\-]{0,10}[a-z0-9](\.[a-z]{2,5})?", fullmatch=True) | st.sampled_from(
    ["127.0.0.1", "::1", "2001:db8::7"]
)
words = st.text(st.characters(min_codepoint=33, max_codepoint=0x4FF), max_size=12)
ports = st.integers(1, 65_535)
passwords = words.map(Secret)
users = words.filter(lambda text: text == text.strip())


@st.composite
def brokers(draw: st.DrawFn) -> BrokerAddress:
    kind = draw(st.sampled_from(list(BrokerKind)))
    common = BrokerAddress(
        host=draw(hosts),
        port=draw(ports),
        kind=kind,
        username=draw(users),
        password=draw(passwords),
        tls=draw(st.sampled_from([None, TlsOptions(), TlsOptions(verify=False, server_name="other")])),
        timeout_s=draw(st.sampled_from([0.5, 5.0, 30.0])),
    )
    database = draw(st.integers(0, 15))
    match kind:
        case BrokerKind.SOCKET:
            path = "/" + draw(st.text("abc _-.ö/", min_size=1, max_size=10)).strip(" /") + "x"
            return replace(common, host="", port=0, tls=None, socket_path=path, database=database)
        case BrokerKind.SENTINEL:
            others = draw(st.lists(st.tuples(hosts, ports), max_size=2))
            sentinels = ((common.host, common.port), *others)
            return replace(common, sentinels=sentinels, master_name="mymaster", database=database)
        case BrokerKind.RABBITMQ:
            return replace(common, vhost=draw(words.filter(bool)), management_url="http://mq:15672")
        case BrokerKind.REDIS:
            return replace(common, database=database, key_prefix="shop:")


def made(draft: Draft, base: Connection = BLANK) -> Connection:
    checked = check_draft(draft, base, ())
    assert checked.connection is not None, checked.errors
    return checked.connection


@given(brokers())
def test_a_connection_comes_through_the_editor_as_it_was(broker: BrokerAddress) -> None:
    before = Connection(
        "id",
        "Shop",
        Environment.STAGING,
        broker,
        mode=Mode.READ_ONLY,
        colour=Colour.TEAL,
        queues=("a b", "c"),
    )
    clean, secrets = without_secrets(before)
    draft = draft_of(before)
    checked = check_draft(draft, clean, ())
    assert checked.connection == clean, checked.errors
    assert checked.secrets == secrets
    assert draft.broker_url == broker.url
    assert changed_fields(draft_of(clean), draft_of(clean)) == ()


@given(brokers())
def test_a_url_fills_the_fields_and_the_fields_write_the_url(broker: BrokerAddress) -> None:
    draft = left(typed(Draft(name="x"), "broker_url", broker.reveal_url()), "broker_url")
    assert draft.broker_url == broker.url
    assert draft.kind is broker.kind
    assert (draft.password or Typed("")).reveal() == broker.password.reveal()
    assert draft.username == broker.username
    by_fields = Draft(name="x")
    for name in ("kind", "host", "database", "vhost", "username", "socket_path", "sentinels", "tls", "port"):
        by_fields = typed(by_fields, name, getattr(draft, name))
    assert by_fields.broker_url == broker.url
    if broker.kind is not BrokerKind.SENTINEL:
        assert parse_broker_url(by_fields.broker_url).url == broker.url


@given(st.text(max_size=30))
def test_whatever_is_typed_is_kept_and_said_at_a_field(text: str) -> None:
    draft = draft_of(Connection("id", "Shop", Environment.STAGING, BrokerAddress("h", 1)))
    for name in (
        "broker_url",
        "host",
        "port",
        "database",
        "sentinels",
        "timeout_s",
        "schedules_url",
        "vhost",
    ):
        after = left(typed(draft, name, text), name)
        checked = check_draft(after, BLANK, ())
        assert (checked.connection is None) == bool(checked.errors)
        assert all(tab_of(one) in TABS for one in checked.errors)


def test_every_other_part_comes_through(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("ca", "cert", "key", "ssh", "db.sqlite3")}
    for file in files.values():
        file.touch()
    tls = TlsOptions(ca_file=str(files["ca"]), cert_file=str(files["cert"]), key_file=str(files["key"]))
    tunnel = TunnelSettings("jump", 2222, "me", str(files["ssh"]))
    results = BrokerAddress("r", 6379, tls=tls, key_prefix="x", timeout_s=2.0)
    before = Connection(
        "id",
        "Shop",
        Environment.STAGING,
        BrokerAddress("h", 6379, tls=tls),
        schedules=DatabaseAddress(
            DatabaseKind.MYSQL, host="db", port=3307, name="shop ß", username="u", tls=tls
        ),
        results=ResultBackend(redis=results),
        broker_tunnel=tunnel,
        results_tunnel=tunnel,
        schedules_tunnel=TunnelSettings("other", 22, "", ""),
    )
    draft = draft_of(before)
    assert draft.results_tunnel is TunnelChoice.SAME
    assert made(draft, before) == before
    sqlite = replace(
        before,
        schedules=DatabaseAddress(DatabaseKind.SQLITE, path=str(files["db.sqlite3"])),
        results=ResultBackend(django=True),
        schedules_tunnel=None,
        results_tunnel=None,
    )
    assert made(draft_of(sqlite), sqlite) == sqlite


@pytest.mark.parametrize(
    ("name", "value", "at", "words"),
    [
        ("name", " ", "name", "A name is needed"),
        ("name", "Taken", "name", "Another connection has this name"),
        ("host", "", "host", "A host is needed"),
        ("host", "a b", "host", "This is no host name"),
        ("port", "0", "port", "A number from 1 to 65535"),
        ("port", "99999", "port", "A number from 1 to 65535"),
        ("port", "63a", "port", "A number from 1 to 65535"),
        ("port", "²", "port", "A number from 1 to 65535"),
        ("database", "x", "database", "A number such as 0"),
        ("broker_url", "http://x", "broker_url", "It starts with http://; redis://"),
        ("broker_url", "redis://u:p/w@h", "broker_url", "type it into its field"),
        ("broker_url", "redis://h:0/0", "broker_url", "The port must be a number from 1 to 65535"),
        ("broker_url", "redis://h:99999/0", "broker_url", "The port must be a number from 1 to 65535"),
        ("timeout_s", "0", "timeout_s", "A number of seconds up to 120"),
        ("ca_file", "/nowhere/ca.pem", "ca_file", "There is no such file"),
        ("name", "Shop \u202egnigats", "name", "cannot be seen"),
        ("name", "x" * 201, "name", "At most 200 characters"),
        ("ca_file", "ca.pem", "ca_file", "The whole path of the file is needed"),
        ("schedules_url", "oracle://x", "schedules_url", "It must start with sqlite:///"),
        ("schedules_url", "sqlite:////nowhere/db", "schedules_path", "There is no such file"),
        ("schedules_url", "postgresql://u@h", "schedules_url", "The name of the database"),
        ("broker_tunnel", TunnelChoice.OWN, "broker_tunnel_host", "A host is needed"),
        ("results_tunnel", TunnelChoice.SAME, "results_tunnel", "The broker has no tunnel"),
        ("results", "Django database", "results", "name that first"),
        ("kind", BrokerKind.SENTINEL, "sentinels", "At least one host:port is needed"),
        ("kind", BrokerKind.SOCKET, "socket_path", "must begin with a slash"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(name: str, value: str, at: str, words: str) -> None:
    draft = draft_of(
        Connection("id", "Shop", Environment.STAGING, BrokerAddress("h", 6379, tls=TlsOptions()))
    )
    missing = {"/nowhere/ca.pem", "/nowhere/db"}
    checked = check_draft(left(typed(draft, name, value), name), BLANK, {"Taken"}, missing=missing)
    assert checked.connection is None
    assert words in checked.errors[at]


def test_a_password_with_every_character_from_a_url_and_from_its_field() -> None:
    address = BrokerAddress("h", 6379, username="ü@r", password=Secret(SPECIAL))
    draft = left(typed(Draft(name="x"), "broker_url", address.reveal_url()), "broker_url")
    assert draft.password == Typed(SPECIAL)
    assert draft.broker_url == "redis://%C3%BC%40r@h:6379/0"
    assert check_draft(draft, BLANK, ()).secrets.get(Purpose.BROKER).reveal() == SPECIAL
    field = typed(typed(Draft(name="x"), "host", "h"), "password", Typed(SPECIAL))
    assert check_draft(field, BLANK, ()).secrets.get(Purpose.BROKER).reveal() == SPECIAL


def test_no_repr_holds_what_was_typed_as_a_secret() -> None:
    draft = typed(Draft(), "broker_url", "redis://u:marker@h")
    draft = typed(draft, "schedules_url", "mysql://u:marker@h/n")
    assert "marker" not in repr(draft)


def test_a_secret_left_alone_is_absent_and_a_forgotten_one_is_empty() -> None:
    draft = typed(Draft(name="x"), "host", "h")
    assert check_draft(draft, BLANK, ()).secrets == Secrets()
    forgotten = check_draft(typed(draft, "password", Typed("")), BLANK, ()).secrets
    assert forgotten == Secrets(((Purpose.BROKER, Secret("")),))


def test_the_port_follows_kind_and_tls_while_it_is_the_usual_one() -> None:
    draft = typed(Draft(), "kind", BrokerKind.RABBITMQ)
    assert draft.port == "5672"
    draft = typed(draft, "tls", True)
    assert draft.port == "5671"
    draft = typed(typed(draft, "port", "7000"), "kind", BrokerKind.REDIS)
    assert draft.port == "7000"
    draft = typed(draft, "schedules", SchedulesChoice.MYSQL)
    assert draft.schedules_port == "3306"
    assert typed(draft, "schedules", SchedulesChoice.POSTGRESQL).schedules_port == "5432"


def test_a_url_keeps_what_no_url_tells() -> None:
    tls = TlsOptions(verify=False, server_name="other")
    address = BrokerAddress("h", 6379, tls=tls, key_prefix="p", timeout_s=9.0)
    draft = draft_of(Connection("id", "Shop", Environment.STAGING, address))
    draft = left(typed(draft, "broker_url", "rediss://new:7000/2"), "broker_url")
    broker = made(draft).broker
    assert broker == replace(address, host="new", port=7000, database=2)


def test_changes_are_counted_by_field_a_url_not_twice() -> None:
    draft = draft_of(Connection("id", "Shop", Environment.STAGING, BrokerAddress("h", 6379)))
    after = typed(typed(draft, "host", "other"), "mode", Mode.READ_ONLY)
    assert changed_fields(draft, after) == ("mode", "host")
    assert changed_fields(draft, typed(draft, "broker_url", "redis//")) == ("broker_url",)
    assert changed_fields(draft, typed(after, "host", "h")) == ("mode",)


def test_a_shared_tunnel_s_passphrase_is_that_of_the_broker_s(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.touch()
    draft = typed(Draft(name="x"), "host", "h")
    for name, value in (
        ("broker_tunnel", TunnelChoice.OWN),
        ("broker_tunnel_host", "jump"),
        ("broker_tunnel_login", "Key file"),
        ("broker_tunnel_key_file", str(key)),
        ("schedules_tunnel", TunnelChoice.SAME),
        ("broker_tunnel_passphrase", Typed("open")),
    ):
        draft = typed(draft, name, value)
    checked = check_draft(draft, BLANK, ())
    assert checked.connection is not None
    assert checked.connection.schedules_tunnel == TunnelSettings("jump", 22, "", str(key))
    assert checked.secrets.get(Purpose.SCHEDULES_TUNNEL) == Secret("open")
