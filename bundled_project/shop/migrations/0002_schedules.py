"""Creates the project's schedules, so that they are there as soon as the tables are."""

from typing import Any

from django.conf import settings
from django.db import migrations
from django.utils import timezone

FLUSH = "Flush Redis counters to DB"
NIGHTLY = "Nightly report"


def create_schedules(apps: Any, _schema_editor: Any) -> None:
    """Create both schedules; rows of the same name that are there already stay as they are."""
    model = {
        name: apps.get_model("django_celery_beat", name).objects
        for name in ("IntervalSchedule", "CrontabSchedule", "PeriodicTask", "PeriodicTasks")
    }
    every_minute, _ = model["IntervalSchedule"].get_or_create(every=60, period="seconds")
    at_night, _ = model["CrontabSchedule"].get_or_create(
        minute="30",
        hour="2",
        day_of_week="*",
        day_of_month="*",
        month_of_year="*",
        timezone=settings.CELERY_TIMEZONE,
    )
    model["PeriodicTask"].get_or_create(
        name=FLUSH,
        defaults={
            "task": "bundled_project.shop.tasks.flush_counters",
            "interval": every_minute,
            # A flush that waited for longer than its period is overtaken by the next one.
            "expire_seconds": 60,
            "description": "Moves what was counted in Redis to the database.",
        },
    )
    model["PeriodicTask"].get_or_create(
        name=NIGHTLY,
        defaults={
            "task": "bundled_project.shop.tasks.build_report",
            "crontab": at_night,
            "description": "Builds the report of the day before.",
        },
    )
    # The models of a migration send no signals; this row is what tells a running beat to look again.
    model["PeriodicTasks"].update_or_create(ident=1, defaults={"last_update": timezone.now()})


def remove_schedules(apps: Any, _schema_editor: Any) -> None:
    """Remove the two schedules."""
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name__in=[FLUSH, NIGHTLY]).delete()


class Migration(migrations.Migration):
    """The data migration."""

    dependencies = [
        ("shop", "0001_initial"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]
    operations = [migrations.RunPython(create_schedules, remove_schedules)]
