"""The password of a schedules database that is not kept: a real PostgreSQL refuses, and a person is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from console.broker.database import parse_database_url
from console.connections.model import Connection, Purpose, SecretAnswer, Secrets
from console.core.activity import ActivityEntry, Outcome
from console.core.clock import SystemClock
from console.core.errors import Cause
from console.core.operations import OperationRunner
from console.core.redaction import Secret
from console.schedules.service import ScheduleService
from tests.integration.connections.world import Keyring, Person, Setup, broker_secret, shop, typed
from tests.postgres import PostgresServer
from tests.valkey import ValkeyServer

REFUSED = "The schedules database refused the login"


class NoLog:
    async def begin(self, entry: ActivityEntry) -> int:
        raise AssertionError(f"nothing is changed here, but {entry} is")

    async def finish(self, number: int, outcome: Outcome, said: str) -> None:
        raise AssertionError(f"nothing was begun, but {number} has ended")


def _with_schedules(broker: ValkeyServer, postgres: PostgresServer) -> Connection:
    database = parse_database_url(postgres.url()).with_password(Secret(""))
    return replace(shop(broker), schedules=database)


@asynccontextmanager
async def _schedules(setup: Setup) -> AsyncIterator[ScheduleService]:
    clock = SystemClock()
    runner = OperationRunner(
        activity=NoLog(), notices=setup.notices, clock=clock, connection=lambda: None, who="me"
    )
    schedules = ScheduleService(clock=clock, notices=setup.notices, runner=runner)
    setup.service.opened.connect(schedules.attach)
    setup.service.closing.append(schedules.detach)
    schedules.set_visible(True)
    yield schedules
    await setup.service.disconnect()


def _got_in(schedules: ScheduleService) -> bool:
    """An empty database has no tables, which only who is let in finds out."""
    error = schedules.snapshot.error
    return error is not None and error.cause is Cause.NOT_MIGRATED


@pytest.mark.parametrize("first", ["right", "cancelled", "wrong"])
async def test_who_has_kept_none_is_asked_and_may_type_it_later(
    setup: Setup,
    keyring: Keyring,
    broker: ValkeyServer,
    postgres: PostgresServer,
    first: str,
) -> None:
    right = typed(postgres.password, keep=True)
    answers: dict[str, SecretAnswer | None] = {
        "right": right,
        "cancelled": None,
        "wrong": typed("not-the-one-1"),
    }
    person = Person({Purpose.SCHEDULES: answers[first]})
    setup.service.ask_secret = person.ask
    async with _schedules(setup) as schedules:
        await setup.service.save(_with_schedules(broker, postgres), broker_secret(broker.password))
        await setup.service.connect("shop")
        await setup.until(lambda: bool(person.asked), 30)
        [question] = person.asked
        assert question.purpose is Purpose.SCHEDULES
        assert question.why is not None
        assert question.why.title == REFUSED
        if first != "right":
            await setup.until(lambda: any(one.action for one in setup.notices.notices), 30)
            assert len(person.asked) == 1, "who has answered is not asked over and over"
            action = setup.notice(REFUSED).action
            assert action is not None
            assert action.text == "Type the password…"
            person.answers[Purpose.SCHEDULES] = right
            action.run()
        await setup.until(lambda: _got_in(schedules), 30)
        await setup.connected()
        assert keyring.kept["shop:schedules"] == postgres.password
        assert not [one for one in setup.notices.notices if one.text == REFUSED]


async def test_nobody_is_asked_where_the_kept_password_is_right(
    setup: Setup, broker: ValkeyServer, postgres: PostgresServer
) -> None:
    person = Person()
    setup.service.ask_secret = person.ask
    secrets = {Purpose.BROKER: Secret(broker.password), Purpose.SCHEDULES: Secret(postgres.password)}
    async with _schedules(setup) as schedules:
        await setup.service.save(_with_schedules(broker, postgres), Secrets(tuple(secrets.items())))
        await setup.service.connect("shop")
        await setup.until(lambda: _got_in(schedules), 30)
    assert person.asked == []
