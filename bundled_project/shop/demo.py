"""Demo data: users, orders and counters, so that the first task of a new stack has something to work on."""

from dataclasses import dataclass
from decimal import Decimal

from django.core.management.color import no_style
from django.db import connection, transaction

from bundled_project.shop.models import Counter, Order, User

FIRST_NAMES = (
    "Asha", "Ravi", "Meera", "Arjun", "Lena", "Jonas", "Mia", "Noah", "Chloe", "Hugo",
    "Sofia", "Mateo", "Yuki", "Haruto", "Amara", "Kofi", "Nina", "Oskar", "Iris", "Tomas",
)  # fmt: skip
FIRST_ORDER = 1001
ORDERS_PER_USER = 2
COUNTERS = ("visits", "searches", "baskets")


@dataclass(frozen=True, slots=True)
class Seeded:
    """How much demo data was made; zeros when the database had users already."""

    users: int = 0
    orders: int = 0


def seed() -> Seeded:
    """Make the demo data in one transaction, only where there is no user yet."""
    with transaction.atomic():
        if User.objects.exists():
            return Seeded()
        users = User.objects.bulk_create(
            [User(name=name, email=f"{name.lower()}@example.test") for name in FIRST_NAMES]
        )
        orders = Order.objects.bulk_create(
            [
                Order(id=FIRST_ORDER + n, user=users[n % len(users)], total=Decimal(1250 + 375 * n) / 100)
                for n in range(len(users) * ORDERS_PER_USER)
            ]
        )
        Counter.objects.bulk_create([Counter(name=name) for name in COUNTERS], ignore_conflicts=True)
        # Orders were numbered by hand; where numbers come from a sequence it has to follow.
        with connection.cursor() as cursor:
            for statement in connection.ops.sequence_reset_sql(no_style(), [Order]):
                cursor.execute(statement)
    return Seeded(users=len(users), orders=len(orders))
