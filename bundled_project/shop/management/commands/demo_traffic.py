"""``demo_traffic``: keeps tasks flowing at a chosen rate, with every outcome among them.

It ends after ``--count`` tasks, on SIGTERM and SIGINT, and, with ``--stdin-lifeline``, when its standard
input closes: a console that dies takes its traffic along.
"""

import secrets
import signal
import sys
import threading
import time
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import timedelta
from random import SystemRandom
from typing import Any

from celery import current_app
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from bundled_project.shop import counters, tasks
from bundled_project.shop.mail import prune_sent_mail
from bundled_project.shop.models import Mail, Order, User
from bundled_project.shop.views import register_user

TRAFFIC_DOMAIN = "traffic.example.test"
MAX_RATE = 1000.0
KEEP_MAILS = 1000
KEEP_FOR = timedelta(hours=1)
PRUNE_EVERY = 500
ROOM_AGAIN_S = 0.05
DICE = SystemRandom()


def _register() -> None:
    name = f"visitor-{secrets.token_hex(4)}"
    register_user(name=name, email=f"{name}@{TRAFFIC_DOMAIN}")


def _order() -> None:
    # Only for users of the traffic, so that pruning them takes these orders along.
    newest = User.objects.filter(email__endswith=f"@{TRAFFIC_DOMAIN}").order_by("-pk")[:20]
    users = newest.values_list("pk", flat=True)
    if not users:
        _register()
        return
    user_id = DICE.choice(users)
    with transaction.atomic():
        order = Order.objects.create(user_id=user_id, total=DICE.randrange(500, 20_000) / 100)
        tasks.send_invoice.delay_on_commit(order.pk)


def _charge() -> None:
    users = User.objects.order_by("-pk").values_list("pk", flat=True)[:20]
    if not users:
        _register()
        return
    amount = f"{DICE.randrange(100, 20_000) / 100:.2f}"
    tasks.charge_user.delay(DICE.choice(users), amount, f"traffic-{secrets.token_hex(8)}")


def _visit() -> None:
    for name in ("visits", "searches", "baskets"):
        counters.increment(name, DICE.randrange(1, 6))
    tasks.add.delay(DICE.randrange(100), DICE.randrange(100))


MIX: tuple[tuple[int, Callable[[], Any]], ...] = (
    (30, _visit),
    (12, _register),
    (14, _order),
    (14, _charge),
    (12, lambda: tasks.take_time.delay(round(DICE.uniform(0.05, 0.8), 2))),
    (4, lambda: tasks.build_report.delay(None, min_rows=20, row_pause_s=0.02)),
    (4, lambda: tasks.try_again.delay(DICE.randrange(1, 3))),
    (4, tasks.fail_on_purpose.delay),
    (3, lambda: tasks.fan_out.delay(DICE.randrange(2, 5))),
    (2, tasks.refuse.delay),
    (1, lambda: tasks.take_time.apply_async((0.1,), expires=timezone.now() - timedelta(seconds=1))),
)
"""Weight and what is done; the last one expires before it runs and is seen as revoked."""


def prune() -> None:
    """Remove what earlier traffic left: an endless demo must not fill a disk."""
    old = timezone.now() - KEEP_FOR
    User.objects.filter(email__endswith=f"@{TRAFFIC_DOMAIN}", created_at__lt=old).delete()
    Mail.objects.filter(recipient__endswith=f"@{TRAFFIC_DOMAIN}", created_at__lt=old).delete()
    prune_sent_mail(settings.MAIL_DIR, keep=KEEP_MAILS)


class Room:
    """Holds the sender back while ``most`` tasks or more wait in the project's queues (None: never does)."""

    def __init__(self, most: int | None, ended: threading.Event) -> None:
        self._most = most
        self._ended = ended
        self._left = 0
        self._connection: Any = None if most is None else current_app.connection_for_write()

    def wait(self) -> bool:
        """Return when there is room for one more task; False when told to end before that."""
        if self._most is None:
            return True
        while self._left <= 0:
            # Half of the room only: one call may send several tasks.
            self._left = (self._most - self._waiting() + 1) // 2
            if self._left <= 0 and self._ended.wait(ROOM_AGAIN_S):
                return False
        self._left -= 1
        return True

    def _waiting(self) -> int:
        channel = self._connection.default_channel
        waiting = 0
        for queue in settings.CELERY_TASK_QUEUES:
            try:
                waiting += channel.queue_declare(queue=queue, passive=True).message_count
            except self._connection.channel_errors:
                continue  # Redis has no empty queues
        return waiting

    def close(self) -> None:
        if self._connection is not None:
            self._connection.release()


class Command(BaseCommand):
    """Send demo tasks."""

    help = "Send a mix of tasks at a chosen rate."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take ``--rate``, ``--count``, ``--max-waiting`` and ``--stdin-lifeline``."""
        parser.add_argument("--rate", type=float, default=2.0, help="tasks per second (default 2)")
        parser.add_argument(
            "--count", type=int, default=None, help="end after so many tasks (default: never)"
        )
        parser.add_argument(
            "--max-waiting",
            type=int,
            default=None,
            help="send nothing while so many tasks wait in the queues (default: send all the same)",
        )
        parser.add_argument("--stdin-lifeline", action="store_true", help="end when standard input closes")

    def handle(
        self,
        *,
        rate: float,
        count: int | None,
        max_waiting: int | None,
        stdin_lifeline: bool,
        **_options: Any,
    ) -> None:
        """Send until told to end. Raises ``CommandError`` for a rate that is not above 0 and at most 1000."""
        if not 0 < rate <= MAX_RATE:
            message = f"--rate must be above 0 and at most {MAX_RATE:g}"
            raise CommandError(message)
        if max_waiting is not None and max_waiting < 1:
            message = "--max-waiting must be at least 1"
            raise CommandError(message)
        ended = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_signal: ended.set())
        if stdin_lifeline:
            threading.Thread(target=_watch_stdin, args=(ended,), daemon=True).start()
        room = Room(max_waiting, ended)
        try:
            sent = self._send(rate=rate, count=count, room=room, ended=ended)
        finally:
            room.close()
        self.stdout.write(f"{sent} sent")

    def _send(self, *, rate: float, count: int | None, room: "Room", ended: threading.Event) -> int:
        weights = [weight for weight, _send in MIX]
        sends = [send for _weight, send in MIX]
        sent, due_s = 0, time.monotonic()
        while not ended.is_set() and (count is None or sent < count):
            if sent % PRUNE_EVERY == 0:
                prune()
            if not room.wait():
                break
            DICE.choices(sends, weights)[0]()
            sent += 1
            # Late (the broker was away, the machine slept): go on at the rate, do not catch up in a burst.
            due_s = max(due_s + 1 / rate, time.monotonic() - 1)
            ended.wait(max(0.0, due_s - time.monotonic()))
        return sent


def _watch_stdin(ended: threading.Event) -> None:
    while sys.stdin.buffer.read(4096):
        pass
    ended.set()
