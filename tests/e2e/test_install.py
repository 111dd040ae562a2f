"""`pip install .`: the wheel holds everything, and the command works from any folder."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.e2e.atspi import Bus, wait_until
from tests.e2e.processes import described, processes_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the project's own backend from the lock, without reaching for an index."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    return next(folder.glob("celery_console-*.whl"))


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`celery-console` in an environment of its own, which borrows the libraries but not the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = folder / "bin" / "python"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(python),
            "install",
            "-q",
            "--no-deps",
            "--no-index",
            wheel,
        ],
        check=True,
        timeout=120,
    )
    return folder / "bin" / "celery-console"


def test_the_wheel_holds_all_that_travels(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for wanted in (
        "console/_resources/logo.svg",
        "console/_resources/third_party/inter/Inter-Regular.otf",
        "console/_resources/third_party/lucide/LICENSE.txt",
        "bundled_project/settings.py",
        "bundled_project/shop/migrations/0001_initial.py",
        "console/stack/shim.py",
    ):
        assert wanted in names, wanted
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert any(name.endswith("licenses/NOTICE") for name in names)
    assert not any(name.startswith("tests/") for name in names)


def test_the_command_runs_the_stack_from_any_folder(command: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    said = subprocess.run(
        [command, "--version"], cwd=elsewhere, env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.startswith("Celery Console ")
    home = tmp_path / "home"
    process = subprocess.Popen(
        [command, "--home", str(home), "--start-stack"],
        cwd=elsewhere,
        env={**environment, "QT_LINUX_ACCESSIBILITY_ALWAYS_ON": "1"},
    )
    bus = Bus()
    try:
        window = bus.application(process.pid)
        window.find("Connected", within_s=20)
        wait_until(
            lambda: (home / "stack" / "mail").is_dir() and any((home / "stack" / "mail").glob("*.eml")),
            20,
            "the first mail of the first task",
        )
        process.terminate()
        assert process.wait(20) == 0
    finally:
        bus.close()
        process.kill()
        process.wait()
        for left in processes_of(home):
            left.kill()
    assert described(processes_of(home)) == []
    assert list(elsewhere.iterdir()) == [], "nothing is written where the command is started"
