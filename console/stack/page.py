"""The Local stack page: before the first start, while it starts, and while it runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

from PySide6.QtCore import QTimer
from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import QMenu, QStackedWidget, QVBoxLayout

from console.core.commands import Command
from console.core.errors import ConsoleError
from console.core.navigation import Navigate
from console.core.spawn import Tasks
from console.stack.dialogs import FilesDialog, SentMailDialog, WorkerOptionsDialog
from console.stack.log_panel import ALL
from console.stack.model import DEMO_RATES, ServiceName, ServiceState, StackSnapshot, StackState
from console.stack.running_view import RunningView
from console.stack.start_panel import StartPanel
from console.stack.view_model import VERBS, StackViewModel
from console.widgets.badge import StateBadge
from console.widgets.banner import Banner
from console.widgets.button import Button
from console.widgets.page import Page
from console.widgets.panel import PageHeader
from console.widgets.text import number_text

_TICK_MS = 1000
_BUILD_MS = 15  # between two parts, so that the window answers in between


class LocalStackPage(Page):
    """The page behind the word `Local stack`.

    It is made in parts, one per turn of the loop; `build` makes what is missing at once.
    """

    noun = "stack"
    title = "Local stack"
    icon_name = "server"

    def __init__(self, view_model: StackViewModel, navigate: Navigate) -> None:
        super().__init__()
        self._view_model = view_model
        self._tasks = Tasks("stack dialogs", on_failure=self._on_failure)
        self._state = StateBadge(StackState.STOPPED.value)
        self._header = PageHeader(self.title)
        self._header.add_badge(self._state)
        self._banner = Banner()
        self._banner.action_clicked.connect(self._on_banner)
        self._banner_does: Callable[[], None] | None = None
        self._pages = QStackedWidget()
        self._start_panel: StartPanel | None = None
        self._running: RunningView | None = None
        self._actions: tuple[Button, ...] = ()
        self._lay_out()
        view_model.changed.connect(self._show)
        self._ticker = QTimer(self)
        self._ticker.setInterval(_TICK_MS)
        self._ticker.timeout.connect(self._tick)
        self._parts: deque[Callable[[], None]] = deque(
            [
                partial(self._make_start_panel, navigate),
                self._make_actions,
                self._make_running_view,
                self._make_log,
            ]
        )
        if self._shows_table(view_model.snapshot):
            self._parts.rotate(-1)
        else:
            self._parts.popleft()()
            self._show()
        QTimer.singleShot(_BUILD_MS, self, self._build_next)

    def build(self) -> None:
        """Make every part that is missing."""
        while self._parts:
            self._parts.popleft()()
        self._show()

    def _build_next(self) -> None:
        if self._parts:
            self._parts.popleft()()
            self._show()
            QTimer.singleShot(_BUILD_MS, self, self._build_next)

    def _make_start_panel(self, navigate: Navigate) -> None:
        panel = self._start_panel = StartPanel(self._view_model)
        panel.connect_pressed.connect(lambda: navigate("connections"))
        panel.files_pressed.connect(lambda: FilesDialog(self, self._view_model.stack_folder).open())
        self._pages.addWidget(panel)

    def _make_actions(self) -> None:
        view_model = self._view_model
        self._mail = Button("Sent mail", icon="mail")
        self._mail.clicked.connect(lambda: self._tasks.start(self._show_mail(), name="mail"))
        self._traffic = Button("Demo traffic", icon="zap", menu=self._make_traffic_menu())
        self._start = Button("Start local stack", icon="play")
        self._start.clicked.connect(view_model.start)
        self._stop = Button("Stop local stack", icon="square", kind="danger-outline")
        self._stop.clicked.connect(view_model.stop)
        self._actions = (self._mail, self._traffic, self._start, self._stop)
        for button in self._actions:
            button.hide()
            self._header.add_action(button)

    def _make_running_view(self) -> None:
        self._running = RunningView(self._view_model)
        self._running.options_pressed.connect(self._edit_options)
        self._pages.addWidget(self._running)

    def _make_log(self) -> None:
        if self._running is not None:
            self._running.make_log()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 12, 12, 12)
        layout.setSpacing(12)
        layout.addWidget(self._header)
        layout.addWidget(self._banner)
        layout.addWidget(self._pages, 1)

    def _make_traffic_menu(self) -> QMenu:
        menu = QMenu("Demo traffic", self)
        group = QActionGroup(self)
        self._rates: dict[str, QAction] = {}
        for rate in DEMO_RATES:
            action = menu.addAction(rate[:1].upper() + rate[1:])
            action.setCheckable(True)
            action.triggered.connect(lambda _checked=False, rate=rate: self._view_model.set_demo_rate(rate))
            group.addAction(action)
            self._rates[rate] = action
        return menu

    # The contract of a page

    def activate(self) -> None:
        self._view_model.set_visible(True)
        self._ticker.start()
        self._show()

    def deactivate(self) -> None:
        self._view_model.set_visible(False)
        self._ticker.stop()

    def refresh(self) -> None:
        self._view_model.refresh()

    def open_query(self, query: str) -> None:
        """The name of a service shows its log."""
        known = {name.value.lower(): name.value for name in ServiceName}
        self._show_log(known.get(query.strip().lower(), ALL))

    def focus_content(self) -> None:
        self.build()
        shown = self._pages.currentWidget()
        if isinstance(shown, RunningView):
            shown.table.setFocus()
        elif isinstance(shown, StartPanel):
            (shown.start_button if shown.start_button.isEnabled() else shown.cancel_button).setFocus()

    def commands(self) -> list[Command]:
        model = self._view_model
        return [
            Command("Start local stack", model.start, enabled=lambda: model.can_start),
            Command("Stop local stack", model.stop, enabled=lambda: model.can_stop),
            Command("Worker options…", self._edit_options),
            *(
                Command(
                    f"Demo traffic: {rate}",
                    partial(model.set_demo_rate, rate),
                    enabled=self._traffic.isEnabled,
                )
                for rate in DEMO_RATES
            ),
            *(self._service_command(verb, name) for name in ServiceName for verb in VERBS),
        ]

    def _service_command(self, verb: str, name: ServiceName) -> Command:
        model = self._view_model
        return Command(
            f"{verb} {name.value.lower()}",
            lambda: model.act(verb, name),
            enabled=lambda: not model.why_not(verb, name),
        )

    # Showing

    def _show(self) -> None:
        snapshot = self._view_model.snapshot
        now_s = self._view_model.now_s()
        runs = self._shows_table(snapshot)
        self._state.set_state(_state_word(snapshot))
        if self._actions:
            self._show_actions(snapshot, runs)
        if self._start_panel is not None:
            self._start_panel.show_snapshot(snapshot, now_s=now_s)
        if self._running is not None:
            self._running.show_snapshot(snapshot)
        if (shown := self._running if runs else self._start_panel) is not None:
            self._pages.setCurrentWidget(shown)
        self._show_banner(snapshot, now_s)
        self._show_in_sidebar(snapshot)

    def _show_actions(self, snapshot: StackSnapshot, runs: bool) -> None:
        for button in self._actions:
            button.setVisible(runs)
        self._mail.set_count("" if snapshot.sent_mail is None else number_text(snapshot.sent_mail))
        self._traffic.set_text(
            "Demo traffic" if snapshot.demo_rate == "off" else f"Demo traffic: {snapshot.demo_rate}"
        )
        broker = snapshot.service(ServiceName.BROKER).state is ServiceState.READY
        self._traffic.setEnabled(broker and snapshot.state is StackState.READY)
        self._rates[snapshot.demo_rate].setChecked(True)
        self._start.setEnabled(self._view_model.can_start)
        self._stop.setEnabled(self._view_model.can_stop)

    @staticmethod
    def _shows_table(snapshot: StackSnapshot) -> bool:
        if snapshot.state is StackState.READY:
            return True
        return snapshot.state is StackState.STOPPING and any(
            status.state is not ServiceState.STOPPED for status in snapshot.services
        )

    def _show_banner(self, snapshot: StackSnapshot, now_s: float) -> None:
        self._banner_does = None
        if snapshot.waiting is not None:
            tasks = snapshot.waiting.tasks
            count = "running tasks" if tasks is None else "1 task" if tasks == 1 else f"{tasks} tasks"
            waited_s = int(max(0.0, now_s - snapshot.waiting.since_s))
            self._banner.show_message("info", f"Waiting for {count}, {waited_s} s", action="Force")
            self._banner_does = self._view_model.force
            return
        failed = [status for status in snapshot.services if status.state is ServiceState.FAILED]
        if failed and snapshot.state is StackState.READY:
            worst = failed[0]
            again = "starts again" in worst.problem.lower()
            self._banner_does = (
                partial(self._show_log, worst.name.value)
                if again
                else partial(self._view_model.act, "Start", worst.name)
            )
            self._banner.show_message(
                "warning" if again else "error",
                f"{worst.name} failed",
                worst.problem,
                action="Show log" if again else "Retry",
            )
            return
        self._banner.clear()

    def _show_in_sidebar(self, snapshot: StackSnapshot) -> None:
        if (
            not any(status.running for status in snapshot.services)
            and snapshot.state is not StackState.FAILED
        ):
            self.badge_changed.emit("", "")
            return
        failed = any(status.state is ServiceState.FAILED for status in snapshot.services)
        tone = "error" if failed or snapshot.state is StackState.FAILED else "neutral"
        self.badge_changed.emit(f"{snapshot.ready_services}/{len(ServiceName)}", tone)

    def _tick(self) -> None:
        snapshot = self._view_model.snapshot
        if self._running is not None and self._pages.currentWidget() is self._running:
            self._running.show_snapshot(snapshot)
        if snapshot.waiting is not None:
            self._show_banner(snapshot, self._view_model.now_s())

    # Doing

    def _on_banner(self) -> None:
        if self._banner_does is not None:
            self._banner_does()

    def _show_log(self, source: str) -> None:
        self.build()
        if self._running is not None:
            self._running.show_log(source)

    def _edit_options(self) -> None:
        self._tasks.start(self._ask_options(), name="worker options")

    async def _ask_options(self) -> None:
        worker = self._view_model.snapshot.service(ServiceName.WORKER)
        dialog = WorkerOptionsDialog(
            self, self._view_model.options, self._view_model.pools, running=worker.running
        )
        if await dialog.ask():
            await self._view_model.save_options(dialog.options, restart=dialog.restart and worker.running)

    async def _show_mail(self) -> None:
        mails = await self._view_model.mails()
        SentMailDialog(self, mails, self._view_model.snapshot.sent_mail).open()

    def _on_failure(self, error: BaseException) -> None:
        if isinstance(error, ConsoleError):
            self._view_model.tell(error)
        else:
            raise error


def _state_word(snapshot: StackSnapshot) -> str:
    if snapshot.state is StackState.READY and any(
        status.state is ServiceState.FAILED for status in snapshot.services
    ):
        return StackState.FAILED.value
    return snapshot.state.value
