"""The composition root: plain constructors, and who is told of what. No rule of the product lives here."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from collections.abc import Awaitable
from functools import partial

from PySide6.QtCore import QProcess, QProcessEnvironment
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QApplication

from console.activity.gateway import SqliteActivity
from console.activity.page import ActivityPage
from console.activity.service import ActivityService
from console.activity.view_model import ActivityViewModel
from console.app.checker import make_checker
from console.app.crash import CrashReports
from console.app.hearing import offers_stack, queues_seen, schedules_seen, stack_badge, workers_seen
from console.app.history_dialog import HistoryDialog, histories_size
from console.app.imports import LATER, import_in_thread
from console.app.menu import NEW_WINDOW, MenuActs, fill_menu, stack_commands
from console.app.notifications_desktop import DesktopNotifications, Stored
from console.app.settings import Scheme, Settings
from console.app.shutdown import close_all
from console.app.signals import ClosingSignals
from console.app.single import SingleInstance
from console.broker.address import BrokerAddress
from console.broker.database import DatabaseAddress
from console.broker.session import Session
from console.collector.client import CollectorClient
from console.connections.gateway import ConnectionsFile, KeyringSecrets
from console.connections.page import ConnectionsPage
from console.connections.secret_dialog import AskForSecret, ask_unsaved
from console.connections.service import ConnectionsService
from console.connections.tabs_panel import COLOUR_DOTS
from console.connections.view_model import ConnectionsViewModel
from console.core.clock import SystemClock
from console.core.commands import Command
from console.core.connection import LOCAL_STACK_ID, ConnectionInfo, LinkState, LinkStatus, Mode, Rights
from console.core.home import Home
from console.core.notices import Level, NoticeAction, NoticeBoard
from console.core.operations import OperationRunner
from console.core.spawn import Tasks
from console.history.model import CollectorState, CollectorSummary, TaskDetail, TaskState
from console.history.reader import HistoryReader
from console.overview.page import OverviewPage
from console.overview.service import OverviewService
from console.overview.view_model import OverviewViewModel
from console.queues.page import QueuesPage
from console.queues.service import QueuesService
from console.queues.view_model import QueuesViewModel
from console.resend.page import ResendPage
from console.resend.service import ResendService
from console.resend.view_model import ResendViewModel
from console.schedules.django_setup import set_up_django
from console.schedules.page import SchedulesPage
from console.schedules.service import ScheduleService
from console.schedules.view_model import SchedulesViewModel
from console.stack.dialogs import ask_about_tasks
from console.stack.model import StackSnapshot, StackState
from console.stack.orders import python_path
from console.stack.page import LocalStackPage
from console.stack.service import StackService
from console.stack.view_model import StackViewModel, StopChoice
from console.tasks.exporting import TaskExporter
from console.tasks.page import TasksPage
from console.tasks.service import TasksService
from console.tasks.view_model import TasksViewModel
from console.tasks.views_store import ViewsStore
from console.widgets.dialog import set_dialog_host
from console.widgets.theme import theme
from console.window.confirm import ConfirmWithDialog
from console.window.connection_bar import BarState
from console.window.main_window import NAV, MainWindow
from console.workers.page import WorkersPage
from console.workers.service import WorkersService
from console.workers.view_model import WorkersViewModel

SUPPORT_PAGES = frozenset({"resend", "tasks", "activity"})
PAGE_PAUSE_S = 0.05
STARTING_PAUSE_S = 0.2


class Console:
    """Everything that lives as long as the program does."""

    def __init__(
        self,
        *,
        home: Home,
        window: MainWindow,
        settings: Settings,
        crash: CrashReports,
        single: SingleInstance | None = None,
    ) -> None:
        self.home = home
        self.window = window
        self.settings = settings
        self.single = single
        self.clock = SystemClock()
        self.notices = NoticeBoard(self.clock)
        self.tasks = Tasks("console")
        self._closed: asyncio.Future[int] | None = None
        self._closing = False
        self.crash = crash
        crash.on_bug = self._tell_of_bug
        self._make_services()
        self._make_views()
        self._wire_connection()
        self._wire_stack()
        self._wire_window()

    def _make_services(self) -> None:
        clock, notices, single = self.clock, self.notices, self.single
        self.activity = ActivityService(SqliteActivity(self.home.activity_file), clock=clock)
        self.runner = OperationRunner(
            activity=self.activity,
            notices=notices,
            clock=clock,
            connection=self._open_connection,
            who=_who(),
            rights=self._missing_rights,
        )
        self.runner.confirm = ConfirmWithDialog(self.window)
        self.stack = StackService(
            home=self.home,
            clock=clock,
            notices=notices,
            task_succeeded=self._task_succeeded,
            may_run=lambda: single is None or single.acquire(within_ms=0),
        )
        self.connections = ConnectionsService(
            home=self.home,
            file=ConnectionsFile(self.home.connections_file),
            secrets=KeyringSecrets(),
            notices=notices,
            clock=clock,
            local=self._local_stack,
        )
        self.collector = CollectorClient(
            python=sys.executable, clock=clock, environment=self._child_environment()
        )
        self.workers = WorkersService(clock=clock, notices=notices, runner=self.runner)
        self.queues = QueuesService(
            clock=clock,
            notices=notices,
            consumers=self.workers.consumers_by_queue,
            known=self._named_queues,
        )
        self.task_list = TasksService(
            clock=clock,
            registered=self.workers.registered_tasks,
            default_queue=self.workers.default_queue,
        )
        self.schedules = ScheduleService(clock=clock, notices=notices, runner=self.runner)
        self.overview = OverviewService(clock=clock)
        self.resend = ResendService(
            clock=clock, notices=notices, runner=self.runner, task_state=self._task_detail
        )

    def _child_environment(self) -> dict[str, str]:
        # Safe path: `python -m` would look for modules in the folder the console was started in.
        return {**os.environ, "PYTHONPATH": python_path(os.environ), "PYTHONSAFEPATH": "1"}

    def _make_views(self) -> None:
        self.stack_view = StackViewModel(self.stack, self.runner, self.notices)
        self.stack_view.ask_about_tasks = lambda number: ask_about_tasks(self.window, number)
        self.activity_view = ActivityViewModel(self.activity)
        self.connections_view = ConnectionsViewModel(
            self.connections,
            self.runner,
            checker=make_checker(self.home, local=self._local_stack),
            notices=self.notices,
            clock=self.clock,
            known_hosts_file=self.home.known_hosts_file,
        )
        self.connections_view.ask_unsaved = partial(ask_unsaved, self.window)
        self.connections.ask_secret = AskForSecret(self.window, lambda: self.connections.keyring_state)
        self.workers_view = WorkersViewModel(self.workers, runner=self.runner, clock=self.clock)
        self.queues_view = QueuesViewModel(self.queues, clock=self.clock)
        saved_views = ViewsStore(self.home.root / "task-views.json", clock=self.clock, notices=self.notices)
        exporter = TaskExporter(clock=self.clock, environment=self._child_environment())
        self.tasks_view = TasksViewModel(self.task_list, self.runner, views=saved_views, exporter=exporter)
        self.schedules_view = SchedulesViewModel(
            self.schedules, runner=self.runner, notices=self.notices, clock=self.clock
        )
        self.overview_view = OverviewViewModel(self.overview, start_stack=self.stack_view.start)
        self.resend_view = ResendViewModel(self.resend, self.runner)
        self.notifications = DesktopNotifications(
            self.window,
            self.overview,
            clock=self.clock,
            connection=lambda: self.connections.session.info if self.connections.session else None,
            stored=(self.settings.notify, self.settings.notify_everywhere),
            kept=self._keep_notifications,
            opened=self._show_attention,
            quit_=self.window.ask_to_close,
        )

    # The connection and what follows it

    def _named_queues(self) -> tuple[str, ...]:
        """Queues that workers consume or schedules send to, whether anything is in them or not."""
        seen = self.schedules.snapshot
        scheduled = [view.schedule.queue for view in (seen.rows or ()) if seen.attached]
        return tuple(sorted({*self.workers.queues(), *(queue for queue in scheduled if queue)}))

    def _missing_rights(self) -> Rights:
        session = self.connections.session
        return {} if session is None else session.rights

    def _open_connection(self) -> ConnectionInfo | None:
        """Where an operation would act: nowhere while the bar names another place than the open one."""
        session = self.connections.session
        return session.info if session and session.info.id == self.connections.chosen_id else None

    def _wire_connection(self) -> None:
        self.connections.start_local = self._start_stack
        self.connections.opened.connect(self._opened)
        self.connections.closing.append(self._left)
        self.connections.changed.connect(lambda _none: self._show_bar())
        self.collector.summaries.connect(self._on_summary)
        self.workers.changed.connect(lambda _snapshot: self._on_workers())
        # Who consumes which queue, only workers can say, and nobody asks them for a page that is not open.
        self.window.page_shown.connect(
            lambda noun: self.workers.set_needed("queues", noun in ("queues", "overview"))
        )
        self.queues.changed.connect(lambda snapshot: self.overview.on_queues(queues_seen(snapshot)))
        self.tasks_view.enable_events_wanted.connect(self._enable_events)
        self.schedules.changed.connect(lambda snapshot: self.overview.on_schedules(schedules_seen(snapshot)))

    def _opened(self, session: Session) -> None:
        session.rights_changed.connect(lambda _rights: self._ask_again_what_is_permitted())
        log_file = self.home.logs / f"collector-{session.info.id}.log"
        self.collector.start(
            session.address,
            session.history_file,
            log_file,
            results=session.results,
            retention=self.settings.retention,
        )
        for service in (
            self.workers,
            self.queues,
            self.task_list,
            self.schedules,
            self.overview,
            self.resend,
        ):
            service.attach(session)
        session.status_changed.connect(self._on_link)

    def _ask_again_what_is_permitted(self) -> None:
        """Buttons are enabled by what the broker's user may do, which is known some time after connecting."""
        self.workers_view.chosen_changed.emit()
        self.tasks_view.changed.emit()
        self.schedules_view.actions_changed.emit()
        self.resend_view.changed.emit()

    def _on_link(self, status: LinkStatus) -> None:
        if status.state is LinkState.RECONNECTING:
            self.collector.check()

    async def _left(self) -> None:
        await asyncio.gather(
            self.collector.aclose(),
            *(
                service.detach()
                for service in (
                    self.workers,
                    self.queues,
                    self.task_list,
                    self.schedules,
                    self.overview,
                    self.resend,
                )
            ),
        )
        self.window.status.show_stream(None, None)
        for noun in ("workers", "queues", "tasks"):
            self.window.sidebar.set_badge(noun, "", "")

    def _on_summary(self, summary: CollectorSummary) -> None:
        self.workers.on_summary(summary)
        self.queues.on_summary(summary)
        self.task_list.on_summary(summary)
        self.overview.on_summary(summary)
        if summary.state is CollectorState.RECONNECTING:
            self.connections.suspect()
        reading = summary.state is CollectorState.READING
        self.window.status.show_stream(
            summary.events_per_s if reading else None, summary.lag_s if reading else None
        )

    def _on_workers(self) -> None:
        snapshot = self.workers.snapshot
        self.overview.on_workers(workers_seen(snapshot, self.clock.now()))
        self.task_list.on_events_off(snapshot.events_off)
        self.queues.on_workers()

    def _enable_events(self) -> None:
        silent = self.workers.snapshot.events_off
        if silent:
            self._start(self.runner.run(self.workers.operations.enable_events_on(silent)))

    async def _task_detail(self, task_id: str) -> TaskDetail | None:
        """What the history of the open connection knows of a task. Raises `ConsoleError`."""
        session = self.connections.session
        if session is None:
            return None

        def read() -> TaskDetail | None:
            reader = HistoryReader(session.history_file)
            try:
                return reader.detail(task_id)
            finally:
                reader.close()

        return await session.history.run(read)

    async def _task_succeeded(self, task_id: str) -> bool:
        detail = await self._task_detail(task_id)
        return detail is not None and detail.row.state is TaskState.SUCCEEDED

    # The local stack

    def _local_stack(self) -> tuple[BrokerAddress, DatabaseAddress] | None:
        address = self.stack.address
        return None if address is None else (address, self.stack.schedules)

    def _wire_stack(self) -> None:
        self.stack.broker_ready.connect(lambda _address: self._connect_to_stack())
        self.stack.broker_leaving.connect(lambda _none: self._leave_stack())
        self.stack.changed.connect(self._on_stack)

    def _connect_to_stack(self) -> None:
        session = self.connections.session
        connect = NoticeAction("Connect", lambda: self._start(self.connections.connect(LOCAL_STACK_ID)))
        if session is None or session.info.is_local_stack:
            self._start(self.connections.connect(LOCAL_STACK_ID))
        else:
            # Somebody works on another deployment: taking that away would be worse than one more click.
            self.notices.post(Level.OK, "The local stack is ready", key="stack-ready", action=connect)

    def _leave_stack(self) -> None:
        session = self.connections.session
        if session is not None and session.info.is_local_stack:
            self._start(self.connections.disconnect())

    def _on_stack(self, snapshot: StackSnapshot) -> None:
        self.window.sidebar.set_badge("stack", *stack_badge(snapshot))
        self._offer_stack()

    def _offer_stack(self) -> None:
        session = self.connections.session
        link = session.status.state if session else LinkState.DISCONNECTED
        chosen_is_local = self.connections.chosen.is_local_stack
        self.overview.offer_stack(offers_stack(chosen_is_local, link, self.stack.snapshot))

    # The window

    def _start(self, work: Awaitable[object]) -> None:
        async def run() -> None:
            await work

        self.tasks.start(run(), name="act")

    def _wire_window(self) -> None:
        window = self.window
        set_dialog_host(window.pages_area)
        self.notices.posted.connect(window.show_notice)
        self.notices.withdrawn.connect(window.withdraw_notice)
        window.closing.connect(lambda: self._start(self.close()))
        window.scheme_chosen.connect(self._choose_scheme)
        window.bar.connection_chosen.connect(lambda key: self._start(self.connections.connect(key)))
        window.bar.connect_pressed.connect(lambda: self._start(self.connections.connect()))
        window.bar.retry_pressed.connect(self.connections.try_now)
        window.bar.disconnect_pressed.connect(lambda: self._start(self.connections.disconnect()))
        window.status.show_zone()
        window.status.show_hint("Nothing runs yet. Press Ctrl+K to find any command")
        acts = MenuActs(
            start_stack=self._start_stack,
            stop_stack=self.stack_view.stop,
            can_start=lambda: self.stack_view.can_start,
            can_stop=lambda: self.stack_view.can_stop,
            choose_scheme=self._choose_scheme,
            scheme=lambda: self.settings.scheme,
            keyboard=window.open_keyboard,
            notifications=self.notifications.open_dialog,
            history=self._choose_history,
            new_window=self.open_window,
            quit=window.ask_to_close,
        )
        fill_menu(window.menu, acts)
        QShortcut(QKeySequence(NEW_WINDOW), window).activated.connect(self.open_window)
        window.commands = lambda: [*stack_commands(acts), *self._window_commands()]

    def _window_commands(self) -> list[Command]:
        open_id = self._open_connection()
        return [
            Command(f"Open {one.name} in a new window", partial(self.open_window, one.name))
            for one in self.connections.connections
            if not one.is_local_stack and (open_id is None or one.id != open_id.id)
        ]

    def open_window(self, connection: str = "") -> None:
        """One more window on this home, for work on another connection (by name) at the same time."""
        named = ["--connection", connection] if connection else []
        arguments = ["-m", "console", "--home", str(self.home.root), "--new-window", *named]
        process = QProcess(self.window)
        process.setProgram(sys.executable)
        process.setArguments(arguments)
        process.setWorkingDirectory(str(self.home.root))
        environment = QProcessEnvironment()
        for name, value in self._child_environment().items():
            environment.insert(name, value)
        process.setProcessEnvironment(environment)
        started, _pid = process.startDetached()
        if not started:
            self.notices.post(Level.ERROR, "Another window could not be started")

    def _start_stack(self) -> None:
        self.window.show_page("stack")
        self.stack_view.start()

    def _add_pages(self) -> None:
        window = self.window
        window.add_page("stack", lambda: LocalStackPage(self.stack_view, navigate=window.navigate))
        window.add_page("overview", lambda: OverviewPage(self.overview_view, navigate=window.navigate))
        window.add_page("workers", lambda: WorkersPage(self.workers_view, navigate=window.navigate))
        window.add_page("queues", lambda: QueuesPage(self.queues_view))
        window.add_page("tasks", lambda: TasksPage(self.tasks_view, navigate=window.navigate))
        window.add_page("schedules", lambda: SchedulesPage(self.schedules_view))
        window.add_page("resend", lambda: ResendPage(self.resend_view, navigate=window.navigate))
        window.add_page("connections", lambda: ConnectionsPage(self.connections_view))
        window.add_page("activity", lambda: ActivityPage(self.activity_view))

    def _choose_scheme(self, scheme: Scheme) -> None:
        self.settings.scheme = scheme
        app = QApplication.instance()
        if isinstance(app, QApplication):
            theme().apply(app, scheme=scheme)
        self.window.sidebar.show_scheme(scheme)

    def _show_bar(self) -> None:
        chosen = self.connections.chosen
        support = chosen.mode is Mode.SUPPORT
        self.window.allow_pages(SUPPORT_PAGES if support else None, otherwise="resend")
        status = self.connections.status
        self.window.show_bar(
            BarState(
                connections=tuple(
                    (one.id, one.name, one.environment, COLOUR_DOTS.get(one.colour.value, ""))
                    for one in self.connections.connections
                ),
                chosen=chosen.id,
                environment=chosen.environment,
                state=status.state,
                latency_ms=status.latency_ms,
                mode=chosen.mode,
                retry_at=status.retry_at,
            )
        )
        self._offer_stack()

    def _tell_of_bug(self, report: str) -> None:
        self.notices.post(
            Level.ERROR,
            "Something went wrong in the console itself",
            detail=f"The report is {report} in the logs folder.",
            key="bug",
        )

    def _keep_notifications(self, stored: Stored) -> None:
        self.settings.notify, self.settings.notify_everywhere = stored
        self.settings.keep(self.window)

    def _choose_history(self) -> None:
        """How much of the history is kept: also for what runs now."""
        before, used = self.settings.retention, histories_size(self.home.history)
        dialog = HistoryDialog(self.window, before, used_bytes=used)

        def chosen() -> None:
            bounds = dialog.chosen
            if bounds is not None and bounds != before:
                self.settings.retention = bounds
                self.settings.keep(self.window)
                self.collector.keep(bounds)

        dialog.accepted.connect(chosen)
        dialog.open()

    def _show_attention(self, key: str) -> None:
        """Somebody pressed a notification or the icon in the tray."""
        self.come_forward()
        if key:
            self.window.navigate("overview", key)

    def come_forward(self) -> None:
        """A second console was started on this home."""
        if self._closing and not self.window.isVisible():
            return  # what is ending behind a hidden window is not worth showing
        if self.window.isMinimized():
            self.window.showNormal()
        self.window.show()
        self.window.raise_()
        self.window.activateWindow()

    # The life of the program

    async def run(self, *, connection: str, start_stack: bool) -> int:
        """Until the window is closed and everything has ended; the exit status."""
        self._closed = asyncio.get_running_loop().create_future()
        # A turn of the loop of its own: making the services and the first page takes 50 ms each.
        await asyncio.sleep(0)
        self._add_pages()
        if self.single is not None:
            self.single.listen(self.come_forward)
        signals = ClosingSignals(lambda: self._start(self.close(ask=False)))
        self._show_bar()
        await self.connections.load()
        await self.stack.load()
        self.tasks.start(self._make_pages(), name="make pages")
        if start_stack:
            self._start_stack()
        if connection:
            self._connect_by_name(connection)
        try:
            return await self._closed
        finally:
            signals.close()

    async def _make_pages(self) -> None:
        """One page per turn, with room between them: each takes some tens of milliseconds.

        Not while the stack starts: its imports run in threads, and the pages would take twice as long.
        """
        for item in NAV:
            await asyncio.sleep(PAGE_PAUSE_S)
            while self.stack.snapshot.state is StackState.STARTING:  # noqa: ASYNC110 - nobody tells its end once
                await asyncio.sleep(STARTING_PAUSE_S)
            self.window.prepare_page(item.noun)
            await asyncio.sleep(PAGE_PAUSE_S)
            self.window.make_page(item.noun)
        await import_in_thread(*LATER, then=set_up_django)

    def _connect_by_name(self, name: str) -> None:
        found = next((one for one in self.connections.connections if one.name == name), None)
        if found is None:
            self.notices.post(
                Level.ERROR,
                f"There is no connection named {name}",
                detail="See Connections for those that there are.",
            )
        elif not (found.is_local_stack and self.stack.address is None):
            self._start(self.connections.connect(found.id))

    async def close(self, *, ask: bool = True) -> None:
        """End the program; what runs of the stack ends behind the hidden window.

        A person is asked once about running tasks, and may wait for them with the window open; a signal
        (`ask` is False) asks nothing and ends a wait.
        """
        if self._closing or (ask and not await self._may_close()) or self._closing:
            return
        self._closing = True
        self.settings.keep(self.window)
        self.window.hide()
        await self.stack_view.stop_at_once()
        await close_all(self)
        self.window.close_for_good()
        if self._closed is not None:
            self._closed.set_result(0)

    async def _may_close(self) -> bool:
        if self.connections_view.unsaved:
            self.window.show_page("connections")
            if not await self.connections_view.may_close():
                return False
        choice = await self.stack_view.choose_at_closing()
        if choice is StopChoice.WAIT:
            self.window.show_page("stack")
            await self.stack_view.wait_at_closing()
        return choice is not None


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
