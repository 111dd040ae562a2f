"""Notices: what a person is told outside of a page, as data.

A notice with a `key` replaces the one before with that key, so an outage is one notice and not one
per poll. The window decides how they look; tests assert on the list.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from console.core.clock import Clock
from console.core.errors import ConsoleError
from console.core.happening import Happening


class Level(StrEnum):
    OK = "ok"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class NoticeAction:
    """A button on a notice."""

    text: str
    run: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Notice:
    """`text` is the bold fact, `detail` follows it; `key` names what it is about."""

    level: Level
    text: str
    detail: str
    key: str
    when: datetime
    action: NoticeAction | None = None


class NoticeBoard:
    """The last notices, newest last; bounded."""

    KEPT = 200

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.notices: list[Notice] = []
        self.posted: Happening[Notice] = Happening()
        self.withdrawn: Happening[str] = Happening()

    def post(
        self,
        level: Level,
        text: str,
        *,
        detail: str = "",
        key: str = "",
        action: NoticeAction | None = None,
    ) -> None:
        notice = Notice(level, text, detail, key, self._clock.now(), action)
        last = next((old for old in reversed(self.notices) if key and old.key == key), None)
        if last is not None and (last.level, last.text, last.detail) == (level, text, detail):
            return
        others = [old for old in self.notices if not key or old.key != key]
        self.notices = [*others[-self.KEPT :], notice]
        self.posted.emit(notice)

    def post_error(self, error: ConsoleError, *, key: str = "", action: NoticeAction | None = None) -> None:
        """Tell of a failure: its title as the fact, detail and remedy behind it."""
        detail = " ".join(part for part in (error.detail, error.remedy) if part)
        self.post(Level.ERROR, error.title, detail=detail, key=key, action=action)

    def withdraw(self, key: str) -> None:
        """The matter named `key` is over."""
        before = len(self.notices)
        self.notices = [notice for notice in self.notices if notice.key != key]
        if len(self.notices) != before:
            self.withdrawn.emit(key)
