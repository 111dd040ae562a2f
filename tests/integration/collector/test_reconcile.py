"""Tasks that fall silent become what they are: a real broker, real workers, and the ways they can end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import redis

from console.broker.address import BrokerAddress
from console.broker.kombu_lines import close_celery_app, make_celery_app
from console.broker.sending import ask_workers, send_task
from console.broker.url import parse_broker_url
from console.collector.collector import Collector
from console.collector.reconcile import Reconciler
from console.collector.reconcile_suspects import Timings
from console.core.redaction import Secret
from console.history.model import CollectorState, TaskDetail, TaskState
from console.history.reader import HistoryReader
from tests.rabbitmq import RabbitServer
from tests.valkey import ValkeyServer, valkey_server

ROOT = Path(__file__).parents[3]
DEADLINE_S = 45.0
QUICK = Timings(
    quiet_s=1.0, sent_quiet_s=1.0, eta_quiet_s=1.0, round_s=0.5, longest_s=4.0, silent_s=4.0, answer_s=2.0,
    look_share=5.0,
)  # fmt: skip


class Worker:
    """A real worker; `kill` ends it and its children as a lack of memory would."""

    def __init__(self, broker_url: str, folder: Path, *options: str, **environment: str) -> None:
        name = options[options.index("-n") + 1]
        with (folder / f"{name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "celery", "-A", "tests.integration.collector.silent", "worker"),
                    *("--without-mingle", "--without-gossip", "-l", "INFO", *options),
                ],
                cwd=ROOT,
                env={**os.environ, "SILENT_BROKER": broker_url, **environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


@dataclass
class Site:
    """A broker, its workers, and a collector with a reconciler that is in a hurry."""

    address: BrokerAddress
    url: str
    folder: Path
    stack: ExitStack
    results: BrokerAddress | None = None

    def __post_init__(self) -> None:
        self.history = self.folder / "history.sqlite3"
        self.app = make_celery_app(self.address)
        self.stack.callback(close_celery_app, self.app)
        self.reconciler: Reconciler | None = None

    def collect(self, *, address: BrokerAddress | None = None) -> Collector:
        def make(give: object) -> Reconciler:
            self.reconciler = Reconciler(
                history_file=self.history, address=address or self.address, results=self.results,
                give=give, timings=QUICK,  # type: ignore[arg-type]
            )  # fmt: skip
            return self.reconciler

        states: list[CollectorState] = []
        collector = Collector(
            address=self.address,
            history_file=self.history,
            tell=lambda summary, _: states.append(summary.state),
            make_reconciler=make,
        )
        thread = threading.Thread(target=collector.run)
        thread.start()
        self.stack.callback(thread.join)
        self.stack.callback(collector.stop)
        until(lambda: CollectorState.READING in states, "the collector reads")
        self.reader = HistoryReader(self.history)
        self.stack.callback(self.reader.close)
        return collector

    def worker(self, *options: str, events: bool = True, count: int = 1, **environment: str) -> Worker:
        worker = Worker(self.url, self.folder, *options, *(("-E",) if events else ()), **environment)
        self.stack.callback(worker.kill)
        until(lambda: len(self.ask("ping", limit=count)) >= count, "the worker answers")
        return worker

    def ask(self, command: str, *, limit: int | None = 1, **arguments: object) -> list[object]:
        return ask_workers(self.app, self.address, command, arguments, timeout_s=1.0, limit=limit)

    def send(self, task_id: str, name: str, *args: object, **options: Any) -> None:
        send_task(self.app, self.address, f"silent.{name}", args, task_id=task_id, **options)

    def detail(self, task_id: str) -> TaskDetail | None:
        return self.reader.detail(task_id)

    def until_state(self, task_id: str, *states: TaskState) -> TaskDetail:
        found: list[TaskDetail] = []

        def is_there() -> bool:
            detail = self.detail(task_id)
            found[:] = [] if detail is None else [detail]
            return detail is not None and detail.row.state in states

        try:
            until(is_there, f"{task_id} is {states}")
        except AssertionError as error:
            problem = self.reconciler.problem if self.reconciler else ""
            raise AssertionError(f"{error}: {found}, {problem}") from None
        return found[0]


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.05)


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    with valkey_server(tmp_path / "valkey") as server:
        yield server


@pytest.fixture
def site(tmp_path: Path, valkey: ValkeyServer) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(valkey.address, valkey.url, tmp_path, stack)


def test_a_task_whose_worker_was_killed_is_lost_and_comes_back_when_it_runs_again(
    site: Site, valkey: ValkeyServer
) -> None:
    site.results = site.address
    site.collect()
    worker = site.worker("-n", "web@one", "-c", "1", SILENT_RESULTS=site.url)
    site.send("killed", "wait_for", str(site.folder / "never"))
    site.until_state("killed", TaskState.STARTED)
    worker.kill()
    detail = site.until_state("killed", TaskState.LOST)
    assert detail.reason is not None
    assert detail.reason.startswith(
        "No worker is running, it is in no queue, and the result backend does not know it."
        " Its worker web@one was last heard of at "
    )
    with valkey.client() as client:
        assert [key for key in client.keys("*") if b"reply" in key] == []
    site.worker("-n", "web@one", "-c", "1", SILENT_RESULTS=site.url)
    site.send("killed", "answer")
    again = site.until_state("killed", TaskState.SUCCEEDED)
    assert again.reason is None


def test_a_worker_that_is_back_at_once_is_another(site: Site) -> None:
    site.collect()
    worker = site.worker("-n", "web@one", "-c", "1", SILENT_RESULTS=site.url)
    site.send("killed", "wait_for", str(site.folder / "never"))
    site.until_state("killed", TaskState.STARTED)
    worker.kill()
    site.worker("-n", "web@one", "-c", "1", SILENT_RESULTS=site.url)
    detail = site.until_state("killed", TaskState.LOST)
    assert detail.reason == (
        "No worker holds it, it is in no queue, and the result backend does not know it."
        " Its worker web@one was started anew since."
    )


def test_on_rabbitmq_a_loss_needs_empty_queues(
    tmp_path: Path, rabbitmq: RabbitServer, rabbitmq_vhost: str
) -> None:
    url = rabbitmq.url(rabbitmq_vhost)
    with ExitStack() as stack:
        site = Site(parse_broker_url(url), url, tmp_path, stack)
        site.collect()
        worker = site.worker("-n", "web@one", "-c", "1", "-O", "fair")
        site.send("eta", "answer", countdown=3600)
        site.send("killed", "wait_for", str(site.folder / "never"))
        site.until_state("killed", TaskState.STARTED)
        site.until_state("eta", TaskState.RECEIVED)
        site.ask("revoke", task_id="eta")
        site.until_state("eta", TaskState.REVOKED)
        worker.kill()
        # The message of the other task is given back, and nobody can tell whose message it is.
        until(lambda: "RabbitMQ does not tell" in (site.reconciler or never()).problem, "it says why")
        assert site.until_state("killed", *TaskState).row.state is TaskState.STARTED
        rabbitmq.control("purge_queue", "-p", rabbitmq_vhost, "celery")
        detail = site.until_state("killed", TaskState.LOST)
        assert detail.reason is not None
        assert "No worker is running, and it is in no queue." in detail.reason


def never() -> Reconciler:
    raise AssertionError("there is none")


def test_a_late_acknowledged_task_is_not_lost_but_delivered_again(site: Site) -> None:
    site.results = site.address
    site.collect()
    settings: dict[str, Any] = {"SILENT_RESULTS": site.url, "SILENT_VISIBILITY": "3"}
    worker = site.worker("-n", "web@one", "-c", "1", **settings)
    site.send("late", "wait_for_late", str(site.folder / "go"))
    site.until_state("late", TaskState.STARTED)
    worker.kill()
    killed_s = time.monotonic()
    states = set()
    while time.monotonic() - killed_s < QUICK.silent_s + 4.0:
        states.add(site.until_state("late", *TaskState).row.state)
        time.sleep(0.1)
    assert states == {TaskState.STARTED}  # its message is unacknowledged
    (site.folder / "go").touch()
    site.worker("-n", "web@two", "-c", "1", **settings)
    detail = site.until_state("late", TaskState.SUCCEEDED)
    assert detail.row.worker == "web@two"
    assert len(detail.attempts) == 2


def test_a_revoked_task_whose_time_is_far_off_is_revoked_now(site: Site) -> None:
    site.collect()
    site.worker("-n", "web@one", "-c", "1")
    site.send("eta", "answer", countdown=3600)
    site.until_state("eta", TaskState.RECEIVED)
    site.ask("revoke", task_id="eta")
    detail = site.until_state("eta", TaskState.REVOKED)
    assert detail.reason is not None
    assert detail.reason.startswith("It was revoked: web@one will drop it instead of running it at ")


def test_what_waits_in_a_queue_that_nobody_consumes_is_not_lost(site: Site, valkey: ValkeyServer) -> None:
    site.results = site.address
    site.collect()
    site.worker("-n", "web@one", "-c", "1", SILENT_RESULTS=site.url)
    site.send("waits", "answer", queue="nobody", priority=6)
    site.until_state("waits", TaskState.SENT)
    site.send("before", "answer")
    site.until_state("before", TaskState.SUCCEEDED)
    deadline = time.monotonic() + 8.0
    while time.monotonic() < deadline:
        site.until_state("waits", TaskState.SENT)
        time.sleep(0.1)
    with valkey.client() as client:
        assert client.delete("nobody\x06\x166") == 1
    site.send("after", "answer")  # the only worker tells what it takes: the purged one it did not
    detail = site.until_state("waits", TaskState.LOST)
    assert detail.reason == "No worker holds it, it is in no queue, and the result backend does not know it."


@pytest.mark.parametrize("named", [True, False])
def test_ends_that_only_the_result_backend_knows(site: Site, named: bool) -> None:
    site.results = site.address if named else None  # then the workers say where it is
    site.collect()
    site.worker("-n", "web@one", "-c", "1", events=False, SILENT_RESULTS=site.url)
    site.ask("enable_events")
    site.send("blocker", "wait_for", str(site.folder / "go"))
    site.until_state("blocker", TaskState.STARTED)
    site.send("good", "answer")
    site.send("bad", "fail")
    site.until_state("good", TaskState.RECEIVED)
    site.until_state("bad", TaskState.RECEIVED)
    site.ask("disable_events")
    (site.folder / "go").touch()
    assert site.until_state("blocker", TaskState.SUCCEEDED).result == '"done"'
    good = site.until_state("good", TaskState.SUCCEEDED)
    assert (good.result, good.reason) == (
        "42", "The result backend holds its result; the event of its end was missed.",
    )  # fmt: skip
    assert good.row.ended is not None
    bad = site.until_state("bad", TaskState.FAILED)
    assert bad.exception == "ValueError('no such order')"
    assert bad.traceback is not None
    assert "silent.py" in bad.traceback
    assert bad.attempts[-1].exception == bad.exception


def test_a_child_that_dies_is_a_failure_by_its_worker(site: Site) -> None:
    site.collect()
    site.worker("-n", "web@one", "-c", "1")
    site.send("dies", "die")
    detail = site.until_state("dies", TaskState.FAILED)
    assert "WorkerLostError" in (detail.traceback or "")


def test_without_the_right_to_ask_nothing_is_said_to_be_lost(site: Site, valkey: ValkeyServer) -> None:
    with valkey.client() as client:
        client.acl_setuser(
            "onlooker", enabled=True, passwords=["+word"], commands=["+@read", "+@connection"], keys=["*"],
            channels=["*"],
        )  # fmt: skip
    address = replace(site.address, username="onlooker", password=Secret("word"))
    site.results = site.address
    site.collect(address=address)
    worker = site.worker("-n", "web@one", "-c", "1", SILENT_RESULTS=site.url)
    site.send("killed", "wait_for", str(site.folder / "never"))
    site.until_state("killed", TaskState.STARTED)
    worker.kill()
    until(lambda: site.reconciler is not None and bool(site.reconciler.problem), "it says why")
    assert site.reconciler is not None
    assert "may not" in site.reconciler.problem
    deadline = time.monotonic() + QUICK.silent_s + 6.0
    while time.monotonic() < deadline:
        site.until_state("killed", TaskState.STARTED)
        time.sleep(0.2)


def test_nothing_is_asked_while_nothing_is_suspect(site: Site, valkey: ValkeyServer) -> None:
    site.collect()
    with valkey.client() as client:
        before = commands(client)
        time.sleep(3 * QUICK.round_s)
        after = commands(client)
    assert after.keys() - before.keys() <= {"info"}
    assert all(after[name] - before[name] <= 3 for name in before if name != "ping")


def commands(client: redis.Redis) -> dict[str, int]:
    """How often each command was carried out so far."""
    stats = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): one["calls"] for name, one in stats.items()}
