"""Logs in memory, orders, mails, options on disk, steps, the progress of `prepare`."""

from __future__ import annotations

import asyncio
import os
import time
from email.message import EmailMessage
from pathlib import Path

import pytest

from console.broker.address import BrokerAddress
from console.core.clock import SystemClock
from console.core.errors import Cause, ConsoleError
from console.core.home import Home
from console.core.redaction import Secret
from console.stack import logs
from console.stack.gateway import LocalMachine
from console.stack.logs import LogBook, save_log
from console.stack.mail import count_mails, read_mails
from console.stack.model import LogEntry, LogLevel, Pool, StepName, StepState, WorkerOptions
from console.stack.orders import Orders, StackFiles, broker_config
from console.stack.preparation import Preparation
from console.stack.steps import StepBoard

PASSWORD = "pass-word-of-the-stack"


@pytest.fixture
def files(tmp_path: Path) -> StackFiles:
    home = Home(tmp_path / "my home")
    home.prepare()
    return StackFiles.of(home)


@pytest.fixture
def orders(files: StackFiles) -> Orders:
    return Orders(
        files=files,
        address=BrokerAddress("127.0.0.1", 40617, password=Secret(PASSWORD)),
        zone="Asia/Kolkata",
        node="local@here",
        environ={"PATH": "/bin", "HOME": "/h", "AWS_SECRET": "x", "CELERY_BROKER_URL": "redis://elsewhere"},
    )


async def test_the_log_is_bounded_and_told_in_batches() -> None:
    book = LogBook()
    batches: list[list[LogEntry]] = []
    book.added.connect(batches.append)
    for number in range(250):
        book.add("worker", [f"line {number * 100 + n}" for n in range(100)])
    assert batches == [], "within one turn nothing is told"
    assert len(book.entries("worker")) == logs.KEPT_LINES
    assert len(book.tail("worker")) == logs.TAIL_LINES
    await asyncio.sleep(logs.BATCH_S * 1.5)
    assert len(batches) == 1
    assert len(batches[0]) == 25_000
    book.close()


async def test_all_logs_are_in_the_order_of_their_coming() -> None:
    book = LogBook()
    book.add("worker", ["a"])
    book.add("broker", ["b"])
    book.add("worker", ["c"])
    book.note_dropped("worker", 1234)
    assert [entry.text for entry in book.entries()] == [
        "a",
        "b",
        "c",
        "… 1,234 more lines are in the log file",
    ]
    assert book.entries("beat") == []
    book.close()


def test_a_log_is_saved(tmp_path: Path) -> None:
    entries = [
        LogEntry("14:00:00.000", "worker", "ERROR", "raised"),
        LogEntry("14:00:00.000", "worker", "ERROR", "  File x", True),
    ]
    save_log(tmp_path / "x.log", entries)
    assert (tmp_path / "x.log").read_text() == "14:00:00.000 worker ERROR raised\n  File x\n"
    with pytest.raises(ConsoleError, match="could not be saved"):
        save_log(tmp_path / "no" / "x.log", entries)


def test_no_order_has_the_password_in_its_arguments_or_its_repr(orders: Orders) -> None:
    made = [
        orders.broker(Path("/b")),
        orders.prepare(),
        orders.worker(WorkerOptions()),
        orders.beat(),
        orders.traffic(2),
    ]
    for order in made:
        assert PASSWORD not in " ".join(order.argv)
        assert PASSWORD not in repr(order)
        assert PASSWORD in order.redact
    assert PASSWORD not in repr(orders)


def test_an_environment_has_only_what_is_needed(orders: Orders) -> None:
    env = orders.worker(WorkerOptions()).env
    assert "AWS_SECRET" not in env
    assert env["CELERY_BROKER_URL"] == f"redis://:{PASSWORD}@127.0.0.1:40617/0"
    assert env["CELERY_TIMEZONE"] == env["TZ"] == "Asia/Kolkata"
    assert env["PATH"] == "/bin"
    assert set(orders.broker(Path("/b")).env) == {"PATH", "HOME", "TZ"}


def test_the_worker_is_started_as_chosen(orders: Orders) -> None:
    argv = orders.worker(WorkerOptions(4, Pool.THREADS, ("a", "b"), LogLevel.DEBUG)).argv
    line = " ".join(argv)
    assert "--task-events --concurrency 4 --pool threads --queues a,b --loglevel DEBUG" in line


@pytest.mark.parametrize("name", ["plain", "with space", 'quo"te', "back\\slash", "ünïcode"])
def test_the_brokers_folder_may_have_any_name(orders: Orders, name: str) -> None:
    config = broker_config(orders.address, Path("/x") / name)
    line = next(line for line in config.splitlines() if line.startswith("dir "))
    written = line.removeprefix('dir "').removesuffix('"').replace('\\"', '"').replace("\\\\", "\\")
    assert written == f"/x/{name}"
    assert "bind 127.0.0.1" in config


def test_options_survive_and_damage_is_overlooked(files: StackFiles) -> None:
    machine = LocalMachine(files)
    assert machine.load_options() == WorkerOptions()
    wanted = WorkerOptions(3, Pool.SOLO, ("one",), LogLevel.ERROR)
    machine.save_options(wanted)
    assert machine.load_options() == wanted
    for damage in ("", "[]", "{", '{"concurrency": "x"}', '{"concurrency": 99, "pool": "solo"}', "\x00"):
        files.options_file.write_text(damage)
        assert machine.load_options() == WorkerOptions()
    files.options_file.write_bytes(b"\xff\xfe")
    assert machine.load_options() == WorkerOptions()


def test_a_damaged_list_of_processes_is_overlooked(files: StackFiles) -> None:
    machine = LocalMachine(files)
    for damage in ("", "{}", '[{"pid": "x"}]', "[1]", "\x00"):
        files.run_file.write_text(damage)
        assert machine.end_leftovers() == ""


@pytest.mark.parametrize("content", ["", "nonsense", "0", "999999999", "-5", str(os.getpid())])
def test_a_stale_pid_file_of_beat_is_removed(files: StackFiles, content: str) -> None:
    files.beat_pid.write_text(content)
    assert LocalMachine(files).end_leftovers() == "a stale pid file of beat removed"
    assert not files.beat_pid.exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "stack").write_text("in the way")
    with pytest.raises(ConsoleError) as raised:
        LocalMachine(StackFiles(tmp_path / "stack")).prepare_folders()
    assert str(tmp_path / "stack") in raised.value.detail


def test_sent_mail_newest_first_and_bounded(tmp_path: Path) -> None:
    assert count_mails(tmp_path / "none") == 0
    assert read_mails(tmp_path / "none", 10) == []
    for number in range(5):
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "shop@x", f"ann{number}@x", f"Welcome {number}"
        mail.set_content("Grüße\n" * 100_000 if number == 4 else "Hello")
        path = tmp_path / f"{number}.eml"
        path.write_bytes(mail.as_bytes())
        os.utime(path, (number, number))
    (tmp_path / "broken.eml").write_bytes(b"\xff\x00 no mail")
    os.utime(tmp_path / "broken.eml", (2.5, 2.5))
    (tmp_path / ".draft-x").write_bytes(b"")
    assert count_mails(tmp_path) == 6
    mails = read_mails(tmp_path, 4)
    assert [mail.subject for mail in mails] == ["Welcome 4", "Welcome 3", "", "Welcome 2"]
    assert mails[0].text.startswith("Grüße")
    assert len(mails[0].text) <= 20_000


async def test_the_progress_of_prepare() -> None:
    book = LogBook()
    said: list[tuple[StepName, str]] = []
    preparation = Preparation(book=book, say=lambda step, text: said.append((step, text)))
    preparation._on_lines(
        [
            '{"step": "migrations", "state": "running", "applied": 3, "total": 37}',
            "not JSON",
            '{"step": "migrations"',
            "[1, 2]",
            '{"step": "migrations", "state": "done", "applied": 37, "total": 37, "seconds": 0.4}',
        ]
    )
    assert preparation.database_done.is_set()
    preparation._on_lines(['{"step": "demo", "state": "done", "users": 20, "orders": 40}'])
    assert [text for _, text in said] == ["3 of 37 migrations done", "37 migrations done"]
    assert preparation.demo_text == "20 users, 40 orders"
    assert "not JSON" in book.tail("setup")
    book.close()


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("locked", "Another program holds"),
        ("no-space", "The disk is full"),
        ("readonly", "cannot be written"),
    ],
)
async def test_a_failure_of_prepare_is_told_by_its_kind(kind: str, cause: str) -> None:
    book = LogBook()
    preparation = Preparation(book=book, say=lambda _step, _text: None)
    preparation._on_lines([f'{{"step": "migrations", "state": "failed", "error": "x", "kind": "{kind}"}}'])
    from console.stack.diagnosis import diagnose

    failure = preparation._error(diagnose("Database", None, [])).failure
    assert failure.title == "The database could not be prepared"
    assert cause in failure.cause
    book.close()


async def test_steps_go_from_waiting_to_ready_failed_or_back() -> None:
    board = StepBoard(SystemClock(), lambda: None)
    board.reset(WorkerOptions(), 3)

    def state(name: StepName) -> StepState:
        return next(step.state for step in board.steps if step.name is name)

    with board.step(StepName.BROKER, "Starting"):
        assert state(StepName.BROKER) is StepState.STARTING
    assert state(StepName.BROKER) is StepState.READY
    with pytest.raises(ConsoleError), board.step(StepName.DATABASE, "x"):
        raise ConsoleError("No", detail="Because.", cause=Cause.LOCKED)
    assert board.steps[1].text == "Because."
    assert state(StepName.DATABASE) is StepState.FAILED
    with pytest.raises(asyncio.CancelledError), board.step(StepName.WORKER, "x"):
        raise asyncio.CancelledError
    assert state(StepName.WORKER) is StepState.WAITING


def test_nothing_heavy_is_imported_with_the_service() -> None:
    """Celery, Django and redis come after the first paint."""
    import subprocess
    import sys

    began_s = time.monotonic()
    heavy = ("celery", "django", "kombu", "redis", "PySide6")
    code = f"import sys, console.stack.service; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20
    )
    assert done.stdout.strip() == "[]", time.monotonic() - began_s
