"""Passwords in a real Secret Service, started by the test session (packaging/test_session.sh)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keyring.backend
import pytest
import secretstorage

from console.connections.gateway import SERVICE, KeyringSecrets
from console.connections.model import Secrets
from console.core.errors import Cause, ConsoleError
from console.core.redaction import Secret
from tests.integration.connections.world import Person, make_setup, shop

SILENT_SERVICE = """
import sys, threading
from jeepney import DBusAddress, message_bus
from jeepney.io.blocking import open_dbus_connection
connection = open_dbus_connection("SESSION")
reply = connection.send_and_get_reply(message_bus.RequestName("org.freedesktop.secrets"))
print(reply.body[0], flush=True)
sys.stdin.read()
"""
"""Owns the Secret Service's name on the bus, and never answers anything."""


def test_a_password_is_kept_and_forgotten() -> None:
    store = KeyringSecrets()
    assert store.probe() == "Secret Service"
    assert store.get("connection-1") is None
    store.set("connection-1", Secret("pässword with spaces"))
    kept = KeyringSecrets().get("connection-1")
    assert kept is not None
    assert kept.reveal() == "pässword with spaces"
    store.remove("connection-1")
    store.remove("connection-1")
    assert store.get("connection-1") is None


def test_consoles_that_probe_at_once_do_not_disturb_each_other() -> None:
    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(lambda _number: KeyringSecrets().probe(), range(40)))
    assert set(names) == {"Secret Service"}
    with secretstorage.dbus_init() as bus:
        left = secretstorage.get_default_collection(bus).search_items({"service": SERVICE})
        assert [item.get_label() for item in left if "probe" in item.get_label()] == []


class Plain(keyring.backend.KeyringBackend):
    """What keyrings.alt would be: it works, and protects nothing."""

    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        return None

    def set_password(self, service: str, username: str, password: str) -> None:
        raise AssertionError("a password reached a backend that does not protect it")


def test_a_backend_that_protects_nothing_is_refused() -> None:
    before = keyring.get_keyring()
    keyring.set_keyring(Plain())  # type: ignore[no-untyped-call]
    try:
        with pytest.raises(ConsoleError) as caught:
            KeyringSecrets().set("connection-1", Secret("x"))
    finally:
        keyring.set_keyring(before)
    assert "this run only" in caught.value.remedy


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A session bus of the test's own, without a Secret Service; what the process uses meanwhile."""
    program = shutil.which("dbus-daemon")
    assert program is not None
    config = tmp_path / "bus.conf"
    config.write_text(
        "<busconfig><type>session</type><listen>unix:tmpdir=/tmp</listen>"
        '<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>'
        '<allow own="*"/></policy></busconfig>'
    )
    process = subprocess.Popen(
        [program, "--nofork", "--print-address=1", f"--config-file={config}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
    yield address
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture
def silent_service(bus: str) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-c", SILENT_SERVICE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "DBUS_SESSION_BUS_ADDRESS": bus},
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "1", "it owns the name"
    yield
    process.kill()
    process.communicate()


async def test_a_service_that_never_answers_has_the_person_asked(
    tmp_path: Path, silent_service: None
) -> None:
    setup = make_setup(tmp_path / "home", secrets=KeyringSecrets(), patience_s=0.3)
    person = Person()
    setup.service.ask_secret = person.ask
    before = threading.active_count()
    try:
        await setup.service.save(shop(1), Secrets())
        connecting = setup.service._tasks.start(setup.service.connect("shop"))
        await setup.until(lambda: bool(person.asked), within_s=3.0)
        assert person.asked[0].waiting
        await setup.service.disconnect()
        await connecting
        assert person.withdrawn == person.asked
        problem = (await setup.service.probe_keyring()).problem
        assert problem is not None
        assert problem.title == "The keyring does not answer"
        assert threading.active_count() <= before + 4, "few threads hang, whatever is asked"
    finally:
        # The threads that hang end when the service's connection does, which is the fixture's doing.
        await setup.service.aclose()


def test_a_bus_without_a_service_is_said(bus: str) -> None:
    store = KeyringSecrets()
    with pytest.raises(ConsoleError) as caught:
        store.get("connection-1")
    assert caught.value.title == "The keyring cannot be used"


@pytest.fixture
def own_service(bus: str, tmp_path: Path) -> Iterator[None]:
    """A Secret Service of the test's own, unlocked, which it may lock; nobody is there to answer a prompt."""
    (tmp_path / "run").mkdir(mode=0o700)
    process = subprocess.Popen(
        ["gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(tmp_path),
            "XDG_RUNTIME_DIR": str(tmp_path / "run"),
            "DBUS_SESSION_BUS_ADDRESS": bus,
        },
    )
    assert process.stdin is not None
    process.stdin.write(b"a password")
    process.stdin.close()
    deadline = time.monotonic() + 10
    while True:
        with secretstorage.dbus_init() as connection:
            if secretstorage.check_service_availability(connection):
                break
        assert time.monotonic() < deadline
        time.sleep(0.01)
    yield
    process.kill()
    process.wait()


def test_a_locked_keyring_whose_prompt_nobody_answers_is_said(own_service: None) -> None:
    store = KeyringSecrets()
    store.set("connection-2", Secret("marker-locked"))
    kept = store.get("connection-2")
    assert kept is not None
    assert kept.reveal() == "marker-locked"
    with secretstorage.dbus_init() as bus:
        secretstorage.get_default_collection(bus).lock()
    with pytest.raises(ConsoleError) as caught:
        store.get("connection-2")
    assert caught.value.cause is Cause.LOCKED
    assert "Unlock it" in caught.value.remedy
