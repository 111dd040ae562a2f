"""Builds one day's report of orders as a CSV file: long work that leaves nothing half done behind."""

import csv
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TextIO

from django.conf import settings
from django.utils import timezone

from bundled_project.shop.models import Order, Report

PARTIAL_SUFFIX = ".part"


@contextmanager
def whole_file(target: Path) -> Iterator[TextIO]:
    """Write beside ``target`` and move there at the end; whatever interrupts this removes the partial file.

    A soft time limit arrives as an exception anywhere in the body, so it is covered too. A killed process
    leaves its partial file, under a name no other run uses.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}{PARTIAL_SUFFIX}")
    try:
        with partial.open("w", newline="", encoding="utf-8") as file:
            yield file
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def yesterday() -> date:
    """The last whole day in the project's zone."""
    today: date = timezone.localdate()
    return today - timedelta(days=1)


def build(day: date, *, min_rows: int, row_pause_s: float) -> Report:
    """Write the report of ``day`` and record it; repeats the orders until there are ``min_rows`` rows."""
    start = timezone.make_aware(datetime.combine(day, datetime.min.time()))
    orders = Order.objects.filter(created_at__gte=start, created_at__lt=start + timedelta(days=1))
    lines = list(orders.order_by("pk").values_list("pk", "user_id", "total"))
    target = Path(settings.REPORTS_DIR) / f"orders-{day.isoformat()}.csv"
    with whole_file(target) as file:
        writer = csv.writer(file)
        writer.writerow(["order", "user", "total"])
        rows = max(min_rows, len(lines))
        for row in range(rows):
            writer.writerow(lines[row % len(lines)] if lines else ["", "", "0.00"])
            file.flush()
            time.sleep(row_pause_s)
    report: Report
    report, _created = Report.objects.update_or_create(
        day=day, defaults={"path": str(target), "rows": rows, "built_at": timezone.now()}
    )
    return report
