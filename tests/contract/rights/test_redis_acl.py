"""The ACL rules that ship, with real users of a real server: everything needed works, nothing else does."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import redis

from console.broker.acl import AclKind, mend, redis_acl, redis_acl_command
from console.broker.address import BrokerAddress
from console.broker.needs import LOGIN_COMMANDS, REDIS_NEEDS
from console.broker.redis_client import make_redis_client
from console.broker.rights import REPLICA_SAYS, Probed, Refusal, probe_redis, probe_rights
from console.broker.tls import TlsOptions
from console.core.connection import Right
from console.core.errors import ConsoleError
from console.core.redaction import Secret
from tests.certificates import Certificates
from tests.contract.rights.conftest import (
    PASSWORD,
    QUEUE,
    USES,
    add_user,
    fill,
    session_of,
    user_address,
    works,
)
from tests.valkey import ServerTls, ValkeyServer, valkey_server

SEEING = {Right.READ_QUEUES, Right.READ_MESSAGES, Right.READ_EVENTS}
OPERATING = SEEING | {Right.ASK_WORKERS, Right.SEND_TASKS}
PREFIXES = [("", 0), ("shop:", 3), ("we[i]rd*", 0)]
# Redis lets everybody send these; they change nothing but the connection itself.
FOR_EVERYBODY = {"auth", "hello", "quit", "reset"}


def _rules(kind: AclKind, prefix: str = "", database: int = 0) -> list[str]:
    text = redis_acl_command(kind, user="limited", key_prefix=prefix, database=database)
    return text.split()[3:]


@pytest.mark.parametrize(("prefix", "database"), PREFIXES)
@pytest.mark.parametrize(
    ("kind", "rights"),
    [(AclKind.READ_ONLY, SEEING), (AclKind.OPERATE, OPERATING)],
    ids=["reading", "operating", "", ""][:2],
)
async def test_the_user_can_do_what_the_pages_need_and_the_probe_says_so(
    own_broker: ValkeyServer, kind: AclKind, rights: set[Right], prefix: str, database: int
) -> None:
    fill(own_broker, prefix, database)
    add_user(own_broker, "limited", *_rules(kind, prefix, database))
    address = user_address(own_broker, "limited", key_prefix=prefix, database=database)
    session = session_of(address, queues=(QUEUE,))
    try:
        session.ping()
        assert {right for right in USES if works(session, right)} == rights
        refused = probe_rights(session)
    finally:
        await session.aclose()
    assert set(USES) - refused.keys() == rights
    with own_broker.client() as client:
        commands = {one.decode() if isinstance(one, bytes) else str(one) for one in _denied(client)}
    assert not commands & set(LOGIN_COMMANDS), "the rules lack what every connection sends"


def _denied(client: redis.Redis) -> set[Any]:
    log = cast(Any, client).acl_log()
    return {entry["object"] for entry in log}


@pytest.mark.parametrize(("kind", "rights"), [(AclKind.READ_ONLY, SEEING), (AclKind.OPERATE, OPERATING)])
async def test_the_rules_fit_redis_7_0_as_well(
    tmp_path: Path, certificates: Certificates, kind: AclKind, rights: set[Right]
) -> None:
    with valkey_server(tmp_path / "redis", tls=ServerTls(certificates.issue("redis"))) as server:
        with server.client() as client:
            assert str(cast(Any, client).info("server")["redis_version"]).startswith("7.0.")
        fill(server)
        add_user(server, "limited", *_rules(kind))
        tls = TlsOptions(ca_file=str(certificates.ca_file))
        session = session_of(
            BrokerAddress("localhost", server.port, username="limited", password=Secret(PASSWORD), tls=tls)
        )
        try:
            assert set(USES) - probe_rights(session).keys() == rights
            assert {right for right in USES if works(session, right)} == rights
        finally:
            await session.aclose()


@pytest.mark.parametrize("kind", AclKind)
def test_every_other_command_of_the_server_is_refused_and_nothing_changes(
    tmp_path: Path, kind: AclKind
) -> None:
    with valkey_server(
        tmp_path / "valkey", "enable-debug-command yes", "enable-module-command yes"
    ) as server:
        _every_other_command_is_refused(server, kind)


def _every_other_command_is_refused(own_broker: ValkeyServer, kind: AclKind) -> None:
    fill(own_broker)
    add_user(own_broker, "limited", *_rules(kind))
    allowed = {need.command for need in REDIS_NEEDS} | {*LOGIN_COMMANDS, "info", "discard"} | FOR_EVERYBODY
    if kind is AclKind.READ_ONLY:
        allowed -= {need.command for need in REDIS_NEEDS if need.changes and need.command != "multi"}
    with own_broker.client() as admin:
        before = _content(admin)
        tried = 0
        for name, arity in sorted(_commands(admin).items()):
            if name in allowed:
                continue
            tried += 1
            said = cast(Any, admin).execute_command("ACL", "DRYRUN", "limited", *_call(name, arity))
            assert b"no permissions to run" in said, f"{name}: {said}"
            _try(own_broker, name, _call(name, arity))
        assert tried > 200
        assert _content(admin) == before


def _content(client: redis.Redis) -> dict[bytes, Any]:
    return {key: client.dump(key) for key in client.scan_iter()}


def _commands(client: redis.Redis) -> dict[str, int]:
    """All commands of the server and how many words each takes at least; of containers the sub-commands."""
    found: dict[str, int] = {}
    # Not by redis-py's own `command`, which reads the answers of older servers only.
    connection: Any = client.connection_pool.get_connection()
    connection.send_command("COMMAND")
    for name, arity, *rest in connection.read_response():
        inner = rest[-1] if rest and isinstance(rest[-1], list) else []
        for sub in inner or [[name, arity]]:
            found[sub[0].decode().lower()] = abs(sub[1])
    client.connection_pool.release(connection)
    return found


def _call(name: str, arity: int) -> tuple[str, ...]:
    """The command with as many words as it takes at least; the first is a real key."""
    words = name.split("|")
    return (*words, *[QUEUE, *["1"] * 9][: max(arity - len(words), 0)])


def _try(server: ValkeyServer, name: str, words: tuple[str, ...]) -> None:
    client = make_redis_client(user_address(server, "limited"))
    try:
        cast(Any, client).execute_command(*words)
    except redis.exceptions.NoPermissionError:
        return
    except redis.RedisError as error:
        if "NOPERM" in str(error):
            return
        raise AssertionError(f"{name} was not refused but failed: {error}") from error
    finally:
        client.close()
    raise AssertionError(f"{name} was carried out")


@pytest.mark.parametrize(
    "words",
    [
        ("PUBLISH", "/0.celery.pidbox", "x"),
        ("PUBLISH", "/0.celeryev/task.sent", "x"),
        ("LPUSH", QUEUE, "x"),
        ("DEL", QUEUE),
        ("PSUBSCRIBE", "*"),
        ("PSUBSCRIBE", "/1.celeryev/*"),
        ("HSCAN", "somebody:hash", "0"),
        ("SMEMBERS", "somebody:set"),
    ],
    ids=" ".join,
)
def test_the_reading_user_reaches_no_other_key_and_no_other_channel(
    own_broker: ValkeyServer, words: tuple[str, ...]
) -> None:
    add_user(own_broker, "limited", *_rules(AclKind.READ_ONLY))
    client = make_redis_client(user_address(own_broker, "limited"))
    try:
        with pytest.raises(redis.exceptions.NoPermissionError):
            cast(Any, client).execute_command(*words)
    finally:
        client.close()


@pytest.mark.parametrize(
    "words",
    [
        ("DEL", QUEUE),
        ("BRPOP", QUEUE, "1"),
        ("SADD", "somebody:set", "x"),
        ("SREM", QUEUE, "x"),
        ("PUBLISH", "/0.celeryev/worker.heartbeat", "x"),
        ("PUBLISH", "somebody:channel", "x"),
        ("PSUBSCRIBE", "/0.celery.pidbox"),
    ],
    ids=" ".join,
)
def test_the_operating_user_takes_no_messages_and_changes_no_other_key(
    own_broker: ValkeyServer, words: tuple[str, ...]
) -> None:
    fill(own_broker)
    add_user(own_broker, "limited", *_rules(AclKind.OPERATE))
    client = make_redis_client(user_address(own_broker, "limited"))
    try:
        with pytest.raises(redis.exceptions.NoPermissionError):
            cast(Any, client).execute_command(*words)
    finally:
        client.close()


@pytest.mark.parametrize(
    ("rules", "refused"),
    [
        ("+@all ~* &*", set()),
        ("+@all -@dangerous ~* &*", set()),
        ("+@all -lrange -lindex ~* &*", {Right.READ_MESSAGES}),
        ("+@all -publish ~* &*", {Right.ASK_WORKERS, Right.SEND_TASKS}),
        ("+@all ~* &/0.celeryev/*", {Right.ASK_WORKERS}),
        ("+@all ~* &/1.*", {Right.ASK_WORKERS, Right.SEND_TASKS, Right.READ_EVENTS}),
        ("+@all &* ~other:*", {*Right} - {Right.READ_EVENTS, Right.READ_SCHEDULES, Right.CHANGE_SCHEDULES}),
        ("+@all -scan ~* &*", {Right.READ_QUEUES}),
        ("+@all -exec ~* &*", {Right.ASK_WORKERS, Right.SEND_TASKS, Right.CHANGE_QUEUES}),
        ("+@read +psubscribe +multi +exec +discard ~* &*", OPERATING - SEEING | {Right.CHANGE_QUEUES}),
    ],
)
async def test_rights_are_told_by_command_key_and_channel(
    own_broker: ValkeyServer, rules: str, refused: set[Right]
) -> None:
    fill(own_broker)
    add_user(own_broker, "limited", "on", *rules.split())
    session = session_of(user_address(own_broker, "limited"))
    with own_broker.client() as admin, admin.pubsub() as listener:
        before = _content(admin)
        listener.psubscribe("*")
        listener.get_message(timeout=5)
        try:
            found = probe_rights(session)
        finally:
            await session.aclose()
        assert _content(admin) == before
        assert listener.get_message(timeout=0.02) is None, "a probe was carried out"
    assert set(found) == refused, found
    for right, reason in found.items():
        assert reason.startswith(f"The broker user may not {right}: Redis refuses ")


async def test_without_multi_the_server_is_asked_by_dry_run_or_only_what_reads_is_tried(
    own_broker: ValkeyServer,
) -> None:
    fill(own_broker)
    add_user(own_broker, "limited", "on", "+@all", "-multi", "-lrange", "-publish", "~*", "&*")
    session = session_of(user_address(own_broker, "limited"))
    by_dry_run = probe_rights(session)
    await session.aclose()
    assert set(by_dry_run) == {
        Right.READ_MESSAGES,
        Right.ASK_WORKERS,
        Right.SEND_TASKS,
        Right.CHANGE_QUEUES,
    }
    add_user(own_broker, "limited", "on", "-acl")
    session = session_of(user_address(own_broker, "limited"))
    by_trying = probe_rights(session)
    await session.aclose()
    assert by_trying.keys() == by_dry_run.keys()
    assert "multi" in by_trying[Right.ASK_WORKERS]
    assert "publish" not in by_trying[Right.ASK_WORKERS]


async def test_a_replica_takes_no_changes(own_broker: ValkeyServer, tmp_path: Path) -> None:
    primary = f"replicaof 127.0.0.1 {own_broker.port}"
    with valkey_server(tmp_path / "replica", primary, f"masterauth {own_broker.password}") as replica:
        session = session_of(replica.address)
        try:
            found = probe_rights(session)
        finally:
            await session.aclose()
    assert found == dict.fromkeys((Right.ASK_WORKERS, Right.SEND_TASKS, Right.CHANGE_QUEUES), REPLICA_SAYS)


def _lacking(kind: AclKind, *commands: str) -> list[str]:
    """The shipped rules without some commands."""
    words = _rules(kind)
    kept = [word.rstrip(")") in {f"+{one}" for one in commands} for word in words]
    text = " ".join(
        word if not gone else ")" if word.endswith(")") else ""
        for word, gone in zip(words, kept, strict=True)
    )
    return text.split()


@pytest.mark.parametrize(
    ("rules", "needed"),
    [
        (["+@all", "-lrange", "-lindex", "~*", "&*"], "(%R~* +lindex +lrange)"),
        (["+@all", "~*", "&/0.celeryev/*"], "(&/0.celery.pidbox +publish)"),
        (["+@all", "-publish", "~*", "&/0.celeryev/*"], ""),
        (["+@all", "&*", "~orders", "~unacked", "~_kombu*"], ""),
        (["+@all", "&*", "~other:*"], ""),
        (_lacking(AclKind.OPERATE, "lindex", "lrange"), "(%R~* +lindex +lrange)"),
        (_lacking(AclKind.OPERATE, "scan", "exec"), "+scan +exec"),
        (_lacking(AclKind.OPERATE, "publish", "psubscribe", "brpop", "sadd", "lpush"), ""),
        (_rules(AclKind.READ_ONLY), ""),
    ],
    ids=lambda one: " ".join(one)[:60] if isinstance(one, list) else one,
)
@pytest.mark.parametrize("odd", [QUEUE, "orders (new) it's"], ids=["", "odd name"])
async def test_what_an_administrator_is_told_to_run_mends_it_at_once(
    own_broker: ValkeyServer, rules: list[str], needed: str, odd: str
) -> None:
    fill(own_broker)
    add_user(own_broker, "limited", "on", *rules)
    address = user_address(own_broker, "limited")

    def probed() -> Probed:
        client = make_redis_client(address)
        try:
            return probe_redis(client, address, (odd,))
        finally:
            client.close()

    before = probed()
    assert before.refused
    command = mend(before, address)
    assert command.startswith("ACL SETUSER limited ")
    assert needed in command
    assert PASSWORD not in command
    with own_broker.client() as admin:
        cast(Any, admin).execute_command(*command.split())
    after = probed()
    assert after.refused == ()
    assert after.known == {*REDIS_NEEDS}


def test_an_old_redis_is_told_without_selectors() -> None:
    lindex, publish = (
        next(need for need in REDIS_NEEDS if need.command == name) for name in ("lindex", "publish")
    )
    refused = (Refusal(lindex), Refusal(lindex, "my orders"), Refusal(publish, "/0.celery.pidbox"))
    probed = Probed(frozenset(REDIS_NEEDS), refused, selectors=False)
    said = mend(probed, BrokerAddress("host", 6379))
    assert said == "ACL SETUSER default +lindex ~my?orders &/0.celery.pidbox"


@pytest.mark.parametrize("kind", AclKind)
def test_the_files_that_ship_are_these_texts(kind: AclKind) -> None:
    file = Path(__file__).parents[3] / "packaging" / "acl" / f"redis-{kind}.acl"
    assert file.read_text(encoding="utf-8") == redis_acl(kind, user=kind.user)


def test_the_file_can_be_given_to_the_server(own_broker: ValkeyServer) -> None:
    for kind in AclKind:
        line = redis_acl(kind, user="limited").split()
        with own_broker.client() as client:
            assert cast(Any, client).execute_command("ACL", "SETUSER", *line[1:]) in (b"OK", "OK", True)


@pytest.mark.parametrize("user", ["", "two words", "a\nb"])
def test_a_name_that_would_break_the_line_is_refused(user: str) -> None:
    with pytest.raises(ConsoleError):
        redis_acl(AclKind.READ_ONLY, user=user)
