"""The shop's tables. Each unique constraint here is what makes one of the tasks safe to run twice."""

import uuid

from django.db import models
from django.utils import timezone


class User(models.Model):
    """A person who registered."""

    name = models.CharField(max_length=200)
    email = models.EmailField(unique=True)
    created_at = models.DateTimeField(default=timezone.now)


class Order(models.Model):
    """What a user bought."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="orders")
    total = models.DecimalField(max_digits=12, decimal_places=2)
    created_at = models.DateTimeField(default=timezone.now)


class Invoice(models.Model):
    """The invoice of one order: at most one, held by the unique relation."""

    order = models.OneToOneField(Order, on_delete=models.CASCADE, related_name="invoice")
    number = models.CharField(max_length=40, unique=True)
    total = models.DecimalField(max_digits=12, decimal_places=2)
    issued_at = models.DateTimeField(default=timezone.now)


class Mail(models.Model):
    """One mail that is sent once, named by ``key``; also the ledger of deliberate resends."""

    class State(models.TextChoices):
        """How far the mail has come."""

        READY = "ready"
        CLAIMED = "claimed"
        SENDING = "sending"
        SENT = "sent"
        UNCLEAR = "unclear"

    key = models.CharField(max_length=255, unique=True)
    kind = models.CharField(max_length=40)
    recipient = models.CharField(max_length=254, default="")
    subject = models.CharField(max_length=250, default="")
    state = models.CharField(max_length=10, choices=State.choices, default=State.READY)
    claim = models.CharField(max_length=32, default="")
    claimed_until = models.DateTimeField(default=timezone.now)
    claims = models.PositiveIntegerField(default=0)
    problem = models.TextField(default="")
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        indexes = (models.Index(fields=["state", "-sent_at"], name="shop_mail_state_sent"),)


class SandboxCharge(models.Model):
    """The books of the sandbox payment provider: what a real one keeps on its side."""

    idempotency_key = models.CharField(max_length=255, unique=True)
    customer = models.CharField(max_length=40)
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    status = models.CharField(max_length=10)
    created_at = models.DateTimeField(default=timezone.now)


class Payment(models.Model):
    """The shop's own record of a charge."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="payments")
    idempotency_key = models.CharField(max_length=255, unique=True)
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    charge_id = models.BigIntegerField()
    status = models.CharField(max_length=10)
    created_at = models.DateTimeField(default=timezone.now)


class Counter(models.Model):
    """A counter as it was when Redis was last flushed."""

    name = models.CharField(max_length=200, primary_key=True)
    value = models.BigIntegerField(default=0)


class CounterBatch(models.Model):
    """A batch of increments that is already in ``Counter``."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    increments = models.BigIntegerField()
    applied_at = models.DateTimeField(default=timezone.now, db_index=True)


class Report(models.Model):
    """A finished report of one day; building it again replaces it."""

    day = models.DateField(unique=True)
    path = models.TextField()
    rows = models.PositiveIntegerField()
    built_at = models.DateTimeField(default=timezone.now)
