"""The outside of connections: the file with their settings, the keyring with their passwords."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from console.connections.file_format import dump_connections, load_connections
from console.connections.model import Connection
from console.core.errors import Cause, ConsoleError
from console.core.home import write_atomically
from console.core.redaction import Secret

SERVICE = "celery-console"
_PROBE = "probe"
# Modules of keyring whose storage the operating system protects. keyrings.alt keeps plain text.
_ACCEPTED = (
    "keyring.backends.SecretService",
    "keyring.backends.kwallet",
    "keyring.backends.macOS",
    "keyring.backends.Windows",
)


class ConnectionsFile:
    """Reads and replaces the file as a whole. Blocking. Raises `ConsoleError`."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self) -> list[Connection]:
        try:
            text = self._file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise ConsoleError(
                "The connections file cannot be read",
                detail=f"{self._file}: {error}.",
                cause=Cause.NOT_PERMITTED,
            ) from error
        return load_connections(text)

    def write(self, connections: list[Connection]) -> None:
        try:
            write_atomically(self._file, dump_connections(connections))
        except OSError as error:
            raise ConsoleError(
                "The connections could not be saved",
                detail=f"{self._file}: {error.strerror or error}.",
                remedy="Check the space and the rights of the home folder.",
                cause=Cause.NO_SPACE,
            ) from error


class SecretStore(Protocol):
    """Where passwords live. All calls block and may take long: an unlock prompt may appear."""

    def get(self, connection_id: str) -> Secret | None: ...

    def set(self, connection_id: str, secret: Secret) -> None: ...

    def remove(self, connection_id: str) -> None: ...


class KeyringSecrets:
    """The operating system's keyring: only backends that protect what they keep, proved by a probe.

    Every method raises `ConsoleError` when there is none or it refuses.
    """

    def __init__(self) -> None:
        self._proved = False

    def get(self, connection_id: str) -> Secret | None:
        value = self._call("get_password", connection_id)
        return Secret(str(value)) if value else None

    def set(self, connection_id: str, secret: Secret) -> None:
        self._call("set_password", connection_id, secret.reveal())

    def remove(self, connection_id: str) -> None:
        if self._call("get_password", connection_id) is not None:
            self._call("delete_password", connection_id)

    def _call(self, method: str, *arguments: str) -> object:
        import keyring
        from keyring.errors import KeyringError

        backend = keyring.get_keyring()
        parts = getattr(backend, "backends", [backend])  # a chainer holds several
        accepted = [one for one in parts if type(one).__module__.startswith(_ACCEPTED)]
        if not accepted:
            raise _no_keyring("This computer offers no keyring that protects passwords.")
        store = accepted[0]
        try:
            if not self._proved:
                store.set_password(SERVICE, _PROBE, _PROBE)
                if store.get_password(SERVICE, _PROBE) != _PROBE:
                    raise _no_keyring("It did not give back what was put in.")
                store.delete_password(SERVICE, _PROBE)
                self._proved = True
            return getattr(store, method)(SERVICE, *arguments)
        except ConsoleError:
            raise
        except (KeyringError, OSError, RuntimeError) as error:
            raise _no_keyring(f"{type(error).__name__}: {error}.") from error
        except Exception as error:  # D-Bus libraries raise their own families
            raise _no_keyring(f"{type(error).__name__}.") from error


def _no_keyring(detail: str) -> ConsoleError:
    return ConsoleError(
        "The keyring cannot be used",
        detail=detail,
        remedy="The password is kept in memory for this run only.",
        cause=Cause.NOT_PERMITTED,
    )
