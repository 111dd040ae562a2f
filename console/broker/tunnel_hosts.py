"""Which keys an SSH server may show: OpenSSH's known-hosts files, read and appended to.

asyncssh parses and matches the entries. What is done here differs from its own use of them where ssh(1)
does: one line that cannot be read does not make the rest of the file useless, a host is looked up by the
name the person gave and never by the address this name has today, and a revoked key stays revoked when
only the entry without a port names the host.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from console.broker import tunnel_errors as errors
from console.broker.tunnel_settings import SSH_PORT
from console.core.errors import Cause, ConsoleError
from console.core.home import write_atomically

if TYPE_CHECKING:
    import asyncssh


@dataclass(frozen=True, slots=True)
class KnownKeys:
    """What the files say about one server. `changed_matters`: another key than `keys` is an alarm."""

    keys: tuple[asyncssh.SSHKey, ...]
    authorities: tuple[asyncssh.SSHKey, ...]
    revoked: tuple[asyncssh.SSHKey, ...]
    changed_matters: bool


def known_keys(files: Sequence[Path], *, host: str, port: int) -> KnownKeys:
    """The keys of `host` at `port`. Files that do not exist are skipped.

    Raises `ConsoleError` for a file that cannot be read: without it a revoked key would pass for unknown.

    As in ssh(1), entries without a port count for a server on another port than 22 when none names it
    with its port: their keys are trusted there, but another key is then merely unknown, not changed.
    """
    import asyncssh

    hosts = asyncssh.SSHKnownHosts()
    for line in _lines(files):
        try:
            hosts.load(line)
        except ValueError:
            continue  # as ssh does with a line that it cannot read
    name = host.lower()
    plain = hosts.match(name, "", None)
    # With the brackets in the name `match` does not fall back to the entries without a port by itself.
    exact = plain if port == SSH_PORT else hosts.match(f"[{name}]:{port}", "", None)
    named = any(exact[:2])
    return KnownKeys(
        keys=tuple(exact[0] if named else plain[0]),
        authorities=tuple(exact[1] if named else plain[1]),
        revoked=(*exact[2], *plain[2]),
        changed_matters=named,
    )


def _lines(files: Sequence[Path]) -> Iterator[str]:
    """The lines of all files, host names in lower case as ssh compares them (a hashed name is base64)."""
    for file in files:
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise errors.known_hosts_unreadable(str(file), error.strerror or str(error)) from error
        for line in text.splitlines():
            words = line.split(None, 2 if line.lstrip().startswith("@") else 1)
            if len(words) > 1 and not words[-2].startswith("|"):
                words[-2] = words[-2].lower()
            yield " ".join(words)


def known_hosts_line(host: str, port: int, key: asyncssh.SSHKey) -> str:
    """The entry that makes `key` known as the one of `host` at `port`."""
    name = host.lower() if port == SSH_PORT else f"[{host.lower()}]:{port}"
    public = key.export_public_key("openssh").decode("ascii").split()
    return f"{name} {public[0]} {public[1]}"


def trust(known_hosts_file: Path, line: str) -> None:
    """Append `line` (of an `UnknownHostKey`) to the file, which then has mode 600; once only.

    Blocking. A reader sees the old or the new file. Raises `ConsoleError` when it cannot be written.
    """
    if len(line.split()) != 3 or len(line.splitlines()) != 1:
        raise ValueError("a known-hosts entry is one line of three words")
    file = known_hosts_file.resolve()  # a link to a file kept elsewhere stays a link
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        text = file.read_text(encoding="utf-8", errors="surrogateescape") if file.exists() else ""
        if line in text.splitlines():
            return
        if text and not text.endswith("\n"):
            text += "\n"
        write_atomically(file, f"{text}{line}\n")
    except (OSError, UnicodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise ConsoleError(
            "The key could not be remembered",
            detail=f"{known_hosts_file}: {reason}.",
            remedy="Make room, or give yourself the right to write there, and try again.",
            cause=Cause.NO_SPACE if getattr(error, "errno", None) == 28 else Cause.NOT_PERMITTED,
        ) from error
