"""The outside of the Tasks page: revoking and terminating by remote control, and publishing.

Revoking is only a word to the workers: it counts when they answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from console.broker.address import BrokerAddress
from console.broker.sending import ask_workers, send_task
from console.tasks.model import SendRequest

if TYPE_CHECKING:
    from celery import Celery

ANSWER_S = 1.5


@dataclass(frozen=True, slots=True)
class Answer:
    """What one worker said."""

    hostname: str
    ok: bool
    text: str


class TaskControl(Protocol):
    """All calls block (lane threads) and raise `ConsoleError`."""

    def tell(self, task_ids: Sequence[str], *, signal: str | None, expected: int | None) -> list[Answer]:
        """Tell the workers not to run these tasks; their answers.

        With `signal` (SIGTERM, SIGKILL, ...) the processes that run one get it. Waits for `expected` answers,
        at most 1.5 s after the last one.
        """
        ...

    def send(self, task_id: str, request: SendRequest) -> None:
        """Publish a task under `task_id`."""
        ...


class CeleryTaskControl:
    """`TaskControl` through celery's own application of the session."""

    def __init__(self, app: Callable[[], Celery], address: BrokerAddress) -> None:
        self._app = app
        self._address = address

    def tell(self, task_ids: Sequence[str], *, signal: str | None, expected: int | None) -> list[Answer]:
        how = {} if signal is None else {"terminate": True, "signal": signal}
        replies = ask_workers(
            self._app(),
            self._address,
            "revoke",
            {"task_id": list(task_ids), **how},
            timeout_s=ANSWER_S,
            limit=expected,
        )
        return [answer for reply in replies for answer in _answers(reply)]

    def send(self, task_id: str, request: SendRequest) -> None:
        send_task(
            self._app(),
            self._address,
            request.name,
            tuple(request.args),  # its display text then looks as it does from `delay`
            request.kwargs,
            task_id=task_id,
            queue=request.queue or None,
            ignore_result=False,
        )


def _answers(reply: object) -> list[Answer]:
    """A reply is `{hostname: {"ok": text}}` or `{hostname: {"error": text}}`."""
    if not isinstance(reply, dict):
        return []
    answers: list[Answer] = []
    for hostname, said in reply.items():
        value = said if isinstance(said, dict) else {}
        answers.append(Answer(str(hostname), "ok" in value, str(value.get("ok", value.get("error", said)))))
    return answers
