"""Connections as a person makes and uses them, through the accessibility tree of the real window only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from tests.certificates import Certificates
from tests.e2e.atspi import Bus, Node, wait_until
from tests.e2e.test_real_window import bus, close, console, go_to, rows_of, wait_for_row
from tests.valkey import ServerTls, ValkeyServer, valkey_server

__all__ = ["bus"]

ODD_PASSWORD = "p@ss:w/ö %#?[]&=+'\"\\日本"
TABLE = "Connections"


@contextmanager
def window_on(tmp_path: Path, bus: Bus) -> Iterator[Node]:
    """The window on an empty home, at its Connections page; it ends well, without a crash report."""
    home = tmp_path / "home"
    with console(home) as process:
        window = bus.application(process.pid)
        window.find("Pages", "list", within_s=20)
        go_to(window, "Connections")
        window.find("New…", "push button", within_s=20)
        yield window
        close(process)
    assert not list(home.glob("logs/crash-*"))


def fill(window: Node, **fields: str) -> None:
    """A new connection; `Broker_URL` is the field Broker URL."""
    window.find("New…", "push button").press()
    wait_for_row(window, TABLE, "New connection, Not saved", 5)
    for name, text in fields.items():
        window.find(name.replace("_", " "), "text").set_text(text)


def save(window: Node, name: str) -> None:
    window.find("Save", "push button").press()
    wait_for_row(window, TABLE, name, 5)


def connect(window: Node, name: str) -> None:
    """By the chooser in the bar."""
    window.find("Connection", "push button").press()
    window.find("Connections to choose", "list").find(name, "list item").press()
    window.find(f"{name} - Celery Console", "frame", within_s=10)
    window.find("Connected", within_s=10)


def select(window: Node, name: str) -> None:
    """A row of the table."""
    table = window.find(TABLE, "table")
    next(cell for cell in table.children() if cell.name == name).press()


def step(window: Node, words: str, within_s: float = 10) -> None:
    """Wait for a step of the test, told by its title, its state and what it says."""

    def there() -> bool:
        return any(words in one.name for one in window.find("Steps of the test").walk(showing=True))

    window.find("Steps of the test", within_s=within_s)
    wait_until(there, within_s, f"the step {words!r}")


def test_by_fields_tested_saved_used_copied_renamed_and_deleted(tmp_path: Path, bus: Bus) -> None:
    with valkey_server(tmp_path / "valkey") as server, window_on(tmp_path, bus) as window:
        fill(window, Name="Shop", Host="127.0.0.1", Port=str(server.port), Password=server.password)
        environment = window.find("Environment", "combo box")
        assert environment.description == "Production"
        environment.choose("Staging")
        wait_for_row(window, TABLE, "Staging", 5)
        window.find("Read only", "radio button").press()
        wait_until(lambda: window.find("Read only", "radio button").checked, 5, "the choice")
        window.find("Test", "push button").press()
        step(window, "Login Passed typed password")
        step(window, "Workers Warning none answered")
        save(window, "Shop")
        connect(window, "Shop")
        assert window.find("Read only", "label")
        go_to(window, "Connections")
        window.find("Duplicate…", "push button").press()
        wait_for_row(window, TABLE, "Shop copy, Not saved", 5)
        save(window, "Shop copy")
        connect(window, "Shop copy")  # the password was copied: nothing is asked
        window.find("Name", "text").set_text("Shop of Zoë")
        save(window, "Shop of Zoë")
        window.find("Disconnect", "push button").press()
        window.find("Disconnected", within_s=5)
        connect(window, "Shop of Zoë")
        window.find("Delete…", "push button").press()
        window.find("Delete Shop of Zoë?", "dialog").find("Delete", "push button").press()
        wait_until(lambda: "Shop of Zoë" not in rows_of(window, TABLE), 5, "the deletion")


def test_a_pasted_url_and_a_production_connection_deleted_by_its_name(tmp_path: Path, bus: Bus) -> None:
    with valkey_server(tmp_path / "valkey") as server, window_on(tmp_path, bus) as window:
        server.set_user("ops", "reset", "on", f">{ODD_PASSWORD}", "~*", "&*", "+@all")
        url = f"redis://ops:{quote(ODD_PASSWORD, safe='')}@127.0.0.1:{server.port}/1"
        fill(window, Name="Läden 日本", Broker_URL=url)
        wait_until(lambda: window.find("User", "text").text == "ops", 5, "the fields of the URL")
        assert window.find("Database", "text").text == "1"
        assert "@ss" not in window.find("Broker URL", "text").text
        window.find("Test", "push button").press()
        step(window, "Login Passed as ops, typed password")
        save(window, "Läden 日本")
        connect(window, "Läden 日本")
        window.find("Delete…", "push button").press()
        dialog = window.find("Delete Läden 日本?", "dialog")
        assert not dialog.find("Delete", "push button").enabled
        dialog.find("Type Läden 日本 to go on", "text").set_text("Läden 日本")
        wait_until(lambda: dialog.find("Delete", "push button").enabled, 5, "the button")
        dialog.find("Delete", "push button").press()
        window.find("Disconnected", within_s=5)


def test_what_is_wrong_with_tls_is_told_and_mended(
    tmp_path: Path, bus: Bus, certificates: Certificates
) -> None:
    tls = ServerTls(certificates.issue("server"))
    with valkey_server(tmp_path / "valkey", tls=tls) as server, window_on(tmp_path, bus) as window:
        fill(window, Name="Sealed", Host="127.0.0.1", Password=server.password)
        window.find("Use TLS", "check box").press()
        wait_until(lambda: window.find("Use TLS", "check box").checked, 5, "TLS")
        authority = window.find("Certificate authority", "text")
        wait_until(lambda: authority.enabled, 5, "the field")
        window.find("Port", "text").set_text("66000")
        window.find("Port: A number from 1 to 65535", "label")
        window.find("Port", "text").set_text(str(server.port))
        for file, said in (
            (
                certificates.other_ca_file,
                "TLS Failed The server's certificate comes from an unknown authority",
            ),
            (certificates.ca_file, "Login Passed"),
        ):
            authority.set_text(str(file))
            window.find("Test", "push button").press()
            step(window, said)
        window.find("Server name", "text").set_text("redis.shop.example")
        window.find("Test", "push button").press()
        step(window, "TLS Failed The server's certificate is for another name")


def test_a_support_person_reaches_recipes_and_tasks_only(tmp_path: Path, bus: Bus) -> None:
    with valkey_server(tmp_path / "valkey") as server, window_on(tmp_path, bus) as window:
        fill(window, Name="Shop", Host="127.0.0.1", Port=str(server.port), Password=server.password)
        window.find("Resend only", "radio button").press()
        save(window, "Shop")
        connect(window, "Shop")
        pages = window.find("Pages", "list").children()
        assert [one.name for one in pages if one.showing] == ["Tasks", "Resend", "Activity"]
        next(one for one in pages if one.name == "Queues").press()
        go_to(window, "Tasks")
        send = window.find("Send task…", "push button")
        assert not send.enabled
        assert send.description == "Shop is for resending by recipe only"


def test_a_broker_that_dies_counts_down_and_comes_back(tmp_path: Path, bus: Bus) -> None:
    with valkey_server(tmp_path / "valkey") as server, window_on(tmp_path, bus) as window:
        _saved(window, server)
        connect(window, "Shop")
        server.kill()
        window.find("Reconnecting…", within_s=10)
        window.find("again in 2 s", within_s=15)
        server.start()
        window.find("Try now", "push button").press()
        window.find("Connected", within_s=10)


def test_an_exported_connection_comes_back_and_its_password_is_asked_for(tmp_path: Path, bus: Bus) -> None:
    file = tmp_path / "exported.json"
    with valkey_server(tmp_path / "valkey") as server, window_on(tmp_path, bus) as window:
        _saved(window, server)
        window.find("Export…", "push button").press()
        window.find("Connections to export", "table")
        window.find("Export connections", "dialog").find("Export…", "push button").press()
        window.find("File name:", "text").set_text(str(file))
        chooser = next(one for one in window.children() if one.role == "dialog")
        chooser.find("Save", "push button").press()
        wait_until(file.exists, 5, "the file")
        assert server.password not in file.read_text()
        window.find("Delete…", "push button").press()
        delete = window.find("Delete Shop?", "dialog")
        delete.find("Type Shop to go on", "text").set_text("Shop")
        wait_until(lambda: delete.find("Delete", "push button").enabled, 5, "the button")
        delete.find("Delete", "push button").press()
        wait_until(lambda: "Shop" not in rows_of(window, TABLE), 5, "the deletion")
        window.find("Import…", "push button").press()
        dialog = window.find("Import connections", "dialog")
        dialog.find("File of connections", "text").set_text(str(file))
        dialog.find("Connections to import", "table")
        dialog.find("Import", "push button").press()
        wait_for_row(window, TABLE, "Shop", 5)
        window.find("Connection", "push button").press()
        window.find("Connections to choose", "list").find("Shop", "list item").press()
        question = window.find("Password for Shop", "dialog", within_s=10)
        question.find("Password", "text").set_text(server.password)
        question.find("Connect", "push button").press()
        window.find("Connected", within_s=10)


def _saved(window: Node, server: ValkeyServer) -> None:
    fill(window, Name="Shop", Host="127.0.0.1", Port=str(server.port), Password=server.password)
    save(window, "Shop")
