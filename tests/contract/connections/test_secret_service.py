"""Passwords in a real Secret Service, started by the test session (packaging/test_session.sh)."""

from __future__ import annotations

import keyring.backend
import pytest

from console.connections.gateway import KeyringSecrets
from console.core.errors import ConsoleError
from console.core.redaction import Secret


def test_a_password_is_kept_and_forgotten() -> None:
    store = KeyringSecrets()
    assert store.get("connection-1") is None
    store.set("connection-1", Secret("pässword with spaces"))
    kept = KeyringSecrets().get("connection-1")
    assert kept is not None
    assert kept.reveal() == "pässword with spaces"
    store.remove("connection-1")
    store.remove("connection-1")
    assert store.get("connection-1") is None


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
