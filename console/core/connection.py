"""What every part of the program may know about the connection that is open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from console.core.errors import ConsoleError

LOCAL_STACK_ID = "local-stack"


class Environment(StrEnum):
    DEVELOPMENT = "Development"
    STAGING = "Staging"
    PRODUCTION = "Production"


class Mode(StrEnum):
    """What may be done through a connection; the words of the editor."""

    FULL = "Everything"
    SUPPORT = "Resend only"
    READ_ONLY = "Read only"


class Right(StrEnum):
    """What a broker's or a database's user may be allowed or not; an operation names the one it needs.

    The words go into sentences: "The broker user may not send tasks".
    """

    READ_QUEUES = "read queues"
    READ_MESSAGES = "read messages"
    READ_EVENTS = "read events"
    ASK_WORKERS = "ask or tell workers"
    SEND_TASKS = "send tasks"
    CHANGE_QUEUES = "change queues"
    READ_SCHEDULES = "read schedules"
    CHANGE_SCHEDULES = "change schedules"


Rights = Mapping[Right, str]
"""What is not permitted, each with the reason in words. What is absent is permitted, or not known yet."""


class LinkState(StrEnum):
    """The words of the connection bar."""

    CONNECTED = "Connected"
    CONNECTING = "Connecting…"
    RECONNECTING = "Reconnecting…"
    DISCONNECTED = "Disconnected"


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """A connection as pages and the activity log name it; no secret in it."""

    id: str
    name: str
    environment: Environment
    mode: Mode = Mode.FULL

    @property
    def is_local_stack(self) -> bool:
        return self.id == LOCAL_STACK_ID


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """The state of the line to the broker.

    `latency_ms` is of the last answered ping, `since` when the state began, `error` why it is not up,
    `retry_at` when it is tried again (None while it is being tried, or up).
    """

    state: LinkState
    since: datetime
    latency_ms: float | None = None
    error: ConsoleError | None = None
    retry_at: datetime | None = None
