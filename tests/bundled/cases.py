"""Django test cases for the shop's rules, run by ``test_shop.py`` in a process of their own.

Not collected by pytest: Django keeps one set of settings for a process, and the console's tests have theirs.
"""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from smtplib import SMTPRecipientsRefused
from tempfile import TemporaryDirectory
from typing import Any, ClassVar
from unittest.mock import patch

import pytest
from celery.exceptions import Retry
from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.db import OperationalError
from django.test import SimpleTestCase, TestCase, override_settings
from django.utils import timezone
from kombu.message import Message

from bundled_project import celery_app
from bundled_project.database_url import database_from_url
from bundled_project.exact_arguments import MAX_LENGTH, ExactRequest
from bundled_project.shop import delivery, mail, payments, tasks
from bundled_project.shop.delivery import Letter, MailHeldError, MailUnclearError, Outcome
from bundled_project.shop.demo import Seeded, seed
from bundled_project.shop.management.commands.prepare import kind_of
from bundled_project.shop.models import Invoice, Mail, Order, Payment, SandboxCharge, User
from bundled_project.shop.tasks import add

LETTER = Letter(kind="test", recipient="a@example.test", subject="Subject", body="Body")


class Server(BaseEmailBackend):
    """A mail server that does what the test says and forgets nothing."""

    sent: ClassVar[list[EmailMessage]] = []
    answer: Exception | None = None

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Take the mails, then fail if told to."""
        type(self).sent.extend(email_messages)
        if self.answer is not None:
            raise self.answer
        return len(email_messages)


class RepeatableServer(Server):
    """A server that drops a second mail with the same id."""

    safe_to_repeat = True


SMTP = override_settings(EMAIL_BACKEND="tests.bundled.cases.Server")
REPEATABLE = override_settings(EMAIL_BACKEND="tests.bundled.cases.RepeatableServer")


class DeliveryTest(TestCase):
    """One mail per key, whatever the server answers and whoever died before."""

    def setUp(self) -> None:
        """Start with a server that takes everything."""
        Server.sent = RepeatableServer.sent = []
        Server.answer = RepeatableServer.answer = None

    def left(self, state: str, *, expired: bool, claims: int = 1) -> None:
        """A mail that an earlier run left in ``state``."""
        until = timezone.now() + timedelta(seconds=-1 if expired else 30)
        Mail.objects.create(
            key="k", kind="test", state=state, claim="other", claimed_until=until, claims=claims
        )

    @SMTP
    def test_second_delivery_does_nothing(self) -> None:
        assert delivery.deliver_once("k", lambda: LETTER) == Outcome.SENT
        assert delivery.deliver_once("k", lambda: LETTER) == Outcome.ALREADY_SENT
        assert len(Server.sent) == 1

    @SMTP
    def test_held_while_a_claim_lasts(self) -> None:
        for state in (Mail.State.CLAIMED, Mail.State.SENDING):
            Mail.objects.all().delete()
            self.left(state, expired=False)
            with pytest.raises(MailHeldError) as held:
                delivery.deliver_once("k", lambda: LETTER)
            assert 0 < held.value.retry_after_s <= 30
        assert Server.sent == []

    @SMTP
    def test_expired_claim_is_taken_over(self) -> None:
        self.left(Mail.State.CLAIMED, expired=True)
        assert delivery.deliver_once("k", lambda: LETTER) == Outcome.SENT

    @SMTP
    def test_lost_claim_does_not_send(self) -> None:
        def taken_over_meanwhile() -> Letter:
            Mail.objects.update(claim="another")
            return LETTER

        with pytest.raises(MailHeldError):
            delivery.deliver_once("k", taken_over_meanwhile)
        assert Server.sent == []

    @SMTP
    def test_interrupted_hand_over_is_unclear_through_smtp(self) -> None:
        self.left(Mail.State.SENDING, expired=True)
        for _turn in range(2):
            with pytest.raises(MailUnclearError):
                delivery.deliver_once("k", lambda: LETTER)
        assert (Server.sent, Mail.objects.get().state) == ([], Mail.State.UNCLEAR)

    @REPEATABLE
    def test_interrupted_hand_over_is_repeated_where_that_is_safe(self) -> None:
        self.left(Mail.State.SENDING, expired=True)
        assert delivery.deliver_once("k", lambda: LETTER) == Outcome.SENT

    @SMTP
    def test_refused_mail_may_be_tried_again(self) -> None:
        Server.answer = SMTPRecipientsRefused({})
        with pytest.raises(SMTPRecipientsRefused):
            delivery.deliver_once("k", lambda: LETTER)
        Server.answer = None
        assert delivery.deliver_once("k", lambda: LETTER) == Outcome.SENT

    @SMTP
    def test_broken_connection_is_unclear(self) -> None:
        Server.answer = TimeoutError("no answer")
        with pytest.raises(MailUnclearError):
            delivery.deliver_once("k", lambda: LETTER)
        assert Mail.objects.get().state == Mail.State.UNCLEAR

    @REPEATABLE
    def test_message_that_kills_its_workers_is_given_up(self) -> None:
        self.left(Mail.State.SENDING, expired=True, claims=delivery.MAX_CLAIMS)
        with pytest.raises(MailUnclearError):
            delivery.deliver_once("k", lambda: LETTER)
        assert RepeatableServer.sent == []


@SMTP
class MailTaskTest(TestCase):
    """The tasks around a delivery."""

    def setUp(self) -> None:
        """One user with one order."""
        Server.sent, Server.answer = [], None
        self.user = User.objects.create(name="Asha", email="asha@example.test")
        self.order = Order.objects.create(user=self.user, total=Decimal("12.50"))

    def test_user_who_is_gone_ends_it_without_a_retry(self) -> None:
        assert tasks.send_welcome_email(999999) == tasks.NO_SUCH_USER
        assert tasks.send_invoice(999999) == tasks.NO_SUCH_ORDER

    def test_other_failures_retry_three_times_with_growing_pauses(self) -> None:
        Server.answer = SMTPRecipientsRefused({})
        for retries, pause_s in enumerate((60, 120, 240)):
            tasks.send_welcome_email.push_request(retries=retries, called_directly=False, is_eager=True)
            try:
                with (
                    patch.object(tasks.send_welcome_email, "signature_from_request"),
                    pytest.raises(Retry) as retry,
                ):
                    tasks.send_welcome_email.run(self.user.pk)
            finally:
                tasks.send_welcome_email.pop_request()
            assert pause_s <= retry.value.when <= pause_s * 1.1, retry.value.when
        tasks.send_welcome_email.push_request(retries=3, called_directly=False, is_eager=True)
        try:
            with pytest.raises(SMTPRecipientsRefused):
                tasks.send_welcome_email.run(self.user.pk)
        finally:
            tasks.send_welcome_email.pop_request()

    def test_resend_is_another_mail_once_per_key(self) -> None:
        assert tasks.send_invoice(self.order.pk) == "sent"
        answers = [tasks.resend_invoice(self.order.pk, key) for key in ("t-1", "t-1", "t-2")]
        assert answers == ["sent", "already sent", "sent"]
        assert len(Server.sent) == 3
        assert Invoice.objects.count() == 1
        assert tasks.resend_welcome_email(self.user.pk, "t-1") == "sent"
        for key in ("", "x" * 101):
            with pytest.raises(ValueError):
                tasks.resend_invoice(self.order.pk, key)

    def test_only_tasks_that_may_run_twice_acknowledge_late(self) -> None:
        late = {name for name, task in vars(tasks).items() if getattr(task, "reject_on_worker_lost", None)}
        mails = {"send_welcome_email", "resend_welcome_email", "send_invoice", "resend_invoice"}
        assert late == mails | {"charge_user", "flush_counters", "build_report"}
        longest_s = max(settings.CELERY_TASK_TIME_LIMIT, tasks.build_report.time_limit, 60 * 4 * 1.1)
        assert settings.CELERY_BROKER_TRANSPORT_OPTIONS["visibility_timeout"] > longest_s * 2
        assert tasks.send_invoice.time_limit < settings.MAIL_CLAIM_S


class ChargeTest(TestCase):
    """One charge per key."""

    def setUp(self) -> None:
        """Two users."""
        self.one, self.two = (User.objects.create(name=n, email=f"{n}@example.test") for n in ("one", "two"))

    def test_same_key_gives_the_first_outcome(self) -> None:
        first = tasks.charge_user(self.one.pk, "20.02", "k")
        assert first["status"] == "declined"
        assert tasks.charge_user(self.one.pk, 20.02, "k") == first
        assert (SandboxCharge.objects.count(), Payment.objects.count()) == (1, 1)

    def test_same_key_for_another_charge_is_refused(self) -> None:
        tasks.charge_user(self.one.pk, "20.00", "k")
        for user, amount in ((self.one, "20.01"), (self.two, "20.00")):
            with pytest.raises(payments.IdempotencyConflictError):
                tasks.charge_user(user.pk, amount, "k")
        assert (SandboxCharge.objects.count(), Payment.objects.count()) == (1, 1)

    def test_senseless_charges_are_refused(self) -> None:
        for amount in ("0", "-1", "NaN", "Infinity", "ten", "1e30"):
            with pytest.raises(ValueError):
                tasks.charge_user(self.one.pk, amount, "k")
        for key in ("", "x" * 256):
            with pytest.raises(ValueError):
                tasks.charge_user(self.one.pk, "1", key)
        with pytest.raises(User.DoesNotExist):
            tasks.charge_user(999_999, "1", "k")
        assert SandboxCharge.objects.count() == 0


class ViewTest(TestCase):
    """What the web process accepts, and when it enqueues."""

    def test_register_enqueues_after_the_commit(self) -> None:
        with patch.object(tasks.send_welcome_email, "delay") as delay:
            with self.captureOnCommitCallbacks() as callbacks:
                answer = self.client.post("/register", {"name": "Asha", "email": "asha@example.test"})
            assert answer.status_code == 201
            delay.assert_not_called()
            callbacks[0]()
            delay.assert_called_once_with(answer.json()["id"])

    def test_bad_registrations_enqueue_nothing(self) -> None:
        User.objects.create(name="Asha", email="asha@example.test")
        bad = [({"name": "A", "email": "no"}, 400), ({"email": "b@example.test"}, 400)]
        for data, status in [*bad, ({"name": "A", "email": "asha@example.test"}, 409)]:
            with self.captureOnCommitCallbacks() as callbacks:
                assert self.client.post("/register", data).status_code == status
            assert callbacks == []
        assert self.client.get("/register").status_code == 405

    def test_orders(self) -> None:
        user = User.objects.create(name="Asha", email="asha@example.test")
        with patch.object(tasks.send_invoice, "delay") as delay, self.captureOnCommitCallbacks(execute=True):
            answer = self.client.post("/orders", {"user": user.pk, "total": "9.90"})
        delay.assert_called_once_with(answer.json()["id"])
        for data, status in (
            ({"user": "x", "total": "1"}, 400),
            ({"user": user.pk, "total": "-1"}, 400),
            ({"user": user.pk, "total": "NaN"}, 400),
            ({"user": 999_999, "total": "1"}, 404),
        ):
            assert self.client.post("/orders", data).status_code == status


class DemoTest(TestCase):
    """The demo data."""

    def test_only_an_empty_database_is_seeded(self) -> None:
        assert seed() == Seeded(users=20, orders=40)
        assert seed() == Seeded()
        assert Order.objects.order_by("pk").values_list("pk", flat=True)[0] == 1001
        assert Order.objects.create(user=User.objects.all()[0], total=1).pk > 1040


class MailFolderTest(SimpleTestCase):
    """Mail as files."""

    def test_keep_read_prune(self) -> None:
        with TemporaryDirectory() as folder, override_settings(MAIL_DIR=folder, MAIL_LATENCY_S=0):
            assert mail.count_sent_mail(Path(folder) / "missing") == 0
            for subject, message_id in (("first", "<1@x>"), ("again", "<1@x>"), ("second", "<2@x>")):
                message = EmailMessage(
                    subject, "body", to=["a@example.test"], headers={"Message-ID": message_id}
                )
                mail.FileMailBackend().send_messages([message])
            assert mail.count_sent_mail(Path(folder)) == 2
            found = [(sent.subject, sent.recipient) for sent in mail.newest_sent_mail(Path(folder), limit=5)]
            assert found == [("second", "a@example.test"), ("first", "a@example.test")]
            assert mail.prune_sent_mail(Path(folder), keep=1) == 1
            assert len(list(Path(folder).iterdir())) == 1


class SettingsTest(SimpleTestCase):
    """Addresses and causes."""

    def test_database_urls(self) -> None:
        for url, name in (("/a/b.db", "/a/b.db"), ("sqlite:////a/b%20c.db", "/a/b c.db")):
            found = database_from_url(url, busy_timeout_s=5)
            assert (found["NAME"], found["OPTIONS"]["transaction_mode"]) == (name, "IMMEDIATE")
        assert database_from_url("sqlite:///x.db", busy_timeout_s=5)["NAME"] == str(Path("x.db").absolute())
        found = database_from_url("postgres://u%40:p%2F%3A@db:5433/shop?sslmode=require", busy_timeout_s=5)
        expected = {"USER": "u@", "PASSWORD": "p/:", "HOST": "db", "PORT": "5433", "NAME": "shop"}
        assert {key: found[key] for key in expected} == expected
        assert found["OPTIONS"]["sslmode"] == "require"
        with pytest.raises(ValueError):
            database_from_url("mysql://u:secret@db/shop", busy_timeout_s=5)

    def test_why_a_step_failed(self) -> None:
        with closing(sqlite3.connect(":memory:")) as database:
            database.execute("PRAGMA max_page_count = 2")
            database.execute("CREATE TABLE t (x)")
            try:
                database.execute("INSERT INTO t VALUES (zeroblob(1000000))")
            except sqlite3.OperationalError as error:
                full = OperationalError(str(error))
                full.__cause__ = error
        assert kind_of(full) == "no-space"
        assert kind_of(OSError(28, "No space left on device")) == "no-space"
        assert kind_of(PermissionError(13, "Permission denied")) == "readonly"
        assert kind_of(ValueError("x")) == "other"

    def test_exact_arguments_have_a_bound(self) -> None:
        def meta_of(args: list[Any]) -> Any:
            body = json.dumps([args, {"k": 1}, {}])
            message = Message(  # type: ignore[no-untyped-call]
                body=body,
                headers={"id": "i", "task": add.name, "lang": "py"},
                content_type="application/json",
                content_encoding="utf-8",
            )
            request = ExactRequest(message, app=celery_app, task=add, decoded=False)
            return request.request_dict.get("meta")

        assert meta_of(["x" * MAX_LENGTH]) is None
        assert json.loads(meta_of(["x"])["exact_arguments"]) == [["x"], {"k": 1}]
