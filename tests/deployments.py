"""Deployments to be looked at: real servers with workers, queues and traffic, for pictures of the console.

A production on Redis with TLS, whose user lacks two commands, behind a proxy that can stop listening, with
its schedules on PostgreSQL; and a RabbitMQ with TLS. Each has a worker and queues that wait.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from console.broker.acl import AclKind, rabbitmq_permissions, redis_acl
from console.broker.address import BrokerAddress, BrokerKind
from console.broker.database import DatabaseAddress, parse_database_url
from console.broker.kombu_lines import close_celery_app, make_celery_app
from console.broker.tls import TlsOptions
from console.broker.tunnel_settings import TunnelSettings
from console.broker.url import parse_broker_url
from console.connections.model import Colour, Connection, Purpose, Secrets
from console.core.connection import Environment, Mode
from console.core.redaction import Secret
from tests.certificates import Certificates
from tests.contract.rabbitmq.places import Place
from tests.contract.schedules.databases import ROOT, environment_for
from tests.contract.workers.conftest import Broker, celery_process
from tests.integration.life.load import events_to_rabbitmq, events_to_redis
from tests.postgres import PostgresServer, postgres_server
from tests.proxy import Proxy
from tests.rabbitmq import RabbitServer, rabbitmq_server
from tests.valkey import ServerTls, ValkeyServer, valkey_server

USER = "console"
RABBIT_USER = "ops"
PASSWORD = "shown as dots"
VHOST = "billing"
LACKING = (" +lindex", " +lrange")
QUEUES = {"mail": 18_412, "default": 1_204, "reports": 212, "payments": 31, "celery": 7}
CERTIFICATE_DAYS = 61.5


@dataclass
class Deployments:
    """`folder` is for whatever else a picture needs."""

    folder: Path
    redis: ValkeyServer
    proxy: Proxy
    rabbit: RabbitServer
    schedules: DatabaseAddress
    password: Secret = field(default_factory=lambda: Secret(PASSWORD))

    def allow_all(self) -> None:
        """Give the production's user what it lacked."""
        self.redis.set_user(USER, *_rules(()), f">{PASSWORD}")

    def connections(self) -> list[tuple[Connection, Secrets]]:
        """What a person has set up: two that are there, and two of which only the settings are seen."""
        secrets = Secrets(((Purpose.BROKER, self.password),))
        with_database = secrets.with_secret(Purpose.SCHEDULES, self.schedules.password)
        production = Connection(
            "shop-production",
            "Shop production",
            Environment.PRODUCTION,
            BrokerAddress("localhost", self.proxy.port, username=USER, tls=TlsOptions()),
            queues=tuple(QUEUES),
            schedules=self.schedules,
        )
        staging = Connection(
            "shop-staging",
            "Shop staging",
            Environment.STAGING,
            BrokerAddress("redis.stg.shop.example", 6380, username=USER, tls=TlsOptions()),
            mode=Mode.SUPPORT,
            colour=Colour.VIOLET,
            broker_tunnel=TunnelSettings("jump.stg.shop.example", 22, "deploy", "~/.ssh/id_ed25519"),
        )
        billing = Connection(
            "billing",
            "Billing",
            Environment.STAGING,
            BrokerAddress(
                "localhost",
                self.rabbit.tls_port,
                kind=BrokerKind.RABBITMQ,
                username=RABBIT_USER,
                vhost=VHOST,
                tls=TlsOptions(),
                management_url=self.rabbit.management_tls_url,
            ),
        )
        sentinel = Connection(
            "reports",
            "Reports",
            Environment.PRODUCTION,
            BrokerAddress(
                "s1.reports.example",
                26379,
                kind=BrokerKind.SENTINEL,
                sentinels=(("s1.reports.example", 26379), ("s2.reports.example", 26379)),
                master_name="reports",
                username=USER,
            ),
            mode=Mode.READ_ONLY,
        )
        return [(production, with_database), *((one, secrets) for one in (staging, billing, sentinel))]


@contextmanager
def deployments(folder: Path) -> Iterator[Deployments]:
    """All of it running, with workers that answer and events that come; gone at the end."""
    certificates = Certificates(folder / "certificates")
    tls = ServerTls(certificates.issue("localhost", days=CERTIFICATE_DAYS))
    with ExitStack() as stack, _system_store(certificates.ca_file):
        redis = stack.enter_context(valkey_server(folder / "redis", tls=tls))
        redis.set_user(USER, *_rules(LACKING), f">{PASSWORD}")
        proxy = stack.enter_context(Proxy("localhost", redis.port))
        rabbit = stack.enter_context(rabbitmq_server(folder / "rabbit", tls))
        rabbit.add_vhost(VHOST)
        configure, write, read = _permissions()
        rabbit.add_user(
            RABBIT_USER, PASSWORD, "monitoring", vhost=VHOST, configure=configure, write=write, read=read
        )
        _fill_redis(redis)
        _fill_rabbitmq(Place(rabbit, VHOST))
        trust = f"ssl_cert_reqs=required&ssl_ca_certs={certificates.ca_file}"
        redis_url = f"{redis.url.replace('127.0.0.1', 'localhost')}?{trust}"
        _work(stack, _Line(redis_url, _trusting(redis)), folder, "web-1@shop", "mail,payments")
        _work(stack, Place(rabbit, VHOST), folder, "web-1@billing", "dunning,statements")
        stack.enter_context(events_to_redis(redis))
        stack.enter_context(events_to_rabbitmq(rabbit, VHOST))
        schedules = _schedules(stack.enter_context(postgres_server()), folder)
        yield Deployments(folder, redis, proxy, rabbit, schedules)


@contextmanager
def _system_store(ca_file: Path) -> Iterator[None]:
    """OpenSSL's word for where the system's store is, as if an administrator had put the authority there."""
    os.environ["SSL_CERT_FILE"] = str(ca_file)
    try:
        yield
    finally:
        del os.environ["SSL_CERT_FILE"]


def _schedules(server: PostgresServer, folder: Path) -> DatabaseAddress:
    """The bundled project's schedules on PostgreSQL."""
    url = server.make_database("shop")
    for command in (["migrate", "-v", "0"], ["seed_demo"]):
        subprocess.run(
            [sys.executable, "-m", "bundled_project", *command],
            cwd=ROOT,
            env=environment_for(url, folder / "project"),
            check=True,
            timeout=120,
            stdout=subprocess.DEVNULL,
        )
    return parse_database_url(url)


@dataclass(frozen=True)
class _Line:
    """How a worker and this module reach the production."""

    url: str
    address: BrokerAddress


def _work(stack: ExitStack, broker: Broker, folder: Path, name: str, queues: str) -> None:
    """A worker with events whose two threads are busy for a minute with each task."""
    options = ("-n", name, "-E", "--pool", "threads", "-c", "2", "-Q", queues, "--without-mingle")
    stack.enter_context(celery_process(broker, folder, "worker", *options))


def _rules(lacking: tuple[str, ...]) -> list[str]:
    """The shipped rules of the operating user without some commands, as rules of ACL SETUSER."""
    text = redis_acl(AclKind.OPERATE, user=USER)
    for command in lacking:
        text = text.replace(command, "")
    words = text.split()[2:]
    rules: list[str] = []
    for word in words:
        if rules and rules[-1].startswith("(") and not rules[-1].endswith(")"):
            rules[-1] += f" {word}"
        else:
            rules.append(word)
    return rules


def _permissions() -> list[str]:
    last = rabbitmq_permissions(AclKind.OPERATE, user=RABBIT_USER, vhost=VHOST).strip().splitlines()[-1]
    return last.split("'")[1::2]


def _fill_redis(server: ValkeyServer) -> None:
    app = make_celery_app(_trusting(server))
    try:
        with server.client() as client:
            for queue, waiting in QUEUES.items():
                app.send_task("shop.wait_for", args=["/invoices/88412"], queue=queue)
                messages: Any = client.lrange(queue, 0, 0)
                copies = [_another(messages[0]) for _ in range(1, waiting)]
                for begin in range(0, len(copies), 1_000):
                    client.lpush(queue, *copies[begin : begin + 1_000])
    finally:
        close_celery_app(app)


def _another(message: bytes) -> str:
    """The same task once more. A worker counts by the tag what it holds."""
    copy = json.loads(message)
    copy["properties"]["delivery_tag"] = str(uuid.uuid4())
    copy["headers"]["id"] = copy["properties"]["correlation_id"] = str(uuid.uuid4())
    return json.dumps(copy)


def _trusting(server: ValkeyServer) -> BrokerAddress:
    return replace(parse_broker_url(server.url), tls=TlsOptions(verify=False))


def _fill_rabbitmq(place: Place) -> None:
    for queue, waiting in {"invoices": 40, "dunning": 0, "statements": 0}.items():
        place.declare(queue, *(json.dumps([[number], {}, {}]) for number in range(waiting)))
    app = make_celery_app(place.address)
    try:
        for number in range(24):
            app.send_task("shop.wait_for", args=[f"/dunning/{number}"], queue="dunning")
    finally:
        close_celery_app(app)
