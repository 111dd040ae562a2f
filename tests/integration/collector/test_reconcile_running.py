"""What still runs is never said to be lost: workers that end gently, and workers that cannot answer."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

from console.broker.url import parse_broker_url
from console.collector.reconcile_workers import AmqpWorkers
from console.history.model import TaskState
from tests.integration.collector.test_reconcile import QUICK, Site, site, until, valkey
from tests.rabbitmq import RabbitServer

__all__ = ["site", "valkey"]


def states_for(site: Site, task_id: str, seconds: float) -> set[TaskState]:
    """The states that the history shows meanwhile."""
    states = set()
    began_s = time.monotonic()
    while time.monotonic() - began_s < seconds:
        states.add(site.until_state(task_id, *TaskState).row.state)
        time.sleep(0.1)
    return states


def test_a_worker_that_ends_gently_goes_on_with_what_it_runs(site: Site) -> None:
    site.results = site.address
    site.collect()
    worker = site.worker("-n", "web@one", "-c", "1", SILENT_RESULTS=site.url)
    site.send("last", "wait_for", str(site.folder / "go"))
    site.until_state("last", TaskState.STARTED)
    worker.process.send_signal(signal.SIGTERM)
    until(lambda: any(not seen.online for seen in site.reader.workers()), "it says goodbye")
    assert states_for(site, "last", QUICK.silent_s + 4.0) == {TaskState.STARTED}
    assert worker.process.poll() is None
    (site.folder / "go").touch()
    worker.process.wait(20)
    site.until_state("last", TaskState.SUCCEEDED)


def test_on_rabbitmq_a_worker_that_cannot_answer_is_there(
    tmp_path: Path, rabbitmq: RabbitServer, rabbitmq_vhost: str
) -> None:
    url = rabbitmq.url(rabbitmq_vhost)
    with ExitStack() as stack:
        site = Site(parse_broker_url(url), url, tmp_path, stack)
        # As a pool that runs its tasks in the worker's only thread: connected, but deaf and mute meanwhile.
        deaf = site.worker("-n", "web@one", "-c", "1")
        site.worker("-n", "web@two", "-c", "1", count=2)
        asking = AmqpWorkers(site.address, answer_s=1.0)
        known = {"web@one": 1.0, "web@two": 1.0, "web@gone": 1.0}
        assert asking.ask(["t"], everything=False, known=known).unheard == frozenset()
        os.kill(deaf.process.pid, signal.SIGSTOP)
        try:
            said = asking.ask(["t"], everything=False, known=known)
        finally:
            os.kill(deaf.process.pid, signal.SIGCONT)
        assert (set(said.answered), set(said.unheard)) == ({"web@two"}, {"web@one"})
