"""The editor of the Connections page: every field, what is wrong where, and nothing lost on the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from console.broker.address import BrokerAddress, BrokerKind
from console.broker.database import DatabaseAddress, DatabaseKind
from console.broker.tls import TlsOptions
from console.broker.tunnel_settings import TunnelSettings
from console.connections.gateway import KeyringSecrets
from console.connections.model import Colour, Connection, ResultBackend
from console.core.connection import Environment, Mode
from console.core.errors import ConsoleError
from console.widgets.entry_fields import EntryField
from console.widgets.fields import Select
from console.widgets.tab_stops import tab_stops
from console.widgets.tabs import TabBar
from tests.gui.connections.world import PRODUCTION, STAGING, World

SPECIAL = "pä ss/w#o?r@d:%"


def saved(world: World, name: str) -> Connection:
    """The connection of this name as the file has it."""
    (found,) = [one for one in world.file.read() if one.name == name]
    return found


async def test_a_row_is_shown_and_an_edit_counted_reverted_and_saved(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path, STAGING, PRODUCTION) as world:
        world.secrets.kept["production"] = "kept-secret"
        await world.choose_row("production")
        assert world.field("Host").text() == "redis.shop.example"
        assert world.field("Broker URL").text() == "rediss://console@redis.shop.example:6380/0"
        assert world.select("Environment").current() == "Production"
        await world.until(lambda: world.field("Password").placeholderText() == "kept in the keyring")
        assert world.says("Kept in the keyring of this computer (Secret Service), never in a file")
        assert not world.button("Save").isEnabled()
        assert world.states() == {}
        world.type_into("Host", "other.example")
        world.radio("Read only").click()
        assert world.says("2 fields changed, not saved")
        assert world.states() == {"production": "Changed"}
        assert world.field("Broker URL").text() == "rediss://console@other.example:6380/0"
        world.button("Cancel").click()
        assert world.field("Host").text() == "redis.shop.example"
        assert world.states() == {}
        world.type_into("Host", "other.example")
        world.button("Save").click()
        await world.until(lambda: not world.states())
        assert saved(world, "Shop production") == replace(
            PRODUCTION,
            broker=replace(PRODUCTION.broker or BrokerAddress("", 1), host="other.example"),
            last_used=None,
        )
        assert world.secrets.kept == {"production": "kept-secret"}
        assert [entry.operation for entry in world.log.entries] == ["Edit connection"]


async def test_every_field_of_a_new_connection_comes_into_the_file(qtbot: QtBot, tmp_path: Path) -> None:
    files = {name: tmp_path / f"{name}.pem" for name in ("ca", "cert", "key", "ssh", "dbca")}
    for file in files.values():
        file.touch()
    async with World(tmp_path) as world:
        assert world.says("Only the local stack is here")
        world.page._new.click()
        await world.until(lambda: world.field("Name").hasFocus())
        world.type_into("Name", "Späti")
        world.choose("Environment", "Staging")
        for name, text in (
            ("Host", "redis.example"),
            ("Port", "7000"),
            ("Database", "3"),
            ("Global key prefix", "shop:"),
            ("User", "me"),
            ("Password", SPECIAL),
        ):
            world.type_into(name, text)
        world.box("Use TLS").click()
        world.type_into("Server name", "cert.example")
        world.radio("Resend only").click()
        world.tab("TLS")
        world.type_into("Certificate authority", str(files["ca"]))
        world.type_into("Client certificate", str(files["cert"]))
        world.type_into("Client key", str(files["key"]))
        world.box("Verify the certificate").click()
        assert world.says("whoever stands between can read and change everything")
        world.tab("Schedules")
        world.choose("Schedules database kind", "PostgreSQL")
        for name, text in (
            ("Database host", "::1"),
            ("Database port", "6000"),
            ("Database name", "shop/x"),
            ("Database user", "dbuser"),
            ("Database password", "db-secret"),
        ):
            world.type_into(name, text)
        world.box("Database use TLS").click()
        world.type_into("Database certificate authority", str(files["dbca"]))
        world.tab("More")
        world.choose("Colour", "Pink")
        world.type_into("Timeout (s)", "2.5")
        world.type_into("Extra queue names", "mail, long ones")
        world.choose("Result backend", "Redis")
        world.type_into("Results URL", "redis://u:results-secret@results:6379/1")
        world.tab("SSH tunnel")
        world.choose("Broker is reached", "Through an SSH tunnel")
        for name, text in (("SSH host", "jump"), ("SSH port", "2222"), ("SSH user", "me")):
            world.type_into(name, text)
        world.choose("SSH login", "Key file")
        world.type_into("Key file", str(files["ssh"]))
        world.type_into("Key passphrase", "open-sesame")
        world.choose("Schedules database is reached", "Same as the broker's")
        world.button("Save").click()
        await world.until(lambda: "Späti" in world.cells("name") and not world.states())
        found = saved(world, "Späti")
        tunnel = TunnelSettings("jump", 2222, "me", str(files["ssh"]))
        assert found == Connection(
            found.id,
            "Späti",
            Environment.STAGING,
            BrokerAddress(
                "redis.example",
                7000,
                database=3,
                username="me",
                key_prefix="shop:",
                timeout_s=2.5,
                tls=TlsOptions(
                    verify=False,
                    ca_file=str(files["ca"]),
                    cert_file=str(files["cert"]),
                    key_file=str(files["key"]),
                    server_name="cert.example",
                ),
            ),
            schedules=DatabaseAddress(
                DatabaseKind.POSTGRESQL,
                host="::1",
                port=6000,
                name="shop/x",
                username="dbuser",
                tls=TlsOptions(ca_file=str(files["dbca"])),
            ),
            mode=Mode.SUPPORT,
            colour=Colour.PINK,
            queues=("mail", "long ones"),
            results=ResultBackend(redis=BrokerAddress("results", 6379, database=1, username="u")),
            broker_tunnel=tunnel,
            schedules_tunnel=tunnel,
        )
        assert world.secrets.kept == {
            found.id: SPECIAL,
            f"{found.id}:schedules": "db-secret",
            f"{found.id}:results": "results-secret",
            f"{found.id}:broker-tunnel": "open-sesame",
            f"{found.id}:schedules-tunnel": "open-sesame",
        }
        text = world.home.connections_file.read_text()
        assert not [secret for secret in world.secrets.kept.values() if secret in text]


async def test_rabbitmq_sentinel_and_a_socket(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path, STAGING) as world:
        for url, kind, wanted in (
            ("amqps://ops:s3cret@mq:5671/a%2Fb", BrokerKind.RABBITMQ, {"Vhost": "a/b", "Host": "mq"}),
            (
                "sentinel://:s3cret@a:26379;sentinel://b:26380/2",
                BrokerKind.SENTINEL,
                {"Sentinels": "a:26379, b:26380", "Database": "2"},
            ),
            (
                "redis+socket:///run/redis.sock?virtual_host=1",
                BrokerKind.SOCKET,
                {"Socket path": "/run/redis.sock"},
            ),
        ):
            world.view_model.new_blank()
            await world.until(lambda: world.field("Name").hasFocus())
            world.type_into("Name", kind.value)
            QApplication.clipboard().setText(url)
            field = world.field("Broker URL")
            field.setFocus()
            field.paste()
            assert world.select("Broker kind").current() == kind.value
            for name, text in wanted.items():
                assert world.field(name).text() == text
            if kind is BrokerKind.SENTINEL:
                world.type_into("Primary's name", "mymaster")
                world.type_into("Sentinel user", "watcher")
                world.type_into("Sentinel password", "s-secret")
            world.field("Name").setFocus()
            assert "s3cret" not in world.field("Broker URL").text()
            if kind is not BrokerKind.SOCKET:
                assert world.field("Password").text() == "s3cret"
            world.button("Save").click()
            await world.until(lambda: not world.states())
            assert saved(world, kind.value).broker is not None
        QApplication.clipboard().clear()
        sentinel = saved(world, BrokerKind.SENTINEL.value)
        assert sentinel.broker is not None
        assert sentinel.broker.sentinel_username == "watcher"
        assert world.secrets.kept[f"{sentinel.id}:sentinel"] == "s-secret"
        assert "s3cret" not in world.home.connections_file.read_text()


async def test_a_url_with_a_password_loses_it_to_its_field(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path, STAGING) as world:
        await world.choose_row("staging")
        world.type_into("Broker URL", "redis://me:typed-secret@new.example:7001/5")
        assert world.field("Host").text() == "new.example"
        assert world.field("Password").text() == "typed-secret"
        QTest.keyClick(world.field("Broker URL"), Qt.Key.Key_Tab)
        await world.until(lambda: world.field("Broker URL").text() == "redis://me@new.example:7001/5")
        world.field("Broker URL").undo()
        assert "typed-secret" not in world.field("Broker URL").text()
        eye = world.button("Show password")
        eye.click()
        assert world.field("Password").echoMode() == EntryField.EchoMode.Normal
        world.button("Hide password").click()
        assert world.field("Password").echoMode() == EntryField.EchoMode.Password


@pytest.mark.parametrize(
    ("tab", "name", "text", "says"),
    [
        ("Broker", "Name", "", "A name is needed"),
        ("Broker", "Name", "Shop production", "Another connection has this name"),
        ("Broker", "Broker URL", "redis//nothing", "It starts with something else"),
        ("Broker", "Port", "0", "Port: A number from 1 to 65535"),
        ("Broker", "Port", "99999", "Port: A number from 1 to 65535"),
        ("Broker", "Certificate authority", "/nowhere.pem", "There is no such file"),
        ("TLS", "Client key", "/nowhere.pem", "There is no such file"),
        ("More", "Timeout (s)", "soon", "A number of seconds up to 120"),
        ("Schedules", "Schedules database URL", "oracle://x/y", "It must start with sqlite:///"),
    ],
)
async def test_what_is_wrong_is_said_after_the_field_is_left(
    qtbot: QtBot, tmp_path: Path, tab: str, name: str, text: str, says: str
) -> None:
    async with World(tmp_path, STAGING, PRODUCTION) as world:
        await world.choose_row("staging")
        world.tab(tab)
        field = world.field(name)
        world.type_into(name, text)
        assert not world.says(says)
        QTest.keyClick(field, Qt.Key.Key_Tab)
        await world.until(lambda: world.says(says))
        assert says.removeprefix("Port: ") in field.accessibleDescription()
        world.tab("Rights")
        world.button("Save").click()
        await world.until(field.hasFocus)
        assert saved(world, "Shop staging") == replace(STAGING, last_used=None)
        assert world.states() == {"staging": "Changed"}


async def test_a_tab_with_an_error_says_so_and_the_first_one_gets_the_keyboard(
    qtbot: QtBot, tmp_path: Path
) -> None:
    async with World(tmp_path, STAGING) as world:
        await world.choose_row("staging")
        world.tab("SSH tunnel")
        world.choose("Broker is reached", "Through an SSH tunnel")
        world.tab("More")
        world.type_into("Timeout (s)", "0")
        world.tab("Broker")
        world.button("Save").click()
        (tabs,) = world.page.findChildren(TabBar)
        named = {tabs.tabText(i): tabs.accessibleTabName(i) for i in range(tabs.count())}
        assert named["More"] == "More, needs attention"
        assert named["SSH tunnel"] == "SSH tunnel, needs attention"
        assert named["Broker"] == ""
        await world.until(lambda: world.field("Timeout (s)").hasFocus())


async def test_looking_elsewhere_loses_nothing(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path, STAGING, PRODUCTION) as world:
        await world.choose_row("staging")
        world.type_into("User", "somebody")
        await world.choose_row("production")
        assert world.field("User").text() == "console"
        assert world.states() == {"staging": "Changed"}
        world.view_model.new_blank()
        world.type_into("Name", "Half done")
        await world.choose_row("staging")
        assert world.field("User").text() == "somebody"
        assert sorted(world.states().values()) == ["Changed", "Not saved"]
        assert world.cells("name") == ["Local stack", "Shop production", "Shop staging", "Half done"]
        asked: list[tuple[str, ...]] = []

        async def ask(names: tuple[str, ...]) -> bool:
            asked.append(names)
            return False

        world.view_model.ask_unsaved = ask
        assert not await world.view_model.may_close()
        assert asked == [("Shop staging", "Half done")]
        world.button("Cancel").click()
        await world.until(lambda: list(world.states().values()) == ["Not saved"])
        new = next(iter(world.states()))
        await world.choose_row(new)
        world.button("Cancel").click()
        assert world.states() == {}
        assert await world.view_model.may_close()


async def test_what_was_typed_outlives_a_removal_elsewhere(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path, STAGING) as world:
        await world.choose_row("staging")
        world.type_into("User", "somebody")
        await world.service.remove("staging")
        await world.until(lambda: world.states() == {"staging": "Not saved"})
        assert world.field("User").text() == "somebody"
        world.button("Save").click()
        await world.until(lambda: not world.states())
        assert saved(world, "Shop staging").broker == replace(
            STAGING.broker or BrokerAddress("", 1), username="somebody"
        )


async def test_a_password_being_typed_in_a_url_is_in_no_row(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path, STAGING) as world:
        world.view_model.new_blank()
        world.type_into("Broker URL", "redis://me:mar/ker@redis.example")
        assert not [text for text in [*world.cells("broker"), *world.texts()] if "mar/ker" in text]
        world.type_into("Broker URL", "redis://me:marker@redis.example")
        assert world.cells("broker")[-1] == "redis://me@redis.example:6379/0"
        assert not [text for text in world.texts() if "marker" in text]


async def test_a_blank_new_one_is_gone_when_left(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path, STAGING) as world:
        world.view_model.new_blank()
        assert list(world.states().values()) == ["Not saved"]
        await world.choose_row("staging")
        assert world.states() == {}


async def test_a_copy_takes_the_secrets_along_when_it_is_saved(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path, STAGING) as world:
        world.secrets.kept["staging"] = "kept-secret"
        await world.choose_row("staging")
        world.button("Duplicate…").click()
        assert world.field("Name").text() == "Shop staging copy"
        await world.until(lambda: world.field("Password").placeholderText() == "kept in the keyring")
        assert list(world.secrets.kept) == ["staging"]
        world.button("Save").click()
        await world.until(lambda: not world.states())
        copy = saved(world, "Shop staging copy")
        await world.until(lambda: world.secrets.kept == {"staging": "kept-secret", copy.id: "kept-secret"})
        assert replace(copy, id="staging", name="Shop staging") == replace(STAGING, last_used=None)


async def test_a_kept_password_is_forgotten_on_purpose_only(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path, STAGING) as world:
        world.secrets.kept["staging"] = "kept-secret"
        await world.choose_row("staging")
        await world.until(lambda: world.field("Password").placeholderText() == "kept in the keyring")
        world.type_into("Password", "x")
        world.type_into("Password", "")
        assert world.states() == {}
        world.button("Forget the kept password").click()
        assert world.field("Password").placeholderText() == "none"
        world.button("Save").click()
        await world.until(lambda: not world.states())
        assert world.secrets.kept == {}


async def test_without_a_keyring_the_reason_is_said(qtbot: QtBot, tmp_path: Path) -> None:
    world = World(tmp_path, STAGING)
    world.secrets.problem = ConsoleError("The keyring cannot be used", detail="This computer has none.")
    async with world:
        await world.choose_row("staging")
        assert world.says("For this run only: This computer has none.")
        world.type_into("Password", "for-this-run")
        world.button("Save").click()
        await world.until(lambda: not world.states())
        await world.until(lambda: world.field("Password").placeholderText() == "kept for this run")
        assert world.secrets.kept == {}


async def test_a_password_goes_into_the_real_keyring(qtbot: QtBot, tmp_path: Path) -> None:
    store = KeyringSecrets()
    async with World(tmp_path, STAGING, store=store) as world:
        await world.choose_row("staging")
        world.type_into("Password", SPECIAL)
        world.button("Save").click()
        await world.until(lambda: world.field("Password").placeholderText() == "kept in the keyring")
        found = store.get("staging")
        assert found is not None
        assert found.reveal() == SPECIAL
        world.button("Forget the kept password").click()
        world.button("Save").click()
        await world.until(lambda: not world.states())
        assert store.get("staging") is None


async def test_rights_to_copy_follow_the_fields_and_hold_no_password(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path, STAGING) as world:
        await world.choose_row("staging")
        world.type_into("Password", "marker-secret")
        world.type_into("Global key prefix", "shop:")
        world.tab("Rights")
        world.button("Copy the rules of a user who reads").click()
        text = QApplication.clipboard().text()
        assert text.startswith("user console reset on ")
        assert "shop:" in text
        assert "marker-secret" not in text
        world.tab("Broker")
        world.type_into("User", "")
        world.tab("Rights")
        world.button("Copy the rules of a user who reads").click()
        assert QApplication.clipboard().text().startswith("user console-read-only reset on ")
        world.tab("Broker")
        world.choose("Broker kind", "RabbitMQ")
        world.tab("Rights")
        world.button("Copy the rules of a user who operates").click()
        assert QApplication.clipboard().text().startswith("rabbitmqctl add_user console-operate\n")
        QApplication.clipboard().clear()


async def test_everything_has_a_name_and_is_reached_in_reading_order(qtbot: QtBot, tmp_path: Path) -> None:
    async with World(tmp_path, STAGING) as world:
        await world.choose_row("staging")
        for tab in ("Broker", "TLS", "SSH tunnel", "Schedules", "More", "Rights"):
            world.tab(tab)
            for stop in tab_stops(world.page):
                assert _name(stop), stop
        world.tab("Broker")
        names = [_name(stop) for stop in tab_stops(world.page._editor)]
        assert [name for name in names if name != "Choose certificate authority…"] == [
            *("Broker", "Name", "Environment", "Broker kind", "Broker URL", "Host", "Port"),
            *("Database", "Global key prefix", "User", "Password", "Use TLS", "Certificate authority"),
            *("Server name", "Schedules database", "Change…"),
            *("Everything", "Resend only", "Read only"),
        ]


def _name(widget: QWidget) -> str:
    if isinstance(widget, Select):
        return widget.accessibleName()
    interface = QAccessible.queryAccessibleInterface(widget)
    return interface.text(QAccessible.Text.Name)
