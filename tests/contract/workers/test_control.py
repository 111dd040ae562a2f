"""Remote control against real workers."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from console.broker.kombu_lines import make_celery_app
from console.core.errors import Cause, ConsoleError
from console.workers.gateway import CeleryControl
from console.workers.model import Inspected, Request, Tab, TaskInfo
from console.workers.replies import listing_rows, with_queues, with_registered, with_settings, with_stats
from tests.contract.workers.conftest import celery_process, wait_for_nodes
from tests.valkey import ValkeyServer

BOTH = frozenset({"one@test", "two@test"})


def until(condition: Callable[[], bool], *, within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def test_everybody_answers_and_nobody_waits_longer_than_needed(any_control: CeleryControl) -> None:
    started = time.monotonic()
    replies = any_control.ask([Request("ping", expected=BOTH)], timeout_s=5.0)
    assert time.monotonic() - started < 3.0
    assert replies.by_request[0].keys() == BOTH
    assert all(0 < reply.took_s < 3 and reply.error is None for reply in replies.by_request[0].values())
    assert replies.malformed == 0


def test_a_worker_says_what_it_is(any_control: CeleryControl) -> None:
    methods = ("stats", "active_queues", "conf", "registered")
    requests = [Request(method, expected=BOTH) for method in methods]
    stats, queues, conf, registered = any_control.ask(requests, timeout_s=5.0).by_request
    seen = {}
    for node in BOTH:
        one = with_settings(
            with_queues(with_stats(Inspected(), stats[node].value), queues[node].value), conf[node].value
        )
        seen[node] = with_registered(one, registered[node].value)
    one, two = seen["one@test"], seen["two@test"]
    assert (one.pool, one.concurrency, one.queues) == ("solo", 1, ("celery", "mail"))
    assert (two.pool, two.concurrency, two.queues) == ("threads", 3, ("mail",))
    assert one.processed is not None
    assert one.pid is not None
    assert one.registered == (TaskInfo("shop.add", "10/s"), TaskInfo("shop.wait_for"))
    assert one.task_events is None, "the setting alone does not tell what -E or a remote command did"


def test_only_the_named_answer_and_an_unknown_one_is_silence(any_control: CeleryControl) -> None:
    request = Request("ping", destination=("one@test",), expected=frozenset({"one@test"}))
    nobody = Request("ping", destination=("nobody@test",), expected=frozenset())
    replies = any_control.ask([request, nobody], timeout_s=2.0)
    assert [set(answers) for answers in replies.by_request] == [{"one@test"}, set()]


def test_a_failing_command_is_told_in_the_workers_words(any_control: CeleryControl) -> None:
    request = Request("pool_grow", {"n": 1}, destination=("one@test",), expected=frozenset({"one@test"}))
    reply = any_control.ask([request], timeout_s=2.0).by_request[0]["one@test"]
    assert reply.error is not None


def test_lists_what_a_worker_holds(control: CeleryControl, shop: ValkeyServer, tmp_path: Path) -> None:
    app = make_celery_app(shop.address)
    done = tmp_path / "done"
    try:
        app.send_task("shop.wait_for", [str(done)], queue="celery", task_id="running")
        only = {"destination": ("two@test",), "expected": frozenset({"two@test"})}
        app.send_task("shop.wait_for", [str(done)], queue="mail", task_id="later", countdown=600)
        app.send_task("shop.wait_for", [str(done)], queue="mail", task_id="later-too", countdown=600)

        def held() -> set[str]:
            replies = control.ask([Request("scheduled", {"safe": True}, **only)], timeout_s=1.0)  # type: ignore[arg-type]
            answer = replies.by_request[0].get("two@test")
            return {row[1] for row in listing_rows(Tab.SCHEDULED, answer.value)} if answer else set()

        # The solo worker is busy with "running" and takes no further one; the other holds both.
        until(lambda: bool(held() & {"later", "later-too"}))
        app.send_task("shop.wait_for", [str(done)], queue="mail", task_id="beside")

        def active() -> set[str]:
            replies = control.ask([Request("active", {"safe": True}, **only)], timeout_s=1.0)  # type: ignore[arg-type]
            answer = replies.by_request[0].get("two@test")
            return {row[1] for row in listing_rows(Tab.ACTIVE, answer.value)} if answer else set()

        until(lambda: "beside" in active() or done.exists(), within_s=5.0)
    finally:
        done.touch()
        app.pool.force_close_all()
        app.close()


def test_beat_is_not_a_worker_and_nothing_is_left_in_redis(
    control: CeleryControl, shop: ValkeyServer, tmp_path: Path
) -> None:
    schedule = str(tmp_path / "schedule")
    with celery_process(shop, tmp_path, "beat", "-s", schedule, "--pidfile="):
        host = make_beat_name()
        wait_for_nodes(shop, host)
        beats = Request("ping", pattern="celerybeat@*", expected=frozenset({host}))
        stats = Request("stats", expected=BOTH)
        replies = control.ask([beats, stats], timeout_s=3.0)
        assert set(replies.by_request[0]) == {host}
        assert set(replies.by_request[1]) == BOTH
    control.close()
    with shop.client() as client:
        left = list(client.scan_iter("*reply*"))
        assert left == []


def make_beat_name() -> str:
    import socket

    return f"celerybeat@{socket.gethostname()}"


def test_garbage_among_the_replies_is_counted_and_skipped(control: CeleryControl, shop: ValkeyServer) -> None:
    control.ask([Request("ping", expected=BOTH)], timeout_s=2.0)
    key = f"{control._oid}.reply.celery.pidbox"

    def spoil() -> None:
        good = json.loads(
            '{"body": "", "content-encoding": "utf-8", "content-type": "application/json", "headers": {},'
            '"properties": {"body_encoding": "base64", "delivery_tag": "x",'
            '"delivery_info": {"exchange": "e", "routing_key": "r"}}}'
        )
        good["body"] = base64.b64encode(b"\xff not json").decode()
        pickled = {**good, "content-type": "application/x-python-serialize", "content-encoding": "binary"}
        with shop.client() as client:
            for raw in (b"\xff\xfe", b"not json", b"[]", json.dumps(good), json.dumps(pickled)):
                client.lpush(key, raw)

    thread = threading.Timer(0.15, spoil)
    thread.start()
    replies = control.ask([Request("ping", expected=BOTH | {"never@test"})], timeout_s=1.0)
    thread.join()
    assert set(replies.by_request[0]) == BOTH
    assert replies.malformed == 5
    assert set(control.ask([Request("ping", expected=BOTH)], timeout_s=2.0).by_request[0]) == BOTH


def test_one_round_costs_few_commands_and_sockets(control: CeleryControl, shop: ValkeyServer) -> None:
    def round_of_two() -> None:
        requests = [Request("stats", expected=BOTH), Request("active_queues", expected=BOTH)]
        assert [set(answers) for answers in control.ask(requests, timeout_s=3.0).by_request] == [BOTH, BOTH]

    def total() -> int:
        with shop.client() as client:
            return int(client.info("stats")["total_commands_processed"])

    round_of_two()
    before = total()
    round_of_two()
    cost = total() - before
    with shop.client() as client:
        names = [entry["name"] for entry in client.client_list()]
    assert names.count("celery-console") <= 2
    assert cost <= 70, f"{cost} commands for two questions to two workers"


def test_never_hands_back_what_workers_hold(control: CeleryControl, shop: ValkeyServer) -> None:
    with shop.client() as client:
        client.hset("unacked", "old", json.dumps([{"properties": {}, "headers": {}}, "", "mail-elsewhere"]))
        client.zadd("unacked_index", {"old": time.time() - 3599})
        try:
            control.ask([Request("ping", expected=BOTH | {"never@test"})], timeout_s=0.3)
            assert client.hexists("unacked", "old")
            assert control._channel.qos.visibility_timeout == 10**9
        finally:
            client.hdel("unacked", "old")
            client.zrem("unacked_index", "old")


def test_reconnects_after_the_broker_was_away(own_broker: ValkeyServer) -> None:
    app = make_celery_app(own_broker.address)
    control = CeleryControl(lambda: app, own_broker.address)
    try:
        control.ask([Request("ping")], timeout_s=0.2)
        own_broker.kill()
        with pytest.raises(ConsoleError) as raised:
            control.ask([Request("ping")], timeout_s=0.2)
        assert raised.value.cause is Cause.UNREACHABLE
        own_broker.start()
        assert control.ask([Request("ping")], timeout_s=0.2).by_request == ({},)
    finally:
        control.close()
        app.close()
