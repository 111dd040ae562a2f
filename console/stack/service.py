"""The local stack: broker, worker and beat on this machine, started and stopped as one and one by one.

Qt-free; used on the loop. It needs no open connection: it tells `broker_ready` with the address, and whoever
listens connects.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from console.broker.address import BrokerAddress
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
    Outcome,
    Pool,
    RestartPolicy,
    ServiceName,
    ServiceState,
    StackSnapshot,
    StackState,
    StepName,
    StepState,
    Waiting,
    WorkerOptions,
)
from console.stack.orders import Orders, StackFiles
from console.stack.preparation import Preparation
from console.stack.process import StopPlan
from console.stack.services import Services
from console.stack.steps import StepBoard, failure_of
from console.stack.supervisor import StartFailedError
from console.stack.traffic import OFF, DemoTraffic, per_second
from console.stack.watch import Watch

log = logging.getLogger(__name__)

PORT_TRIES = 3
COLD: StopPlan = (("QUIT", 3.0),)
WAITING: StopPlan = (("TERM", None),)
_TASK_ENDED = re.compile(r"Task \S+\[([^\]]+)\] (?:succeeded|raised|retry|failed|rejected|ignored)")


class StackService:
    """The one local stack of a console.

    `snapshot` is always current; `changed` tells of it, many changes in one turn of the loop as one.
    `broker_ready(address)` fires when the broker answers (before the worker starts, so that its first events
    are seen), `broker_leaving()` right before it is stopped on purpose. `task_succeeded(id)` says whether the
    history has seen that task succeed; without it the worker's log has to do.
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
    ) -> None:
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
        self._environ = dict(os.environ if environ is None else environ)
        self._machine = machine or LocalMachine(self.files)
        self._policy = policy or RestartPolicy()
        self._lane = Lane("stack", threads=2, timeout_s=20.0)
        self._tasks = Tasks("stack")
        self._steps = StepBoard(clock, self._announce)
        self._services: Services | None = None
        self._prepared = False
        self._schedules: int | None = None
        self._failure: Failure | None = None
        self._waiting: Waiting | None = None
        self._active: set[str] = set()
        self._running: asyncio.Task[str] | None = None
        self._stopping = asyncio.Lock()
        self._broker_told = False
        self._traffic = DemoTraffic(self.log, self._traffic_ended)
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
    def schedules_url(self) -> str:
        """The database with the stack's schedules."""
        return self.files.database_url

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
        self._steps.reset(self.options, self._schedules)

    # The whole stack

    async def start(self) -> str:
        """Start what does not run, in order, and run a first task. Returns the outcome in words.

        Raises `ConsoleError` (the same that `snapshot.failure` holds); "Cancelled" after `cancel`.
        """
        if self._running is not None:
            raise ConsoleError("The local stack is already starting or stopping", cause=Cause.BUSY)
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
        services = self._services
        if services is None or not services[ServiceName.WORKER].status.running:
            return 0
        try:
            ids = await self._lane.run(
                self._machine.active_tasks, services.orders.address, services.orders.node, key="active"
            )
        except ConsoleError:
            return None
        self._active = set(ids or ())
        return None if ids is None else len(ids)

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
        per_s = per_second(rate)
        await self._end_traffic()
        if not per_s:
            return "Demo traffic is off"
        services = self._services
        if services is None or services[ServiceName.BROKER].status.state is not ServiceState.READY:
            raise ConsoleError("Demo traffic needs the broker", remedy="Start the local stack first.")
        self._update(demo_rate=rate)
        await self._traffic.start(services.orders.traffic(per_s))
        self._watch.note_processes()
        return f"Demo traffic: {rate}"

    async def save_log(self, path: Path) -> int:
        """Write what the logs hold to `path`; returns the number of lines. Raises `ConsoleError`."""
        entries = self.log.entries()
        await self._lane.run(save_log, path, entries)
        return len(entries)

    async def mails(self, limit: int = 200) -> list[Mail]:
        """The newest mails that the project has sent, newest first."""
        return await self._lane.run(read_mails, self.files.mail, limit, key="mails")

    async def aclose(self) -> None:
        """End everything that still runs, cold, and let go."""
        if self._running is not None:
            self.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        if self._services is not None:
            await self._stop_all(cold=True)
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
            await first.run(services, self._steps)
        except StartFailedError as failed:
            self._fail(failed.failure)
            raise
        except ConsoleError as error:
            self._fail(failure_of(self._failing_step(), error))
            raise
        took_s = self.clock.monotonic_s() - began_s
        self._update(state=StackState.READY, took_s=took_s)
        return f"Local stack ready in {took_s:.1f} s"

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
        await self._lane.run(self._machine.prepare_folders)
        if await self._lane.run(self._machine.has_leftovers):
            self._steps.say(StepName.BROKER, "Ending what an earlier run left")
        cleaned = await self._lane.run(self._machine.end_leftovers)
        if cleaned:
            self._notices.post(Level.INFO, "Cleaned up", detail=f"{cleaned}.", key="stack-leftovers")
        binary = await self._lane.run(self._machine.broker_binary)
        orders = Orders(
            files=self.files,
            address=await self._lane.run(self._machine.new_address),
            zone=self.zone or await self._lane.run(self._machine.zone),
            node=self._machine.node(),
            environ=self._environ,
        )
        services = Services(
            orders=orders,
            binary=binary,
            options=lambda: self.options,
            machine=self._machine,
            lane=self._lane,
            clock=self.clock,
            book=self.log,
            policy=self._policy,
        )
        services.changed.connect(lambda _: self._announce())
        services.processes_changed.connect(lambda _: self._watch.note_processes())
        services.worker_lines.connect(self._on_worker_lines)
        self._services = services
        self._watch.begin(services)
        self._update(cleaned=cleaned, address_shown=orders.address.shown)
        return services

    async def _leave_session(self) -> None:
        services, self._services = self._services, None
        if services is not None:
            await services.aclose()
        await self._watch.end()

    async def _start_one(self, services: Services, name: ServiceName) -> None:
        service = services[name]
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
                await self._end_traffic()
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
        if name is ServiceName.WORKER and service.status.state is ServiceState.READY:
            tasks = None if cold else await self.active_tasks()
            if wait_for_tasks:
                plan = WAITING
                self._waiting = Waiting(tasks, self.clock.monotonic_s())
                self._announce()
            elif cold or tasks:
                plan = COLD
        if leaving and name is ServiceName.BROKER and service.status.running:
            self._broker_told = False
            self.broker_leaving.emit(None)
        try:
            await service.stop(plan)
        finally:
            self._waiting = None
            self._active = set()

    def _on_worker_lines(self, lines: Sequence[str]) -> None:
        """Count down the tasks that a stop waits for."""
        if self._waiting is None or self._waiting.tasks is None:
            return
        for line in lines:
            found = _TASK_ENDED.search(line)
            if found is not None:
                self._active.discard(found[1])
        if len(self._active) != self._waiting.tasks:
            self._waiting = replace(self._waiting, tasks=len(self._active))
            self._announce()

    async def _end_traffic(self) -> None:
        await self._traffic.end()
        self._update(demo_rate=OFF)

    def _traffic_ended(self, outcome: Outcome, last_line: str) -> None:
        self._update(demo_rate=OFF)
        self._watch.note_processes()
        if not outcome.clean:
            title = f"Demo traffic {outcome.words}"
            self._notices.post(Level.WARNING, title, detail=last_line, key="stack-traffic")

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
            waiting=self._waiting,
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
