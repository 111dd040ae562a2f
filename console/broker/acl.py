"""The rules with which an administrator makes a broker's user for this console: seeing only, or operating.

The texts are made of the table of needs, ship as files in packaging/acl, and are shown in the editor for
copying. None holds a password: the user that they make cannot log in before one is set.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from enum import StrEnum

from console.broker.address import BrokerAddress, BrokerKind
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
from console.broker.rights import Probed, Refusal
from console.core.connection import Right
from console.core.errors import Cause, ConsoleError


class AclKind(StrEnum):
    """The words of the files' names."""

    READ_ONLY = "read-only"
    OPERATE = "operate"

    @property
    def user(self) -> str:
        """Whom the rules are for where nobody has named one."""
        return f"console-{self}"


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
    return rules + [_selector(where, commands) for where, commands in selectors.items()]


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
    return (_key_right(need) + key_pattern(need.place, key_prefix),)


def _key_right(need: Need) -> str:
    return "%RW~" if need.command == "brpop" else "%W~" if need.changes else "%R~"


def mend(probed: Probed, address: BrokerAddress) -> str:
    """The redis-cli command that allows the user of `address` what a probe found refused; "" when nothing is.

    A command is named together with its keys or channels, in a selector: the user's own may stand in
    selectors too (those of the shipped rules do), where a command beside them would not reach them.
    """
    refused = [one for one in probed.refused if not one.replica]
    words = _in_selectors(refused, address) if probed.selectors else _in_plain(refused, address.key_prefix)
    if not words:
        return ""
    return f"ACL SETUSER {address.username or 'default'} {' '.join(dict.fromkeys(words))}"


def _in_selectors(refused: Iterable[Refusal], address: BrokerAddress) -> list[str]:
    """For Redis 7 or later, where what stands before a selector never reaches into it, nor the other way."""
    targets: dict[Need, list[str]] = {}
    for one in refused:
        targets.setdefault(one.need, []).append(one.target)
    # Who may not look for queues was asked about few of them: the others would be refused next.
    all_known = not {"scan", "smembers"} & {need.command for need in targets}
    plain: list[str] = []
    selectors: dict[tuple[str, ...], list[str]] = {}
    for need, names in targets.items():
        if need.place is Place.NOTHING:
            plain += [need.command, *(("discard",) if need.command == "multi" else ())]
            continue
        if need.place is Place.QUEUE and all(names) and all_known:
            where = tuple(f"{_key_right(need)}{literal(name)}" for name in names)
        else:
            sentinel = address.kind is BrokerKind.SENTINEL
            where = _where(need, address.key_prefix, address.database, sentinel)
        selectors.setdefault(where, []).append(need.command)
    return [*_commands(plain), *(_selector(where, commands) for where, commands in selectors.items())]


def _in_plain(refused: Iterable[Refusal], key_prefix: str) -> list[str]:
    """For Redis 6, which has no selectors: every command goes with every key."""
    words: list[str] = []
    for one in refused:
        place = one.need.place
        if not one.target:
            words.append(f"+{one.need.command}")
        elif place.is_channel:
            words.append(f"&{_one_word(one.target)}")
        else:
            pattern = literal(one.target) if place is Place.QUEUE else key_pattern(place, key_prefix)
            words.append(f"~{_one_word(pattern)}")
    return words


def _selector(where: Iterable[str], commands: Iterable[str]) -> str:
    return f"({' '.join((*map(_one_word, where), *_commands(commands)))})"


def _one_word(pattern: str) -> str:
    """`pattern` with a glob's "any character" where redis-cli or a selector would see an end of the word."""
    return re.sub(r"[\s\"'()]", "?", pattern)


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
