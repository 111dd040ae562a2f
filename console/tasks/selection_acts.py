"""Acting on many tasks at a pace: batch after batch, with a count, and an end whenever somebody wants it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from console.core.errors import Cause, ConsoleError
from console.core.happening import Happening
from console.history.model import TaskState
from console.tasks.gateway import Answer
from console.tasks.operations import AT_ONCE, KillSignal, WorkersAndHistory


@dataclass(frozen=True, slots=True)
class ActState:
    """How many of the tasks the workers have been told of."""

    verb: str
    told: int
    total: int

    @property
    def share(self) -> float:
        return self.told / self.total if self.total else 1.0


class PacedAct:
    """`WorkersAndHistory` that counts, and stops between two batches once `cancel` was called."""

    def __init__(self, outside: WorkersAndHistory, *, verb: str, total: int) -> None:
        self._outside = outside
        self._cancelled = False
        self.state = ActState(verb, 0, total)
        self.changed: Happening[None] = Happening()

    @property
    def takes_long(self) -> bool:
        """Whether it is more than one batch."""
        return self.state.total > AT_ONCE

    def cancel(self) -> None:
        """Tell the workers no more."""
        self._cancelled = True

    def online(self) -> frozenset[str]:
        return self._outside.online()

    async def states(self, task_ids: Sequence[str]) -> Mapping[str, TaskState]:
        return await self._outside.states(task_ids)

    async def tell(self, task_ids: Sequence[str], signal: KillSignal | None) -> list[Answer]:
        """One batch. Raises `ConsoleError`, which says how many had been told of by then."""
        told = self.state.told
        if self._cancelled:
            raise ConsoleError(
                f"{self.state.verb} was cancelled",
                detail=f"The workers were told of {told:,} of {self.state.total:,} tasks; that stands.",
                cause=Cause.OTHER,
            )
        try:
            answers = await self._outside.tell(task_ids, signal)
        except ConsoleError as error:
            if told:
                raise ConsoleError(
                    error.title,
                    detail=f"{error.detail} The workers were told of {told:,} of {self.state.total:,} tasks.",
                    remedy=error.remedy,
                    cause=error.cause,
                    retryable=error.retryable,
                ) from error
            raise
        self.state = ActState(self.state.verb, told + len(task_ids), self.state.total)
        self.changed.emit(None)
        return answers
