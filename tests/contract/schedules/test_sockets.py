"""PostgreSQL over a Unix socket, and users who need no password there."""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterator
from dataclasses import replace
from signal import SIGHUP

import pytest

from console.broker.database import DatabaseAddress, parse_database_url
from console.broker.tls import TlsOptions
from console.core.errors import Cause
from tests import postgres as servers
from tests.contract.schedules.test_logins import failure_of, gets_in
from tests.postgres import PostgresServer, postgres_server

HBA = """
local all trusted trust
local all all peer
host all all 127.0.0.1/32 scram-sha-256
"""


@pytest.fixture(scope="module")
def by_socket() -> Iterator[PostgresServer]:
    """Its socket lies in the folder of its data."""
    before = servers.SETTINGS["unix_socket_directories"]
    servers.SETTINGS["unix_socket_directories"] = "."
    try:
        with postgres_server() as server:
            server.make_database("empty")
            with server._connect() as pg:
                pg.execute("CREATE ROLE trusted LOGIN")
                pg.execute(f'CREATE ROLE "{getpass.getuser()}" LOGIN'.encode())
            server._write(server.folder / "data" / "pg_hba.conf", HBA)
            assert server.process is not None
            server.process.send_signal(SIGHUP)
            yield server
    finally:
        servers.SETTINGS["unix_socket_directories"] = before


def address(server: PostgresServer, user: str = "") -> DatabaseAddress:
    login = f"{user}@" if user else ""
    found = parse_database_url(f"postgresql://{login}/empty?host={server.folder / 'data'}&port={server.port}")
    assert parse_database_url(found.url) == found
    return found


def test_a_user_without_a_password(by_socket: PostgresServer) -> None:
    deadline = time.monotonic() + 5
    while failure_of(address(by_socket, "trusted")).cause is not Cause.NOT_MIGRATED:
        assert time.monotonic() < deadline  # the server has not read its new rules yet
    assert gets_in(address(by_socket, "trusted"))


def test_the_user_who_runs_the_console(by_socket: PostgresServer) -> None:
    assert gets_in(address(by_socket))
    assert gets_in(address(by_socket, getpass.getuser()))


def test_tls_is_nothing_for_a_socket(by_socket: PostgresServer) -> None:
    assert gets_in(replace(address(by_socket, "trusted"), tls=TlsOptions()))


def test_somebody_else(by_socket: PostgresServer) -> None:
    error = failure_of(address(by_socket, "console"))
    assert (error.cause, error.title) == (
        Cause.REFUSED_LOGIN,
        "The schedules database refused the login",
    )


def test_a_folder_without_a_socket(by_socket: PostgresServer) -> None:
    error = failure_of(replace(address(by_socket), host="/nowhere"))
    assert (error.cause, error.retryable) == (Cause.UNREACHABLE, True)
    assert "/nowhere" in error.detail
