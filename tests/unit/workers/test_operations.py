"""What commands do to workers in memory: one, several, those that refuse, and those that only say yes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from console.core.activity import Outcome
from console.core.connection import ConnectionInfo, Environment
from console.core.operations import Danger, Operation
from console.workers.effects import Crew
from console.workers.model import TaskInfo
from console.workers.operations import WorkerOperations
from tests.unit.workers.fakes import FakeWorker, seen, summary
from tests.unit.workers.test_service import ONE, TWO, World, until

SOLO = "solo@h"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    made.control.nodes[SOLO] = FakeWorker("solo", 1, ["mail"])
    await made.connect()
    made.beat_hearts(ONE, TWO, SOLO)
    await until(lambda: len(made.service.snapshot.rows) == 3 and made.service._inspection.is_settled)
    service = made.service
    service.operations = WorkerOperations(
        Crew(
            ask=service._ask, tell=service._tell, row=service.row, learn=service._learn, pauses_s=(0.0, 0.01)
        ),
        row=service.row,
        rows=lambda: service.snapshot.rows,
        production=lambda: False,
    )
    yield made
    await made.service.detach()
    await made.session.aclose()


async def run(world: World, operation: Operation) -> tuple[Outcome, str]:
    done = await world.runner.run(operation)
    outcome, said = world.activity.outcomes[-1]
    assert done is (outcome is Outcome.DONE)
    return outcome, said


async def test_several_at_once_with_one_broadcast_and_who_does_not_allow_it_is_left_out(world: World) -> None:
    make = world.service.operations
    asked = len(world.control.asked)
    grow = make.grow(ONE, TWO, SOLO, by=2)
    assert grow.danger is Danger.DISRUPTIVE
    assert grow.target == f"{ONE}, {TWO}"
    assert grow.question == "Grow the pool of 2 workers by 2?"
    assert grow.consequence == (
        "Each runs 2 tasks more at the same time. Left out: solo@h (a solo pool runs one task at a time)."
    )
    outcome, said = await run(world, grow)
    grown = "runs 4 tasks at once (before: 2)"
    assert (outcome, said) == (
        Outcome.DONE,
        (
            f"2 of 3 workers have grown ({ONE} {grown}; {TWO} {grown}). "
            f"Skipped {SOLO}: a solo pool runs one task at a time"
        ),
    )
    commands = [requests[0] for requests in world.control.asked[asked:] if requests[0].method == "pool_grow"]
    assert [command.destination for command in commands] == [(ONE, TWO)]
    assert world.row(TWO).concurrency == 4


async def test_one_that_fails_among_several_is_named_and_the_others_are_done(world: World) -> None:
    world.control.nodes[TWO].mute = True
    outcome, said = await run(world, world.service.operations.ping(ONE, TWO))
    assert outcome is Outcome.FAILED
    assert said == f"1 of 2 workers answered ({ONE} answered in 2 ms). {TWO} did not answer"


async def test_what_was_accepted_and_did_not_happen_is_a_failure(world: World) -> None:
    world.control.nodes[ONE].stubborn = True
    make = world.service.operations
    expected = {
        make.grow(ONE): f"{ONE} still runs 2 tasks at once",
        make.add_queue(ONE, queue="reports"): f"{ONE} does not consume reports",
        make.stop_consuming(ONE, queue="mail"): f"{ONE} still consumes mail",
        make.rate_limit(ONE, task="shop.add", limit="1/m"): f"{ONE} still has 10/s for shop.add",
        make.time_limit(ONE, task="shop.add", soft_s=1.0, hard_s=None): (
            f"{ONE} still runs shop.add with no time limit"
        ),
        make.enable_events(ONE): f"{ONE} does not send task events",
    }
    for operation, words in expected.items():
        assert await run(world, operation) == (Outcome.FAILED, words)


async def test_autoscale_needs_a_pool_that_scales(world: World) -> None:
    make = world.service.operations
    assert await run(world, make.autoscale(ONE, least=1, most=3)) == (
        Outcome.FAILED,
        f"{ONE}: the worker was not started with autoscale",
    )
    world.control.nodes[TWO].autoscale = (1, 2)
    world.service.refresh()
    await until(lambda: world.row(TWO).autoscale == (1, 2))
    assert await run(world, make.grow(TWO)) == (Outcome.FAILED, f"{TWO}: the pool is sized by autoscale")
    assert await run(world, make.autoscale(TWO, least=2, most=6)) == (
        Outcome.DONE,
        f"{TWO} scales from 2 to 6",
    )
    assert world.row(TWO).autoscale == (2, 6)


async def test_pools_are_restarted_where_the_settings_allow_it(world: World) -> None:
    make = world.service.operations
    outcome, said = await run(world, make.restart_pool(ONE))
    assert (outcome, said) == (
        Outcome.FAILED,
        f"{ONE}: the worker's setting worker_pool_restarts is off",
    )
    world.control.nodes[TWO].restarts = True
    world.service.on_summary(summary(seen(TWO, world.clock.now(), pid=500)))
    await until(lambda: world.row(TWO).said.pool_restarts is True)
    await until(lambda: world.service._inspection.is_settled)
    assert await run(world, make.restart_pool(TWO)) == (Outcome.DONE, f"{TWO} has 2 new processes")


async def test_queues_are_added_and_left(world: World) -> None:
    make = world.service.operations
    assert await run(world, make.add_queue(ONE, TWO, queue="celery")) == (
        Outcome.DONE,
        (
            f"1 of 2 workers consume celery now ({TWO} consumes celery now). "
            f"Skipped {ONE}: the worker consumes celery already"
        ),
    )
    assert world.activity.entries[-1].target == f"celery on {TWO}"
    assert make.stop_consuming(ONE, queue="celery").danger is Danger.SAFE
    stop = make.stop_consuming(ONE, TWO, queue="celery")
    assert stop.danger is Danger.DISRUPTIVE
    assert stop.consequence.endswith("No other worker consumes it: its messages will wait.")
    outcome, said = await run(world, stop)
    assert outcome is Outcome.DONE
    assert said.startswith("2 of 2 workers no longer consume celery")
    assert world.row(ONE).queues == ("mail",)


async def test_limits_are_set_and_lifted(world: World) -> None:
    make = world.service.operations
    assert await run(world, make.rate_limit(ONE, task="shop.wait_for", limit="2/m")) == (
        Outcome.DONE,
        f"{ONE} limits shop.wait_for to 2/m",
    )
    assert TaskInfo("shop.wait_for", "2/m") in (world.row().said.registered or ())
    assert await run(world, make.time_limit(ONE, SOLO, task="shop.add", soft_s=5.0, hard_s=9.0)) == (
        Outcome.DONE,
        (
            f"1 of 2 workers run shop.add with a soft limit of 5 s and a hard limit of 9 s "
            f"({ONE} runs shop.add with a soft limit of 5 s and a hard limit of 9 s). "
            f"Skipped {SOLO}: a solo pool does not stop tasks that take too long"
        ),
    )
    assert TaskInfo("shop.add", "", 5.0, 9.0) in (world.row().said.registered or ())
    assert await run(world, make.rate_limit(ONE, task="shop.gone", limit="1/s")) == (
        Outcome.FAILED,
        f"{ONE}: the worker has not registered shop.gone",
    )


async def test_production_asks_for_a_reason_before_anything_changes(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.session.info = ConnectionInfo("c", "Shop", Environment.PRODUCTION)
    await world.connect()
    make = world.service.operations
    try:
        changing = (
            make.grow(ONE),
            make.add_queue(ONE, queue="q"),
            make.rate_limit(ONE, task="shop.add", limit=""),
            make.shut_down(ONE),
        )
        assert {operation.danger for operation in changing} == {Danger.DISRUPTIVE}
        assert {make.ping(ONE).danger, make.enable_events(ONE).danger} == {Danger.SAFE}
    finally:
        await world.service.detach()
        await world.session.aclose()


async def test_several_are_shut_down_with_one_question(world: World) -> None:
    at = world.clock.now()
    world.service.on_summary(summary(seen(ONE, at, active=2), seen(TWO, at, active=1), seen(SOLO, at)))
    operation = world.service.operations.shut_down(ONE, TWO)
    assert operation.question == "Shut down 2 workers?"
    assert operation.consequence == (
        "They finish their 3 running tasks, then they end. The console cannot start them again."
    )
