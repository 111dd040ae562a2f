"""What every part of the program may know about the connection that is open."""

from __future__ import annotations

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
    """What may be done through a connection."""

    FULL = "Everything"
    READ_ONLY = "Read only"


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

    `latency_ms` is of the last answered ping, `since` when the state began, `error` why it is not up.
    """

    state: LinkState
    since: datetime
    latency_ms: float | None = None
    error: ConsoleError | None = None
