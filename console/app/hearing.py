"""Who hears of what: the translations between features that may not know each other."""

from __future__ import annotations

from datetime import datetime

from console.core.connection import LinkState
from console.overview.model import Backlog, QueuesSeen, SchedulesSeen, WorkersSeen
from console.queues.model import Alert, QueuesSnapshot
from console.schedules.model import NextState
from console.schedules.service import ScheduleSnapshot
from console.stack.model import StackSnapshot, StackState
from console.workers.model import WorkersSnapshot, WorkerState


def workers_seen(snapshot: WorkersSnapshot, now: datetime) -> WorkersSeen:
    """The workers as the overview counts them."""

    def names(state: WorkerState) -> tuple[str, ...]:
        return tuple(row.hostname for row in snapshot.rows if row.state is state)

    late = tuple(
        (row.hostname, (now - row.last_heartbeat).total_seconds())
        for row in snapshot.rows
        if row.state is WorkerState.LATE and row.last_heartbeat is not None
    )
    return WorkersSeen(
        online=names(WorkerState.ONLINE),
        late=names(WorkerState.LATE),
        offline=names(WorkerState.OFFLINE),
        events_off=snapshot.events_off,
        late_s=late,
        last_seen=tuple(
            (row.hostname, row.last_heartbeat)
            for row in snapshot.rows
            if row.state is WorkerState.OFFLINE and row.last_heartbeat is not None
        ),
        stale=snapshot.stale,
    )


def queues_seen(snapshot: QueuesSnapshot) -> QueuesSeen:
    """The depths as the overview counts them."""
    without = tuple(
        (row.name, row.ready) for row in snapshot.rows if row.ready and row.alert is Alert.NO_CONSUMER
    )
    oldest = max(
        ((row.oldest.seconds, row.name, row.oldest.mark) for row in snapshot.rows if row.oldest is not None),
        default=(None, None, ""),
    )
    growing = tuple(
        Backlog(row.name, row.ready or 0, row.growth_per_s, row.out_per_s)
        for row in snapshot.rows
        if row.alert is Alert.GROWING and row.growth_per_s is not None
    )
    return QueuesSeen(
        waiting=None if snapshot.stale else snapshot.ready,
        without_consumer=without,
        oldest_s=oldest[0],
        oldest_queue=oldest[1],
        oldest_mark=oldest[2],
        growing=growing,
        stale=snapshot.stale,
    )


def schedules_seen(snapshot: ScheduleSnapshot) -> SchedulesSeen | None:
    """The schedules that beat cannot run, and those that it should have run; None while they are unknown."""
    if snapshot.rows is None or snapshot.error is not None or not snapshot.attached:
        return None
    enabled = [view for view in snapshot.rows if view.schedule.enabled]
    return SchedulesSeen(
        problems=tuple(
            (view.schedule.name, view.problem.reason) for view in enabled if view.problem is not None
        ),
        overdue=tuple(
            (view.schedule.name, view.next_run.at)
            for view in enabled
            if view.next_run.state is NextState.OVERDUE and view.next_run.at is not None
        ),
    )


def stack_badge(snapshot: StackSnapshot) -> tuple[str, str]:
    """What the sidebar shows behind Local stack: nothing while it is down."""
    if snapshot.state is StackState.STOPPED:
        return "", ""
    tone = "error" if snapshot.state is StackState.FAILED else ""
    return f"{snapshot.ready_services}/{len(snapshot.services)}", tone


def offers_stack(chosen_is_local: bool, link: LinkState, stack: StackSnapshot) -> bool:
    """Whether the overview offers to start the local stack."""
    down = stack.state in (StackState.STOPPED, StackState.FAILED)
    return chosen_is_local and down and link is LinkState.DISCONNECTED
