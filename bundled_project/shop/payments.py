"""Charging money once: the sandbox payment provider and the shop's record of what it charged.

The provider keeps the idempotency keys, as real ones do, because only it can know whether a charge whose
answer was lost has happened. Its books are a table of this database, written in transactions of their own.
"""

import time
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from django.conf import settings
from django.db import transaction

from bundled_project.shop.models import Payment, SandboxCharge

DECLINED_CENTS = Decimal("0.02")
"""Amounts ending in this are declined, so that a decline can be tried."""


class IdempotencyConflictError(Exception):
    """The key was used before, for another user or another amount."""


@dataclass(frozen=True, slots=True)
class Charge:
    """The provider's answer: the first one ever given for the key."""

    id: int
    status: str


def parse_amount(amount: str | float) -> Decimal:
    """Return ``amount`` in whole cents; raises ``ValueError`` unless it is above 0 and finite."""
    try:
        value = Decimal(str(amount))
    except InvalidOperation as error:
        message = f"amount {amount!r} is not a number"
        raise ValueError(message) from error
    if not value.is_finite() or not 0 < value < Decimal(10_000_000):
        message = f"amount {amount!r} must be above 0"
        raise ValueError(message)
    return value.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)


class SandboxProvider:
    """A payment provider that moves no money."""

    def charge(self, *, customer: str, amount: Decimal, idempotency_key: str) -> Charge:
        """Charge once per key. Raises ``IdempotencyConflictError`` for a key used with other parameters."""
        time.sleep(settings.SANDBOX_LATENCY_S / 2)
        with transaction.atomic():
            kept, _created = SandboxCharge.objects.get_or_create(
                idempotency_key=idempotency_key,
                defaults={
                    "customer": customer,
                    "amount": amount,
                    "status": "declined" if amount % 1 == DECLINED_CENTS else "succeeded",
                },
            )
        if (kept.customer, kept.amount) != (customer, amount):
            message = f"key {idempotency_key!r} was used for another charge"
            raise IdempotencyConflictError(message)
        # The charge is made; whoever dies while waiting for the answer does not know it.
        time.sleep(settings.SANDBOX_LATENCY_S / 2)
        return Charge(id=kept.pk, status=kept.status)


def charge_once(*, user_id: int, amount: Decimal, idempotency_key: str) -> Payment:
    """Charge the user and record the payment, both once per key."""
    charge = SandboxProvider().charge(
        customer=f"user-{user_id}", amount=amount, idempotency_key=idempotency_key
    )
    payment: Payment
    with transaction.atomic():
        payment, _created = Payment.objects.get_or_create(
            idempotency_key=idempotency_key,
            defaults={"user_id": user_id, "amount": amount, "charge_id": charge.id, "status": charge.status},
        )
    return payment
