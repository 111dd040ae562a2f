"""PostgreSQL on a bad day: each is a `ConsoleError` with its own cause, and tried again when that may help.

What the tables do on a good day is the same on both kinds of database: test_tables.py.
"""

from __future__ import annotations

import select
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from django.db import OperationalError

from console.broker.database import parse_database_url
from console.core.errors import Cause, ConsoleError
from console.schedules import django_setup
from console.schedules.database_errors import database_errors
from console.schedules.gateway import ScheduleTables, open_tables
from tests.contract.schedules.databases import Database
from tests.postgres import PostgresServer

SOMEWHERE = parse_database_url("postgresql://db/shop")


@pytest.fixture
def shop(postgresql: Database) -> Database:
    return postgresql


@pytest.fixture
def guest(shop: Database, postgres: PostgresServer) -> str:
    """The URL for somebody who may log in and nothing else."""
    shop.execute("DROP ROLE IF EXISTS guest")
    shop.execute("CREATE ROLE guest LOGIN PASSWORD 'a-password'")
    return shop.url.replace(f"console:{postgres.password}", "guest:a-password")


def failure_of(url: str) -> ConsoleError:
    tables = open_tables(parse_database_url(url))
    with pytest.raises(ConsoleError) as caught:
        tables.read()
    tables.close()
    return caught.value


def test_a_database_that_the_server_does_not_have(postgres: PostgresServer) -> None:
    assert failure_of(postgres.url("nothing")).cause is Cause.NOT_FOUND


def test_a_server_without_beats_tables(postgres: PostgresServer) -> None:
    assert failure_of(postgres.url("template1")).cause is Cause.NOT_MIGRATED


def test_a_role_that_may_not(guest: str) -> None:
    assert failure_of(guest).cause is Cause.NOT_PERMITTED


def test_a_server_that_takes_no_more_connections(guest: str, shop: Database) -> None:
    shop.execute("ALTER ROLE guest CONNECTION LIMIT 0")
    error = failure_of(guest)
    assert (error.cause, error.retryable) == (Cause.BUSY, True)
    assert "a-password" not in str(error)


@pytest.mark.parametrize(
    ("sqlstate", "cause"),
    [
        ("57P01", Cause.UNREACHABLE),
        ("57P02", Cause.UNREACHABLE),
        ("57P03", Cause.UNREACHABLE),
        ("08006", Cause.UNREACHABLE),
        ("08003", Cause.UNREACHABLE),
        ("08001", Cause.UNREACHABLE),
        ("53300", Cause.BUSY),
    ],
)
def test_the_server_s_own_codes(sqlstate: str, cause: Cause) -> None:
    with pytest.raises(ConsoleError) as caught, database_errors(SOMEWHERE):
        raise OperationalError("it says") from psycopg.errors.lookup(sqlstate)("it says")
    assert (caught.value.cause, caught.value.retryable) == (cause, True)


def test_a_row_that_another_party_holds(shop: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(django_setup, "BUSY_TIMEOUT_S", 0.1)
    key = shop.task("flush", interval_id=shop.interval())
    tables = open_tables(parse_database_url(shop.url))
    with psycopg.connect(shop.url) as other:
        other.execute("SELECT * FROM django_celery_beat_periodictask WHERE id = %s FOR UPDATE", (key,))
        with pytest.raises(ConsoleError) as caught:
            tables.set_enabled([key], enabled=False)
    assert (caught.value.cause, caught.value.retryable) == (Cause.LOCKED, True)
    assert shop.row(key)["enabled"]
    assert len(tables.set_enabled([key], enabled=False)) == 1
    tables.close()


def test_a_cut_line_is_told_and_opened_again(shop: Database) -> None:
    shop.task("flush", interval_id=shop.interval())
    tables: ScheduleTables = open_tables(parse_database_url(shop.url))
    assert len(tables.read()) == 1
    shop.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'celery-console' AND datname = current_database()"
    )
    with pytest.raises(ConsoleError) as caught:
        tables.read()
    assert (caught.value.cause, caught.value.retryable) == (Cause.UNREACHABLE, True)
    assert len(tables.read()) == 1
    tables.close()


def test_a_wrong_password_is_a_refused_login(shop: Database, postgres: PostgresServer) -> None:
    for url in (
        shop.url.replace(postgres.password, "not-the-password"),
        shop.url.replace(f":{postgres.password}", ""),
    ):
        error = failure_of(url)
        assert error.cause is Cause.REFUSED_LOGIN
        assert "password" not in error.title
        assert postgres.password not in str(error)
        assert "not-the-password" not in str(error)


def test_a_tls_demand_that_the_server_cannot_meet(shop: Database) -> None:
    error = failure_of(f"{shop.url}?sslmode=require")
    assert (error.cause, error.title) == (Cause.PROTOCOL, "The server does not speak TLS")


def test_a_pooler_that_takes_no_settings(shop: Database, postgres: PostgresServer) -> None:
    """As PgBouncer: whoever sends `options` is turned away, everybody else gets to PostgreSQL."""
    shop.task("flush", interval_id=shop.interval())
    with pooler(postgres.port) as (port, turned_away):
        tables = open_tables(replace(parse_database_url(shop.url), near=("127.0.0.1", port)))
        assert len(tables.read()) == 1
        assert len(tables.read()) == 1
        tables.close()
        assert turned_away == [b"options"]


@contextmanager
def pooler(behind: int) -> Iterator[tuple[int, list[bytes]]]:
    """A port in front of PostgreSQL's that reads the startup message as PgBouncer 1.18 does."""
    turned_away: list[bytes] = []
    words = b"SFATAL\0C08P01\0Munsupported startup parameter: options\0\0"

    class Client(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            (size,) = struct.unpack("!i", self.request.recv(4, socket.MSG_WAITALL))
            startup = self.request.recv(size - 4, socket.MSG_WAITALL)
            if b"\0options\0" in startup:
                turned_away.append(b"options")
                self.request.sendall(b"E" + struct.pack("!i", len(words) + 4) + words)
                return
            with socket.create_connection(("127.0.0.1", behind)) as server:
                server.sendall(struct.pack("!i", size) + startup)
                while True:
                    ready, _, _ = select.select([self.request, server], [], [], 10)
                    for one in ready:
                        data = one.recv(65536)
                        if not data:
                            return
                        (server if one is self.request else self.request).sendall(data)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Client) as front:
        thread = threading.Thread(target=front.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield front.server_address[1], turned_away
        finally:
            front.shutdown()
            thread.join(10)


def test_nobody_skips_these_tests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from tests import postgres

    monkeypatch.setattr(postgres, "INSTALLED", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="apt-get install"):
        postgres.program("initdb")
