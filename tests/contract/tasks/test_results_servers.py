"""The reader of results on real database servers, TLS, a wrong password and a missing table included."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import psycopg
import pytest

from console.broker.database import DatabaseAddress, parse_database_url
from console.broker.results import open_results
from console.broker.tls import TlsOptions
from console.core.errors import Cause, ConsoleError
from console.core.redaction import Secret
from tests.certificates import Certificates
from tests.mariadb import MariaServer
from tests.postgres import PostgresServer

# As django-celery-results 2.6 makes it, without what is not read.
TABLE = """CREATE TABLE django_celery_results_taskresult (
    task_id VARCHAR(255), status VARCHAR(50), content_type VARCHAR(128), content_encoding VARCHAR(64),
    result TEXT, date_done {instant}, traceback TEXT, meta TEXT, worker VARCHAR(100), task_name VARCHAR(255),
    task_args TEXT, task_kwargs TEXT)"""
INSERT = (
    "INSERT INTO django_celery_results_taskresult "
    "VALUES (%s, %s, %s, %s, %s, %s, NULL, %s, %s, %s, NULL, NULL)"
)
ROW = (
    *("a", "SUCCESS", "application/json", "utf-8", '{"total": "12 €"}', "2026-01-02 03:04:05"),
    *('{"children": [[["b", null], null]]}', "celery@web-1", "shop.add"),
)


def check(address: DatabaseAddress) -> None:
    found = open_results(address).read(["a", "missing"])

    assert list(found) == ["a"]
    assert found["a"].result_text == '{"total": "12 €"}'
    assert found["a"].date_done == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert found["a"].children == ("b",)


def refused(address: DatabaseAddress) -> Cause:
    with pytest.raises(ConsoleError) as raised:
        open_results(address).read(["a"])
    assert "secret" not in str(raised.value)
    return raised.value.cause


def filled(server: PostgresServer, name: str, certificates: Certificates | None = None) -> DatabaseAddress:
    url = server.make_database(name)
    options = {} if certificates is None else {"sslmode": "require"}
    with closing(psycopg.connect(url, autocommit=True, **options)) as line:  # type: ignore[arg-type]
        line.execute(TABLE.format(instant="TIMESTAMPTZ").encode())
        line.execute("SET TIME ZONE 'UTC'")
        line.execute(INSERT.encode(), ROW)
    return parse_database_url(url)


def test_postgresql(postgres: PostgresServer) -> None:
    address = filled(postgres, "results")

    check(address)
    assert refused(address.with_password(Secret("secret-that-is-wrong"))) is Cause.REFUSED_LOGIN
    assert refused(replace(address, name="postgres")) is Cause.NOT_MIGRATED
    assert refused(replace(address, port=1)) is Cause.UNREACHABLE


def test_a_postgresql_that_stops_answering_is_not_waited_for(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.broker.results_sql.STATEMENT_TIMEOUT_S", 1)
    monkeypatch.setattr("console.broker.results_sql.ANSWER_WITHIN_S", 0.2)
    address = filled(postgres, "results_silent")
    with frozen_at(b"taskresult", address) as port:
        began_s = time.monotonic()
        assert refused(replace(address, near=("127.0.0.1", port))) is Cause.UNREACHABLE
        assert time.monotonic() - began_s < 5.0


@contextmanager
def frozen_at(words: bytes, address: DatabaseAddress) -> Iterator[int]:
    """A tunnel to a server that takes everything and passes nothing on any more once it has seen `words`."""

    def relay() -> None:
        near, _ = listener.accept()
        far = socket.create_connection((address.host, address.port))
        with near, far:
            while True:
                for source in select.select([near, far], [], [])[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    if words in data:
                        ended.wait()
                        return
                    (far if source is near else near).sendall(data)

    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=relay)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            thread.join()


def test_postgresql_with_tls(postgres_tls: PostgresServer, certificates: Certificates) -> None:
    address = filled(postgres_tls, "results_tls", certificates)

    check(replace(address, tls=TlsOptions(verify=False)))
    check(replace(address, tls=TlsOptions(ca_file=str(certificates.ca_file))))


def test_mariadb(mariadb: MariaServer, certificates: Certificates) -> None:
    url = mariadb.make_database("results")
    with closing(mariadb.connect("results")) as line, line.cursor() as cursor:
        cursor.execute(TABLE.format(instant="DATETIME(6)") + " CHARACTER SET utf8mb4")
        cursor.execute(INSERT, ROW)
        line.commit()
    address = parse_database_url(url)

    check(address)
    check(replace(address, tls=TlsOptions(ca_file=str(certificates.ca_file))))
    assert refused(address.with_password(Secret("secret-that-is-wrong"))) is Cause.REFUSED_LOGIN
    assert refused(replace(address, port=1)) is Cause.UNREACHABLE
