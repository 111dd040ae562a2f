"""The secrets of `celery-console connections`: from standard input or a prompt, and from the keyring."""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

from console.app.connections_command import sentence
from console.app.connections_words import complain, say
from console.connections.gateway import KeyringSecrets
from console.connections.model import (
    Connection,
    Purpose,
    Secrets,
    keyring_entry,
    wanted_secrets,
    without_secrets,
)
from console.core.errors import Cause, ConsoleError
from console.core.redaction import Secret

KEYRING_S = 30.0
"""A keyring may show a prompt on a desktop; on a server one that hangs must not hang us."""

T = TypeVar("T")


def given_secrets(wanted: argparse.Namespace, connection: Connection) -> Secrets:
    """The secrets from standard input or the terminal."""
    if wanted.password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
        return Secrets(((Purpose.BROKER, Secret(password)),)) if password else Secrets()
    if wanted.secrets_stdin:
        return _secrets_from(sys.stdin.read(), connection)
    if not wanted.ask_passwords:
        return Secrets()
    if not sys.stdin.isatty():
        raise ConsoleError(
            "Nobody is there to be asked",
            remedy="Say --password-stdin or --secrets-stdin in a script.",
            cause=Cause.INVALID,
        )
    import getpass

    given = ((one, getpass.getpass(f"{connection.name}, {one}: ")) for one in wanted_secrets(connection))
    return Secrets(tuple((purpose, Secret(text)) for purpose, text in given if text))


def _secrets_from(text: str, connection: Connection) -> Secrets:
    try:
        stored = json.loads(text)
    except (ValueError, RecursionError):
        stored = None
    if not isinstance(stored, dict) or not all(isinstance(value, str) for value in stored.values()):
        # Nothing of it is repeated: it holds secrets.
        raise ConsoleError(
            "Standard input is not a JSON object of secrets",
            remedy='It looks like {"broker": "...", "schedules": "..."}.',
            cause=Cause.INVALID,
        )
    known = {str(purpose): purpose for purpose in wanted_secrets(connection)}
    if not stored.keys() <= known.keys():
        raise ConsoleError(
            "A secret is for nothing that this connection has",
            detail=f"It may have: {', '.join(known) or 'none'}.",
            cause=Cause.INVALID,
        )
    return Secrets(tuple((known[name], Secret(value)) for name, value in stored.items() if value))


def all_secrets(connection: Connection, typed: Secrets) -> tuple[Secrets, ConsoleError | None]:
    """The typed ones, those written into the file by hand, and for the rest what the keyring holds."""
    _clean, by_hand = without_secrets(connection)
    secrets = Secrets((*by_hand.values, *typed.values))
    store = KeyringSecrets()
    for purpose in wanted_secrets(connection):
        if purpose in dict(secrets.values):
            continue
        entry = keyring_entry(connection.id, purpose)
        try:
            found = in_time(store.get, entry)
        except ConsoleError as error:
            # Where every secret that could matter is given, a server needs no keyring.
            return secrets, None if secrets.values else without_keyring(error)
        if found:
            secrets = secrets.with_secret(purpose, found)
    return secrets, None


def forget(connection: Connection, purposes: Iterable[Purpose]) -> None:
    """Passwords that would now go to another server must be given anew."""
    store = KeyringSecrets()
    gone: list[str] = []
    try:
        for purpose in purposes:
            entry = keyring_entry(connection.id, purpose)
            if in_time(store.get, entry):
                in_time(store.remove, entry)
                gone.append(purpose)
    except ConsoleError as error:
        complain(f"The old secrets of {connection.name} may still be in the keyring. {sentence(error)}")
    if gone:
        say(f"{connection.name}: forgotten, as it would go to another server now: {', '.join(gone)}.")


def keep(connection: Connection, secrets: Secrets) -> None:
    store = KeyringSecrets()
    for purpose, secret in secrets.values:
        entry = keyring_entry(connection.id, purpose)
        in_time(store.set, entry, secret)


def in_time(call: Callable[..., T], *arguments: object) -> T:
    """`call`, given up after a while: its thread is left to a keyring that hangs."""
    answers: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            answers.append(call(*arguments))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, name="keyring", daemon=True)
    thread.start()
    thread.join(KEYRING_S)
    if errors and isinstance(errors[0], ConsoleError):
        raise without_keyring(errors[0])
    if errors:
        raise errors[0]
    if not answers:
        raise without_keyring(
            ConsoleError(
                "The keyring does not answer", detail="It may wait at a prompt.", cause=Cause.TIMEOUT
            )
        )
    return answers[0]


def without_keyring(error: ConsoleError) -> ConsoleError:
    """The same with what helps at a terminal, where nothing is kept for a run."""
    return ConsoleError(
        error.title,
        detail=error.detail,
        remedy="On a server, start a Secret Service (gnome-keyring) in this session and unlock it, or leave"
        " passwords out: the window asks for them, and test takes them by --ask-passwords.",
        cause=error.cause,
    )
