"""Mail as files: a mail backend whose mails a developer can look at, and the reading side of it.

A file is named after the mail's Message-ID and created exclusively, so handing over the same mail twice
leaves one file. That makes this transport safe to repeat, which SMTP is not; ``delivery`` asks for it.
"""

import email
import email.policy
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

SUFFIX = ".eml"


class FileMailBackend(BaseEmailBackend):
    """Writes each mail to ``settings.MAIL_DIR``, as slowly as ``settings.MAIL_LATENCY_S`` says."""

    safe_to_repeat = True

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Write the mails; those already there count as sent. Raises ``OSError`` when they cannot be kept."""
        folder = Path(settings.MAIL_DIR)
        folder.mkdir(parents=True, exist_ok=True)
        for message in email_messages:
            # Half before and half after: a process can die before the mail is out or before it knows.
            time.sleep(settings.MAIL_LATENCY_S / 2)
            _keep(folder, message)
            time.sleep(settings.MAIL_LATENCY_S / 2)
        return len(email_messages)


def _keep(folder: Path, message: EmailMessage) -> None:
    content = message.message()
    name = hashlib.sha256(str(content["Message-ID"]).encode()).hexdigest()[:32]
    handle, draft = tempfile.mkstemp(dir=folder, prefix=".draft-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.as_bytes())
        # Linking, unlike renaming, fails when the name is there: the first mail of that id stays.
        Path(folder / f"{name}{SUFFIX}").hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        Path(draft).unlink()


@dataclass(frozen=True, slots=True)
class SentMail:
    """The head of one mail in the folder; ``sent_at`` is when its file was written, in UTC."""

    sent_at: datetime
    recipient: str
    subject: str
    path: Path


def count_sent_mail(folder: Path) -> int:
    """Count the mails in ``folder`` without opening them; a folder that is not there has none."""
    try:
        with os.scandir(folder) as entries:
            return sum(entry.name.endswith(SUFFIX) for entry in entries)
    except FileNotFoundError:
        return 0


def newest_sent_mail(folder: Path, *, limit: int) -> Iterator[SentMail]:
    """Yield the newest mails of ``folder``, newest first."""
    for written_s, path in _by_age(folder)[:limit]:
        try:
            content = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        except FileNotFoundError:
            continue
        yield SentMail(
            sent_at=datetime.fromtimestamp(written_s, tz=UTC),
            recipient=str(content["To"]),
            subject=str(content["Subject"]),
            path=path,
        )


def prune_sent_mail(folder: Path, *, keep: int) -> int:
    """Remove all but the newest ``keep`` mails, so that demo traffic cannot fill a disk; return how many."""
    surplus = _by_age(folder)[keep:]
    for _written_s, path in surplus:
        path.unlink(missing_ok=True)
    return len(surplus)


def _by_age(folder: Path) -> list[tuple[float, Path]]:
    try:
        with os.scandir(folder) as entries:
            found = [
                (entry.stat().st_mtime, Path(entry.path)) for entry in entries if entry.name.endswith(SUFFIX)
            ]
    except FileNotFoundError:
        return []
    return sorted(found, reverse=True)
