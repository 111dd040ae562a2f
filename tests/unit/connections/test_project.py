"""The probe's document as values: every form that projects use, and documents that are something else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.broker.tls import TlsOptions
from console.connections.project import (
    Candidate,
    CandidateKind,
    ProjectDatabase,
    ProjectSettings,
    project_settings,
    project_url,
)
from console.core import redaction

ROOT = Path("/srv/shop")
APP = Candidate(CandidateKind.CELERY, "shop.celery", ROOT / "shop/celery.py", ROOT)


@pytest.fixture(autouse=True, scope="module")
def generated_secrets_are_forgotten() -> Iterator[None]:
    """What Hypothesis makes up would be taken out of the texts of every later test."""
    before = set(redaction._known)
    yield
    redaction._known.intersection_update(before)


def read(**parts: Any) -> ProjectSettings:
    return project_settings(parts, APP)


def read_celery(**values: Any) -> ProjectSettings:
    return read(celery=values)


def read_database(**entry: Any) -> ProjectDatabase | None:
    return read(django={"databases": {"default": entry}}).database


@pytest.mark.parametrize(
    ("text", "url", "password"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0", ""),
        ("redis://:p%40ss%2Fword@host/1", "redis://host/1", "p@ss/word"),
        (
            "rediss://me:top@[::1]:6380/3?ssl_cert_reqs=none",
            "rediss://me@[::1]:6380/3?ssl_cert_reqs=none",
            "top",
        ),
        ("amqp://u:pw@mq/%2Fprod", "amqp://u@mq/%2Fprod", "pw"),
        ("amqp://mq:5672/v@host", "amqp://mq:5672/v@host", ""),
        ("redis://:a/b#c?d@host:6379/0", "redis://host:6379/0", "a/b#c?d"),
        ("redis://:12/34@host:6379/0", "redis://host:6379/0", "12/34"),
        ("redis://host/0?password=top&db=2", "redis://host/0?db=2", "top"),
        ("redis+socket:///run/r.sock?virtual_host=1", "redis+socket:///run/r.sock?virtual_host=1", ""),
        ("db+postgresql://u:pw@host/name", "db+postgresql://u@host/name", "pw"),
        ("django-db", "django-db", ""),
        ("rpc://", "rpc://", ""),
        ("", "", ""),
    ],
)
def test_a_url_loses_its_password(text: str, url: str, password: str) -> None:
    taken = project_url(text)
    assert (taken.url, taken.password.reveal()) == (url, password)


def test_several_brokers_in_one_text_or_in_a_list() -> None:
    text = "sentinel://:one@a:26379;sentinel://:two@b:26379/0"
    for value in (text, text.split(";")):
        urls = read_celery(broker_url=value).broker_urls
        assert [one.url for one in urls] == ["sentinel://a:26379", "sentinel://b:26379/0"]
        assert [one.password.reveal() for one in urls] == ["one", "two"]


def test_transport_options() -> None:
    options = {
        "global_keyprefix": "shop:",
        "master_name": "mymaster",
        "sentinel_kwargs": {"username": "watch", "password": "sentinels-own"},
        "visibility_timeout": 7200,
        "priority_steps": [0, 5, 9, "x", True],
        "queue_order_strategy": "priority",
    }
    taken = read_celery(broker_transport_options=options)
    assert (taken.key_prefix, taken.sentinel_master, taken.sentinel_username) == (
        "shop:",
        "mymaster",
        "watch",
    )
    assert taken.sentinel_password.reveal() == "sentinels-own"
    assert (taken.visibility_timeout_s, taken.priority_steps) == (7200.0, (0, 5, 9))
    assert taken.queue_order_strategy == "priority"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (False, None),
        (True, TlsOptions()),
        (
            {"ssl_ca_certs": "ca.pem", "ssl_certfile": "/etc/c.pem", "ssl_keyfile": "../k.pem"},
            TlsOptions(ca_file="/srv/shop/ca.pem", cert_file="/etc/c.pem", key_file="/srv/k.pem"),
        ),
        ({"ca_certs": "/ca.pem", "cert_reqs": "CERT_REQUIRED"}, TlsOptions(ca_file="/ca.pem")),
        (
            {"cert_reqs": 2, "ca_certs": "/ca.pem", "server_hostname": "mq"},
            TlsOptions(ca_file="/ca.pem", server_name="mq"),
        ),
        ({"ssl_cert_reqs": "none"}, TlsOptions(verify=False)),
        ({"ssl_cert_reqs": "CERT_NONE"}, TlsOptions(verify=False)),
        ({"cert_reqs": 0}, TlsOptions(verify=False)),
    ],
)
def test_tls_in_the_words_of_redis_and_of_amqp(value: Any, expected: TlsOptions | None) -> None:
    taken = read_celery(broker_use_ssl=value, redis_backend_use_ssl=value, result_backend="redis://r/1")
    assert taken.broker_tls == expected
    assert taken.result_tls == expected


def test_tls_by_the_url_alone() -> None:
    assert read_celery(broker_url="rediss://h/0").broker_tls == TlsOptions()
    assert read_celery(broker_url="rediss://h/0?ssl_cert_reqs=CERT_NONE").broker_tls == TlsOptions(
        verify=False
    )
    asked = read_celery(broker_url="rediss://h/0?ssl_ca_certs=/a/ca.pem").broker_tls
    assert asked == TlsOptions(ca_file="/a/ca.pem")


def test_no_verification_is_said() -> None:
    assert "does not verify" in " ".join(read_celery(broker_use_ssl={"cert_reqs": "none"}).notes)


def test_the_default_queue_is_one_of_the_queues() -> None:
    assert read_celery(queues=["mail"], task_default_queue="main").queues == ("mail", "main")
    assert read_celery().queues == ("celery",)


def test_what_was_no_json_is_left_out_with_its_kind() -> None:
    taken = read_celery(broker_url={"type": "RedisDsn"}, timezone={"type": "Lazy"})
    assert taken.broker_urls == ()
    assert taken.timezone == ""
    assert [note for note in taken.notes if "RedisDsn" in note]


def test_a_sqlite_database_is_absolute() -> None:
    taken = read_database(ENGINE="django.db.backends.sqlite3", NAME="db 1.sqlite3")
    assert taken is not None
    assert taken.name == "/srv/shop/db 1.sqlite3"
    assert taken.url == "sqlite:////srv/shop/db%201.sqlite3"


def test_a_postgresql_database() -> None:
    taken = read_database(
        ENGINE="django_prometheus.db.backends.postgresql",
        NAME="shop",
        HOST="db",
        PORT=5433,
        USER="me@x",
        PASSWORD="top-secret",
        OPTIONS={"sslmode": "verify-full", "sslrootcert": "certs/ca.pem"},
    )
    assert taken is not None
    assert taken.tls == TlsOptions(ca_file="/srv/shop/certs/ca.pem")
    assert (taken.engine, taken.port, taken.password.reveal()) == ("postgresql", 5433, "top-secret")
    assert taken.url == (
        "postgresql://me%40x@db:5433/shop?sslmode=verify-full&sslrootcert=%2Fsrv%2Fshop%2Fcerts%2Fca.pem"
    )
    assert "top-secret" not in repr(taken)


def test_a_postgresql_socket_and_a_mysql_with_tls() -> None:
    taken = read_database(
        ENGINE="django.db.backends.postgresql", NAME="shop", HOST="/run/postgresql", USER="me"
    )
    assert taken is not None
    assert taken.url == "postgresql://me@/shop?host=%2Frun%2Fpostgresql"
    mysql = read_database(
        ENGINE="django.db.backends.mysql",
        NAME="shop",
        HOST="db",
        OPTIONS={"ssl": {"ca": "/ca.pem"}, "passwd": "pw12"},
    )
    assert mysql is not None
    assert (mysql.tls, mysql.password.reveal()) == (TlsOptions(ca_file="/ca.pem"), "pw12")


def test_no_database_is_none() -> None:
    assert read_database(ENGINE="django.db.backends.dummy") is None
    assert read_database() is None


def test_the_schedules_are_where_beat_keeps_them() -> None:
    databases = {
        name: {"ENGINE": "django.db.backends.sqlite3", "NAME": f"/{name}"} for name in ("default", "beat")
    }
    django = {"databases": databases, "schedules_alias": "beat", "beat": True}
    taken = read(django=django)
    assert taken.schedules is not None
    assert taken.schedules.name == "/beat"
    assert read(django=django | {"beat": False}).schedules is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = (
    *("broker_url", "broker_use_ssl", "broker_transport_options", "result_backend", "queues", "timezone"),
    *(
        "databases",
        "default",
        "ENGINE",
        "NAME",
        "PORT",
        "OPTIONS",
        "ssl",
        "sentinel_kwargs",
        "priority_steps",
    ),
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("celery", "django", "notes", "app"), json_values)))
def test_any_document_gives_values(document: dict[str, Any]) -> None:
    project_settings(document, APP)


@given(st.dictionaries(st.sampled_from(NAMES), json_values))
def test_any_field_gives_values(values: dict[str, Any]) -> None:
    project_settings({"celery": values, "django": {"databases": {"default": values}}}, APP)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=8, max_size=20))
def test_no_password_stays_in_a_url(password: str) -> None:
    from urllib.parse import quote

    taken = project_url(f"redis://:{quote(password, safe='')}@host:6379/0")
    assert taken.password.reveal() == password
    assert taken.url == "redis://host:6379/0"
