"""The local stack: broker, worker and beat on this machine, started and stopped as one and one by one.

Qt-free; used on the loop. It needs no open connection: it tells `broker_ready` with the address, and whoever
listens connects.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from console.broker.address import BrokerAddress
from console.broker.database import DatabaseAddress, parse_database_url
from console.core.clock import Clock
from console.core.errors import Cause, ConsoleError
from console.core.happening import Happening
from console.core.home import Home
from console.core.lanes import Lane
from console.core.notices import Level, NoticeBoard
from console.core.spawn import Tasks
from console.stack.first_task import FirstTask, TaskSucceeded
from console.stack.gateway import LocalMachine
from console.stack.logs import LogBook, save_log
from console.stack.mail import read_mails
from console.stack.model import (
    Failure,
    Mail,
    Pool,
    RestartPolicy,
    ServiceName,
    ServiceState,
    StackSnapshot,
    StackState,
    StepName,
    StepState,
    WorkerOptions,
)
from console.stack.opening import Opening
from console.stack.orders import StackFiles
from console.stack.preparation import Preparation
from console.stack.process import StopPlan
from console.stack.running_tasks import RunningTasks
from console.stack.services import Services
from console.stack.steps import StepBoard, failure_of
from console.stack.supervisor import StartFailedError
from console.stack.traffic import DemoTraffic
from console.stack.watch import Watch

log = logging.getLogger(__name__)

PORT_TRIES = 3
END_S = 5.0
COLD: StopPlan = (("QUIT", 3.0),)
WAITING: StopPlan = (("TERM", None),)
LAST_S = 2.0


class StackService:
    """The one local stack of a console.

    `snapshot` is always current; `changed` tells of it, many changes in one turn of the loop as one.
    `broker_ready(address)` fires when the broker answers (before the worker starts, so that its first events
    are seen), `broker_leaving()` right before it is stopped on purpose. `task_succeeded(id)` says whether the
    history has seen that task succeed; without it the worker's log has to do. `may_run` is False while the
    stack of this home belongs to another window.
    """

    def __init__(
        self,
        *,
        home: Home,
        clock: Clock,
        notices: NoticeBoard,
        task_succeeded: TaskSucceeded | None = None,
        machine: LocalMachine | None = None,
        environ: Mapping[str, str] | None = None,
        policy: RestartPolicy | None = None,
        may_run: Callable[[], bool] = lambda: True,
    ) -> None:
        self._may_run = may_run
        self.files = StackFiles.of(home)
        self.log = LogBook()
        self.snapshot = StackSnapshot()
        self.changed: Happening[StackSnapshot] = Happening()
        self.broker_ready: Happening[BrokerAddress] = Happening()
        self.broker_leaving: Happening[None] = Happening()
        self.options = WorkerOptions()
        self.task_succeeded = task_succeeded
        self.zone = ""
        self.clock = clock
        self._notices = notices
        self._machine = machine or LocalMachine(self.files)
        self._lane = Lane("stack", threads=2, timeout_s=20.0)
        self._tasks = Tasks("stack")
        self._steps = StepBoard(clock, self._announce)
        self._services: Services | None = None
        self._prepared = False
        self._schedules: int | None = None
        self._failure: Failure | None = None
        self._running: asyncio.Task[str] | None = None
        self._stopping = asyncio.Lock()
        self._broker_told = False
        self._ending = False
        self._opening = Opening(
            files=self.files,
            machine=self._machine,
            lane=self._lane,
            clock=clock,
            book=self.log,
            policy=policy or RestartPolicy(),
            environ=dict(os.environ if environ is None else environ),
            options=lambda: self.options,
        )
        self._active = RunningTasks(
            machine=self._machine, lane=self._lane, clock=clock, changed=self._announce
        )
        self._traffic = DemoTraffic(book=self.log, notices=notices, on_rate=self._on_traffic)
        self._watch = Watch(
            machine=self._machine,
            lane=self._lane,
            notices=notices,
            helpers=lambda: self._traffic.pids,
            on_mail=lambda count: self._update(sent_mail=count),
        )
        self._announced = False
        self._steps.reset(self.options, None)
        self._announced = False

    # What others ask

    @property
    def address(self) -> BrokerAddress | None:
        """Where the broker is while the stack is up."""
        return None if self._services is None else self._services.orders.address

    @property
    def schedules(self) -> DatabaseAddress:
        """The database with the stack's schedules."""
        return parse_database_url(self.files.database_url)

    @property
    def running(self) -> bool:
        """Whether any process of the stack runs."""
        return self._services is not None and self._services.any_process

    def set_visible(self, visible: bool) -> None:
        """Whether the page is looked at: usage is then read more often."""
        self._watch.set_visible(visible)

    def refresh(self) -> None:
        """Read usage and mail now."""
        self._watch.look()

    async def load(self) -> None:
        """Read the kept worker options; once, at start-up."""
        self.options = await self._lane.run(self._machine.load_options)
        self.zone = await self._lane.run(self._machine.zone)
        self._schedules = await self._lane.run(self._machine.schedules)
        if self.snapshot.state is StackState.STOPPED:  # a person may have been quicker
            self._steps.reset(self.options, self._schedules)

    # The whole stack

    async def start(self) -> str:
        """Start what does not run, in order, and run a first task. Returns the outcome in words.

        Raises `ConsoleError` (the same that `snapshot.failure` holds); "Cancelled" after `cancel`.
        """
        if self._running is not None:
            raise ConsoleError("The local stack is already starting or stopping", cause=Cause.BUSY)
        if not self._may_run():
            raise ConsoleError(
                "The local stack belongs to another window",
                detail="The window of this console that was opened first runs it.",
                remedy="Start it there, or close that window first.",
                cause=Cause.BUSY,
            )
        self._running = self._tasks.start(self._start(), name="start")
        try:
            return await asyncio.shield(self._running)
        except asyncio.CancelledError:
            if self._running is not None and not self._running.cancelled():
                raise
        finally:
            self._running = None
        await self._stop_all(cold=True)
        return "Cancelled"

    def cancel(self) -> None:
        """End a start under way, with everything that it has started."""
        if self._running is not None and self.snapshot.state is StackState.STARTING:
            self._running.cancel()

    async def stop(self, *, wait_for_tasks: bool = False) -> str:
        """Stop everything in reverse order; with `wait_for_tasks` as long as running tasks take."""
        if self._running is not None and self.snapshot.state is StackState.STARTING:
            self.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        began_s = self.clock.monotonic_s()
        await self._stop_all(wait_for_tasks=wait_for_tasks)
        return f"Stopped in {self.clock.monotonic_s() - began_s:.1f} s"

    def force(self) -> None:
        """Wait no longer for running tasks."""
        if self._services is not None:
            self._services[ServiceName.WORKER].hurry(COLD)

    async def active_tasks(self) -> int | None:
        """How many tasks the worker runs now; 0 when it does not run, None when it does not say."""
        return await self._active.count(self._services)

    # One service

    async def start_service(self, name: ServiceName) -> str:
        """Start one service. Raises `ConsoleError` when it needs another that does not run."""
        services = await self._session()
        broker = services[ServiceName.BROKER].status
        if name is not ServiceName.BROKER:
            if broker.state is not ServiceState.READY:
                raise ConsoleError(
                    f"{name} needs the broker",
                    detail="The broker does not run.",
                    remedy="Start the broker first, or the whole local stack.",
                )
            if not self._prepared:
                await self._prepare(services)
        await self._start_one(services, name)
        self._set_state(StackState.READY)
        return f"{name} is ready"

    async def stop_service(self, name: ServiceName, *, wait_for_tasks: bool = False) -> str:
        """Stop one service."""
        services = self._services
        if services is None:
            return f"{name} does not run"
        await self._stop_one(services, name, wait_for_tasks=wait_for_tasks)
        if not services.any_process:
            await self._stop_all()
        return f"{name} stopped"

    async def restart_service(self, name: ServiceName, *, wait_for_tasks: bool = False) -> str:
        """Stop and start one service; the console's own connection stays."""
        services = await self._session()
        began_s = self.clock.monotonic_s()
        await self._stop_one(services, name, wait_for_tasks=wait_for_tasks, leaving=False)
        await self.start_service(name)
        return f"{name} restarted, ready in {self.clock.monotonic_s() - began_s:.1f} s"

    # Options, demo traffic, mail

    @property
    def pools(self) -> tuple[Pool, ...]:
        """The pools this machine can run."""
        return tuple(pool for pool in Pool if pool is not Pool.GEVENT or self._machine.has_gevent())

    async def set_options(self, options: WorkerOptions) -> None:
        """Keep worker options; they hold from the worker's next start. Raises `ConsoleError`."""
        options.check()
        if options.pool not in self.pools:
            raise ConsoleError(
                "gevent is not installed",
                remedy="Install celery-console[gevent], or choose another pool.",
                cause=Cause.INVALID,
            )
        await self._lane.run(self._machine.save_options, options)
        self.options = options
        if self.snapshot.state is StackState.STOPPED:
            self._steps.reset(options, self._schedules)

    async def set_demo_rate(self, rate: str) -> str:
        """Have demo tasks sent at one of `DEMO_RATES`. Raises `ConsoleError`."""
        services = self._services
        if services is not None and services[ServiceName.BROKER].status.state is not ServiceState.READY:
            services = None
        return await self._traffic.flow(rate, None if services is None else services.orders)

    async def save_log(self, path: Path) -> int:
        """Write what the logs hold to `path`; returns the number of lines. Raises `ConsoleError`."""
        entries = self.log.entries()
        await self._lane.run(save_log, path, entries)
        return len(entries)

    async def mails(self, limit: int = 200) -> list[Mail]:
        """The newest mails that the project has sent, newest first."""
        return await self._lane.run(read_mails, self.files.mail, limit, key="mails")

    async def end(self, within_s: float = END_S) -> str:
        """Stop everything at once, tasks too, whatever else is under way; what takes longer is killed.

        For the end of the program: nothing here waits for a person or raises.
        """
        self._ending = True
        self.force()
        self.cancel()
        ending = self._tasks.start(self._end(), name="end")
        began_s = self.clock.monotonic_s()
        await asyncio.wait((ending,), timeout=within_s)
        if not ending.done() and self._services is not None:
            log.warning("The stack did not end within %.0f s and is killed", within_s)
            self._services.kill()
            self._traffic.kill()
            await asyncio.wait((ending,), timeout=LAST_S)
        return f"Stopped in {self.clock.monotonic_s() - began_s:.1f} s"

    async def _end(self) -> None:
        if self._running is not None:
            await asyncio.gather(self._running, return_exceptions=True)
        if self._services is not None:
            await self._stop_all(cold=True)

    async def aclose(self) -> None:
        """End what still runs, and let go."""
        await self.end()
        await self._watch.aclose()
        await self._tasks.aclose()
        self.log.close()
        await self._lane.aclose()

    # Starting

    async def _start(self) -> str:
        began_s = self.clock.monotonic_s()
        self._failure = None
        self._update(state=StackState.STARTING, started_s=began_s, took_s=None, cleaned="")
        self._steps.reset(self.options, self._schedules)
        try:
            # Django's and Celery's import takes as long as the broker's start: beside it, in a thread.
            warming = self._tasks.start(self._lane.run(_import_celery), name="import celery")
            services = await self._start_broker()
            await self._prepare(services)
            await warming
            with self._steps.step(StepName.WORKER, "Waiting for its answer to a ping"):
                await self._start_one(services, ServiceName.WORKER)
                self._steps.say(StepName.WORKER, f"{services.orders.node} answers")
            with self._steps.step(StepName.BEAT, "Waiting for its first tick"):
                await self._start_one(services, ServiceName.BEAT)
                self._steps.say(StepName.BEAT, services[ServiceName.BEAT].status.detail)
            first = FirstTask(
                machine=self._machine, lane=self._lane, clock=self.clock, task_succeeded=self.task_succeeded
            )
            ahead = await first.run(services, self._steps)
        except StartFailedError as failed:
            self._fail(failed.failure)
            raise
        except ConsoleError as error:
            self._fail(failure_of(self._failing_step(), error))
            raise
        took_s = self.clock.monotonic_s() - began_s
        self._update(state=StackState.READY, took_s=took_s)
        said = f"Local stack ready in {took_s:.1f} s"
        return f"{said}. {ahead}" if ahead else said

    async def _start_broker(self) -> Services:
        with self._steps.step(StepName.BROKER, "Starting"):
            for remaining in range(PORT_TRIES - 1, -1, -1):
                services = await self._session()
                try:
                    await self._start_one(services, ServiceName.BROKER)
                    break
                except StartFailedError as failed:
                    await self._leave_session()
                    # Somebody took the free port first: another one. Any other cause is told at once.
                    if not remaining or "is taken" not in failed.failure.cause:
                        raise
            self._steps.say(StepName.BROKER, f"Ready on 127.0.0.1:{services.orders.address.port}")
        return services

    async def _session(self) -> Services:
        """The services with their address; a new address where nothing runs."""
        if self._services is not None:
            return self._services
        cleaned = await self._opening.end_leftovers(lambda text: self._steps.say(StepName.BROKER, text))
        if cleaned:
            self._notices.post(Level.INFO, "Cleaned up", detail=f"{cleaned}.", key="stack-leftovers")
        services = await self._opening.services(self.zone)
        services.changed.connect(lambda _: self._announce())
        services.processes_changed.connect(lambda _: self._watch.note_processes())
        services.worker_lines.connect(self._active.read)
        self._services = services
        self._watch.begin(services)
        self._update(cleaned=cleaned, address_shown=services.orders.address.shown)
        return services

    async def _leave_session(self) -> None:
        services, self._services = self._services, None
        if services is not None:
            await services.aclose()
        await self._watch.end()

    async def _start_one(self, services: Services, name: ServiceName) -> None:
        service = services[name]
        if self._ending:
            raise ConsoleError("The console is closing", cause=Cause.BUSY)
        if service.status.state is ServiceState.READY:
            return
        await service.start()
        if name is ServiceName.BROKER and not self._broker_told:
            self._broker_told = True
            self.broker_ready.emit(services.orders.address)

    async def _prepare(self, services: Services) -> None:
        preparation = Preparation(book=self.log, say=self._steps.say)
        with self._steps.step(StepName.DATABASE, "Looking at its tables"):
            await preparation.start(services.orders.prepare())
            services.add_pids(preparation.process)
            try:
                await preparation.database_done.wait()
            except asyncio.CancelledError:
                preparation.process.kill()
                await asyncio.shield(preparation.process.wait())
                raise
            if preparation.process.outcome is not None:
                await preparation.finish()
        with self._steps.step(StepName.DEMO_DATA, "Making users and orders"):
            await preparation.finish()
            self._steps.say(StepName.DEMO_DATA, preparation.demo_text)
        services.remove_pids(preparation.process)
        self._prepared = True
        self._schedules = await self._lane.run(self._machine.schedules)
        services.set_schedules(self._schedules)

    def _failing_step(self) -> str:
        failed = [step.name.value for step in self._steps.steps if step.state is StepState.FAILED]
        return failed[-1] if failed else "The local stack"

    def _fail(self, failure: Failure) -> None:
        self._failure = failure
        self._set_state(StackState.FAILED)

    # Stopping

    async def _stop_all(self, *, wait_for_tasks: bool = False, cold: bool = False) -> None:
        async with self._stopping:
            services = self._services
            if services is not None:
                self._set_state(StackState.STOPPING)
                await self._traffic.end()
                for name in reversed(ServiceName):
                    await self._stop_one(services, name, wait_for_tasks=wait_for_tasks, cold=cold)
                await self._leave_session()
        self._failure = None
        self._prepared = False
        self._steps.reset(self.options, self._schedules)
        self._update(state=StackState.STOPPED, address_shown="", started_s=None, took_s=None)

    async def _stop_one(
        self,
        services: Services,
        name: ServiceName,
        *,
        wait_for_tasks: bool = False,
        cold: bool = False,
        leaving: bool = True,
    ) -> None:
        service = services[name]
        plan: StopPlan | None = None
        tasks: int | None = None
        if name is ServiceName.WORKER and service.status.state is ServiceState.READY:
            tasks = None if cold else await self.active_tasks()
            if wait_for_tasks and not self._ending:
                plan = WAITING
            elif cold or tasks or self._ending:
                plan = COLD
        if leaving and name is ServiceName.BROKER and service.status.running:
            self._broker_told = False
            self.broker_leaving.emit(None)
        with self._active.waited_for(tasks) if plan is WAITING else nullcontext():
            await service.stop(plan)

    def _on_traffic(self, rate: str) -> None:
        self._update(demo_rate=rate)
        self._watch.note_processes()

    # The snapshot

    def _set_state(self, state: StackState) -> None:
        self._update(state=state)

    def _update(self, **changes: object) -> None:
        self.snapshot = replace(self.snapshot, **changes)  # type: ignore[arg-type]
        self._announce()

    def _announce(self) -> None:
        services = self._services
        statuses = self.snapshot.services if services is None else services.statuses
        if services is None:
            statuses = tuple(
                replace(status, state=ServiceState.STOPPED, pid=None, usage=None) for status in statuses
            )
        self.snapshot = replace(
            self.snapshot,
            services=statuses,
            steps=self._steps.steps,
            failure=self._failure,
            waiting=self._active.waiting,
        )
        if not self._announced:
            self._announced = True
            try:
                asyncio.get_running_loop().call_soon(self._tell)
            except RuntimeError:  # made before the loop runs: nobody listens yet
                self._announced = False

    def _tell(self) -> None:
        self._announced = False
        self.changed.emit(self.snapshot)


def _import_celery() -> None:
    """Load what the first ping needs."""
    import_module("celery.app.control")
    import_module("kombu.transport.redis")
