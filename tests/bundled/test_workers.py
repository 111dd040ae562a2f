"""Tasks on running workers: races, limits, a broker that goes away, a flush that dies, every pool, beat."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.bundled.conftest import MakeProject
from tests.bundled.support import Project, wait_until
from tests.valkey import ValkeyServer

POOLS = ("prefork", "threads", "solo", "gevent")


@pytest.mark.parametrize("project", [{"MAIL_CLAIM_S": "1", "MAIL_LATENCY_S": "0.3"}], indirect=True)
def test_workers_racing_on_one_order(project: Project) -> None:
    """Twenty sendings of one invoice and of one charge, on two workers: one of each happens."""
    for worker in [project.worker(name, "-c", "4", wait=False) for name in ("one", "two")]:
        worker.wait_for_log(" ready.")
    invoices = [project.send("send_invoice", 1001) for _turn in range(20)]
    charges = [project.send("charge_user", 1, "19.90", "key-1") for _turn in range(20)]
    outcomes = sorted(json.loads(project.wait_state(task)["result"]) for task in invoices)
    assert outcomes == ["already sent"] * 19 + ["sent"]
    assert len(list(project.mail_dir.glob("*.eml"))) == 1
    assert project.value("SELECT count(*) FROM shop_invoice") == 1
    answers = {project.wait_state(task)["result"] for task in charges}
    assert [json.loads(answer)["amount"] for answer in answers] == ["19.90"]
    assert project.value("SELECT count(*) FROM shop_sandboxcharge") == 1
    workers = {project.wait_state(task)["worker"] for task in invoices}
    assert workers == {"one@test", "two@test"}


def test_time_limits_and_exact_arguments(project: Project) -> None:
    """The soft limit leaves no partial file; exact arguments are kept however a task ends.

    After a hard limit and an expiry it is the main process that writes the result.
    """
    # In prefork the clock of the hard limit starts when the soft one ends: this worker has no soft limit.
    project.worker("only", "-c", "4", TASK_SOFT_TIME_LIMIT_S="0")
    report = project.send("build_report", "2026-01-02", 10_000, 0.01, soft_time_limit=1)
    hard = project.send("take_time", 30.5, time_limit=1)
    text = "deep: [1, [2, [3, [4, [5]]]]] \\ 'quoted' \n β" + "long " * 500
    failed = project.send("fail_on_purpose", text)
    expired = project.send("add", 1, [2, [3, [4, [5, None]]]], expires=-5)
    wait_until(lambda: list((project.folder / "reports").glob("*.part")), "a partial file")
    rows = {task: project.wait_state(task) for task in (report, hard, failed, expired)}
    assert [row["status"] for row in rows.values()] == ["FAILURE", "FAILURE", "FAILURE", "REVOKED"]
    assert "SoftTimeLimitExceeded" in rows[report]["result"]
    assert '"TimeLimitExceeded"' in rows[hard]["result"]
    assert list((project.folder / "reports").iterdir()) == []
    assert project.value("SELECT count(*) FROM shop_report") == 0
    kept = {task: json.loads(json.loads(row["meta"])["exact_arguments"]) for task, row in rows.items()}
    assert kept == {
        report: [["2026-01-02", 10_000, 0.01], {}],
        hard: [[30.5], {}],
        failed: [[text], {}],
        expired: [[1, [2, [3, [4, [5, None]]]]], {}],
    }


def test_broker_restarted_under_a_running_worker(project: Project, durable_broker: ValkeyServer) -> None:
    """The worker comes back by itself; what ran meanwhile has one effect, what waited is done."""
    worker = project.worker("only", MAIL_LATENCY_S="2")
    running = project.send("send_invoice", 1001)
    wait_until(lambda: project.value("SELECT state FROM shop_mail") == "sending", "handing over the mail")
    waiting = [project.send("send_invoice", order) for order in range(1002, 1006)]
    durable_broker.kill()
    worker.wait_for_log("Connection to broker lost")
    durable_broker.start()
    after = project.send("add", 1, 2)
    assert json.loads(project.wait_state(after)["result"]) == 3
    outcomes = {json.loads(project.wait_state(task)["result"]) for task in [running, *waiting]}
    assert outcomes <= {"sent", "already sent"}
    assert len(list(project.mail_dir.glob("*.eml"))) == 5
    assert project.value("SELECT count(*) FROM shop_invoice") == 5


FLUSH_UP_TO = {
    "taken": "counters.take_batch()",
    "applied": "counters.apply_batch(counters.take_batch())",
}


@pytest.mark.parametrize("step", FLUSH_UP_TO)
def test_flush_killed_half_way(project: Project, step: str, durable_broker: ValkeyServer) -> None:
    """Killed after either step, and counted on meanwhile: nothing is lost, nothing counted twice."""
    code = (
        "import django, signal; django.setup()\n"
        "from bundled_project.shop import counters\n"
        "counters.increment('visits', 7); counters.increment('baskets', 2)\n"
        f"{FLUSH_UP_TO[step]}\n"
        "print('half way', flush=True); signal.pause()\n"
    )
    half = project.spawn("half", ["-c", code])
    half.wait_for_log("half way")
    half.kill()
    with durable_broker.client() as client:
        client.hincrby("{shop:counters}:live", "visits", 5)
    flushes = [
        "-c",
        "import django; django.setup()\nfrom bundled_project.shop import counters; counters.flush()",
    ]
    for child in [project.spawn(f"flush-{turn}", flushes) for turn in range(3)]:
        assert child.process.wait(20) == 0, child.text
    found = {row["name"]: row["value"] for row in project.rows("SELECT name, value FROM shop_counter")}
    assert found == {"visits": 12, "baskets": 2, "searches": 0}
    with durable_broker.client() as client:
        assert client.keys("{shop:counters}*") == []


def test_every_pool_runs_tasks(make_project: MakeProject, durable_broker: ValkeyServer) -> None:
    """prefork, threads, solo and gevent, each with database work, mail, a retry and a chord."""
    with durable_broker.client() as client:
        client.flushall()
    project = make_project()
    workers = {pool: project.worker(pool, "-P", pool, "-c", "8", "-Q", pool, wait=False) for pool in POOLS}
    sent: dict[str, list[str]] = {}
    for number, (pool, worker) in enumerate(workers.items()):
        worker.wait_for_log(" ready.")
        sent[pool] = [
            project.send("send_invoice", 1001 + number, queue=pool),
            project.send("try_again", 1, queue=pool),
            *(project.send("charge_user", 1, "5.00", f"{pool}-{n}", queue=pool) for n in range(12)),
        ]
    for pool, tasks in sent.items():
        rows = [project.wait_state(task) for task in tasks]
        assert {row["status"] for row in rows} == {"SUCCESS"}, (pool, workers[pool].text[-3000:])
        assert {row["worker"] for row in rows} == {f"{pool}@test"}
        assert json.loads(rows[0]["result"]) == "sent"
    started_s = time.monotonic()
    for task in [
        project.send("take_time", 0.5, queue=pool) for pool in ("threads", "gevent") for _n in range(8)
    ]:
        project.wait_state(task)
    assert time.monotonic() - started_s < 3, "16 x 0.5 s of waiting, done side by side"
    for pool, worker in workers.items():
        errors = [line for line in worker.text.splitlines() if ": ERROR/" in line or ": CRITICAL/" in line]
        assert errors == [], pool
        worker.process.send_signal(signal.SIGTERM)
    for worker in workers.values():
        assert worker.process.wait(20) == 0


def test_beat_sends_what_is_due_and_says_that_it_lives(project: Project) -> None:
    """The schedules of the migrations; beat answers a ping; the last run is in the database at once."""
    names = "SELECT name FROM django_celery_beat_periodictask ORDER BY name"
    assert [row["name"] for row in project.rows(names)] == ["Flush Redis counters to DB", "Nightly report"]
    with closing(sqlite3.connect(project.folder / "bundled_project.sqlite3")) as database, database:
        database.execute("UPDATE django_celery_beat_intervalschedule SET every = 1")
    worker = project.worker("only", wait=False)
    beat = project.beat()
    worker.wait_for_log(" ready.")
    flushes = (
        "SELECT task_name FROM django_celery_results_taskresult"
        " WHERE status = 'SUCCESS' AND periodic_task_name = 'Flush Redis counters to DB'"
    )
    row = wait_until(lambda: project.rows(flushes), "a flush sent by beat")[0]
    assert row["task_name"].endswith(".flush_counters")
    schedules = "SELECT count(*) FROM django_celery_beat_periodictask WHERE "
    ran = f"{schedules} total_run_count > 0 AND last_run_at IS NOT NULL"
    wait_until(lambda: project.value(ran), "the last run is written", deadline_s=5)
    answered = {name for answer in project.app().control.ping(timeout=1) for name in answer}
    assert any(name.startswith("celerybeat@") for name in answered)
    assert project.value(f"{schedules} name = 'celery.backend_cleanup'") == 1
    assert beat.stop() == 0
    assert not (project.folder / "beat.pid").exists()


def test_plain_commands_need_no_settings(tmp_path: Path) -> None:
    """`celery -A bundled_project` works from a plain shell, with nothing in its environment."""
    plain = Project("", tmp_path).env()
    for name in ("CELERY_BROKER_URL", "BUNDLED_PROJECT_DATA", "DJANGO_SETTINGS_MODULE"):
        del plain[name]
    code = (
        "from bundled_project import celery_app as app\n"
        "print(app.conf.broker_url, app.conf.timezone, app.conf.task_time_limit)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], env=plain, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["redis://localhost:6379/0", "Asia/Kolkata", "300.0"]
