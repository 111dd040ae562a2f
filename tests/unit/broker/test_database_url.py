"""The URL of a schedules database, read and written."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.broker.database import DatabaseAddress, DatabaseKind, parse_database_url
from console.broker.tls import TlsOptions
from console.core.errors import Cause, ConsoleError


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (
            "postgresql:///shop?host=/run/postgresql",
            DatabaseAddress(DatabaseKind.POSTGRESQL, host="/run/postgresql", port=5432, name="shop"),
        ),
        (
            "postgres://me@/shop?host=/run/postgresql&port=5433",
            DatabaseAddress(
                DatabaseKind.POSTGRESQL, host="/run/postgresql", port=5433, name="shop", username="me"
            ),
        ),
        (
            "mysql:///shop?unix_socket=/run/mysqld/mysqld.sock",
            DatabaseAddress(DatabaseKind.MYSQL, host="/run/mysqld/mysqld.sock", port=3306, name="shop"),
        ),
        (
            "mariadb://me@[2001:db8::1]:3307/shop",
            DatabaseAddress(DatabaseKind.MYSQL, host="2001:db8::1", port=3307, name="shop", username="me"),
        ),
    ],
)
def test_reads(url: str, address: DatabaseAddress) -> None:
    found = parse_database_url(url)
    assert found == address
    assert parse_database_url(found.url) == found


def test_a_socket_is_named_by_its_path_and_has_no_tls() -> None:
    found = parse_database_url("postgresql:///shop?host=/run/postgresql&sslmode=verify-full")
    assert found.is_socket
    assert found.place == "/run/postgresql"
    assert found.tls is None


def test_tls_by_the_words_of_both() -> None:
    ours = parse_database_url("postgresql://db/shop?sslmode=verify-full&sslrootcert=/ca.crt").tls
    assert ours == TlsOptions(ca_file="/ca.crt")
    theirs = parse_database_url("mysql://db/shop?ssl-mode=VERIFY_IDENTITY&ssl-ca=/ca.crt").tls
    assert theirs == ours
    assert parse_database_url("postgresql://db/shop?sslmode=require").tls == TlsOptions(verify=False)
    assert parse_database_url("mysql://db/shop?ssl-mode=PREFERRED").tls is None


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///shop",
        "postgresql:///shop?host=run/postgresql",
        "postgresql:///?host=/run/postgresql",
        "mysql:///shop?host=/run/mysqld/mysqld.sock",
        "mysql://db",
        "postgresql://u:p@ss@db/shop?x=@",
    ],
)
def test_what_it_cannot_be(url: str) -> None:
    with pytest.raises(ConsoleError) as caught:
        parse_database_url(url)
    assert caught.value.cause is Cause.INVALID
    assert "p@ss" not in str(caught.value)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_any_password_survives(password: str) -> None:
    for scheme in ("postgresql", "mysql"):
        found = parse_database_url(f"{scheme}://me:{quote(password, safe='')}@db/shop")
        assert found.password.reveal() == password
        assert found.url == parse_database_url(f"{scheme}://me@db/shop").url
