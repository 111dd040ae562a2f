"""Keeps the exact arguments of every task with its result, so that a task can be sent again as it was.

django-celery-results stores a display text of the arguments (cut, and ambiguous for bytes, dates and deep
nesting). It also stores whatever ``request.meta`` holds, and that is used here. Any project can copy this
module and pass ``task_cls`` to its ``Celery(...)``.

The hook is the worker's request class because every way a task can end passes through it: also time limits,
lost workers, expiry and revocation, which the main process records while no task code runs.
"""

from typing import Any

from celery.contrib.django.task import DjangoTask
from celery.worker.request import Request
from kombu.utils.json import dumps

META_KEY = "exact_arguments"
MAX_LENGTH = 65_536
"""Characters of JSON beyond which nothing is kept; a missing key means "not known exactly"."""


class ExactRequest(Request):
    """A request whose ``meta`` carries the JSON text of ``[args, kwargs]``."""

    def __init__(self, message: Any, **options: Any) -> None:
        super().__init__(message, **options)
        # Text, not objects: a task that changes its own list must not change what is kept.
        text = dumps([self.args, self.kwargs])  # type: ignore[no-untyped-call]
        if len(text) <= MAX_LENGTH:
            self.request_dict["meta"] = {META_KEY: text}


class ExactTask(DjangoTask):
    """Celery's Django task (with ``delay_on_commit``) on top of ``ExactRequest``."""

    abstract = True
    Request = "bundled_project.exact_arguments:ExactRequest"
