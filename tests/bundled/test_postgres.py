"""The bundled project on PostgreSQL: prepared from nothing, and one effect each under workers that race."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.bundled.support import ENDED, Project, wait_until
from tests.postgres import PostgresServer
from tests.valkey import ValkeyServer

RESULTS = "django_celery_results_taskresult"


class Shop(Project):
    """The project with its data in PostgreSQL instead of a file."""

    @property
    def database(self) -> str:
        return self.settings["DATABASE_URL"]

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read the database on a connection of the test's own."""
        with psycopg.connect(self.database) as connection:
            return connection.execute(sql, values).fetchall()

    def outcome(self, task_id: str) -> tuple[str, Any]:
        """The state in which a task has ended and what it returned."""

        def ended() -> list[tuple[Any, ...]]:
            return self.ask(
                f"SELECT status, result FROM {RESULTS} WHERE task_id = %s AND status = ANY(%s)",
                task_id,
                list(ENDED),
            )

        ((status, result),) = wait_until(ended, f"the end of {task_id}")
        return status, json.loads(result)

    def mails(self) -> int:
        return len(list(self.mail_dir.glob("*.eml")))


@pytest.fixture
def shop(broker: ValkeyServer, postgres: PostgresServer, tmp_path: Path) -> Iterator[Shop]:
    url = postgres.make_database("shop")
    made = Shop(broker.url, tmp_path, {"DATABASE_URL": url, "MAIL_CLAIM_S": "1", "MAIL_LATENCY_S": "0.1"})
    yield made
    made.end()


def test_prepare_and_one_task(shop: Shop) -> None:
    """`prepare --demo` from nothing and again; a worker then does its work, with its result in PostgreSQL."""
    said = [json.loads(line) for line in shop.run("prepare", "--demo").stdout.splitlines()]
    assert said[-1].items() >= {"step": "demo", "state": "done", "users": 20, "orders": 40}.items()
    again = [json.loads(line) for line in shop.run("prepare", "--demo").stdout.splitlines()]
    assert again[-2].items() >= {"step": "migrations", "state": "done", "applied": 0}.items()
    assert again[-1].items() >= {"step": "demo", "state": "done", "users": 0, "orders": 0}.items()
    assert not (shop.folder / "bundled_project.sqlite3").exists()
    ((schedule,),) = shop.ask(
        "SELECT task FROM django_celery_beat_periodictask WHERE name = %s", "Flush Redis counters to DB"
    )
    assert schedule == "bundled_project.shop.tasks.flush_counters"

    shop.worker("only", "-c", "1")
    ((user,),) = shop.ask("SELECT min(id) FROM shop_user")
    assert shop.outcome(shop.send("send_welcome_email", user)) == ("SUCCESS", "sent")
    assert shop.outcome(shop.send("resend_welcome_email", user, "key-1")) == ("SUCCESS", "sent")
    assert shop.outcome(shop.send("resend_welcome_email", user, "key-1")) == ("SUCCESS", "already sent")
    assert shop.mails() == 2


def test_workers_racing_on_one_order(shop: Shop) -> None:
    """Two transactions of PostgreSQL may read one row at once: there is one mail and one charge."""
    shop.run("prepare", "--demo")
    for worker in [shop.worker(name, "-c", "3", wait=False) for name in ("one", "two")]:
        worker.wait_for_log(" ready.")
    ((order, user),) = shop.ask("SELECT id, user_id FROM shop_order ORDER BY id LIMIT 1")
    invoices = [shop.send("send_invoice", order) for _turn in range(20)]
    charges = [shop.send("charge_user", user, "19.90", "key-1") for _turn in range(20)]

    assert sorted(shop.outcome(task) for task in invoices) == [
        *[("SUCCESS", "already sent")] * 19,
        ("SUCCESS", "sent"),
    ]
    assert shop.mails() == 1
    assert shop.ask("SELECT count(*) FROM shop_invoice") == [(1,)]
    answers = [shop.outcome(task) for task in charges]
    assert {status for status, _ in answers} == {"SUCCESS"}
    assert len({answer["charge"] for _, answer in answers}) == 1
    assert shop.ask("SELECT count(*) FROM shop_sandboxcharge") == [(1,)]
