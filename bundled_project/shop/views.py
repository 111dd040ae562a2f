"""What the web process does: write, and enqueue only what has been committed."""

from decimal import Decimal, InvalidOperation

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from bundled_project.shop.models import Order, User
from bundled_project.shop.tasks import send_invoice, send_welcome_email


def register_user(*, name: str, email: str) -> User:
    """Create a user and enqueue the welcome mail once the row is committed.

    Enqueued inside the transaction, a quick worker would look for a user that does not exist yet, and a
    transaction rolled back would leave a mail to nobody. Raises ``IntegrityError`` when the address is taken.
    """
    user: User
    with transaction.atomic():
        user = User.objects.create(name=name, email=email)
        send_welcome_email.delay_on_commit(user.pk)
    return user


@csrf_exempt  # An API without cookies or sessions: there is no login for another site to ride on.
@require_POST
def register(request: HttpRequest) -> JsonResponse:
    """Register the posted ``name`` and ``email``: 201 with the id, 400 for bad input, 409 when taken."""
    name, email = request.POST.get("name", "").strip(), request.POST.get("email", "").strip()
    try:
        validate_email(email)
    except ValidationError:
        return JsonResponse({"error": "email is not valid"}, status=400)
    if not 0 < len(name) <= 200:
        return JsonResponse({"error": "name must have 1 to 200 characters"}, status=400)
    try:
        user = register_user(name=name, email=email)
    except IntegrityError:
        return JsonResponse({"error": "email is taken"}, status=409)
    return JsonResponse({"id": user.pk}, status=201)


@csrf_exempt
@require_POST
def place_order(request: HttpRequest) -> JsonResponse:
    """Place an order of ``total`` for ``user``: 201 with its id, 400 for bad input, 404 for no such user."""
    try:
        user_id, total = int(request.POST.get("user", "")), Decimal(request.POST.get("total", ""))
    except (ValueError, InvalidOperation):
        return JsonResponse({"error": "user and total must be numbers"}, status=400)
    if not total.is_finite() or not 0 < total < Decimal(10_000_000):
        return JsonResponse({"error": "total must be above 0"}, status=400)
    if not User.objects.filter(pk=user_id).exists():
        return JsonResponse({"error": "no such user"}, status=404)
    with transaction.atomic():
        order = Order.objects.create(user_id=user_id, total=total)
        send_invoice.delay_on_commit(order.pk)
    return JsonResponse({"id": order.pk}, status=201)
