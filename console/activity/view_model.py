"""The state of the Activity page: the search, the lines it found, or why there are none."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from console.activity.model import ActivityLine
from console.activity.service import ActivityService
from console.core.errors import ConsoleError
from console.core.spawn import Tasks


class ActivityViewModel(QObject):
    """Reads when shown, when the search changes and when something was logged while shown."""

    changed = Signal()

    def __init__(self, service: ActivityService) -> None:
        super().__init__()
        self._service = service
        self._tasks = Tasks("activity page")
        self._visible = False
        self._reading = False
        self._again = False
        self.search = ""
        self.lines: list[ActivityLine] | None = None
        self.error: ConsoleError | None = None
        service.changed.connect(lambda _none: self.refresh() if self._visible else None)

    def set_visible(self, visible: bool) -> None:
        self._visible = visible
        if visible:
            self.refresh()

    def set_search(self, search: str) -> None:
        if search != self.search:
            self.search = search
            self.refresh()

    def refresh(self) -> None:
        """Read now, or once more after the read that is under way."""
        if self._reading:
            self._again = True
            return
        self._reading = True
        self._tasks.start(self._read(), name="read")

    async def _read(self) -> None:
        try:
            self.lines = await self._service.read(self.search)
            self.error = None
        except ConsoleError as error:
            self.error = error
        finally:
            self._reading = False
        self.changed.emit()
        if self._again:
            self._again = False
            self.refresh()

    async def aclose(self) -> None:
        await self._tasks.aclose()
