"""Schedules behind a real jump host, over TLS: the name checked is the database's, not the tunnel's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from console.broker.database import DatabaseAddress, parse_database_url
from console.broker.tls import TlsOptions
from console.broker.tunnel import SshTunnel
from console.broker.tunnel_settings import TunnelSettings
from console.core.errors import Cause, ConsoleError
from console.core.redaction import Secret
from console.schedules.gateway import open_tables
from tests.certificates import Certificates
from tests.contract.schedules.databases import migrate
from tests.contract.schedules.test_logins import failure_of
from tests.mariadb import MariaServer
from tests.postgres import PostgresServer
from tests.sshd import SshServer


@pytest.fixture(scope="module")
def by_postgres(
    postgres_tls: PostgresServer, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> DatabaseAddress:
    return far_end(postgres_tls.make_database("tunnelled"), certificates, tmp_path_factory.mktemp("far"))


@pytest.fixture(scope="module")
def by_mariadb(
    mariadb: MariaServer, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> DatabaseAddress:
    return far_end(mariadb.make_database("tunnelled"), certificates, tmp_path_factory.mktemp("far"))


def far_end(url: str, certificates: Certificates, folder: Path) -> DatabaseAddress:
    with_tls = f"{url}?sslmode=require" if url.startswith("postgresql") else url
    migrate(with_tls, folder)
    options = TlsOptions(ca_file=str(certificates.ca_file))
    return replace(parse_database_url(url), host="localhost", tls=options)


@pytest.fixture(params=["by_postgres", "by_mariadb"])
def database(request: pytest.FixtureRequest) -> DatabaseAddress:
    found: DatabaseAddress = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def near(sshd: SshServer, database: DatabaseAddress) -> Iterator[Callable[[], DatabaseAddress]]:
    settings = TunnelSettings(sshd.host, sshd.port, sshd.user, str(sshd.key.file))
    tunnel = SshTunnel(settings, passphrase=Secret(""), known_hosts=(sshd.known_hosts,))
    tunnel.open()
    yield lambda: replace(database, near=tunnel.forward((database.host, database.port)))
    tunnel.close()


def test_reads_through_a_jump_host(near: Callable[[], DatabaseAddress]) -> None:
    tables = open_tables(near())
    assert tables.read() == ()
    assert tables.why_no_changes() == ""
    tables.close()


def test_the_certificate_is_checked_against_the_real_name(near: Callable[[], DatabaseAddress]) -> None:
    address = near()
    assert address.tls is not None
    error = failure_of(replace(address, tls=replace(address.tls, server_name="other.example")))
    assert (error.cause, error.title) == (Cause.CERTIFICATE, "The server's certificate is for another name")
    other = failure_of(replace(address, tls=TlsOptions()))
    assert other.cause is Cause.CERTIFICATE


def test_a_jump_host_that_is_cut_off(near: Callable[[], DatabaseAddress], sshd: SshServer) -> None:
    tables = open_tables(near())
    assert tables.read() == ()
    sshd.cut()
    with pytest.raises(ConsoleError) as caught:
        tables.read()
    assert caught.value.retryable
    deadline = time.monotonic() + 15
    while True:
        try:
            assert tables.read() == ()
            break
        except ConsoleError as error:
            if not error.retryable or time.monotonic() > deadline:
                raise
    tables.close()


def test_a_database_that_the_jump_host_cannot_reach(near: Callable[[], DatabaseAddress]) -> None:
    address = near()
    assert address.near is not None
    error = failure_of(replace(address, near=(address.near[0], 1)))
    assert (error.cause, error.retryable) == (Cause.UNREACHABLE, True)
    assert f"localhost:{address.port}" in error.detail
