"""Celery's side of schedules: what a worker tells of its project, and one run published by hand.

`worker_settings` runs on the control lane, `run_now` on the queues lane.
"""

from __future__ import annotations

import json
from typing import Any

from console.broker.sending import ask_workers, send_task
from console.broker.session import Session
from console.core.errors import Cause, ConsoleError
from console.schedules.model import Schedule, WorkerSettings, arguments_problem
from console.schedules.routing import settings_from_conf

ANSWER_WITHIN_S = 1.5


class CeleryScheduleBroker:
    """Through the connection's own Celery application."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def worker_settings(self) -> WorkerSettings | None:
        answers = ask_workers(
            self._session.celery_app(),
            self._session.address,
            "conf",
            {"with_defaults": True},
            timeout_s=ANSWER_WITHIN_S,
            limit=1,
        )
        conf = next(
            (said for answer in answers if isinstance(answer, dict) for said in answer.values()), None
        )
        return settings_from_conf(conf) if isinstance(conf, dict) else None

    def run_now(self, schedule: Schedule, *, queue: str | None) -> str:
        problem = arguments_problem(schedule)
        if problem is not None:
            raise ConsoleError(problem.reason, remedy=problem.mend, cause=Cause.INVALID)
        options = publish_options(schedule, queue=queue)
        return send_task(
            self._session.celery_app(),
            self._session.address,
            schedule.task,
            json.loads(schedule.args or "[]"),
            json.loads(schedule.kwargs or "{}"),
            **options,
        )


def publish_options(schedule: Schedule, *, queue: str | None) -> dict[str, Any]:
    """Every option beat would give to `apply_async` for this row.

    A plain queue is published to directly and not declared: declaring would write a binding of the
    console's own making into the broker.
    """
    headers = json.loads(schedule.headers or "{}")
    headers["periodic_task_name"] = schedule.name
    options: dict[str, Any] = {"headers": headers}
    if schedule.exchange or schedule.routing_key:
        for option in ("queue", "exchange", "routing_key"):
            if value := getattr(schedule, option):
                options[option] = value
    else:
        options |= {"queue": schedule.queue or queue, "declare": []}
    if schedule.priority is not None:
        options["priority"] = schedule.priority
    expires = schedule.expires or schedule.expire_seconds
    if expires is not None:
        options["expires"] = expires
    return options
