"""The local stack for real: the bundled project, a real broker, real processes, real kills."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from console.broker.address import BrokerAddress
from console.core.clock import SystemClock
from console.core.errors import ConsoleError
from console.core.notices import NoticeBoard
from console.core.redaction import Secret
from console.stack.gateway import LocalMachine
from console.stack.model import (
    Pool,
    ServiceName,
    ServiceState,
    StackState,
    StepState,
    WorkerOptions,
)
from console.stack.orders import StackFiles
from console.stack.service import StackService
from tests.heartbeat import LoopHeartbeat
from tests.integration.stack.conftest import (
    is_alive,
    new_home,
    new_service,
    send_task,
    stack_tree,
    state,
    tree,
    until,
    until_active,
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the stack is for POSIX systems")


def password_places(stack: StackService, password: str) -> list[str]:
    """Where the password can be read: arguments of the stack's processes, and files of the home."""
    running = stack_tree(stack) if stack.address is not None else []
    arguments = [f"process {process.pid}" for process in running if password in " ".join(process.cmdline())]
    files = [path for path in stack.files.root.parent.rglob("*") if path.is_file()]
    return arguments + [str(path) for path in files if password.encode() in path.read_bytes()]


def stack_state(stack: StackService) -> StackState:
    return stack.snapshot.state


async def test_the_whole_way_up_and_down(stack: StackService) -> None:
    addresses: list[BrokerAddress] = []
    stack.broker_ready.connect(addresses.append)
    states: list[str] = []
    stack.changed.connect(
        lambda snapshot: states.extend(
            f"{step.name}: {step.state}"
            for step in snapshot.steps
            if f"{step.name}: {step.state}" not in states
        )
    )
    said = await stack.start()
    processes = stack_tree(stack)
    address = stack.address
    assert address is not None
    assert said.startswith("Local stack ready in")
    assert stack.snapshot.state is StackState.READY
    assert stack.snapshot.took_s is not None
    assert stack.snapshot.took_s < 8
    assert [step.state for step in stack.snapshot.steps] == [StepState.READY] * 6
    ready = [text for text in states if text.endswith("Ready")]
    assert ready == [f"{step.name}: Ready" for step in stack.snapshot.steps], "each after the one before"
    assert addresses == [address]
    assert [status.state for status in stack.snapshot.services] == [ServiceState.READY] * 3

    # Loopback only, and the password nowhere.
    broker = psutil.Process(stack.snapshot.service(ServiceName.BROKER).pid)
    listening = [line.laddr.ip for line in broker.net_connections() if line.status == psutil.CONN_LISTEN]
    assert listening == ["127.0.0.1"]
    assert password_places(stack, address.password.reveal()) == []

    # The start leaves nothing of its own at the broker: no connection, no reply.
    assert await stack.active_tasks() == 0
    client = _client(address)
    assert [line for line in client.client_list() if line["name"] == "celery-console"] == []
    assert [key for key in client.scan_iter() if b"reply" in key] == []

    # Logs, usage and mail arrive.
    assert any("succeeded in" in entry.text for entry in stack.log.entries("worker"))
    stack.set_visible(True)
    await until(lambda: stack.snapshot.service(ServiceName.WORKER).usage is not None)
    await until(lambda: stack.snapshot.sent_mail == 1)
    assert [mail.subject for mail in await stack.mails()]

    began_s = time.monotonic()
    await stack.stop()
    assert time.monotonic() - began_s < 6
    assert not [process for process in processes if is_alive(process)]
    assert stack_state(stack) is StackState.STOPPED
    assert stack.address is None
    assert password_places(stack, address.password.reveal()) == []


async def test_a_start_before_everything_is_read(tmp_path: Path) -> None:
    """The steps of a start that was quicker than reading the options are not begun anew."""
    stack = new_service(tmp_path / "home")
    starting = asyncio.ensure_future(stack.start())
    await until(lambda: stack.snapshot.steps[0].state is StepState.STARTING)
    await stack.load()
    assert stack.snapshot.steps[0].state is not StepState.WAITING
    stack.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await stack.aclose()


async def test_the_second_start_is_quick_and_keeps_what_waits(stack: StackService) -> None:
    await stack.start()
    first = stack.address
    assert first is not None
    client = _client(first)
    client.rpush("kept", "waiting")
    await stack.stop()
    await stack.start()
    assert stack.snapshot.took_s is not None
    assert stack.snapshot.took_s < 5
    second = stack.address
    assert second is not None
    assert second.password != first.password
    client = _client(second)
    assert client.lrange("kept", 0, -1) == [b"waiting"]


async def test_a_killed_service_is_noticed_and_started_again(stack: StackService) -> None:
    await stack.start()
    for name in ServiceName:
        status = stack.snapshot.service(name)
        assert status.pid is not None
        os.kill(status.pid, signal.SIGKILL)
        noticed_s = await until(lambda name=name: state(stack, name) is ServiceState.FAILED)  # type: ignore[misc]
        assert noticed_s < 2
        failed = stack.snapshot.service(name)
        assert failed.problem.startswith("Killed by SIGKILL: starts again in")
        await until(lambda name=name: state(stack, name) is ServiceState.READY)  # type: ignore[misc]
        assert stack.snapshot.service(name).restarts == 1
        assert stack.snapshot.service(name).pid != status.pid
    shim, child = stack._services[ServiceName.BEAT].pids if stack._services is not None else (0, 0)
    os.kill(shim, signal.SIGKILL)
    await until(lambda: "its watcher, which was killed" in stack.snapshot.service(ServiceName.BEAT).problem)
    await until(lambda: not psutil.pid_exists(child), within_s=2)
    await until(lambda: state(stack, ServiceName.BEAT) is ServiceState.READY)
    # The worker has found the broker again: it takes a task.
    await until(lambda: any("Connected to redis" in entry.text for entry in stack.log.entries("worker")))


async def test_a_crash_loop_is_left_alone(stack: StackService) -> None:
    await stack.start()
    for _ in range(2):
        os.kill(stack.snapshot.service(ServiceName.BEAT).pid or 0, signal.SIGKILL)
        await until(lambda: state(stack, ServiceName.BEAT) is ServiceState.FAILED)
        await until(lambda: state(stack, ServiceName.BEAT) is ServiceState.READY)
    os.kill(stack.snapshot.service(ServiceName.BEAT).pid or 0, signal.SIGKILL)
    await until(lambda: "not started again" in stack.snapshot.service(ServiceName.BEAT).problem)
    assert state(stack, ServiceName.BEAT) is ServiceState.FAILED
    await stack.start_service(ServiceName.BEAT)
    assert state(stack, ServiceName.BEAT) is ServiceState.READY


async def test_one_service_alone_and_the_pools(stack: StackService) -> None:
    with pytest.raises(ConsoleError, match="needs the broker"):
        await stack.start_service(ServiceName.WORKER)
    await stack.start_service(ServiceName.BROKER)
    assert stack.snapshot.state is StackState.READY
    for pool in (Pool.THREADS, Pool.SOLO, Pool.GEVENT):
        if pool in stack.pools:
            await stack.set_options(WorkerOptions(concurrency=3, pool=pool, queues=("default",)))
            await stack.restart_service(ServiceName.WORKER)
            worker = stack.snapshot.service(ServiceName.WORKER)
            assert worker.state is ServiceState.READY
            assert pool.value in worker.detail
    await stack.stop_service(ServiceName.WORKER)
    await stack.stop_service(ServiceName.BROKER)
    assert stack_state(stack) is StackState.STOPPED
    again = StackService(
        home=new_home(stack.files.root.parent), clock=SystemClock(), notices=NoticeBoard(SystemClock())
    )
    await again.load()
    assert again.options.queues == ("default",)
    await again.aclose()


async def test_a_stop_waits_for_tasks_or_not(stack: StackService) -> None:
    await stack.start()
    await _send(stack, "bundled_project.shop.tasks.take_time", 30)
    await until_active(stack, 1)
    stopping = asyncio.ensure_future(stack.stop(wait_for_tasks=True))
    await until(lambda: stack.snapshot.waiting is not None and stack.snapshot.waiting.tasks == 1)
    assert state(stack, ServiceName.WORKER) is ServiceState.STOPPING
    assert not stopping.done()
    stack.force()
    await asyncio.wait_for(stopping, 8)
    assert stack.snapshot.waiting is None

    await stack.start()
    await _send(stack, "bundled_project.shop.tasks.take_time", 1.5)
    await until_active(stack, 1)
    await stack.stop(wait_for_tasks=True)
    assert any("succeeded in 1." in entry.text for entry in stack.log.entries("worker"))


async def test_a_cancelled_start_leaves_nothing(stack: StackService) -> None:
    starting = asyncio.ensure_future(stack.start())
    await until(lambda: state(stack, ServiceName.WORKER) is ServiceState.STARTING)
    processes = stack_tree(stack)
    stack.cancel()
    assert await starting == "Cancelled"
    assert stack.snapshot.state is StackState.STOPPED
    assert processes
    assert not [process for process in processes if is_alive(process)]


async def test_demo_traffic_flows_and_stops_with_the_stack(stack: StackService) -> None:
    await stack.start()
    await stack.set_demo_rate("10/s")
    assert stack.snapshot.demo_rate == "10/s"
    await until(lambda: sum(" received" in entry.text for entry in stack.log.entries("worker")) > 5)
    processes = tree(stack._traffic.pids)
    assert processes
    await stack.stop()
    assert stack.snapshot.demo_rate == "off"
    assert not [process for process in processes if is_alive(process)]


DRIVER = """
import asyncio, sys
from pathlib import Path
from console.core.clock import SystemClock
from console.core.home import Home
from console.core.notices import NoticeBoard
from console.stack.service import StackService

async def main():
    home = Home(Path(sys.argv[1])); home.prepare()
    clock = SystemClock()
    stack = StackService(home=home, clock=clock, notices=NoticeBoard(clock))
    await stack.start()
    await stack.set_demo_rate("10/s")
    print("up", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("after_s", [0.6, None], ids=["while it starts", "while it runs"])
def test_nothing_outlives_a_killed_console(tmp_path: Path, after_s: float | None) -> None:
    home = tmp_path / "home"
    console = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(home)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    assert console.stdout is not None
    if after_s is None:
        assert console.stdout.readline() == b"up\n"
    else:
        deadline_s = time.monotonic() + 10
        while len(psutil.Process(console.pid).children(recursive=True)) < 2:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
    processes = psutil.Process(console.pid).children(recursive=True)
    assert len(processes) >= (2 if after_s else 8)
    console.kill()
    console.wait()
    console.stdout.close()
    killed_s = time.monotonic()
    while alive := [process for process in processes if is_alive(process)]:
        assert time.monotonic() - killed_s < 10, alive
        time.sleep(0.05)


def test_leftovers_of_an_earlier_run_are_ended(tmp_path: Path) -> None:
    files = StackFiles.of(new_home(tmp_path / "home"))
    machine = LocalMachine(files, leftover_wait_s=0.2)
    left = subprocess.Popen(["/bin/sh", "-c", "sleep 60 & wait"])
    stranger = subprocess.Popen(["/bin/sleep", "60"])
    try:
        machine.note_running([left.pid])
        noted = files.run_file.read_text()
        other = f', {{"pid": {stranger.pid}, "created": 1.0}}]'
        files.run_file.write_text(noted.strip().removesuffix("]") + other)
        processes = tree([left.pid])
        files.beat_pid.write_text(f"{os.getpid()}\n")
        assert machine.end_leftovers() == (
            "1 process of an earlier run ended, a stale pid file of beat removed"
        )
        left.wait(timeout=2)
        assert not [process for process in processes if is_alive(process)]
        assert stranger.poll() is None, "a process that only has the same number is a stranger"
        assert machine.end_leftovers() == ""
    finally:
        for process in (left, stranger):
            process.kill()
            process.wait()


class OnePort(LocalMachine):
    """A machine whose free port is always the same."""

    port = 0

    def new_address(self) -> BrokerAddress:
        return BrokerAddress("127.0.0.1", self.port, password=Secret("correct-horse"))


async def test_a_taken_port_names_who_has_it(tmp_path: Path) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        machine = OnePort(StackFiles.of(new_home(tmp_path / "home")))
        machine.port = taken.getsockname()[1]
        stack = new_service(tmp_path / "home", machine)
        with pytest.raises(ConsoleError, match="did not start"):
            await stack.start()
        failure = stack.snapshot.failure
        assert failure is not None
        assert failure.where == "Broker"
        assert f"Port {machine.port} on 127.0.0.1 is taken by" in failure.cause
        assert f"(process {os.getpid()})" in failure.cause
        assert failure.lines
        await stack.aclose()


async def test_a_broken_database_names_the_step_and_the_retry_goes_on(tmp_path: Path) -> None:
    stack = new_service(tmp_path / "home")
    stack.files.database.write_bytes(b"this is no database" * 100)
    with pytest.raises(ConsoleError, match="The database could not be prepared"):
        await stack.start()
    snapshot = stack.snapshot
    assert snapshot.state is StackState.FAILED
    assert snapshot.failure is not None
    assert snapshot.failure.cause == "file is not a database"
    assert [step.state for step in snapshot.steps[:2]] == [StepState.READY, StepState.FAILED]
    broker = snapshot.service(ServiceName.BROKER).pid
    stack.files.database.unlink()
    await stack.start()
    assert stack.snapshot.state is StackState.READY
    assert stack.snapshot.failure is None
    assert stack.snapshot.service(ServiceName.BROKER).pid == broker
    await stack.aclose()


async def test_a_locked_database_is_named(tmp_path: Path) -> None:
    stack = new_service(tmp_path / "home")
    with closing(sqlite3.connect(stack.files.database, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ConsoleError, match="The database could not be prepared"):
            await stack.start()
    assert stack.snapshot.failure is not None
    assert stack.snapshot.failure.cause == "Another program holds the database."
    await stack.aclose()


async def test_a_missing_module_is_named(tmp_path: Path) -> None:
    stack = new_service(tmp_path / "home")
    broken = tmp_path / "broken"
    (broken / "celery").mkdir(parents=True)
    (broken / "celery" / "__init__.py").write_text("import no_such_module")
    await stack.start_service(ServiceName.BROKER)
    assert stack._services is not None
    recipe = stack._services[ServiceName.WORKER].recipe
    order = recipe.order()
    wrong = replace(order, env={**order.env, "PYTHONPATH": f"{broken}:{order.env['PYTHONPATH']}"})
    stack._services[ServiceName.WORKER].recipe = replace(recipe, order=lambda: wrong)
    with pytest.raises(ConsoleError) as raised:
        await stack.start()
    assert raised.value.detail == "The Python module no_such_module was not found."
    await stack.aclose()


async def test_a_worker_that_ends_at_once_is_named(tmp_path: Path) -> None:
    stack = new_service(tmp_path / "ho me %41 ü")
    await stack.start_service(ServiceName.BROKER)
    stack.options = WorkerOptions(concurrency="many")  # type: ignore[arg-type]
    with pytest.raises(ConsoleError) as raised:
        await stack.start()
    assert raised.value.title == "Worker did not start"
    assert stack.snapshot.failure is not None
    assert stack.files.database.exists()
    assert "It does not understand its options" in stack.snapshot.failure.cause
    await stack.aclose()


async def test_the_loop_never_stands_still(stack: StackService) -> None:
    with LoopHeartbeat() as heartbeat:
        await stack.start()
        await stack.set_demo_rate("as fast as possible")
        await until(lambda: sum(" received" in entry.text for entry in stack.log.entries("worker")) > 20)
        await stack.stop()
    heartbeat.check()


def _client(address: BrokerAddress):  # type: ignore[no-untyped-def]
    import redis

    return redis.Redis(address.host, address.port, password=address.password.reveal(), retry=None)  # type: ignore[arg-type]


async def _send(stack: StackService, task: str, *args: object) -> None:
    assert stack.address is not None
    await send_task(stack.address, task, *args)
