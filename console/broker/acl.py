"""The rules with which an administrator makes a broker's user for this console: seeing only, or operating.

The texts are made of the table of needs, ship as files in packaging/acl, and are shown in the editor for
copying. None holds a password: the user that they make cannot log in before one is set.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from enum import StrEnum

from console.broker.needs import (
    LOGIN_COMMANDS,
    RABBITMQ_EVENT_QUEUE,
    REDIS_NEEDS,
    Need,
    Place,
    event_patterns,
    key_pattern,
    literal,
)
from console.broker.rights import Probed
from console.core.connection import Right
from console.core.errors import Cause, ConsoleError


class AclKind(StrEnum):
    """The words of the files' names."""

    READ_ONLY = "read-only"
    OPERATE = "operate"


_RIGHTS = {AclKind.READ_ONLY: frozenset({Right.READ_QUEUES, Right.READ_MESSAGES, Right.READ_EVENTS})}
_RIGHTS[AclKind.OPERATE] = _RIGHTS[AclKind.READ_ONLY] | {Right.ASK_WORKERS, Right.SEND_TASKS}
# INFO tells the connection's test the version and the memory policy; MULTI and DISCARD let it ask what else
# is allowed without doing it (an EXEC is not among them, so nothing that is queued is ever carried out).
_ALWAYS = (*LOGIN_COMMANDS, "info", "multi", "discard")


def redis_acl(
    kind: AclKind | str, *, user: str, key_prefix: str = "", database: int = 0, sentinel: bool = False
) -> str:
    """One line for an ACL file of Redis 7 or Valkey. Raises `ConsoleError` for a name with a space in it.

    `database` counts for channels only (Redis has no rights by database), and so does `sentinel`, which adds
    the channel that old workers behind Sentinel publish on.
    """
    for what, value in (("user", user), ("key prefix", key_prefix)):
        if re.search(r"\s", value) or (what == "user" and not value):
            raise ConsoleError(
                f"No ACL rule can be written for this {what}", detail=repr(value), cause=Cause.INVALID
            )
    return " ".join(["user", user, *_rules(AclKind(kind), key_prefix, database, sentinel)]) + "\n"


def redis_acl_command(
    kind: AclKind | str, *, user: str, key_prefix: str = "", database: int = 0, sentinel: bool = False
) -> str:
    """The same for redis-cli. The password is set by a second command, which the README names."""
    rules = redis_acl(kind, user=user, key_prefix=key_prefix, database=database, sentinel=sentinel)
    return "ACL SETUSER " + rules.removeprefix("user ").rstrip("\n")


def _rules(kind: AclKind, key_prefix: str, database: int, sentinel: bool) -> list[str]:
    needs = [need for need in REDIS_NEEDS if _RIGHTS[kind].intersection(need.rights)]
    plain = [need.command for need in needs if need.place is Place.NOTHING]
    rules = ["reset", "on", *_commands((*_ALWAYS, *_allowed(plain, kind)))]
    selectors: dict[tuple[str, ...], list[str]] = {}
    for need in needs:
        if need.place is not Place.NOTHING and (kind is AclKind.OPERATE or not need.changes):
            where = _where(need, key_prefix, database, sentinel)
            selectors.setdefault(where, []).append(need.command)
    # A selector allows its own commands on its own keys and channels only, so that nothing mixes.
    rules += [f"({' '.join((*where, *_commands(commands)))})" for where, commands in selectors.items()]
    return rules


def _allowed(commands: Iterable[str], kind: AclKind) -> list[str]:
    return [command for command in commands if kind is AclKind.OPERATE or command != "exec"]


def _commands(commands: Iterable[str]) -> list[str]:
    return [f"+{command}" for command in dict.fromkeys(commands)]


def _where(need: Need, key_prefix: str, database: int, sentinel: bool) -> tuple[str, ...]:
    if need.command == "psubscribe":
        patterns = event_patterns(key_prefix, database, sentinel=sentinel)
        return tuple(f"&{pattern}" for pattern in patterns)
    if need.place.is_channel:
        tail = "/task.sent" if need.place is Place.EVENTS else ""
        return (f"&{literal(key_prefix)}/{database}.{need.place}{tail}",)
    right = "%RW~" if need.command == "brpop" else "%W~" if need.changes else "%R~"
    return (right + key_pattern(need.place, key_prefix),)


def mend(probed: Probed, *, user: str, key_prefix: str = "") -> str:
    """The redis-cli command that allows a user what a probe found refused; empty when nothing is."""
    words: list[str] = []
    for refusal in probed.refused:
        if refusal.replica:
            continue
        place = refusal.need.place
        if not refusal.target:
            words.append(f"+{refusal.need.command}")
        elif place.is_channel:
            words.append(f"&{refusal.target}")
        else:
            pattern = literal(refusal.target) if place is Place.QUEUE else key_pattern(place, key_prefix)
            words.append(f"~{pattern}")
    if not words:
        return ""
    return f"ACL SETUSER {user or 'default'} {' '.join(dict.fromkeys(words))}"


def rabbitmq_permissions(kind: AclKind | str, *, user: str, vhost: str = "/") -> str:
    """The rabbitmqctl commands that make the user. The first asks for its password.

    In RabbitMQ the right to read a queue is the right to take its messages and to purge it, so a user who
    changes nothing sees depths (through the management API), but no messages.
    """
    kind = AclKind(kind)
    own = re.escape(RABBITMQ_EVENT_QUEUE) + ".*"
    replies = r"[0-9a-f-]{36}\.reply\.celery\.pidbox"
    configure, write, read = [own], [own], [own, "celeryev"]
    if kind is AclKind.OPERATE:
        control, answers = r"celery\.pidbox", r"reply\.celery\.pidbox"
        configure += [replies, control, answers, "celeryev"]
        write += [replies, control, "celeryev", r"amq\.default"]
        read += [replies, answers]
    patterns = " ".join(f"'^({'|'.join(names)})$'" for names in (configure, write, read))
    named, place = shlex.quote(user), shlex.quote(vhost)
    return (
        f"rabbitmqctl add_user {named}\n"
        f"rabbitmqctl set_user_tags {named} monitoring\n"
        f"rabbitmqctl set_permissions --vhost {place} {named} {patterns}\n"
    )
