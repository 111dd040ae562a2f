"""`celery-console tasks` as scripts run it: a process of its own, the history of a real collector."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import uuid
from pathlib import Path

import pytest

from console.app.tasks_command import with_query_last
from console.core.home import Home
from tests.e2e.test_record_command import DEADLINE_S, ENVIRONMENT, Recorder, command, home, wait
from tests.integration.collector.conftest import life, publish
from tests.valkey import ValkeyServer

__all__ = ["home"]  # a fixture
IDS = [str(uuid.UUID(int=number)) for number in range(1, 6)]


def run(home: Path, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*command(home), "tasks", *words],
        stdin=subprocess.DEVNULL,
        check=False,
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=DEADLINE_S,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == status, (done.stdout, done.stderr)
    return done


@pytest.fixture
def recorded(home: Path, own_broker: ValkeyServer) -> Path:
    """Five tasks: four of shop.send, one of shop.charge that has only been received."""
    recorder = Recorder(home)
    recorder.until("Shop: recording\n")
    for task_id in IDS[:4]:
        publish(own_broker, life(task_id, args="('anna@example.org',)"))
    publish(own_broker, life(IDS[4], name="shop.charge")[:1])
    wait(lambda: len(json.loads(run(home, "--connection", "Shop", "--format", "json").stdout)) == 5)
    assert recorder.end() == 0
    return home


def test_what_the_query_finds_in_each_form(recorded: Path) -> None:
    shop = ("--connection", "Shop")
    text = run(recorded, *shop).stdout.splitlines()
    assert text[0].split() == [
        *("State", "Task", "ID", "Worker", "Queue", "Received", "Waited", "Runtime", "Retries")
    ]
    assert len(text) == 6
    assert run(recorded, *shop, "--limit", "2").stdout.count("\n") == 3
    found = json.loads(run(recorded, *shop, "--format", "json", "state:succeeded", "anna@example").stdout)
    assert {one["id"] for one in found} == set(IDS[:4])
    assert {one["runtime_s"] for one in found} == {0.1}
    rows = list(csv.DictReader(io.StringIO(run(recorded, *shop, "--format", "csv", "-name:send").stdout)))
    assert [(row["id"], row["state"], row["task"]) for row in rows] == [(IDS[4], "Received", "shop.charge")]
    ordered = run(recorded, *shop, "--format", "json", "--sort", "id", "--ascending").stdout
    assert [one["id"] for one in json.loads(ordered)] == IDS
    assert json.loads(run(recorded, *shop, "--format", "json", "name:nothing").stdout) == []
    assert run(recorded, *shop, "name:nothing").stdout.count("\n") == 1


def test_a_wrong_query_is_said_with_its_word(recorded: Path) -> None:
    said = run(recorded, "--connection", "Shop", "stat:failed", status=1).stderr
    assert "stat" in said
    assert "state" in said


def test_who_reads_no_further_ends_it_quietly(recorded: Path) -> None:
    with subprocess.Popen(
        [*command(recorded), "tasks", "--connection", "Shop"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
        process.wait(DEADLINE_S)


def test_without_a_history_it_says_so(home: Path) -> None:
    assert list(Home(home).history.glob("*")) == []
    assert "There is no task history yet" in run(home, "--connection", "Shop", status=1).stderr
    assert "no connection named Nobody" in run(home, "--connection", "Nobody", status=1).stderr
    assert "Say which connection" in run(home, status=1).stderr


def test_a_negated_word_of_the_query_is_no_option() -> None:
    assert with_query_last(["tasks", "-state:failed", "--connection", "Shop", "x"]) == [
        *("tasks", "--connection", "Shop", "x", "--", "-state:failed")
    ]
    assert with_query_last(["tasks", "-h"]) == ["tasks", "-h"]
    assert with_query_last(["record", "-x"]) == ["record", "-x"]
