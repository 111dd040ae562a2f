"""The outside of connections: the file with their settings, the keyring with their passwords."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from console.connections.file_format import Entry, dump_connections, load_connections, load_entries
from console.connections.model import Connection, without_secrets
from console.core.errors import Cause, ConsoleError
from console.core.home import write_atomically
from console.core.redaction import Secret

log = logging.getLogger(__name__)

SERVICE = "celery-console"
LOCK_S = 5.0
LOCK_PAUSE_S = 0.02
# Modules of keyring whose storage the operating system protects. keyrings.alt keeps plain text.
_ACCEPTED = {
    "keyring.backends.SecretService": "Secret Service",
    "keyring.backends.kwallet": "KWallet",
    "keyring.backends.macOS": "macOS Keychain",
    "keyring.backends.Windows": "Windows Credential Manager",
}

Stamp = tuple[int, int, int]
"""Modification time in ns, size and inode of a file: when they are the same, so is the file."""


@dataclass(frozen=True, slots=True)
class FileState:
    """What was read or written, and the stamp of the file it stands in (None: there is no file)."""

    connections: tuple[Connection, ...]
    stamp: Stamp | None


class ConnectionsFile:
    """The file as a whole, and its last good copy beside it. Blocking. Raises `ConsoleError`.

    Several processes may use one file: `update` is the way to change it, under a lock.
    """

    def __init__(self, file: Path, *, lock_timeout_s: float = LOCK_S) -> None:
        self._file = file
        self._last_good = file.with_name(f"{file.stem}.last-good{file.suffix}")
        self._lock_file = file.with_name(f"{file.stem}.lock")
        self._lock_timeout_s = lock_timeout_s

    def stamp(self) -> Stamp | None:
        """None when there is no file, or one that cannot even be looked at."""
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def read(self) -> list[Connection]:
        """What stands there; none when there is no file. A good one is copied as the last good one."""
        return list(self.load().connections)

    def load(self) -> FileState:
        """As `read`, with the stamp."""
        stamp = self.stamp()  # before the text: a change in between is seen at the next look
        entries = self._entries()
        if entries is None:
            return FileState((), None)
        connections = tuple(entry.connection for entry in entries)
        self._keep_last_good(connections)
        return FileState(connections, stamp)

    def write(self, connections: Sequence[Connection]) -> None:
        """Replace all of it, whatever stood there."""
        with self._locked():
            self._write(connections, entries=())

    def update(self, change: Callable[[list[Connection]], list[Connection]]) -> FileState:
        """Have `change` make the new list out of what stands there now; nobody else writes meanwhile.

        What cannot be read is not written over. An entry with a password of somebody's hand in it, which
        `change` left alone, stays as it was written: to drop it here would lose the password.
        """
        with self._locked():
            entries = self._entries() or []
            before = {entry.connection.id: entry for entry in entries}
            changed = change([entry.connection for entry in entries])
            left_alone = [
                before[one.id] for one in changed if one.id in before and _same(before[one.id], one)
            ]
            self._write(
                changed, entries=[one for one in left_alone if without_secrets(one.connection)[1].values]
            )
            return FileState(tuple(changed), self.stamp())

    def last_good(self) -> list[Connection]:
        """The list that was last read or written; none when there was none, or its copy is broken too."""
        try:
            return load_connections(_text(self._last_good) or "")
        except ConsoleError:
            return []

    def use_last_good(self, aside: str) -> FileState:
        """Move the broken file to `connections.broken-<aside>.json` and put the last good one in its place.

        When somebody has mended the file meanwhile, that is read and nothing is moved.
        """
        with self._locked():
            try:
                return self.load()
            except ConsoleError:
                pass
            good = self.last_good()
            target = self._file.with_name(f"{self._file.stem}.broken-{aside}{self._file.suffix}")
            if target.exists():
                target = target.with_name(f"{target.stem}-{uuid.uuid4().hex[:4]}{target.suffix}")
            try:
                self._file.rename(target)
            except OSError as error:
                raise _not_saved(self._file, error) from error
            self._write(good, entries=())
            return FileState(tuple(good), self.stamp())

    def _entries(self) -> list[Entry] | None:
        text = _text(self._file)
        return None if text is None else load_entries(text)

    def _write(self, connections: Sequence[Connection], *, entries: Sequence[Entry]) -> None:
        as_written = {entry.connection.id: entry.written for entry in entries}
        kept = [one for one in connections if not one.is_local_stack]
        text = dump_connections(kept, as_written=as_written)
        _prove_readable(text)
        try:
            write_atomically(self._file.resolve(), text)
        except OSError as error:
            raise _not_saved(self._file, error) from error
        self._keep_last_good(kept)

    def _keep_last_good(self, connections: Sequence[Connection]) -> None:
        text = dump_connections([one for one in connections if not one.is_local_stack])
        try:
            if _text(self._last_good) != text:
                write_atomically(self._last_good, text)
        except (OSError, ConsoleError):
            log.warning("the last good connections could not be kept at %s", self._last_good)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone among all processes. The file of the lock stays: to remove it would make two of them."""
        try:
            handle = os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise _not_saved(self._lock_file, error) from error
        try:
            deadline_s = time.monotonic() + self._lock_timeout_s
            while not _try_lock(handle):
                if time.monotonic() > deadline_s:
                    raise ConsoleError(
                        "The connections are being changed by another console",
                        detail=f"{self._lock_file} was held for {self._lock_timeout_s:.0f} s.",
                        remedy="Try again, or end the console that hangs.",
                        cause=Cause.LOCKED,
                        retryable=True,
                    )
                time.sleep(LOCK_PAUSE_S)
            try:
                yield
            finally:
                _unlock(handle)
        finally:
            os.close(handle)


def _prove_readable(text: str) -> None:
    """One connection that could not be read again would take all the others with it."""
    try:
        load_entries(text)
    except ConsoleError as error:
        raise ConsoleError(
            "The connections were not saved",
            detail=error.detail,
            remedy="Correct it and save again. The file is as it was.",
            cause=Cause.INVALID,
        ) from error


def _same(entry: Entry, connection: Connection) -> bool:
    return entry.connection == connection


def _try_lock(handle: int) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            module: Any = msvcrt
            module.locking(handle, module.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _unlock(handle: int) -> None:
    if os.name == "nt":
        import msvcrt

        module: Any = msvcrt
        os.lseek(handle, 0, os.SEEK_SET)
        module.locking(handle, module.LK_UNLCK, 1)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_UN)


def _text(file: Path) -> str | None:
    """The text of a file, None when there is none. Raises `ConsoleError`."""
    try:
        return file.read_text(encoding="utf-8-sig")  # editors of Windows put a mark at the front
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise _unreadable(f"{file} is not text in UTF-8.", Cause.INVALID) from error
    except IsADirectoryError as error:
        raise _unreadable(f"{file} is a folder.", Cause.INVALID) from error
    except OSError as error:
        raise _unreadable(f"{file}: {error.strerror or error}.", Cause.NOT_PERMITTED) from error


def _unreadable(detail: str, cause: Cause) -> ConsoleError:
    return ConsoleError(
        "The connections file cannot be read",
        detail=detail,
        remedy="It is left as it is. Mend it, or go on with the last good one.",
        cause=cause,
    )


def _not_saved(file: Path, error: OSError) -> ConsoleError:
    return ConsoleError(
        "The connections could not be saved",
        detail=f"{file}: {error.strerror or error}.",
        remedy="Check the space and the rights of the home folder.",
        cause=Cause.NO_SPACE if error.errno == 28 else Cause.NOT_PERMITTED,
    )


class LastUsedFile:
    """When each connection was last connected, by id. Blocking. A loss of it is nobody's loss: no errors."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self) -> dict[str, datetime]:
        try:
            stored = json.loads(self._file.read_text(encoding="utf-8"))
            found = {str(key): datetime.fromisoformat(value) for key, value in stored.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}
        return {key: when for key, when in found.items() if when.tzinfo is not None}

    def note(self, connection_id: str, when: datetime) -> None:
        found = {key: one.isoformat() for key, one in self.read().items()}
        found[connection_id] = when.isoformat()
        try:
            write_atomically(self._file, json.dumps(found, indent=2) + "\n")
        except OSError as error:
            log.warning("when a connection was used could not be noted: %s", error.strerror)

    def join(self, connections: Sequence[Connection]) -> list[Connection]:
        """`connections` with their times; one that an older console wrote beside them counts as well."""
        times = self.read()
        return [replace(one, last_used=times.get(one.id, one.last_used)) for one in connections]


class SecretStore(Protocol):
    """Where passwords live. All calls block and may take long: an unlock prompt may appear.

    `entry` is `model.keyring_entry`. Every method raises `ConsoleError` when there is no store or it refuses.
    """

    def probe(self) -> str:
        """The store's name in words, once it has proved that it keeps what it is given."""
        ...

    def get(self, entry: str) -> Secret | None: ...

    def set(self, entry: str, secret: Secret) -> None: ...

    def remove(self, entry: str) -> None: ...


class KeyringSecrets:
    """The operating system's keyring: only backends that protect what they keep, proved by a probe."""

    def __init__(self) -> None:
        self._proved: object = None

    def probe(self) -> str:
        with _keyring_errors():
            backend = self._backend()
            self._prove(backend)
        return next(words for module, words in _ACCEPTED.items() if _module(backend).startswith(module))

    def get(self, entry: str) -> Secret | None:
        value = self._call("get_password", entry)
        return Secret(str(value)) if value else None

    def set(self, entry: str, secret: Secret) -> None:
        self._call("set_password", entry, secret.reveal())

    def remove(self, entry: str) -> None:
        if self._call("get_password", entry) is not None:
            self._call("delete_password", entry)

    def _call(self, method: str, *arguments: str) -> object:
        with _keyring_errors():
            backend = self._backend()  # which asks D-Bus for what there is
            if self._proved is not backend:
                self._prove(backend)
            return getattr(backend, method)(SERVICE, *arguments)

    def _backend(self) -> Any:
        import keyring

        backend = keyring.get_keyring()
        parts = getattr(backend, "backends", [backend])  # a chainer holds several
        accepted = [one for one in parts if _module(one).startswith(tuple(_ACCEPTED))]
        if not accepted:
            raise _no_keyring("This computer offers no keyring that protects passwords.")
        return accepted[0]

    def _prove(self, backend: Any) -> None:
        """Put something in, take it out, remove it. Its name is this probe's alone: others may probe now."""
        name = f"probe-{uuid.uuid4().hex}"
        backend.set_password(SERVICE, name, name)
        try:
            if backend.get_password(SERVICE, name) != name:
                raise _no_keyring("It did not give back what was put in.")
        finally:
            backend.delete_password(SERVICE, name)
        self._proved = backend


def _module(backend: object) -> str:
    return type(backend).__module__


@contextlib.contextmanager
def _keyring_errors() -> Iterator[None]:
    from keyring.errors import KeyringError

    try:
        yield
    except ConsoleError:
        raise
    except Exception as error:  # D-Bus libraries raise their own families
        said = f"{type(error).__name__} {error}"
        if any(word in said for word in ("KeyringLocked", "LockedException", "dismissed")):
            raise ConsoleError(
                "The keyring is locked",
                detail="It was not unlocked, so no password can be read or kept.",
                remedy="Unlock it, or type the password: it is then kept in memory for this run only.",
                cause=Cause.LOCKED,
                retryable=True,
            ) from error
        # The text of another family may hold anything.
        known = isinstance(error, KeyringError | OSError | RuntimeError)
        raise _no_keyring(f"{type(error).__name__}{f': {error}' if known else ''}.") from error


def _no_keyring(detail: str) -> ConsoleError:
    return ConsoleError(
        "The keyring cannot be used",
        detail=detail,
        remedy="The password is kept in memory for this run only.",
        cause=Cause.NOT_PERMITTED,
    )
