"""Every command of the Workers page on real workers of every pool, each effect read back from the worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from console.broker.kombu_lines import close_celery_app, make_celery_app
from console.core.activity import Outcome
from console.core.connection import LinkState
from console.core.errors import Cause, ConsoleError
from console.core.operations import Operation
from console.workers.actions import Action, refusal
from console.workers.model import Tab, WorkerState
from tests.contract.rabbitmq.places import Place
from tests.contract.workers.conftest import Broker, worker
from tests.contract.workers.test_operations import World, until
from tests.valkey import ValkeyServer, valkey_server

PREFORK, SCALED, THREADS, SOLO, GEVENT = (
    f"{name}@test" for name in ("prefork", "scaled", "threads", "solo", "gevent")
)
ALL = {PREFORK, SCALED, THREADS, SOLO, GEVENT}
TASK = "shop.wait_for"


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A worker of each pool on one Valkey."""
    folder = tmp_path_factory.mktemp("pools")
    with (
        valkey_server(folder / "valkey") as broker,
        ExitStack() as stack,
        pytest.MonkeyPatch.context() as env,
    ):
        env.setenv("TEST_POOL_RESTARTS", "1")
        env.setenv("TEST_ACCEPT_TOO", "pickle")
        env.setenv("C_FORCE_ROOT", "1")  # or celery accepts no pickle as root
        for name, *options in (
            (PREFORK, "--pool", "prefork", "-c", "2", "-Q", "mail"),
            (SCALED, "--pool", "prefork", "--autoscale", "2,1", "-Q", "mail"),
            (THREADS, "--pool", "threads", "-c", "3", "-Q", "mail"),
            (SOLO, "--pool", "solo", "-Q", "slow"),
            (GEVENT, "--pool", "gevent", "-c", "10", "-Q", "mail,celery"),
        ):
            stack.enter_context(worker(broker, folder, name, *options, "--without-gossip"))
        yield broker


@pytest.fixture
async def world(pools: ValkeyServer, tmp_path: Path) -> AsyncIterator[World]:
    made = World(pools, tmp_path, round_s=0.1)
    made.service.attach(made.session)
    made.session.set_status(LinkState.CONNECTED)
    await until(lambda: {row.hostname for row in made.service.snapshot.rows} == ALL)
    await until(lambda: all(row.said.registered is not None for row in made.service.snapshot.rows))
    yield made
    await made.service.detach()
    await made.session.aclose()
    with pools.client() as client:
        assert list(client.scan_iter("*reply*")) == [], "nothing is left in Redis"


async def fails(world: World, operation: Operation) -> str:
    assert not await world.runner.run(operation)
    outcome, said = world.activity.outcomes[-1]
    assert outcome is Outcome.FAILED
    return said


def why_not(world: World, action: Action) -> dict[str, str | None]:
    return {row.hostname: refusal(action, row) for row in world.service.snapshot.rows}


async def test_what_each_pool_allows_is_known_before_it_is_tried(world: World) -> None:
    assert {name: reason is None for name, reason in why_not(world, Action.GROW).items()} == {
        PREFORK: True,
        SCALED: False,
        THREADS: False,
        SOLO: False,
        GEVENT: True,
    }
    assert [name for name, reason in why_not(world, Action.AUTOSCALE).items() if reason is None] == [SCALED]
    restartable = [name for name, reason in why_not(world, Action.RESTART_POOL).items() if reason is None]
    assert restartable == [PREFORK, SCALED]


async def test_pools_grow_and_shrink_together_and_the_others_are_left_out(world: World) -> None:
    make = world.service.operations
    said = await world.run(make.grow(*sorted(ALL), by=2))
    assert said.startswith("2 of 5 workers have grown")
    assert f"{PREFORK} runs 4 tasks at once (before: 2)" in said
    assert f"{GEVENT} runs 12 tasks at once (before: 10)" in said
    said = await world.run(make.shrink(PREFORK, GEVENT, by=2))
    assert f"{PREFORK} runs 2 tasks at once (before: 4)" in said
    assert f"{GEVENT} runs 10 tasks at once (before: 12)" in said
    assert await fails(world, make.shrink(PREFORK, by=2)) == f"{PREFORK}: the pool has only 2 places"


async def test_autoscale_moves_its_bounds(world: World) -> None:
    make = world.service.operations
    assert await world.run(make.autoscale(SCALED, least=2, most=5)) == f"{SCALED} scales from 2 to 5"
    assert await world.run(make.autoscale(SCALED, least=1, most=2)) == f"{SCALED} scales from 1 to 2"


async def test_a_restarted_pool_has_other_processes(world: World) -> None:
    said = await world.run(world.service.operations.restart_pool(PREFORK, THREADS))
    assert said.startswith(f"1 of 2 workers have new processes ({PREFORK} has ")
    assert f"Skipped {THREADS}: a threads pool has no processes to restart" in said


async def test_queues_come_and_go_in_every_pool(world: World) -> None:
    make, service = world.service.operations, world.service
    said = await world.run(make.add_queue(*sorted(ALL), queue="reports"))
    assert said == "5 of 5 workers consume reports now"
    assert (service.consumers_by_queue() or {}).get("reports") == 5
    assert await fails(world, make.add_queue(SOLO, queue="reports")) == (
        f"{SOLO}: the worker consumes reports already"
    )
    said = await world.run(make.stop_consuming(*sorted(ALL), queue="reports"))
    assert said == "5 of 5 workers no longer consume reports"
    assert (service.consumers_by_queue() or {}).get("reports") is None


async def test_limits_of_tasks_are_set_and_lifted_in_every_pool(world: World) -> None:
    make = world.service.operations
    said = await world.run(make.rate_limit(*sorted(ALL), task=TASK, limit="100/m"))
    assert said == f"5 of 5 workers limit {TASK} to 100/m"
    said = await world.run(make.rate_limit(*sorted(ALL), task=TASK, limit=""))
    assert said == f"5 of 5 workers run {TASK} without a rate limit"
    said = await world.run(make.time_limit(*sorted(ALL), task=TASK, soft_s=20.0, hard_s=30.5))
    assert said.startswith(f"2 of 5 workers run {TASK} with a soft limit of 20 s and a hard limit of 30.5 s")
    said = await world.run(make.time_limit(PREFORK, SCALED, task=TASK, soft_s=None, hard_s=None))
    assert said.startswith(f"2 of 2 workers run {TASK} with no time limit")


async def test_pings_and_events_of_all_at_once(world: World) -> None:
    make = world.service.operations
    assert await world.run(make.ping(*sorted(ALL))) == "5 of 5 workers answered"
    assert await world.run(make.enable_events_on(sorted(ALL))) == "5 of 5 workers send task events"
    assert all(row.task_events for row in world.service.snapshot.rows)
    said = await fails(world, make.ping(PREFORK, "nobody@test"))
    assert said.startswith("1 of 2 workers answered")
    assert said.endswith("nobody@test did not answer")


async def test_every_tab_of_every_pool_and_what_it_says_of_itself(world: World) -> None:
    for name in sorted(ALL):
        for tab in Tab:
            listing = await world.service.listing(name, tab)
            assert listing.rows or tab in (Tab.ACTIVE, Tab.RESERVED, Tab.SCHEDULED, Tab.REVOKED)
        row = world.service.row(name)
        assert row is not None
        said = row.said
        assert said.cpu_s is not None
        assert sum(said.cpu_s) > 0.1
        assert 20_000_000 < (said.memory_bytes or 0) < 1_000_000_000
        assert said.logical_clock is not None
        assert said.broker.startswith("redis://127.0.0.1:")
        assert (said.multiplier, said.pool_restarts) == (4, True)
        assert said.uptime_s is not None
        assert said.prefetch is not None


async def test_arguments_that_json_cannot_hold_do_not_make_a_worker_dead(
    world: World, pools: ValkeyServer, tmp_path: Path
) -> None:
    app, done = make_celery_app(pools.address), tmp_path / "done"
    try:
        # A path can be pickled and not told in JSON.
        app.send_task(TASK, (done,), queue="mail", serializer="pickle", task_id="odd", countdown=600)

        async def holders() -> dict[str, ConsoleError]:
            found = {}
            for name in (PREFORK, SCALED, THREADS, GEVENT):
                try:
                    await world.service.listing(name, Tab.SCHEDULED)
                except ConsoleError as error:
                    found[name] = error
            return found

        deadline_s = time.monotonic() + 20
        while not (found := await holders()):
            assert time.monotonic() < deadline_s
            await asyncio.sleep(0.05)
        ((name, error),) = found.items()
        assert error.title == f"{name} cannot list these tasks"
        assert error.cause is Cause.INVALID
        row = world.service.row(name)
        assert row is not None
        assert row.state is WorkerState.ONLINE
        assert await world.service.listing(name, Tab.ACTIVE)
    finally:
        app.control.revoke("odd")
        done.touch()
        close_celery_app(app)


@pytest.fixture
def rabbit_place(request: pytest.FixtureRequest) -> Broker:
    return Place(request.getfixturevalue("rabbitmq"), request.getfixturevalue("rabbitmq_vhost"))


async def test_the_same_over_rabbitmq(rabbit_place: Broker, tmp_path: Path) -> None:
    world = World(rabbit_place, tmp_path, round_s=0.1)
    make, service = world.service.operations, world.service
    options = ("--pool", "prefork", "--autoscale", "2,1", "-Q", "mail", "--without-gossip")
    with worker(rabbit_place, tmp_path, SCALED, *options):
        service.attach(world.session)
        world.session.set_status(LinkState.CONNECTED)
        try:
            await until(lambda: any(row.said.registered is not None for row in service.snapshot.rows))
            assert await world.run(make.autoscale(SCALED, least=1, most=3)) == f"{SCALED} scales from 1 to 3"
            assert await world.run(make.add_queue(SCALED, queue="q")) == f"{SCALED} consumes q now"
            assert await world.run(make.stop_consuming(SCALED, queue="q")) == f"{SCALED} no longer consumes q"
            said = await world.run(make.rate_limit(SCALED, task=TASK, limit="5/s"))
            assert said == f"{SCALED} limits {TASK} to 5/s"
            said = await world.run(make.time_limit(SCALED, task=TASK, soft_s=5.0, hard_s=None))
            assert said == f"{SCALED} runs {TASK} with a soft limit of 5 s"
        finally:
            await service.detach()
            await world.session.aclose()
