"""Disks that are full or read-only, and what an earlier run left waiting, with the real stack.

The full disk is a tiny tmpfs, the read-only database a bind mount: both need root, as on the build machine.
Without root the database is made read-only by its mode, and the tests of the full disk are skipped.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from console.core.errors import ConsoleError
from console.stack.model import ServiceName, ServiceState, StackState, StepState
from console.stack.service import StackService
from tests.integration.stack.conftest import is_alive, new_service, send_task, stack_tree, state

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts are made as on Linux")

ROOT = os.name == "posix" and os.geteuid() == 0
Disk = Callable[[str], Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Makes a home on a disk of a size of its own ("300k")."""
    if not ROOT:
        pytest.skip("only root mounts a disk")
    mounted: list[Path] = []

    def make(size: str) -> Path:
        home = tmp_path / "home"
        home.mkdir()
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(home)],
            check=False,
            capture_output=True,
        )
        if made.returncode:
            pytest.skip(f"no mount here: {made.stderr.decode().strip()}")
        mounted.append(home)
        return home

    yield make
    for home in mounted:
        subprocess.run(["umount", "--lazy", str(home)], check=True)


@pytest.fixture
def read_only() -> Iterator[Callable[[Path], None]]:
    """Makes a file read-only, for root as well."""
    mounted: list[Path] = []

    def make(file: Path) -> None:
        if not ROOT:
            file.chmod(0o400)
            return
        made = subprocess.run(["mount", "--bind", str(file), str(file)], check=False, capture_output=True)
        if made.returncode:
            pytest.skip(f"no mount here: {made.stderr.decode().strip()}")
        mounted.append(file)
        subprocess.run(["mount", "-o", "remount,ro,bind", str(file)], check=True)

    yield make
    for file in mounted:
        subprocess.run(["umount", "--lazy", str(file)], check=True)


def fill(folder: Path) -> None:
    """Take all the room there is."""
    with (folder / "filler").open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                continue


async def failure_of(stack: StackService) -> tuple[str, str]:
    """Where a start fails and why."""
    with pytest.raises(ConsoleError):
        await stack.start()
    failure = stack.snapshot.failure
    assert failure is not None
    assert stack.snapshot.state is StackState.FAILED
    processes = stack_tree(stack) if stack.address is not None else []
    await stack.aclose()
    assert not [process for process in processes if is_alive(process)]
    return failure.title, failure.cause


async def test_no_space_for_the_database(disk: Disk) -> None:
    assert await failure_of(new_service(disk("200k"))) == (
        "The database could not be prepared",
        "The disk is full.",
    )


async def test_no_space_for_anything(disk: Disk) -> None:
    home = disk("200k")
    stack = new_service(home)
    fill(home)
    assert await failure_of(stack) == ("Broker did not start", "The disk is full.")


async def test_a_disk_that_fills_while_the_stack_runs(disk: Disk) -> None:
    """It is told, and it keeps nothing from stopping."""
    home = disk("16m")
    stack = new_service(home)
    await stack.start()
    processes = stack_tree(stack)
    fill(home)
    with pytest.raises(ConsoleError, match="cannot be written"):
        await stack.set_options(stack.options)
    began_s = time.monotonic()
    await stack.stop()
    assert time.monotonic() - began_s < 6
    assert stack.snapshot.state is StackState.STOPPED
    assert not [process for process in processes if is_alive(process)]
    await stack.aclose()


@pytest.mark.parametrize("before", ["nothing", "a run"])
async def test_a_read_only_database(tmp_path: Path, read_only: Callable[[Path], None], before: str) -> None:
    stack = new_service(tmp_path / "home")
    if before == "a run":
        await stack.start()
        await stack.stop()
    else:
        stack.files.root.mkdir(parents=True, exist_ok=True)
        stack.files.database.touch()
    read_only(stack.files.database)
    assert await failure_of(stack) == (
        "The database could not be prepared",
        "The database file cannot be written.",
    )


async def test_what_an_earlier_run_left_comes_first_and_is_no_failure(tmp_path: Path) -> None:
    stack = new_service(tmp_path / "home")
    await stack.start()
    await stack.stop_service(ServiceName.WORKER)
    assert stack.address is not None
    for _ in range(12):
        await send_task(stack.address, "bundled_project.shop.tasks.take_time", 20, queue="mail")
    await stack.stop()
    said = await stack.start()
    step = stack.snapshot.steps[-1]
    assert step.state is StepState.READY
    assert step.text.endswith("tasks of an earlier run come first")
    # The worker has prefetched up to two of them besides the two that run.
    assert 10 <= int(step.text.split()[0]) <= 12
    assert said.endswith(step.text)
    assert stack.snapshot.state is StackState.READY
    assert [state(stack, name) for name in ServiceName] == [ServiceState.READY] * 3
    await stack.aclose()
