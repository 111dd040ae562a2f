"""What the reconciler knows of a task that has fallen silent: the task, and what was found out about it.

Plain values, so that the rules in `reconcile_judge` need no broker to be tested.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from console.history.model import Gap, TaskState, WorkerSeen

if TYPE_CHECKING:
    from console.broker.results import BackendResult


@dataclass(frozen=True, slots=True)
class Suspect:
    """A task without an end of which nothing has been heard for a while. Instants: seconds of the epoch.

    - `quiet_since`: its last event; `newest`: the same by the workers' clocks, for what must come after it.
    - `told`: the state that its events give; `state`: what the history shows, maybe from an earlier verdict.
    - `events`: how many events of it are known, `pid` the worker's process as they say (0: unknown).
    - `eta`, `expires`: 0.0 for none.
    """

    id: str
    state: TaskState
    told: TaskState
    worker: str
    queue: str
    quiet_since: float
    newest: float
    events: int
    pid: int = 0
    eta: float = 0.0
    expires: float = 0.0


class Hold(StrEnum):
    """How a worker holds a task; `query_task`'s words. READY: known, and in none of its lists now."""

    ACTIVE = "active"
    RESERVED = "reserved"
    SCHEDULED = "scheduled"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class WorkersSay:
    """What the workers answered. `held` and `revoked` by task id.

    - `answered`: who answered everything; `beats` answer to a ping and to nothing else.
    - `listening`: how many receive commands, None where the broker does not tell.
    - `unheard`: who is connected and did not answer (busy in its only thread, or one of two with a name), as
      far as the broker tells and it is not among the `listening`.
    - `asked_all`: whether the lists were asked for too (scheduled, active, revoked), not the ids alone.
    - `up_s`: for how long each has been running; `transports`: their options of the broker's transport.
    - `results_database`: the database of the broker's Redis in which they keep results, None for elsewhere.
    - `problem`: why they could not be asked; "" when they could.
    """

    held: Mapping[str, Mapping[str, Hold]] = field(default_factory=dict)
    revoked: Mapping[str, frozenset[str]] = field(default_factory=dict)
    answered: frozenset[str] = frozenset()
    beats: frozenset[str] = frozenset()
    listening: int | None = None
    unheard: frozenset[str] = frozenset()
    asked_all: bool = False
    up_s: Mapping[str, float] = field(default_factory=dict)
    transports: tuple[Mapping[str, object], ...] = ()
    results_database: int | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class MessagesFound:
    """Where messages of tasks were seen: by id, the queue or "unacknowledged".

    `complete`: everything was looked through; otherwise `problem` says why not.
    """

    places: Mapping[str, str] = field(default_factory=dict)
    complete: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one round found out. `messages` None: not looked for this time. `results` None: no backend.

    `seen`: workers by their heartbeats. `heard`: when a worker has last told of receiving a task.
    `gaps` are the times in which events may have been missed; `silent_s` and `ending_s` as in `Timings`.
    """

    now: float
    workers: WorkersSay
    messages: MessagesFound | None
    results: Mapping[str, BackendResult] | None
    results_problem: str
    seen: Mapping[str, WorkerSeen]
    heard: Mapping[str, float]
    gaps: tuple[Gap, ...]
    silent_s: float
    ending_s: float = 0.0
