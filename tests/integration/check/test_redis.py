"""The test of a connection against real Redis servers: what passes, and each cause in its own words."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from console.app.checker import make_checker
from console.broker.acl import AclKind, redis_acl_command
from console.broker.address import BrokerAddress, BrokerKind
from console.broker.database import DatabaseAddress, DatabaseKind
from console.broker.tls import TlsOptions
from console.connections.check_model import CheckStep, StepState, all_passed, summary, total_s
from console.connections.model import Purpose, ResultBackend, Secrets
from console.core.connection import Mode
from console.core.errors import Cause
from console.core.home import Home
from console.core.redaction import Secret
from tests.certificates import Certificates, Pair
from tests.integration.check.conftest import Check, connection_to
from tests.proxy import Proxy
from tests.valkey import ServerTls, ValkeyServer, free_port, valkey_server

EVERY_CHARACTER = "pä ß/№:@#?%&+=\"'\\{}[]|~`$!*()<>,;^_-.0漢字😀"


def _tls(server: ValkeyServer, **options: Any) -> BrokerAddress:
    return BrokerAddress(
        "localhost", server.port, password=Secret(server.password), tls=TlsOptions(**options)
    )


async def test_a_healthy_broker_passes_in_words_and_quickly(broker: ValkeyServer, check: Check) -> None:
    steps = await check(connection_to(broker.address))
    assert {key: step.says for key, step in steps.items()} == {
        "name": "127.0.0.1 is an address, not a name",
        "tcp": f"port {broker.port} answers",
        "login": "password from the keyring",
        "permissions": "17 of 17 commands allowed",
        "version": steps["version"].says,
        "workers": "none answered",
    }
    assert steps["version"].says.startswith("Valkey ")
    assert steps["version"].says.endswith(", primary")
    assert [step.title for step in steps.values()] == [
        *("Name resolution", "TCP", "Login", "Permissions", "Broker version", "Workers"),
    ]
    assert steps.pop("workers").state is StepState.WARNING
    assert all(step.state is StepState.PASSED for step in steps.values())
    assert all_passed(tuple(steps.values()))
    assert total_s(tuple(steps.values())) < 0.5


async def test_it_only_reads(broker: ValkeyServer, check: Check) -> None:
    with broker.client() as client:
        client.lpush("celery", "x")
        client.sadd("_kombu.binding.celery", "celery\x06\x16\x06\x16celery")
        client.hset("unacked", "a", "b")
        before = {key: client.dump(key) for key in client.scan_iter()}
        changes = cast(Any, client).info("persistence")["rdb_changes_since_last_save"]
        await check(connection_to(broker.address))
        assert {key: client.dump(key) for key in client.scan_iter()} == before
        # The queue for the workers' answers came and went; nothing else was written at all.
        more = cast(Any, client).info("persistence")["rdb_changes_since_last_save"] - changes
        assert more <= 4
        assert not client.script_exists("0" * 40)[0]


async def test_an_empty_broker_is_empty_again(broker: ValkeyServer, check: Check) -> None:
    await check(connection_to(broker.address))
    with broker.client() as client:
        assert client.dbsize() == 0


async def test_steps_are_told_as_they_come(broker: ValkeyServer, tmp_path: Path) -> None:
    told: list[tuple[CheckStep, ...]] = []
    checker = make_checker(Home(tmp_path))
    secrets = Secrets(((Purpose.BROKER, Secret(broker.password)),))
    connection = connection_to(replace(broker.address, password=Secret("")))
    steps = await checker.check(connection, secrets, told.append, typed={Purpose.BROKER})
    assert [step.state for step in told[0]] == [StepState.WAITING] * 6
    running = [[step.key for step in now if step.state is StepState.RUNNING] for now in told]
    assert [keys[0] for keys in running if keys] == [step.key for step in steps]
    assert steps[2].says == "typed password"
    assert summary(steps) == "6 of 6 passed"


@contextmanager
def listening(answer: bytes) -> Iterator[int]:
    """A server of another kind: it says `answer` to whoever comes, at once and to whatever they say."""
    import threading

    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    line, _ = server.accept()
                except OSError:
                    return
                with line:
                    line.settimeout(2)
                    try:
                        if answer.startswith(b"HTTP"):
                            line.recv(4096)
                        line.sendall(answer)
                        line.recv(4096)
                    except OSError:
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
        b"E\x00\x00\x00\x90SFATAL\x00C0A000\x00Munsupported frontend protocol\x00\x00",
    ],
    ids=["http", "ssh", "postgresql"],
)
@pytest.mark.parametrize("secured", [False, True], ids=["plain", "tls"])
async def test_the_port_of_something_else(answer: bytes, secured: bool, check: Check) -> None:
    with listening(answer) as port:
        tls = TlsOptions(verify=False) if secured else None
        address = BrokerAddress("127.0.0.1", port, password=Secret("secret"), tls=tls, timeout_s=1.0)
        steps = await check(connection_to(address))
    failed = steps["tls" if secured else "login"]
    assert failed.state is StepState.FAILED
    assert failed.error is not None
    assert failed.error.cause is Cause.PROTOCOL
    assert "secret" not in str(failed.error)
    assert steps["tcp"].state is StepState.PASSED


async def test_a_name_that_nobody_knows(check: Check) -> None:
    steps = await check(connection_to(BrokerAddress("no-such-host.invalid", 6379)))
    assert steps["name"].says == "The host's name cannot be resolved"
    for key in ("tcp", "login", "permissions", "version", "workers"):
        assert steps[key].state is StepState.SKIPPED
        assert steps[key].says == "because Name resolution failed"
        assert steps[key].took_s is None


async def test_a_port_where_nobody_listens(check: Check) -> None:
    steps = await check(connection_to(BrokerAddress("127.0.0.1", free_port())))
    assert steps["tcp"].says == "Broker cannot be reached"
    assert steps["login"].says == "because TCP failed"


async def test_a_black_hole_ends_within_the_timeout(broker: ValkeyServer, check: Check) -> None:
    with Proxy("127.0.0.1", broker.port) as proxy:
        proxy.accept_silently()
        address = replace(broker.address, port=proxy.port, timeout_s=0.4)
        started_s = time.perf_counter()
        steps = await check(connection_to(address))
        assert time.perf_counter() - started_s < 3
        assert steps["login"].says == "Broker does not answer in time"
        assert steps["workers"].says == "because Login failed"
        secured = await check(connection_to(replace(address, tls=TlsOptions(verify=False))))
        assert secured["tls"].says == "The server does not answer the TLS handshake"


async def test_a_port_that_drops_every_packet(check: Check) -> None:
    # A backlog that is full: Linux drops what comes further, as a firewall does.
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        steps = await check(connection_to(BrokerAddress("127.0.0.1", port, timeout_s=0.4)))
        for filler in fillers:
            filler.close()
    assert steps["tcp"].says == "Broker does not answer in time"
    assert steps["tcp"].took_s is not None
    assert steps["tcp"].took_s < 1.5


async def test_wrong_password_unknown_user_and_no_password(own_broker: ValkeyServer, check: Check) -> None:
    address = own_broker.address
    for wrong in (
        address.with_password(Secret("wrong-password")),
        replace(address, username="nobody"),
        address.with_password(Secret("")),
    ):
        steps = await check(connection_to(wrong))
        assert steps["login"].says == "Broker refused the login"
        assert steps["permissions"].state is StepState.SKIPPED
        assert "wrong-password" not in repr(steps)


async def test_a_password_where_none_is_wanted(tmp_path: Path, check: Check) -> None:
    with valkey_server(tmp_path / "open") as server:
        with server.client() as client:
            client.config_set("requirepass", "")
        steps = await check(connection_to(server.address))
        server.password = ""
    assert steps["login"].state in (StepState.FAILED, StepState.PASSED)
    if steps["login"].state is StepState.FAILED:
        assert steps["login"].says == "The broker has no password"


async def test_a_password_with_every_character(own_broker: ValkeyServer, check: Check) -> None:
    with own_broker.client() as client:
        cast(Any, client).execute_command(
            "ACL", "SETUSER", "odd", "on", "~*", "&*", "+@all", f">{EVERY_CHARACTER}"
        )
    address = replace(own_broker.address, username="odd", password=Secret(EVERY_CHARACTER))
    steps = await check(connection_to(address))
    assert steps["login"].says == "as odd, password from the keyring"
    assert all_passed(tuple(steps.values()))
    assert EVERY_CHARACTER not in repr(steps)


async def test_a_database_that_is_not_there(broker: ValkeyServer, check: Check) -> None:
    steps = await check(connection_to(replace(broker.address, database=99)))
    assert steps["login"].says == "The broker has no such database"


async def test_an_ipv6_literal(tmp_path: Path, check: Check) -> None:
    with valkey_server(tmp_path / "six", "bind 127.0.0.1 ::1") as server:
        steps = await check(connection_to(replace(server.address, host="::1")))
    assert steps["name"].says == "::1 is an address, not a name"
    assert all_passed(tuple(steps.values()))


async def test_a_unix_socket(tmp_path: Path, check: Check) -> None:
    with valkey_server(tmp_path / "unix", unix_socket=True) as server:
        address = replace(
            server.address, host="", port=0, kind=BrokerKind.SOCKET, socket_path=str(server.socket_file)
        )
        steps = await check(connection_to(address))
        assert list(steps) == ["socket", "login", "permissions", "version", "workers"]
        assert steps["socket"].says == f"{server.socket_file} answers"
        assert all_passed(tuple(steps.values()))
    steps = await check(connection_to(address))
    assert steps["socket"].says == "Broker cannot be reached"


async def test_tls_certificates_each_in_their_own_words(
    tmp_path: Path, certificates: Certificates, check: Check
) -> None:
    ca_file = str(certificates.ca_file)
    with valkey_server(tmp_path / "tls", tls=ServerTls(certificates.issue("good", days=61.5))) as server:
        steps = await check(connection_to(_tls(server, ca_file=ca_file)))
        assert steps["tls"].says == "1.3, certificate matches, 61 days left"
        assert all_passed(tuple(steps.values()))
        assert steps["name"].says.startswith("localhost is ")

        async def says(**options: Any) -> CheckStep:
            return (await check(connection_to(_tls(server, **options))))["tls"]

        unverified = await says(verify=False)
        assert (unverified.state, unverified.says) == (
            StepState.WARNING,
            "1.3, certificate not verified",
        )
        assert (await says()).says == "The server's certificate comes from an unknown authority"
        assert (await says(ca_file=str(certificates.other_ca_file))).error is not None
        named = await says(ca_file=ca_file, server_name="other.example")
        assert named.says == "The server's certificate is for another name"
        missing = await says(ca_file=str(tmp_path / "missing.pem"))
        assert missing.says == "The file of the certificate authority cannot be used"
        server.renew_certificate(certificates.issue("soon", days=9.5))
        soon = await says(ca_file=ca_file)
        assert (soon.state, soon.says) == (StepState.WARNING, "1.3, certificate matches, 9 days left")
        server.renew_certificate(certificates.issue("old", expired=True))
        assert (await says(ca_file=ca_file)).says == "The server's certificate has expired"
        server.renew_certificate(certificates.issue("own", self_signed=True))
        assert (await says(ca_file=ca_file)).says == "The server's certificate is self-signed"
        server.renew_certificate(_from_tomorrow(certificates))
        assert (await says(ca_file=ca_file)).says == "The server's certificate is not valid yet"
        # TLS given to a plain client: the port says nothing that Redis would.
        plain = replace(_tls(server), tls=None, timeout_s=1.0)
        steps = await check(connection_to(plain))
        assert steps["login"].state is StepState.FAILED


def _from_tomorrow(certificates: Certificates) -> Pair:
    """A certificate of the tests' authority that is not valid before tomorrow."""
    pair = certificates.issue("tomorrow")
    before = x509.load_pem_x509_certificate(pair.cert_file.read_bytes())
    starts = datetime.now(UTC) + timedelta(days=1)
    builder = x509.CertificateBuilder(
        before.issuer,
        before.subject,
        before.public_key(),
        before.serial_number,
        starts,
        starts + timedelta(days=30),
        list(before.extensions),
    )
    authority = certificates._authority
    after = builder.sign(authority.key, hashes.SHA256())
    pair.cert_file.write_bytes(after.public_bytes(serialization.Encoding.PEM))
    return pair


async def test_a_plain_port_given_tls(broker: ValkeyServer, check: Check) -> None:
    steps = await check(connection_to(replace(broker.address, tls=TlsOptions(verify=False), timeout_s=1.0)))
    assert steps["tls"].error is not None
    assert steps["tls"].error.cause is Cause.PROTOCOL


async def test_a_client_certificate_that_is_wanted(
    tmp_path: Path, certificates: Certificates, check: Check
) -> None:
    mine = certificates.issue("console", client=True)
    tls = ServerTls(certificates.issue("server"), client_ca_file=certificates.ca_file, client=mine)
    with valkey_server(tmp_path / "tls", tls=tls) as server:
        ca_file = str(certificates.ca_file)
        without = await check(connection_to(_tls(server, ca_file=ca_file)))
        assert without["tls"].says == "The server wants a client certificate"
        shown = _tls(server, ca_file=ca_file, cert_file=str(mine.cert_file), key_file=str(mine.key_file))
        assert all_passed(tuple((await check(connection_to(shown))).values()))


@pytest.mark.parametrize("mode", [Mode.READ_ONLY, Mode.FULL])
@pytest.mark.parametrize("kind", AclKind)
async def test_the_users_that_ship(own_broker: ValkeyServer, check: Check, kind: AclKind, mode: Mode) -> None:
    with own_broker.client() as client:
        words = redis_acl_command(kind, user="limited").split()
        cast(Any, client).execute_command(*words, ">pass-word")
    address = replace(own_broker.address, username="limited", password=Secret("pass-word"))
    steps = await check(connection_to(address, mode=mode))
    assert all_passed(tuple(steps.values()))
    reads_only_but_wants_more = kind is AclKind.READ_ONLY and mode is Mode.FULL
    assert steps["permissions"].state is (
        StepState.WARNING if reads_only_but_wants_more else StepState.PASSED
    )
    if kind is AclKind.READ_ONLY:
        assert steps["workers"].state is StepState.SKIPPED
        assert steps["workers"].says.startswith("The broker user may not ask or tell workers: ")


async def test_what_is_refused_is_named_with_what_suffers_and_what_mends_it(
    own_broker: ValkeyServer, check: Check
) -> None:
    with own_broker.client() as client:
        rules = "on ~* &* +@all -lrange -lindex >pass-word".split()  # noqa: SIM905
        cast(Any, client).execute_command("ACL", "SETUSER", "console", *rules)
    address = replace(own_broker.address, username="console", password=Secret("pass-word"))
    steps = await check(connection_to(address, mode=Mode.READ_ONLY))
    permissions = steps["permissions"]
    assert permissions.state is StepState.FAILED
    assert permissions.says == "7 of 9 commands allowed"
    assert permissions.error is not None
    assert permissions.error.title == "lindex and lrange are refused"
    assert "Messages on Queues" in permissions.error.detail
    assert permissions.command == "ACL SETUSER console (%R~* +lindex +lrange)"
    assert steps["version"].state is StepState.PASSED
    assert not all_passed(tuple(steps.values()))


async def test_memory_policy_and_replica_are_warnings(
    own_broker: ValkeyServer, tmp_path: Path, check: Check
) -> None:
    with own_broker.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    steps = await check(connection_to(own_broker.address))
    assert steps["version"].state is StepState.WARNING
    assert steps["version"].says.endswith("primary, allkeys-lru")
    primary = (f"replicaof 127.0.0.1 {own_broker.port}", f"masterauth {own_broker.password}")
    with valkey_server(tmp_path / "replica", *primary) as replica:
        steps = await check(connection_to(replica.address))
    assert steps["permissions"].says == "reading only, the server is a replica"
    assert steps["version"].says.endswith(", replica")
    assert steps["workers"].says == "The server is a replica: it takes no changes"


async def test_a_test_that_is_stopped_leaves_nothing(broker: ValkeyServer, tmp_path: Path) -> None:
    checker = make_checker(Home(tmp_path))
    with Proxy("127.0.0.1", broker.port) as proxy:
        proxy.accept_silently()
        waiting = asyncio.Event()

        def on_steps(steps: tuple[CheckStep, ...]) -> None:
            if any(step.key == "login" and step.state is StepState.RUNNING for step in steps):
                waiting.set()

        address = replace(broker.address, port=proxy.port, timeout_s=30.0)
        task = asyncio.ensure_future(checker.check(connection_to(address), Secrets(), on_steps))
        await waiting.wait()
        started_s = time.perf_counter()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.perf_counter() - started_s < 2
        ours = psutil.Process().net_connections("tcp")
        assert not [
            one for one in ours if one.raddr and one.raddr.port == proxy.port and one.status != "CLOSE"
        ]


async def test_schedules_are_looked_at_even_if_the_broker_is_away(tmp_path: Path, check: Check) -> None:
    file = tmp_path / "empty.sqlite3"
    sqlite3.connect(file).close()
    database = DatabaseAddress(DatabaseKind.SQLITE, path=str(file))
    away = BrokerAddress("127.0.0.1", free_port())
    steps = await check(connection_to(away, schedules=database, results=ResultBackend(django=True)))
    assert steps["tcp"].state is StepState.FAILED
    assert steps["schedules"].says == "The database has no tables of django-celery-beat"
    assert steps["results"].state is StepState.FAILED
    gone = DatabaseAddress(DatabaseKind.SQLITE, path=str(tmp_path / "gone.sqlite3"))
    steps = await check(connection_to(away, schedules=gone))
    assert steps["schedules"].says == "The schedules database does not exist"
    assert not (tmp_path / "gone.sqlite3").exists()


async def test_a_result_backend_of_its_own(broker: ValkeyServer, tmp_path: Path, check: Check) -> None:
    with valkey_server(tmp_path / "results") as results:
        steps = await check(connection_to(broker.address, results=ResultBackend(redis=results.address)))
        assert steps["results"].says.endswith(f" at 127.0.0.1:{results.port}")
        wrong = results.address.with_password(Secret("wrong-password"))
        steps = await check(connection_to(broker.address, results=ResultBackend(redis=wrong)))
    assert steps["results"].says == "Broker refused the login"
