"""The Celery application, configured from the Django settings that begin with ``CELERY_``.

It stands beside the settings so that ``celery -A bundled_project worker|beat`` finds it by its usual name.
"""

from typing import Any

from celery import Celery
from celery.signals import beat_init
from celery.utils.log import get_logger

from bundled_project.load_settings import load_settings

load_settings()

# The task class is named, not imported: it needs Django, which is not set up yet at this point.
app = Celery("bundled_project", task_cls="bundled_project.exact_arguments:ExactTask")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

FIRST_TICK = "beat: First tick done"


@beat_init.connect
def announce_first_tick(sender: Any, **_signal: Any) -> None:
    """Log ``FIRST_TICK`` once beat has looked at its schedules for the first time.

    Beat answers ``inspect ping`` as soon as its control thread is connected, which can be before the first
    tick (celery 5.7, ``beat.Service.start``), so a supervisor that wants to know that beat really ticks needs
    this line too.
    """
    scheduler = sender.scheduler
    tick = scheduler.tick

    def first_tick(*args: Any, **kwargs: Any) -> Any:
        pause_s = tick(*args, **kwargs)
        scheduler.tick = tick
        get_logger(__name__).info(FIRST_TICK)
        return pause_s

    scheduler.tick = first_tick
