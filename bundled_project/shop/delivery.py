"""Sends a mail once per key, however often it is asked to and however its processes die.

Looking whether a mail was sent and marking it afterwards is not enough: two workers can look together. So a
mail is a row that one run claims with a single UPDATE, and the step from CLAIMED to SENDING, after which the
mail may be out, can be taken by the holder of the claim only:

    READY ──► CLAIMED ──► SENDING ──► SENT
      ▲          │           ├──► READY    the server refused it: it was certainly not sent
      └── time ──┘           └──► UNCLEAR  nobody knows: never repeated by itself

A claim ends with its time, so that the work of a killed process is taken up again. A run that lost its
claim meanwhile cannot take the step to SENDING. What is found in SENDING after its time is repeated only
through a transport that drops a second mail with the same Message-ID; otherwise it becomes UNCLEAR and a
person decides.
"""

import socket
import ssl
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from smtplib import (
    SMTPAuthenticationError,
    SMTPConnectError,
    SMTPDataError,
    SMTPHeloError,
    SMTPNotSupportedError,
    SMTPRecipientsRefused,
    SMTPSenderRefused,
)

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from bundled_project.shop.models import Mail

CERTAINLY_NOT_SENT = (
    SMTPAuthenticationError,
    SMTPConnectError,
    SMTPDataError,
    SMTPHeloError,
    SMTPNotSupportedError,
    SMTPRecipientsRefused,
    SMTPSenderRefused,
    ConnectionRefusedError,
    socket.gaierror,
    ssl.SSLCertVerificationError,
)
MAX_CLAIMS = 10
"""Runs that may take up one mail before it counts as poisonous (it kills its workers)."""
SHORTEST_PAUSE_S = 1.0
"""Celery sends a retry before it stores RETRY: were the next run over by then, it would look unfinished."""


class Outcome(StrEnum):
    """What a task returns about its mail."""

    SENT = "sent"
    ALREADY_SENT = "already sent"


@dataclass(frozen=True, slots=True)
class Letter:
    """What is to be sent to whom."""

    kind: str
    recipient: str
    subject: str
    body: str


class MailHeldError(Exception):
    """Another run holds this mail; ``retry_after_s`` says when its claim ends."""

    def __init__(self, key: str, retry_after_s: float) -> None:
        super().__init__(key, retry_after_s)
        self.retry_after_s = retry_after_s


class MailUnclearError(Exception):
    """Whether this mail went out is not known; sending it again is a person's decision."""


def deliver_once(key: str, compose: Callable[[], Letter]) -> Outcome:
    """Send the letter unless the mail ``key`` was sent before.

    Raises ``MailHeldError`` while another run holds it, ``MailUnclearError`` when nobody can know whether it
    was sent, and the transport's own error when it was certainly not sent (a later run may try again).
    """
    connection = get_connection()
    repeatable = getattr(connection, "safe_to_repeat", False)
    claim = _claim(key, repeatable=repeatable)
    if claim is None:
        return Outcome.ALREADY_SENT
    mine = Mail.objects.filter(key=key, claim=claim)
    letter = compose()
    details = {"kind": letter.kind, "recipient": letter.recipient, "subject": letter.subject}
    if not mine.filter(state=Mail.State.CLAIMED).update(state=Mail.State.SENDING, **details):
        raise MailHeldError(key, settings.MAIL_CLAIM_S)
    message = EmailMessage(
        letter.subject,
        letter.body,
        to=[letter.recipient],
        connection=connection,
        headers={"Message-ID": _id(key)},
    )
    try:
        message.send()
    except CERTAINLY_NOT_SENT as error:
        mine.update(state=Mail.State.READY, problem=repr(error))
        raise
    except Exception as error:
        # Through a repeatable transport trying again is safe; otherwise the mail may be out.
        state = Mail.State.READY if repeatable else Mail.State.UNCLEAR
        mine.update(state=state, problem=repr(error))
        if repeatable:
            raise
        raise MailUnclearError(key) from error
    mine.update(state=Mail.State.SENT, sent_at=timezone.now(), problem="")
    return Outcome.SENT


def _id(key: str) -> str:
    """A Message-ID that is always the same for one key."""
    return f"<{uuid.uuid5(uuid.NAMESPACE_URL, f'mail:{key}')}@bundled-project>"


def _claim(key: str, *, repeatable: bool) -> str | None:
    """Claim the mail and return the claim; None when it was sent before."""
    claim, now = uuid.uuid4().hex, timezone.now()
    until = now + timedelta(seconds=settings.MAIL_CLAIM_S)
    first = {"state": Mail.State.CLAIMED, "claim": claim, "claimed_until": until, "claims": 1}
    with transaction.atomic():
        mail, created = Mail.objects.get_or_create(key=key, defaults=first)
    if created:
        return claim
    over = Q(state=Mail.State.CLAIMED, claimed_until__lte=now)
    if repeatable:
        over |= Q(state=Mail.State.SENDING, claimed_until__lte=now)
    free = Mail.objects.filter(Q(state=Mail.State.READY) | over, key=key, claims__lt=MAX_CLAIMS)
    if free.update(state=Mail.State.CLAIMED, claim=claim, claimed_until=until, claims=F("claims") + 1):
        return claim
    mail.refresh_from_db()
    if mail.state == Mail.State.SENT:
        return None
    if mail.state == Mail.State.UNCLEAR or (mail.claimed_until <= now and mail.state == Mail.State.SENDING):
        Mail.objects.filter(key=key, state=Mail.State.SENDING).update(state=Mail.State.UNCLEAR)
        raise MailUnclearError(key)
    if mail.claims >= MAX_CLAIMS and mail.claimed_until <= now:
        message = f"{key}: given up after {mail.claims} attempts"
        raise MailUnclearError(message)
    raise MailHeldError(key, max(SHORTEST_PAUSE_S, (mail.claimed_until - now).total_seconds()))
