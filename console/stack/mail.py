"""The mails that the bundled project has sent: files in a folder, read with bounds.

Stands beside the gateway because it knows the format of mails and nothing of processes. Blocking.
"""

from __future__ import annotations

import email
import email.policy
import heapq
import os
from datetime import UTC, datetime
from pathlib import Path

from console.core.errors import Cause, ConsoleError
from console.stack.model import Mail

SUFFIX = ".eml"
READ_BYTES = 65_536
TEXT_LENGTH = 20_000


def count_mails(folder: Path) -> int:
    """How many mails are in `folder`; one that is not there has none. Raises `OSError`."""
    try:
        with os.scandir(folder) as entries:
            return sum(entry.name.endswith(SUFFIX) for entry in entries)
    except FileNotFoundError:
        return 0


def read_mails(folder: Path, limit: int) -> list[Mail]:
    """The newest `limit` mails, newest first; of each at most its first 64 KB. Raises `ConsoleError`."""
    try:
        with os.scandir(folder) as entries:
            dated = [(entry.stat().st_mtime, entry.path) for entry in entries if entry.name.endswith(SUFFIX)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConsoleError(
            "The sent mail cannot be read",
            detail=f"{folder}: {error.strerror}.",
            cause=Cause.NOT_PERMITTED,
        ) from error
    found = (_read(Path(path), written_s) for written_s, path in heapq.nlargest(limit, dated))
    return [mail for mail in found if mail is not None]


def _read(path: Path, written_s: float) -> Mail | None:
    try:
        with path.open("rb") as file:
            content = file.read(READ_BYTES)
    except OSError:  # pruned while the list was made
        return None
    message = email.message_from_bytes(content, policy=email.policy.default)
    try:
        body = message.get_body(("plain", "html"))
        text = str(body.get_content()) if body is not None else ""
    except (LookupError, ValueError, AttributeError):
        text = "This mail cannot be shown."
    return Mail(
        name=path.name,
        when=datetime.fromtimestamp(written_s, UTC),
        sender=str(message["From"] or ""),
        recipient=str(message["To"] or ""),
        subject=str(message["Subject"] or ""),
        text=text[:TEXT_LENGTH],
    )
