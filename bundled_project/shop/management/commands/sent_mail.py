"""``sent_mail``: what was sent, newest first, one JSON object per line."""

import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from bundled_project.shop.mail import count_sent_mail, newest_sent_mail


class Command(BaseCommand):
    """Show the mail folder."""

    help = "Print the newest mails as JSON lines, or with --count how many there are."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take ``--count`` and ``--limit``."""
        parser.add_argument("--count", action="store_true", help="print only how many mails there are")
        parser.add_argument("--limit", type=int, default=50, help="how many mails to print (default 50)")

    def handle(self, *, count: bool, limit: int, **_options: Any) -> None:
        """Print."""
        if count:
            self.stdout.write(str(count_sent_mail(settings.MAIL_DIR)))
            return
        for mail in newest_sent_mail(settings.MAIL_DIR, limit=limit):
            facts = {"to": mail.recipient, "subject": mail.subject, "sent_at": mail.sent_at.isoformat()}
            self.stdout.write(json.dumps({**facts, "file": str(mail.path)}))
