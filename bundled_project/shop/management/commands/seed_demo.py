"""``seed_demo``: users, orders and counters for an empty database."""

from typing import Any

from django.core.management.base import BaseCommand

from bundled_project.shop.demo import seed


class Command(BaseCommand):
    """Make the demo data."""

    help = "Make 20 users, 40 orders and some counters; does nothing when there are users."

    def handle(self, **_options: Any) -> None:
        """Seed and say what was made."""
        seeded = seed()
        self.stdout.write(f"{seeded.users} users, {seeded.orders} orders")
