"""How the list of tasks stands, and the saved views that put it so: the view model's part that is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from PySide6.QtCore import QObject, QTimer, Signal

from console.core.spawn import Tasks
from console.history.query import Sort
from console.tasks.columns import TableLayout, known_columns
from console.tasks.model import TasksSnapshot
from console.tasks.selection import text_with_fingerprint
from console.tasks.service import TasksService
from console.tasks.views import SavedView
from console.tasks.views_store import ViewsStore

KEEP_LAYOUT_MS = 800


class TableViews(QObject):
    """Columns, widths and order of the table, whether errors are shown instead, and the views.

    What changes is written some moments later, and by `close_views`.
    """

    changed = Signal()
    query_wanted = Signal(str)
    layout_changed = Signal()
    views_changed = Signal()

    def __init__(self, service: TasksService, views: ViewsStore | None) -> None:
        super().__init__()
        self._service = service
        self._tasks = Tasks("tasks page")
        self._views = views if views is not None else ViewsStore(None, clock=service.clock)
        self._views.changed.connect(lambda _none: self.views_changed.emit())
        self.grouped = False
        self.layout = TableLayout()
        self._layout_timer = QTimer(self, singleShot=True, interval=KEEP_LAYOUT_MS)
        self._layout_timer.timeout.connect(self._keep_layout)

    @property
    def snapshot(self) -> TasksSnapshot:
        return self._service.snapshot

    def group(self, grouped: bool) -> None:
        """Show the errors of what matches instead of the tasks."""
        if grouped != self.grouped:
            self.grouped = grouped
            self._service.set_grouped(grouped)
            self.changed.emit()

    def open_group(self, number: int) -> None:
        """Show the tasks with an error."""
        self.group(False)
        self.query_wanted.emit(text_with_fingerprint(self.snapshot.query, number))

    def sort(self, column: str, descending: bool) -> None:
        self._service.sort(Sort(column), descending=descending)
        self._stand(replace(self.layout, sort=column, descending=descending))

    # How the table stands.

    def set_columns(self, columns: Sequence[str]) -> None:
        """Show these columns in this order."""
        self._stand(replace(self.layout, columns=known_columns(columns)))

    def set_widths(self, widths: Mapping[str, int]) -> None:
        """A person has dragged a column."""
        self._stand(replace(self.layout, widths=dict(widths)))

    def set_panel_width(self, width: int) -> None:
        """A person has given the panel beside the table another width (pixels)."""
        if width != self.layout.panel_px:
            self.layout = replace(self.layout, panel_px=width)
            self._layout_timer.start()  # the panel has it already

    def show_panel(self, shown: bool) -> None:
        """Whether the panel beside the table is there."""
        self._stand(replace(self.layout, panel_shown=shown))

    def reset_columns(self) -> None:
        """The columns of the first day, in their own widths."""
        first = TableLayout()
        self._stand(replace(self.layout, columns=first.columns, widths=first.widths))

    def _stand(self, layout: TableLayout) -> None:
        if layout == self.layout:
            return
        self.layout = layout
        self._service.set_needs_detail(layout.needs_detail)
        self._layout_timer.start()
        self.layout_changed.emit()

    def _keep_layout(self) -> None:
        self._tasks.start(self._views.keep_layout(self.layout), name="keep layout")

    # Saved views.

    @property
    def views(self) -> tuple[SavedView, ...]:
        """All that can be chosen, those of the console first."""
        return self._views.all

    @property
    def own_views(self) -> tuple[SavedView, ...]:
        return self._views.own

    @property
    def current_view(self) -> SavedView | None:
        """The view that is shown as it was saved."""
        now = self.snapshot
        return next((one for one in self.views if one.query == now.text and self._looks_like(one)), None)

    def _looks_like(self, view: SavedView) -> bool:
        order = (view.sort, view.descending) == (self.layout.sort, self.layout.descending)
        return order and view.columns in ((), self.layout.columns)

    def load_views(self) -> None:
        """Read the saved views and how the table stood; once is enough."""
        self._tasks.start(self._load_views(), name="views")

    async def _load_views(self) -> None:
        await self._views.load()
        if not self._layout_timer.isActive() and self.layout == TableLayout():
            layout = self._views.layout
            self._service.sort(Sort(layout.sort), descending=layout.descending)
            self._stand(layout)
            self._layout_timer.stop()

    def open_view(self, view: SavedView) -> None:
        """Show a view: its query, order and columns."""
        self.group(False)
        columns = view.columns or self.layout.columns
        self._service.sort(Sort(view.sort), descending=view.descending)
        self._stand(replace(self.layout, sort=view.sort, descending=view.descending, columns=columns))
        self.query_wanted.emit(view.query)

    def save_view(self, name: str, *, with_columns: bool) -> None:
        """Keep what is shown under a name."""
        layout = self.layout
        view = SavedView(
            name.strip(),
            self.snapshot.text,
            sort=layout.sort,
            descending=layout.descending,
            columns=layout.columns if with_columns else (),
        )
        self._tasks.start(self._views.save(view), name="save view")

    def rename_view(self, old: str, new: str) -> None:
        self._tasks.start(self._views.rename(old, new.strip()), name="rename view")

    def delete_view(self, name: str) -> None:
        self._tasks.start(self._views.delete(name), name="delete view")

    async def close_views(self) -> None:
        """Write what is not written yet, and end."""
        if self._layout_timer.isActive():
            self._layout_timer.stop()
            await self._views.keep_layout(self.layout)
        await self._tasks.aclose()
        await self._views.aclose()
