"""The words of the Queues page: rows of both tables from what the model says."""

from __future__ import annotations

from datetime import datetime, tzinfo

from console.queues.messages import Message
from console.queues.model import Age, Alert, QueueRow, QueuesSnapshot
from console.queues.view_model import message_key
from console.widgets.table_model import Cell, Column, Row
from console.widgets.text import (
    UNKNOWN,
    clock_text,
    duration_text,
    exact_instant,
    number_text,
    rate_text,
    short_task_name,
)

QUEUE_COLUMNS = (
    Column("queue", "Queue", stretch=1, kind="name"),
    Column("ready", "Ready", width=110, least=72, kind="number"),
    Column("unacked", "Unacknowledged", width=138, least=118, kind="number"),
    Column("consumers", "Consumers", width=108, least=90, kind="number"),
    Column("oldest", "Oldest waiting", width=140, least=112, kind="number"),
    Column("in", "In", width=160, least=74, kind="number"),
    Column("out", "Out", width=160, least=80, kind="number"),
)
MESSAGE_COLUMNS = (
    Column("position", "Position", width=72, kind="number", sortable=False),
    Column("task", "Task", width=172, kind="name", sortable=False),
    Column("id", "ID", width=100, kind="id", sortable=False),
    Column("arguments", "Arguments", width=120, stretch=1, kind="mono", sortable=False),
    Column("priority", "Priority", width=68, kind="number", sortable=False),
    Column("eta", "ETA", width=96, kind="instant", sortable=False),
    Column("redelivered", "Redelivered", width=94, sortable=False),
)
_TONES = {Alert.GROWING: "error", Alert.NO_CONSUMER: "warning"}


def queue_row(row: QueueRow) -> Row:
    """One line of the table `Queues`."""
    tone = _TONES.get(row.alert) if row.alert is not None else None
    nobody = row.alert is Alert.NO_CONSUMER
    return Row(
        row.name,
        {
            "queue": Cell(row.name, badge=_badge(row)),
            "ready": Cell(
                number_text(row.ready), sort=_sort(row.ready), bold=bool(row.ready), muted=row.ready == 0
            ),
            "unacked": Cell(
                number_text(row.unacked) if not row.unacked_at_least else f"≥ {number_text(row.unacked)}",
                sort=_sort(row.unacked),
                muted=row.unacked == 0,
                tooltip="Not all held messages could be counted" if row.unacked_at_least else None,
            ),
            "consumers": Cell(
                number_text(row.consumers),
                sort=_sort(row.consumers),
                bold=nobody,
                tone="warning" if nobody else None,
                muted=row.consumers == 0 and not nobody,
            ),
            "oldest": Cell(
                age_text(row.oldest),
                sort=row.oldest.seconds if row.oldest is not None else -1.0,
                tone=tone if row.oldest is not None else None,
                bold=tone is not None and row.oldest is not None,
                tooltip=_age_tooltip(row.oldest),
            ),
            "in": _rate(row.in_per_s, row.in_series, "in"),
            "out": _rate(row.out_per_s, row.out_series, "out"),
        },
    )


def message_row(message: Message, *, now: datetime, zone: tzinfo) -> Row:
    """One line of the table `Messages`."""
    return Row(
        message_key(message),
        {
            "position": Cell(number_text(message.position)),
            "task": Cell(short_task_name(message.task), tooltip=message.task, copy=message.task)
            if message.task
            else Cell(),
            "id": Cell(message.id) if message.id else Cell(),
            "arguments": Cell(
                message.arguments, muted=bool(message.problem), tooltip=message.arguments[:1000]
            ),
            "priority": Cell(number_text(message.priority)),
            "eta": _eta(message.eta, now=now, zone=zone),
            "redelivered": Cell("Yes", icon="rotate-cw", tone="warning")
            if message.redelivered
            else Cell("No", muted=True),
        },
    )


def message_pairs(
    message: Message, *, total: int, sent: datetime | None, now: datetime, zone: tzinfo
) -> list[tuple[str, str] | tuple[str, str, str]]:
    """What the panel says of one message."""
    return [
        ("ID", message.id or UNKNOWN, "mono"),
        ("Position", f"{number_text(message.position)} of {number_text(total)}"),
        ("Sent", _sent(sent, now=now, zone=zone)),
        ("Publisher", publisher_text(message.origin)),
        ("Redelivered", "Yes" if message.redelivered else "No"),
        ("Retries", number_text(message.retries)),
        ("ETA", clock_text(message.eta, zone, now=now)),
        ("Expires", clock_text(message.expires, zone, now=now)),
    ]


def body_text(message: Message) -> str:
    """The body as a person reads it, or why it is not shown."""
    if message.problem:
        return message.problem[:1].upper() + message.problem[1:]
    lines = [f"args    {message.args}", f"kwargs  {message.kwargs}"]
    if message.embed is not None:
        lines.append(f"embed   {message.embed}")
    return "\n".join(lines)


def publisher_text(origin: str | None) -> str:
    """Celery's origin `gen3120@web-api-7` as "web-api-7, PID 3120"; another form as it is."""
    if not origin:
        return UNKNOWN
    process, _, host = origin.partition("@")
    pid = process.removeprefix("gen")
    return f"{host}, PID {pid}" if host and process.startswith("gen") and pid.isdecimal() else origin


def summary_text(snapshot: QueuesSnapshot) -> str:
    """The words after the title: "6 queues, 19,866 ready, 174 unacknowledged"; "≥" where not all is known."""
    if snapshot.as_of is None:
        return ""
    count = len(snapshot.rows)
    queues = "1 queue" if count == 1 else f"{count:,} queues"
    there = [row for row in snapshot.rows if not row.missing and not row.foreign]
    ready = _total(snapshot.ready, whole=all(row.ready is not None for row in there))
    held = all(row.unacked is not None and not row.unacked_at_least for row in there)
    return f"{queues}, {ready} ready, {_total(snapshot.unacked, whole=held)} unacknowledged"


def _total(total: int | None, *, whole: bool) -> str:
    return number_text(total) if whole or total is None else f"≥ {number_text(total)}"


def drain_text(row: QueueRow | None) -> str:
    """When the queue will be empty at its present rates; nothing while those are unknown."""
    if row is None or not row.ready or row.in_per_s is None or row.out_per_s is None:
        return ""
    rates = f"At {rate_text(row.out_per_s)} out, {rate_text(row.in_per_s)} in:"
    left_per_s = row.out_per_s - row.in_per_s
    if left_per_s <= 0.01:
        return f"{rates} will not drain"
    return f"{rates} empty in {duration_text(row.ready / left_per_s)}"


def age_text(age: Age | None) -> str:
    """A wait; with "≥" when the console has only seen it for so long, with "≈" when it is an estimate."""
    return UNKNOWN if age is None else f"{age.mark}{duration_text(age.seconds)}"


def _badge(row: QueueRow) -> tuple[str, str, str | None] | None:
    if row.alert is Alert.NO_CONSUMER:
        return (row.alert.value, "warning", "triangle-alert")
    if row.alert is Alert.DELAYED:
        return (row.alert.value, "neutral", None)
    if row.alert is Alert.MISSING:
        return (row.alert.value, "warning", "triangle-alert")
    if row.alert is Alert.NOT_A_QUEUE:
        return (row.alert.value, "error", "triangle-alert")
    if row.alert is Alert.GROWING:
        return (f"{row.alert.value} {rate_text(row.growth_per_s)}", "error", "arrow-up")
    return None


def _rate(value: float | None, series: tuple[float | None, ...], color: str) -> Cell:
    known = any(point is not None for point in series)
    return Cell(
        rate_text(value),
        sort=_sort(value),
        series=series if known else None,
        series_color=color,
        muted=value == 0,
    )


def _eta(eta: datetime | None, *, now: datetime, zone: tzinfo) -> Cell:
    if eta is None:
        return Cell()
    wait_s = (eta - now).total_seconds()
    text = f"in {duration_text(wait_s)}" if 0 <= wait_s < 86_400 else clock_text(eta, zone, now=now)
    return Cell(text, tooltip=exact_instant(eta, zone))


def _sent(sent: datetime | None, *, now: datetime, zone: tzinfo) -> str:
    if sent is None:
        return UNKNOWN
    return f"{clock_text(sent, zone, now=now)}, {duration_text((now - sent).total_seconds())} ago"


def _age_tooltip(age: Age | None) -> str | None:
    if age is None or age.exact:
        return None
    if age.estimated:
        return (
            "An estimate: RabbitMQ does not say how long a message waits, so this is the oldest task that "
            "was sent here, by the events, and that no worker has received"
        )
    return "Redis keeps no time of a message: so long the console has seen it wait"


def _sort(value: float | None) -> float:
    return -1.0 if value is None else float(value)
