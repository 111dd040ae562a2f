"""The saved views and the layout of the table while the program runs: one list for all connections."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from console.core.clock import Clock
from console.core.errors import ConsoleError
from console.core.happening import Happening
from console.core.lanes import Lane
from console.core.notices import NoticeBoard
from console.tasks.columns import TableLayout
from console.tasks.views import BUILT_IN, Kept, SavedView, ViewsFile, renamed, with_view, without_view

log = logging.getLogger(__name__)

NOTICE = "task-views"


class ViewsStore:
    """Keeps what a person saves in `file`; without one only for this run.

    Every change is made to what stands in the file at that moment: another window may have written it.
    """

    def __init__(self, file: Path | None, *, clock: Clock, notices: NoticeBoard | None = None) -> None:
        self._file = None if file is None else ViewsFile(file)
        self._clock = clock
        self._notices = notices
        self._lane = Lane("views", timeout_s=10.0)
        self._loaded = False
        self._kept = Kept()
        self.changed: Happening[None] = Happening()

    @property
    def own(self) -> tuple[SavedView, ...]:
        """The person's views, by name."""
        return self._kept.views

    @property
    def all(self) -> tuple[SavedView, ...]:
        """The views of the console, then the person's."""
        return (*BUILT_IN, *self._kept.views)

    @property
    def layout(self) -> TableLayout:
        """How the table stands."""
        return self._kept.layout

    async def load(self) -> None:
        """Read the file; once is enough. A broken one is set aside and told."""
        if self._file is None or self._loaded:
            return
        self._loaded = True
        try:
            kept, trouble = await self._lane.run(self._file.read, self._clock.now())
        except ConsoleError as error:
            kept, trouble = Kept(), error
        self._tell(trouble)
        self._become(kept)

    async def save(self, view: SavedView) -> None:
        """Keep a view, instead of one of the same name. Failing is told in a notice, as below."""
        await self._change(lambda kept: with_view(kept, view))

    async def rename(self, old: str, new: str) -> None:
        """Give a view another name."""
        await self._change(lambda kept: renamed(kept, old, new))

    async def delete(self, name: str) -> None:
        """Forget a view."""
        await self._change(lambda kept: without_view(kept, name))

    async def keep_layout(self, layout: TableLayout) -> None:
        """Remember how the table stands."""
        if layout != self._kept.layout:
            self._kept = replace(self._kept, layout=layout)
            await self._change(lambda kept: replace(kept, layout=layout))

    async def aclose(self) -> None:
        """End the lane."""
        await self._lane.aclose()

    async def _change(self, change: Callable[[Kept], Kept]) -> None:
        if self._file is None:
            self._become(change(self._kept))
            return
        try:
            kept, trouble = await self._lane.run(self._file.update, change, self._clock.now())
        except ConsoleError as error:
            self._tell(error)
            return
        self._tell(trouble)
        self._become(kept)

    def _become(self, kept: Kept) -> None:
        if kept != self._kept:
            self._kept = kept
        self.changed.emit(None)

    def _tell(self, trouble: ConsoleError | None) -> None:
        if trouble is not None:
            log.warning("saved views: %s", trouble)
        if trouble is not None and self._notices is not None:
            self._notices.post_error(trouble, key=NOTICE)
