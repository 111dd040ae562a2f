"""The shop's tasks. Each is a pattern worth copying; what they do lives in the modules beside this one.

``acks_late`` with ``reject_on_worker_lost`` is only on tasks that may run twice without harm: their message
is acknowledged when they end, so the work of a killed worker is delivered again. All others acknowledge
first and are lost with their worker.

Retries carry a countdown; the longest (4 times the base of 60 s) stays far below the visibility timeout,
beyond which Redis would deliver a waiting message a second time.
"""

import random
import time
from datetime import date
from typing import Any

from celery import Task, chain, chord, group, shared_task
from celery.exceptions import Reject
from django.conf import settings
from django.db import DatabaseError

from bundled_project.shop import counters, delivery, payments, reports
from bundled_project.shop.delivery import Letter, MailHeldError, MailUnclearError
from bundled_project.shop.models import Invoice, Order, User

SAFE_TO_REPEAT = {"acks_late": True, "reject_on_worker_lost": True}
SHORT_LIMITS = {"soft_time_limit": 45, "time_limit": 60}
MAIL_LIMITS = {
    "time_limit": settings.MAIL_TIME_LIMIT_S,
    "soft_time_limit": settings.MAIL_TIME_LIMIT_S * 0.75,
}
MAX_RESEND_KEY = 100
NO_SUCH_USER = "no such user"
NO_SUCH_ORDER = "no such order"


def backoff_s(retries: int, *, base_s: float) -> float:
    """The pause before the next try: base x 2^n and up to a tenth more, so that not all come back at once."""
    pause_s = base_s * float(2**retries)
    return pause_s + random.uniform(0, pause_s / 10)  # noqa: S311 - spreads load, guards nothing


def _welcome(user: User) -> Letter:
    return Letter(
        kind="welcome",
        recipient=user.email,
        subject=f"Welcome, {user.name}",
        body=f"Hello {user.name},\n\nyour account is ready.\n\nThe shop\n",
    )


def _invoice_letter(order: Order) -> Letter:
    invoice, _created = Invoice.objects.get_or_create(
        order=order, defaults={"number": f"INV-{order.pk}", "total": order.total}
    )
    return Letter(
        kind="invoice",
        recipient=order.user.email,
        subject=f"Invoice {invoice.number}",
        body=f"Hello {order.user.name},\n\nyour order {order.pk} comes to {invoice.total}.\n\nThe shop\n",
    )


def _resend_mail_key(original: str, resend_key: str) -> str:
    if not 0 < len(resend_key) <= MAX_RESEND_KEY:
        message = f"resend_key must have 1 to {MAX_RESEND_KEY} characters"
        raise ValueError(message)
    return f"{original}/resend/{resend_key}"


def _send_welcome(task: Task, user_id: int, mail_key: str) -> str:
    try:
        user = User.objects.get(pk=user_id)
        return delivery.deliver_once(mail_key, lambda: _welcome(user))
    except User.DoesNotExist:
        return NO_SUCH_USER
    except MailUnclearError:
        raise
    except MailHeldError as held:
        raise task.retry(exc=held, countdown=held.retry_after_s) from held
    except Exception as error:
        pause_s = backoff_s(task.request.retries, base_s=settings.WELCOME_RETRY_BASE_S)
        raise task.retry(exc=error, countdown=pause_s) from error


def _send_invoice(task: Task, order_id: int, mail_key: str) -> str:
    try:
        order = Order.objects.select_related("user").get(pk=order_id)
        return delivery.deliver_once(mail_key, lambda: _invoice_letter(order))
    except Order.DoesNotExist:
        return NO_SUCH_ORDER
    except MailHeldError as held:
        raise task.retry(exc=held, countdown=held.retry_after_s) from held
    except (OSError, DatabaseError) as error:
        raise task.retry(exc=error, countdown=backoff_s(task.request.retries, base_s=10)) from error


@shared_task(bind=True, max_retries=3, **SAFE_TO_REPEAT, **MAIL_LIMITS)
def send_welcome_email(self: Task, user_id: int) -> str:
    """Send the welcome mail, once per user."""
    return _send_welcome(self, user_id, f"welcome:{user_id}")


@shared_task(bind=True, max_retries=3, **SAFE_TO_REPEAT, **MAIL_LIMITS)
def resend_welcome_email(self: Task, user_id: int, resend_key: str) -> str:
    """Send the welcome mail again on purpose, once per ``resend_key``."""
    return _send_welcome(self, user_id, _resend_mail_key(f"welcome:{user_id}", resend_key))


@shared_task(bind=True, max_retries=5, **SAFE_TO_REPEAT, **MAIL_LIMITS)
def send_invoice(self: Task, order_id: int) -> str:
    """Issue and send the invoice, at most one per order."""
    return _send_invoice(self, order_id, f"invoice:{order_id}")


@shared_task(bind=True, max_retries=5, **SAFE_TO_REPEAT, **MAIL_LIMITS)
def resend_invoice(self: Task, order_id: int, resend_key: str) -> str:
    """Send the order's invoice again on purpose, once per ``resend_key``."""
    return _send_invoice(self, order_id, _resend_mail_key(f"invoice:{order_id}", resend_key))


@shared_task(autoretry_for=(DatabaseError,), max_retries=5, retry_backoff=2, **SAFE_TO_REPEAT, **SHORT_LIMITS)
def charge_user(user_id: int, amount: str | float, idempotency_key: str) -> dict[str, Any]:
    """Charge the user once per key and return the first outcome; a key used for another charge is refused."""
    if not 0 < len(idempotency_key) <= 255:
        message = "idempotency_key must have 1 to 255 characters"
        raise ValueError(message)
    payment = payments.charge_once(
        user_id=User.objects.values_list("pk", flat=True).get(pk=user_id),
        amount=payments.parse_amount(amount),
        idempotency_key=idempotency_key,
    )
    return {"charge": payment.charge_id, "status": payment.status, "amount": str(payment.amount)}


@shared_task(**SAFE_TO_REPEAT, **SHORT_LIMITS)
def flush_counters() -> dict[str, int]:
    """Move the counters from Redis to the database."""
    return {"moved": counters.flush()}


@shared_task(soft_time_limit=240, time_limit=300, **SAFE_TO_REPEAT)
def build_report(day: str | None = None, min_rows: int = 0, row_pause_s: float = 0) -> dict[str, Any]:
    """Build the report of ``day`` (ISO date, default yesterday).

    On ``SoftTimeLimitExceeded`` the partial file is removed and the exception goes on, so the task fails.
    """
    chosen = date.fromisoformat(day) if day else reports.yesterday()
    report = reports.build(chosen, min_rows=min_rows, row_pause_s=row_pause_s)
    return {"day": chosen.isoformat(), "rows": report.rows}


# --- To see every state ---------------------------------------------------------------------------------


@shared_task
def take_time(seconds: float) -> float:
    """Take the given time. Acknowledged early: a killed worker takes it along."""
    time.sleep(seconds)
    return seconds


@shared_task
def fail_on_purpose(message: str = "on purpose") -> None:
    """Fail."""
    raise ValueError(message)


@shared_task(bind=True, max_retries=None)
def try_again(self: Task, times: int, pause_s: float = 1) -> int:
    """Retry the given number of times, then succeed."""
    if self.request.retries < times:
        error = ConnectionError("the other side is busy")
        raise self.retry(exc=error, countdown=pause_s)
    return int(self.request.retries)


@shared_task(acks_late=True)
def refuse(reason: str = "on purpose") -> None:
    """Reject the message, which needs late acknowledgement."""
    raise Reject(reason, requeue=False)


@shared_task
def add(left: float, right: float) -> float:
    """Add two numbers."""
    return left + right


@shared_task
def total(numbers: list[float]) -> float:
    """Add up the results of a group."""
    return sum(numbers)


@shared_task
def fan_out(width: int = 3) -> dict[str, str | None]:
    """Start a chain, a group and a chord of small tasks and return their ids."""
    return {
        "chain": chain(add.s(1, 2), add.s(3), add.s(4)).apply_async().id,
        "group": group(add.s(n, n) for n in range(width)).apply_async().id,
        "chord": chord([add.s(n, 1) for n in range(width)], total.s()).apply_async().id,
    }
