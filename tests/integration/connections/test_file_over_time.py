"""The connections file over time: several consoles, broken files, passwords that somebody wrote into it."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from console.broker.url import parse_broker_url
from console.connections.gateway import ConnectionsFile
from console.connections.model import Connection, Secrets
from console.core.connection import Environment, Mode
from console.core.errors import Cause, ConsoleError
from tests.integration.connections.world import Keyring, Setup, broker_secret, make_setup, shop
from tests.valkey import ValkeyServer

ADD = """
import sys
from pathlib import Path
from console.broker.url import parse_broker_url
from console.connections.gateway import ConnectionsFile
from console.connections.model import Connection
from console.core.connection import Environment
file = ConnectionsFile(Path(sys.argv[1]), lock_timeout_s=30)
for number in range(20):
    one = Connection(f"{sys.argv[2]}{number}", f"{sys.argv[2]} {number}", Environment.STAGING,
                     parse_broker_url("redis://h/0"))
    file.update(lambda found: [*found, one])
"""


def unreadable(setup: Setup) -> ConsoleError | None:
    return setup.service.unreadable


def named(name: str) -> Connection:
    return Connection(name, name.title(), Environment.STAGING, parse_broker_url("redis://redis.example/0"))


def names(setup: Setup) -> list[str]:
    return [one.name for one in setup.service.connections]


def test_two_processes_write_one_file_and_nothing_is_lost(tmp_path: Path) -> None:
    file = tmp_path / "connections.json"
    writers = [subprocess.Popen([sys.executable, "-c", ADD, str(file), who]) for who in ("a", "b")]
    assert [one.wait(60) for one in writers] == [0, 0]
    assert len(ConnectionsFile(file).read()) == 40
    for path in (file, tmp_path / "connections.last-good.json", tmp_path / "connections.lock"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "connections.json", "connections.last-good.json", "connections.lock",
    ]  # fmt: skip


def test_a_lock_that_is_never_given_back_is_said(tmp_path: Path) -> None:
    file = ConnectionsFile(tmp_path / "connections.json", lock_timeout_s=0.05)
    with (tmp_path / "connections.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ConsoleError) as caught:
            file.update(lambda found: found)
    assert caught.value.cause is Cause.LOCKED
    file.update(lambda found: found)


async def test_what_another_console_adds_is_seen_and_the_open_session_stays(
    setup: Setup, broker: ValkeyServer
) -> None:
    await setup.service.load()
    await setup.service.save(shop(broker), broker_secret(broker.password))
    await setup.service.connect("shop")
    await setup.connected()
    session = setup.session
    other = ConnectionsFile(setup.home.connections_file)
    other.update(lambda found: [replace(found[0], mode=Mode.READ_ONLY), named("other")])
    await setup.until(lambda: "Other" in names(setup))
    assert setup.service.session is session
    assert session.info.mode is Mode.READ_ONLY, "what may be done follows at once"
    other.update(lambda found: found[1:])
    await setup.until(lambda: len(setup.service._store.connections) == 2)
    assert names(setup) == ["Local stack", "Other", "Shop"], "what is open stays until it is closed"
    assert setup.service.chosen.id == "shop"
    await setup.service.disconnect()
    assert names(setup) == ["Local stack", "Other"]


def make_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


BROKEN: dict[str, Callable[[Path], object]] = {
    "cut short": lambda file: file.write_text(file.read_text()[:-30]),
    "empty": lambda file: file.write_text(""),
    "newer": lambda file: file.write_text('{"version": 99, "connections": []}'),
    "by hand": lambda file: file.write_text(file.read_text().replace('"Staging"', '"Stagin"')),
    "not UTF-8": lambda file: file.write_bytes(b"\xff\xfe\x00"),
    "a folder": make_folder,
}


@pytest.mark.parametrize("how", BROKEN)
async def test_a_broken_file_shows_the_last_good_list_and_is_left_alone(tmp_path: Path, how: str) -> None:
    first = make_setup(tmp_path)
    await first.service.load()
    await first.service.save(named("shop"), Secrets())
    await first.service.aclose()
    file = first.home.connections_file
    BROKEN[how](file)
    broken = file.read_bytes() if file.is_file() else None
    setup = make_setup(tmp_path)
    try:
        await setup.service.load()
        error = unreadable(setup)
        assert error is not None
        if how == "by hand":
            assert "Entry 1 (Shop), environment" in error.detail
        assert names(setup) == ["Local stack", "Shop"]
        with pytest.raises(ConsoleError):
            await setup.service.save(named("new"), Secrets())
        assert (file.read_bytes() if file.is_file() else None) == broken
        await setup.service.use_last_good()
        assert unreadable(setup) is None
        [aside] = tmp_path.glob("connections.broken-*Z.json")
        assert (aside.read_bytes() if aside.is_file() else None) == broken
        await setup.service.save(named("new"), Secrets())
        assert [one.id for one in ConnectionsFile(file).read()] == ["shop", "new"]
    finally:
        await setup.service.aclose()


async def test_a_file_that_breaks_under_way_and_is_mended(tmp_path: Path) -> None:
    setup = make_setup(tmp_path)
    try:
        await setup.service.load()
        await setup.service.save(named("shop"), Secrets())
        good = setup.home.connections_file.read_text()
        setup.home.connections_file.write_text(good[:-20])
        await setup.until(lambda: setup.service.unreadable is not None)
        assert names(setup) == ["Local stack", "Shop"]
        setup.home.connections_file.write_text(good)
        await setup.until(lambda: setup.service.unreadable is None)
        assert not [one for one in setup.notices.notices if one.key == "connections-file"]
    finally:
        await setup.service.aclose()


def by_hand(password: str) -> str:
    entry = {"id": "shop", "name": "Shop", "broker_url": f"redis://:{password}@127.0.0.1:1/0"}
    return json.dumps({"version": 1, "connections": [entry]})


async def test_a_password_that_the_keyring_does_not_take_stays_where_it_was_written(tmp_path: Path) -> None:
    keyring = Keyring(refuses=ConsoleError("The keyring cannot be used"))
    setup = make_setup(tmp_path, keyring)
    file = setup.home.connections_file
    file.write_text(by_hand("marker-7"))
    try:
        await setup.service.load()
        assert setup.notice("Passwords stand in the connections file")
        assert file.read_text() == by_hand("marker-7")
        shop = setup.service.by_id("shop")
        assert "marker-7" not in repr(shop)
        assert shop.broker is not None
        assert not shop.broker.password
        known = await setup.service.secrets_for(shop, Secrets())
        assert [secret.reveal() for _purpose, secret in known.values] == ["marker-7"]
        await setup.service.save(named("new"), Secrets())
        assert "marker-7" in file.read_text(), "it would be lost otherwise"
        assert "marker-7" not in (tmp_path / "connections.last-good.json").read_text()
        assert "marker-7" not in setup.service.export_text(["shop", "new"])
    finally:
        await setup.service.aclose()


async def test_connecting_notes_the_time_apart_from_the_settings(setup: Setup, broker: ValkeyServer) -> None:
    await setup.service.save(shop(broker), broker_secret(broker.password))
    before = os.stat(setup.home.connections_file)
    await setup.service.connect("shop")
    await setup.until(setup.home.last_used_file.exists)
    assert os.stat(setup.home.connections_file) == before
    again = make_setup(setup.home.root)
    try:
        await again.service.load()
        assert again.service.by_id("shop").last_used is not None
    finally:
        await again.service.aclose()


async def test_a_kept_password_is_not_sent_where_an_imported_file_says(
    setup: Setup, keyring: Keyring, broker: ValkeyServer
) -> None:
    await setup.service.save(shop(broker), broker_secret("kept-for-the-broker"))
    text = setup.service.export_text(["shop"]).replace("127.0.0.1", "127.0.0.2")
    await setup.service.import_connections(setup.service.plan_import(text))
    assert keyring.kept == {}
    known = await setup.service.secrets_for(setup.service.by_id("shop"), Secrets())
    assert not any(secret for _, secret in known.values)


async def test_an_import_is_one_change_and_its_passwords_go_to_the_keyring(
    setup: Setup, keyring: Keyring, broker: ValkeyServer
) -> None:
    await setup.service.save(named("shop"), Secrets())
    text = setup.service.export_text(["shop"]).replace("Shop", "Shop of theirs")
    text = text.replace("redis://redis.example:6379", f"redis://:{broker.password}@127.0.0.1:{broker.port}")
    plan = setup.service.plan_import(text)
    assert names(setup) == ["Local stack", "Shop"], "a plan does nothing"
    await setup.service.import_connections(plan)
    assert names(setup) == ["Local stack", "Shop of theirs"]
    assert keyring.kept == {"shop": broker.password}
    assert broker.password not in setup.home.connections_file.read_text()
    await setup.service.connect("shop")
    await setup.connected()
