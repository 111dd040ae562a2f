"""The line to a real broker: up, refused, away, back."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from console.broker.address import BrokerAddress
from console.broker.database import DatabaseAddress, parse_database_url
from console.broker.session import Session
from console.broker.url import parse_broker_url
from console.connections.model import Connection, Secrets
from console.core.connection import Environment, LinkState, Mode
from console.core.errors import Cause, ConsoleError
from tests.integration.connections.world import Setup, broker_secret, shop
from tests.valkey import ValkeyServer


async def test_connected_with_a_latency_and_remembered(setup: Setup, broker: ValkeyServer) -> None:
    await setup.service.save(shop(broker), broker_secret(broker.password))
    await setup.service.connect("shop")
    await setup.until(lambda: setup.state is LinkState.CONNECTED)
    assert setup.service.session is not None
    assert setup.service.session.status.latency_ms is not None
    await setup.until(lambda: setup.service.by_id("shop").last_used is not None)
    assert broker.password not in setup.home.connections_file.read_text()


async def test_a_wrong_password_is_said_and_not_tried_again(setup: Setup, broker: ValkeyServer) -> None:
    await setup.service.save(shop(broker), broker_secret("not-the-one-1"))
    await setup.service.connect("shop")
    await setup.until(lambda: setup.service.refused is not None)
    assert setup.state is LinkState.DISCONNECTED
    assert setup.service.refused is not None
    assert setup.service.refused.cause is Cause.REFUSED_LOGIN
    assert setup.notices.notices[-1].text == "Broker refused the login"


async def test_a_broker_that_dies_and_returns(setup: Setup, own_broker: ValkeyServer) -> None:
    await setup.service.save(shop(own_broker), broker_secret(own_broker.password))
    await setup.service.connect("shop")
    await setup.until(lambda: setup.state is LinkState.CONNECTED)
    own_broker.kill()
    await setup.until(lambda: setup.state is LinkState.RECONNECTING)
    own_broker.start()
    await setup.until(lambda: setup.state is LinkState.CONNECTED, within_s=5.0)
    assert setup.notices.notices[-1].text == "Connected again"


async def test_a_broker_that_is_away_from_the_start_is_waited_for(
    setup: Setup, own_broker: ValkeyServer
) -> None:
    own_broker.kill()
    await setup.service.save(shop(own_broker), broker_secret(own_broker.password))
    await setup.service.connect("shop")
    await setup.until(lambda: setup.state is LinkState.RECONNECTING)
    own_broker.start()
    await setup.until(lambda: setup.state is LinkState.CONNECTED, within_s=5.0)


async def test_the_local_stack_is_refused_in_words_while_it_is_down(setup: Setup) -> None:
    await setup.service.connect("local-stack")
    assert setup.service.refused is not None
    assert "Start local stack" in setup.service.refused.remedy
    setup.service.start_local = lambda: None
    await setup.service.connect("local-stack")
    action = setup.notices.notices[-1].action
    assert action is not None
    assert action.text == "Start local stack"


async def test_a_broken_file_is_told_and_never_written_over(setup: Setup, broker: ValkeyServer) -> None:
    setup.home.connections_file.write_text("{broken")
    await setup.service.load()
    assert setup.notices.notices[-1].text == "The connections file cannot be read"
    with pytest.raises(ConsoleError):
        await setup.service.save(shop(broker), Secrets())
    setup.local = (broker.address, parse_database_url("sqlite:////nowhere"))
    await setup.service.connect("local-stack")
    await setup.until(lambda: setup.state is LinkState.CONNECTED)
    assert setup.home.connections_file.read_text() == "{broken"


async def test_two_connections_may_not_have_one_name(setup: Setup, broker: ValkeyServer) -> None:
    await setup.service.save(shop(broker), Secrets())
    twin = Connection(
        "other", "Shop", Environment.STAGING, parse_broker_url(f"redis://127.0.0.1:{broker.port}/0")
    )
    with pytest.raises(ConsoleError) as caught:
        await setup.service.save(twin, Secrets())
    assert caught.value.cause is Cause.CONFLICT


async def test_a_removed_connection_is_gone_from_the_file(setup: Setup, broker: ValkeyServer) -> None:
    await setup.service.save(shop(broker), Secrets())
    await setup.service.remove("shop")
    assert "Shop" not in setup.home.connections_file.read_text()


async def test_no_password_is_ever_in_the_file(setup: Setup, broker: ValkeyServer) -> None:
    """Somebody wrote them into the file by hand: they move out of it, and the connection works."""
    setup.home.connections_file.write_text(
        '{"version": 1, "connections": [{"id": "shop", "name": "Shop", "environment": "Staging",'
        f' "broker_url": "redis://:{broker.password}@127.0.0.1:{broker.port}/0",'
        ' "schedules_url": "postgresql://console:pg-marker-9@127.0.0.1/shop"}]}'
    )
    await setup.service.load()
    text = setup.home.connections_file.read_text()
    assert broker.password not in text
    assert "pg-marker-9" not in text
    await setup.service.connect("shop")
    await setup.until(lambda: setup.state is LinkState.CONNECTED)
    assert setup.service.session is not None
    assert setup.service.session.schedules is not None
    assert setup.service.session.schedules.password.reveal() == "pg-marker-9"


async def test_an_open_connection_that_becomes_read_only_is_so_at_once(
    setup: Setup, broker: ValkeyServer
) -> None:
    await setup.service.save(shop(broker), broker_secret(broker.password))
    await setup.service.connect("shop")
    await setup.until(lambda: setup.state is LinkState.CONNECTED)
    before = setup.service.session
    await setup.service.save(
        replace(shop(broker), mode=Mode.READ_ONLY, environment=Environment.PRODUCTION), Secrets()
    )
    assert setup.service.session is before
    assert before is not None
    assert before.info.mode is Mode.READ_ONLY
    assert before.info.environment is Environment.PRODUCTION


async def test_a_new_url_of_the_open_connection_opens_it_anew(
    setup: Setup, broker: ValkeyServer, own_broker: ValkeyServer
) -> None:
    await setup.service.save(shop(broker), broker_secret(broker.password))
    await setup.service.connect("shop")
    await setup.until(lambda: setup.state is LinkState.CONNECTED)
    await setup.service.save(shop(own_broker), broker_secret(own_broker.password))
    await setup.until(lambda: setup.state is LinkState.CONNECTED)
    assert setup.service.session is not None
    assert setup.service.session.address.port == own_broker.port


async def test_the_last_wish_wins(setup: Setup, broker: ValkeyServer, own_broker: ValkeyServer) -> None:
    await setup.service.save(shop(broker), broker_secret(broker.password))
    other = replace(shop(own_broker), id="other", name="Other")
    await setup.service.save(other, broker_secret(own_broker.password))
    await asyncio.gather(
        *(setup.service.connect(one) for one in ("shop", "other", "shop", "other", "shop", "other"))
    )
    await setup.until(lambda: setup.state is LinkState.CONNECTED)
    assert setup.service.session is not None
    assert setup.service.session.info.id == "other"


async def test_what_is_no_longer_wanted_is_not_opened_while_features_let_go(
    setup: Setup, broker: ValkeyServer
) -> None:
    await setup.service.save(shop(broker), broker_secret(broker.password))
    await setup.service.connect("shop")
    await setup.connected()
    first = setup.session
    opened: list[Session] = []
    setup.service.opened.connect(opened.append)
    letting_go, let_go = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        letting_go.set()
        await let_go.wait()

    setup.service.closing.append(slow)
    again = asyncio.ensure_future(setup.service.connect("shop"))
    await letting_go.wait()
    ending = asyncio.ensure_future(setup.service.disconnect())
    await asyncio.sleep(0)  # the person has pressed Disconnect by now
    let_go.set()
    await asyncio.gather(again, ending)
    assert opened == []
    assert setup.service.session is None
    assert first.status.state is LinkState.DISCONNECTED


class _Surprised:
    def ping(self) -> float:
        raise IndexError("pop from an empty deque")

    def close(self) -> None:
        pass


async def test_an_answer_that_no_library_understands_is_a_line_that_is_not_up(
    setup: Setup, broker: ValkeyServer
) -> None:
    await setup.service.save(shop(broker), broker_secret(broker.password))
    await setup.service.connect("shop")
    await setup.connected()
    usual, setup.session._ping = setup.session._ping, _Surprised()
    await setup.until(lambda: setup.state is LinkState.RECONNECTING)
    error = setup.service.status.error
    assert error is not None
    assert "not understood" in error.title
    setup.session._ping = usual
    await setup.connected()


async def test_a_bug_while_opening_leaves_no_connecting_behind(setup: Setup) -> None:
    def broken() -> tuple[BrokerAddress, DatabaseAddress] | None:
        raise LookupError("a bug")

    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context["exception"]))
    setup.service._maker._local = broken
    await setup.service.connect("local-stack")
    assert setup.service.status.state is LinkState.DISCONNECTED
    assert [type(one) for one in told] == [LookupError]


async def test_a_suspicion_of_somebody_else_changes_nothing_while_the_broker_answers(
    setup: Setup, broker: ValkeyServer
) -> None:
    await setup.service.save(shop(broker), broker_secret(broker.password))
    await setup.service.connect("shop")
    await setup.until(lambda: setup.state is LinkState.CONNECTED)
    states: list[LinkState] = []
    assert setup.service.session is not None
    setup.service.session.status_changed.connect(lambda status: states.append(status.state))
    for _ in range(20):
        setup.service.suspect()
        await asyncio.sleep(0.02)
    await setup.until(lambda: len(states) > 1)
    assert set(states) == {LinkState.CONNECTED}


async def test_a_host_that_no_resolver_takes_is_said(setup: Setup) -> None:
    with pytest.raises(ConsoleError) as caught:
        await setup.service.save(
            Connection("x", "X", Environment.STAGING, parse_broker_url("redis://a..b:6379/0")), Secrets()
        )
    assert caught.value.cause is Cause.INVALID
