"""The tests' own databases really speak TLS, and only TLS."""

from __future__ import annotations

import ssl
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest

from tests.certificates import Certificates
from tests.mariadb import USER, MariaServer
from tests.postgres import PostgresServer, postgres_server
from tests.valkey import ServerTls


def _checked(ca_file: Path) -> dict[str, Any]:
    return {"sslmode": "verify-full", "sslrootcert": str(ca_file), "host": "localhost"}


def test_postgres_with_tls(postgres_tls: PostgresServer, certificates: Certificates) -> None:
    url = postgres_tls.make_database("one")
    with psycopg.connect(url, **_checked(certificates.ca_file)) as connection:
        row = connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
    assert row == (True,)
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        psycopg.connect(url, **_checked(certificates.other_ca_file))
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        psycopg.connect(url, sslmode="disable")


def test_postgres_that_asks_for_a_certificate(certificates: Certificates) -> None:
    tls = ServerTls(
        certificates.issue("postgres"),
        client_ca_file=certificates.ca_file,
        client=certificates.issue("console", client=True),
    )
    with (
        postgres_server(tls=tls) as server,
        pytest.raises(psycopg.OperationalError, match="certificate"),
    ):
        psycopg.connect(server.url(), **_checked(certificates.ca_file))


def test_mariadb_with_tls(mariadb: MariaServer, certificates: Certificates) -> None:
    mariadb.make_database("one")

    def connect(ca_file: Path, password: str) -> pymysql.Connection[pymysql.cursors.Cursor]:
        return pymysql.connect(
            host="localhost",
            port=mariadb.port,
            user=USER,
            password=password,
            database="one",
            ssl=ssl.create_default_context(cafile=str(ca_file)),
        )

    with (
        closing(connect(certificates.ca_file, mariadb.password)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SHOW STATUS LIKE 'Ssl_version'")
        row = cursor.fetchone()
        assert row is not None
        assert row[1].startswith("TLS")
        cursor.execute("SELECT User FROM mysql.global_priv WHERE User NOT IN ('mariadb.sys', 'PUBLIC')")
        assert cursor.fetchall() == ((USER,),)
    with pytest.raises(pymysql.OperationalError, match="certificate verify failed"):
        connect(certificates.other_ca_file, mariadb.password)
    with pytest.raises(pymysql.OperationalError, match="Access denied"):
        connect(certificates.ca_file, "wrong")
