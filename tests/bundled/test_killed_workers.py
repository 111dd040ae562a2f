"""Workers killed in the middle of their work: late acknowledgement brings the task back, with one effect."""

import email
import json
from pathlib import Path

import pytest

from tests.bundled.support import Project, wait_until
from tests.valkey import ValkeyServer

SHORT_TIMES = {
    # Redelivered after 2 s, looked for all the time, and the dead run's claim ends before that.
    "VISIBILITY_TIMEOUT_S": "2",
    "UNACKED_RESTORE_INTERVAL_S": "0.2",
    "UNACKED_RESTORE_THROTTLE": "1",
    "MAIL_CLAIM_S": "1",
}
SLOW = {"MAIL_LATENCY_S": "8", "SANDBOX_LATENCY_S": "8"}
short_times = pytest.mark.parametrize("project", [SHORT_TIMES], indirect=True)


def mails_to(project: Project, order_id: int) -> list[Path]:
    """The mail files about one order."""
    return [
        path
        for path in project.mail_dir.glob("*.eml")
        if email.message_from_bytes(path.read_bytes())["Subject"] == f"Invoice INV-{order_id}"
    ]


def assert_one_effect(project: Project, invoice: str, charge: str) -> None:
    """Both tasks, delivered again, ended well with one mail, one invoice, one charge and one payment."""
    assert json.loads(project.wait_state(invoice)["result"]) == "sent"
    assert json.loads(project.wait_state(charge)["result"])["status"] == "succeeded"
    assert len(mails_to(project, 1001)) == 1
    assert project.value("SELECT count(*) FROM shop_invoice WHERE order_id = 1001") == 1
    assert [tuple(row) for row in project.rows("SELECT state, claims FROM shop_mail")] == [("sent", 2)]
    assert project.value("SELECT count(*) FROM shop_sandboxcharge") == 1
    assert project.value("SELECT count(*) FROM shop_payment") == 1


@short_times
def test_killed_before_the_effect(project: Project) -> None:
    """Nothing had happened yet: the redelivered tasks do it."""
    worker = project.worker("first", more=SLOW)
    invoice, charge = project.send("send_invoice", 1001), project.send("charge_user", 1, "19.90", "key-1")
    wait_until(lambda: project.value("SELECT state FROM shop_mail") == "sending", "handing over the mail")
    project.wait_state(charge, "STARTED")
    worker.kill()
    assert not mails_to(project, 1001)
    assert project.value("SELECT count(*) FROM shop_sandboxcharge") == 0
    project.worker("second")
    assert_one_effect(project, invoice, charge)


@short_times
def test_killed_after_the_effect(project: Project) -> None:
    """The mail was out and the charge made, but nobody had written it down: neither is done again."""
    worker = project.worker("first", MAIL_LATENCY_S="4", SANDBOX_LATENCY_S="4", VISIBILITY_TIMEOUT_S="30")
    invoice, charge = project.send("send_invoice", 1001), project.send("charge_user", 1, "19.90", "key-1")
    wait_until(lambda: mails_to(project, 1001), "the mail is out")
    wait_until(lambda: project.value("SELECT count(*) FROM shop_sandboxcharge"), "the charge is made")
    worker.kill()
    assert project.value("SELECT state FROM shop_mail") == "sending"
    assert project.value("SELECT count(*) FROM shop_payment") == 0
    project.worker("second")
    assert_one_effect(project, invoice, charge)


@short_times
def test_killed_pool_process_is_replaced_and_its_task_requeued(project: Project) -> None:
    """reject_on_worker_lost: back as soon as the loss is seen, long before the visibility timeout."""
    worker = project.worker("only", "-c", "1", MAIL_LATENCY_S="2", VISIBILITY_TIMEOUT_S="60")
    invoice = project.send("send_invoice", 1001)
    wait_until(lambda: project.value("SELECT state FROM shop_mail") == "sending", "handing over the mail")
    for process in worker.below():
        process.kill()
    assert json.loads(project.wait_state(invoice, "SUCCESS")["result"]) == "sent"
    assert project.value("SELECT claims FROM shop_mail") == 2
    assert len(mails_to(project, 1001)) == 1


@short_times
def test_early_acknowledgement_loses_the_task(project: Project, durable_broker: ValkeyServer) -> None:
    """Side by side on one killed worker: the late task comes back, the early one never does."""
    worker = project.worker("first", more=SLOW)
    late, early = project.send("send_invoice", 1001), project.send("take_time", 20)
    wait_until(lambda: project.value("SELECT state FROM shop_mail") == "sending", "handing over the mail")
    project.wait_state(early, "STARTED")
    worker.kill()
    with durable_broker.client() as client:
        held = [json.loads(value)[0]["headers"]["id"] for value in client.hvals("unacked")]
        assert held == [late]
        project.worker("second")
        assert json.loads(project.wait_state(late)["result"]) == "sent"
        marker = project.send("add", 1, 2)
        project.wait_state(marker)
        assert client.llen("default") == 0
        wait_until(lambda: not client.exists("unacked"), "nothing is held by a worker")
    assert project.state(early) == "STARTED"
