"""The four numbers on top of the overview. A number that is not known is a dash, never 0."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QWidget

from console.history.figure_reading import FigureSlot
from console.overview.model import RATE_MINUTES, QueuesSeen, WorkersSeen
from console.overview.service import OverviewSnapshot
from console.widgets.panel import Card
from console.widgets.text import duration_text, number_text

SLOTS_SHOWN = 12


class CardRow(QWidget):
    """`Workers online`, `Tasks per minute`, `Failed per minute`, `Waiting`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._workers = Card("Workers online")
        self._tasks = Card("Tasks per minute")
        self._failed = Card("Failed per minute")
        self._waiting = Card("Waiting")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(12)
        for card in (self._workers, self._tasks, self._failed, self._waiting):
            layout.addWidget(card, 1)

    def show_snapshot(self, snapshot: OverviewSnapshot) -> None:
        """Show what is known now."""
        self._show_workers(snapshot.workers)
        live = snapshot.attached
        rates = snapshot.rates
        tasks = number_text(round(rates.tasks)) if live and rates.tasks is not None else None
        if rates.tasks_usual is not None:
            usual = f"usually {number_text(round(rates.tasks_usual))}"
        else:
            usual = "in the last minute" if tasks is not None else ""
        self._tasks.set_value(tasks, sub=usual)
        self._tasks.set_series([_ended(slot) for slot in snapshot.history.minutes], color="in")
        self._show_failed(snapshot)
        queues = snapshot.queues
        waiting = None if queues is None or queues.waiting is None else number_text(queues.waiting)
        self._waiting.set_value(waiting if live else None, sub=_oldest(queues) if live else "")
        self._waiting.set_series(snapshot.waiting, color="in")

    def _show_failed(self, snapshot: OverviewSnapshot) -> None:
        rates = snapshot.rates
        failed = _rate(rates.failed) if snapshot.attached and rates.failed is not None else None
        if rates.failed_usual is not None:
            usual = f"usually {_rate(rates.failed_usual)}"
        else:
            usual = "" if failed is None else f"mean of up to {RATE_MINUTES} min"
        rising = rates.failures_rise
        self._failed.set_value(
            failed,
            sub=usual,
            tone="error" if rising else "muted",
            icon="arrow-up" if rising else None,
        )
        series = [float(slot.failed) if slot.known else None for slot in snapshot.history.minutes]
        self._failed.set_series(series, color="failed")

    def _show_workers(self, workers: WorkersSeen | None) -> None:
        if workers is None or workers.stale:
            # Whoever cannot be heard may be gone: the last number would be shown as if it were now.
            self._workers.set_value(
                None, sub="" if workers is None else f"{len(workers.online)} when last heard"
            )
            self._workers.set_slots([])
            return
        sub, tone, icon = "", "muted", None
        lost = tuple(name for name in workers.offline if name not in workers.left)
        if lost:
            sub, tone, icon = _told(lost, "lost"), "error", "circle-off"
        elif workers.late:
            sub, tone, icon = _told(workers.late, "late"), "warning", "clock-alert"
        elif workers.left:
            sub = _told(tuple(sorted(workers.left)), "offline")
        elif workers.known:
            sub = workers.online[0] if workers.known == 1 else "all that are known"
        self._workers.set_value(
            str(len(workers.online)),
            suffix=f"of {workers.known}" if workers.known > len(workers.online) else "",
            sub=sub,
            tone=tone,
            icon=icon,
        )
        slots = (
            ["ok"] * len(workers.online) + ["warning"] * len(workers.late) + ["error"] * len(workers.offline)
        )
        self._workers.set_slots(slots if len(slots) <= SLOTS_SHOWN else [])


def _told(names: tuple[str, ...], state: str) -> str:
    return f"{names[0]} is {state}" if len(names) == 1 else f"{len(names)} workers are {state}"


def _oldest(queues: QueuesSeen | None) -> str:
    """What is worth knowing of the messages that wait."""
    if queues is None or queues.waiting is None:
        return ""
    if not queues.waiting:
        return "no message waits"
    if queues.oldest_s is None:
        return ""
    where = f", in {queues.oldest_queue}" if queues.oldest_queue else ""
    return f"oldest {queues.oldest_mark}{duration_text(queues.oldest_s)}{where}"


def _rate(value: float) -> str:
    return number_text(round(value)) if value >= 10 else f"{value:.1f}".removesuffix(".0")


def _ended(slot: FigureSlot) -> float | None:
    return float(slot.ended) if slot.known else None
