"""Asking one worker for what a tab shows, and finding out why it does not tell.

Shapes and safety: celery.worker.control.
"""

from __future__ import annotations

from collections.abc import Awaitable, Hashable
from typing import Protocol

from console.core.errors import Cause, ConsoleError
from console.workers.inspection import REGISTERED_ITEMS
from console.workers.model import Replies, Request, Tab

LISTING_TIMEOUT_S = 2.0

_METHODS: dict[Tab, tuple[str, dict[str, object]]] = {
    # safe=True: one task whose arguments JSON cannot express would otherwise silence the whole answer.
    # Celery 5.7 heeds it for running tasks only; of the others `_silence` finds out.
    Tab.ACTIVE: ("active", {"safe": True}),
    Tab.RESERVED: ("reserved", {"safe": True}),
    Tab.SCHEDULED: ("scheduled", {"safe": True}),
    Tab.REVOKED: ("revoked", {}),
    Tab.REGISTERED: ("registered", {"taskinfoitems": REGISTERED_ITEMS}),
    Tab.SETTINGS: ("conf", {"with_defaults": False}),
    Tab.STATISTICS: ("stats", {}),
}
_UNSAFE = (Tab.RESERVED, Tab.SCHEDULED)


class AskOnce(Protocol):
    """Sends requests and collects replies; equal `key`s under way share one answer. Raises `ConsoleError`."""

    def __call__(self, *requests: Request, timeout_s: float, key: Hashable = None) -> Awaitable[Replies]: ...


async def ask_for_tab(ask: AskOnce, hostname: str, tab: Tab) -> object:
    """What `hostname` answers for `tab`. Raises `ConsoleError` when it refuses or says nothing."""
    method, arguments = _METHODS[tab]
    only = Request(method, arguments, destination=(hostname,), expected=frozenset({hostname}))
    replies = await ask(only, timeout_s=LISTING_TIMEOUT_S, key=("listing", hostname, tab))
    reply = replies.by_request[0].get(hostname)
    if reply is None:
        raise await _silence(ask, hostname, tab)
    if reply.error is not None:
        raise ConsoleError(f"{hostname} refused", detail=reply.error)
    return reply.value


async def _silence(ask: AskOnce, hostname: str, tab: Tab) -> ConsoleError:
    """Why a worker did not list what it holds: it is gone or busy, or cannot say it in JSON."""
    if tab in _UNSAFE:
        ping = Request("ping", destination=(hostname,), expected=frozenset({hostname}))
        replies = await ask(ping, timeout_s=LISTING_TIMEOUT_S)
        if hostname in replies.by_request[0]:
            return ConsoleError(
                f"{hostname} cannot list these tasks",
                detail="It lives and answers, but one of them has arguments that JSON cannot express, "
                "and Celery then sends no list at all.",
                remedy="Its tasks are on the page Tasks.",
                cause=Cause.INVALID,
                retryable=True,
            )
    return ConsoleError(
        f"{hostname} did not answer",
        detail=f"No reply to {_METHODS[tab][0]} within {LISTING_TIMEOUT_S:.0f} s.",
        remedy="A solo pool answers between tasks.",
        cause=Cause.TIMEOUT,
        retryable=True,
    )
