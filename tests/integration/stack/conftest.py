"""A real local stack in a fresh home, and what its tests share."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import psutil
import pytest

from console.broker.address import BrokerAddress
from console.core.clock import SystemClock
from console.core.home import Home
from console.core.notices import NoticeBoard
from console.stack.gateway import LocalMachine
from console.stack.model import RestartPolicy, ServiceName, ServiceState
from console.stack.service import StackService


async def until(condition: Callable[[], object], *, within_s: float = 15.0) -> float:
    """Wait for `condition`; the seconds it took. Fails when it does not come true."""
    began_s = time.monotonic()
    while not condition():
        took_s = time.monotonic() - began_s
        assert took_s < within_s, f"not true within {within_s} s"
        await asyncio.sleep(0.01)
    return time.monotonic() - began_s


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def tree(pids: Iterable[int]) -> list[psutil.Process]:
    """The processes and everything below them."""
    found: list[psutil.Process] = []
    for pid in pids:
        try:
            process = psutil.Process(pid)
            found += [process, *process.children(recursive=True)]
        except psutil.Error:
            continue
    return list({process.pid: process for process in found}.values())


def stack_tree(stack: StackService) -> list[psutil.Process]:
    """Every process of a running stack."""
    assert stack._services is not None
    return tree(stack._services.all_pids())


def state(stack: StackService, name: ServiceName) -> ServiceState:
    return stack.snapshot.service(name).state


def new_home(folder: Path) -> Home:
    home = Home(folder)
    home.prepare()
    return home


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[StackService]:
    """A stack that is stopped, whatever the test does, with quick restarts."""
    clock = SystemClock()
    service = StackService(
        home=new_home(tmp_path / "home"),
        clock=clock,
        notices=NoticeBoard(clock),
        environ={**os.environ, "SOME_TOKEN": "of the terminal"},
        policy=RestartPolicy(first_pause_s=0.2, loop_exits=3),
    )
    await service.load()
    yield service
    processes = stack_tree(service) if service._services is not None else []
    await service.end(within_s=0.0)  # at once: how a stack ends gently is what tests are for
    await service.aclose()
    assert not [process for process in processes if is_alive(process)]


async def send_task(address: BrokerAddress, task: str, *args: object, queue: str = "default") -> None:
    """Send a task of the bundled project as an application would."""
    from console.broker.kombu_lines import make_celery_app

    app = make_celery_app(address)
    await asyncio.to_thread(app.send_task, task, args=args, queue=queue)
    await asyncio.to_thread(app.close)


async def until_active(stack: StackService, number: int) -> None:
    """Wait until the worker says that it runs so many tasks."""
    for _ in range(200):
        if await stack.active_tasks() == number:
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"never {number} tasks")


def new_service(home: Path, machine: LocalMachine | None = None) -> StackService:
    """A stack with quick restarts, for tests that make and close it themselves."""
    clock = SystemClock()
    return StackService(
        home=new_home(home),
        clock=clock,
        notices=NoticeBoard(clock),
        machine=machine,
        policy=RestartPolicy(first_pause_s=0.1),
    )
