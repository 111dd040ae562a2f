"""The line to a database breaks, or goes silent: it is told within the timeout, and the next call is well."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from console.broker.database import parse_database_url
from console.core.errors import Cause, ConsoleError
from console.schedules import line_guard
from console.schedules.gateway import ScheduleTables, open_tables
from tests.contract.schedules.databases import Database
from tests.proxy import Proxy


@pytest.fixture(params=["postgresql", "mysql"])
def shop(request: pytest.FixtureRequest) -> Database:
    found: Database = request.getfixturevalue(request.param)
    found.task("flush", interval_id=found.interval())
    return found


@pytest.fixture
def proxy(shop: Database) -> Iterator[Proxy]:
    address = parse_database_url(shop.url)
    with Proxy(address.host, address.port) as proxy:
        yield proxy


@pytest.fixture
def tables(shop: Database, proxy: Proxy) -> Iterator[ScheduleTables]:
    opened = open_tables(replace(parse_database_url(shop.url), near=("127.0.0.1", proxy.port)))
    yield opened
    opened.close()


@pytest.mark.parametrize("how", ["cut", "reset"])
def test_a_broken_line(tables: ScheduleTables, proxy: Proxy, how: str) -> None:
    threads = threading.active_count()
    for _ in range(10):
        assert len(tables.read()) == 1
        getattr(proxy, how)()
        with pytest.raises(ConsoleError) as caught:
            tables.read()
        assert (caught.value.cause, caught.value.retryable) == (Cause.UNREACHABLE, True)
    assert len(tables.read()) == 1
    assert proxy.connections == 1
    assert threading.active_count() == threads


def test_a_silent_line(tables: ScheduleTables, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_guard, "CALL_S", 0.5)
    assert len(tables.read()) == 1
    proxy.half_open()
    started = time.monotonic()
    with pytest.raises(ConsoleError) as caught:
        tables.fingerprint()
    assert time.monotonic() - started < 2
    assert (caught.value.cause, caught.value.retryable) == (Cause.TIMEOUT, True)
    assert "silent" in caught.value.detail
    assert len(tables.read()) == 1


def test_a_change_that_meets_a_silent_line_is_not_half_done(
    tables: ScheduleTables, proxy: Proxy, shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_guard, "CALL_S", 0.5)
    (row,) = tables.read()
    before = shop.row(row.id)
    proxy.half_open()
    with pytest.raises(ConsoleError):
        tables.set_enabled([row.id], enabled=False)
    assert shop.row(row.id) == before
    assert shop.signal() is None
    assert len(tables.set_enabled([row.id], enabled=False)) == 1


def test_a_server_that_comes_back(tables: ScheduleTables, proxy: Proxy) -> None:
    assert len(tables.read()) == 1
    proxy.refuse()
    proxy.cut()
    for _ in range(3):
        with pytest.raises(ConsoleError) as caught:
            tables.read()
        assert caught.value.retryable
    proxy.heal()
    assert len(tables.read()) == 1
