"""Connections as a file for others: what is handed out, and what taking one in would change."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum

from console.broker.address import DEFAULT_TIMEOUT_S, BrokerAddress
from console.broker.tunnel_settings import TunnelSettings
from console.connections.file_format import dump_connections, read_entries
from console.connections.model import (
    LONGEST_NAME,
    Connection,
    Purpose,
    Secrets,
    new_connection_id,
    without_secrets,
)
from console.core.errors import Cause, ConsoleError

LARGEST_CHARACTERS = 4 * 1024 * 1024
"""Reading it and comparing it happens on the main thread: what is larger is no hand-over of connections."""
_FIELD_WORDS = {
    "name": "Name",
    "environment": "Environment",
    "mode": "What may be done",
    "colour": "Colour",
    "broker": "Broker",
    "queues": "Queues",
    "results": "Result backend",
    "schedules": "Schedules database",
    "broker_tunnel": "SSH tunnel to the broker",
    "results_tunnel": "SSH tunnel to the result backend",
    "schedules_tunnel": "SSH tunnel to the schedules database",
}


class ImportKind(StrEnum):
    """What becomes of an entry; the words of the import dialog."""

    NEW = "New"
    SAME = "Already there"
    CHANGED = "Changed"
    NAME_TAKEN = "Name taken"


@dataclass(frozen=True, slots=True)
class ImportEntry:
    """`connection` is as it would be saved, `changed` the words of its fields that differ from now.

    `secrets` are the passwords that stood in its URLs: they are treated as typed.
    """

    connection: Connection
    kind: ImportKind
    changed: tuple[str, ...] = ()
    secrets: Secrets = field(default_factory=Secrets)


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """Nothing of it is done yet. `errors` are of entries that cannot be read, with entry and field."""

    entries: tuple[ImportEntry, ...]
    errors: tuple[ConsoleError, ...] = ()

    @property
    def changes(self) -> tuple[ImportEntry, ...]:
        """What importing would add or change."""
        return tuple(one for one in self.entries if one.kind is not ImportKind.SAME or one.secrets.values)

    def only(self, ids: Collection[str]) -> ImportPlan:
        """The plan for some of its connections."""
        return replace(self, entries=tuple(one for one in self.entries if one.connection.id in ids))


def export_text(connections: Sequence[Connection], ids: Collection[str]) -> str:
    """The connections with these ids as a file. No secret is in it, nor when they were used."""
    wanted = [one for one in connections if one.id in ids and not one.is_local_stack]
    return dump_connections([without_secrets(one)[0] for one in wanted])


def plan_import(text: str, existing: Sequence[Connection]) -> ImportPlan:
    """What the file's text would change. Raises `ConsoleError` when it is no file of connections."""
    try:
        if len(text) > LARGEST_CHARACTERS:
            raise ConsoleError("It is too large", detail="It is larger than 4 MB.", cause=Cause.INVALID)
        found, unread = read_entries(text)
    except ConsoleError as error:
        raise _not_importable(error, "It is no file of exported connections.") from error
    known = {one.id: one for one in existing}
    names = {one.name for one in existing}
    planned: list[ImportEntry] = []
    seen: set[str] = set()
    for entry in found:
        if entry.connection.is_local_stack:
            continue
        connection, secrets = without_secrets(replace(entry.connection, last_used=None))
        if connection.id in seen:
            connection = replace(connection, id=new_connection_id())
        seen.add(connection.id)
        before = known.get(connection.id)
        others = names - ({before.name} if before else set())
        named = replace(connection, name=free_name(connection.name, others))
        names.add(named.name)
        planned.append(_planned(named, before, secrets, taken=named.name != connection.name))
    errors = (_not_importable(one, "Mend it there; the other entries can be imported.") for one in unread)
    return ImportPlan(tuple(planned), tuple(errors))


def redirected(before: Connection, after: Connection) -> tuple[Purpose, ...]:
    """The passwords that `after` would send to another server, or on another way, than `before`.

    Whoever wrote an imported file may have an address in it of their own. The passphrases of SSH keys never
    leave this computer.
    """
    moved: list[Purpose] = []
    if _broker_way(before.broker, before.broker_tunnel) != _broker_way(after.broker, after.broker_tunnel):
        moved += [Purpose.BROKER, Purpose.SENTINEL]
    ways = [_broker_way(one.results.redis, one.results_tunnel) for one in (before, after)]
    if ways[0] != ways[1]:
        moved.append(Purpose.RESULTS)
    if (before.schedules, before.schedules_tunnel) != (after.schedules, after.schedules_tunnel):
        moved.append(Purpose.SCHEDULES)
    return tuple(moved)


def _broker_way(address: BrokerAddress | None, tunnel: TunnelSettings | None) -> object:
    """Where a broker's password goes and who may read it there; not what is done behind the login."""
    if address is None:
        return None
    return replace(address, database=0, vhost="/", key_prefix="", timeout_s=DEFAULT_TIMEOUT_S), tunnel


def _planned(
    connection: Connection, before: Connection | None, secrets: Secrets, *, taken: bool
) -> ImportEntry:
    if before is not None:
        changed = tuple(
            _FIELD_WORDS[one.name]
            for one in fields(Connection)
            if one.name in _FIELD_WORDS and getattr(before, one.name) != getattr(connection, one.name)
        )
        kind = ImportKind.CHANGED if changed else ImportKind.SAME
        return ImportEntry(connection, kind, changed, secrets)
    return ImportEntry(connection, ImportKind.NAME_TAKEN if taken else ImportKind.NEW, (), secrets)


def free_name(name: str, taken: set[str]) -> str:
    """`name`, with a number behind it when it is taken."""
    number, free = 2, name
    while free in taken:
        behind = f" {number}"
        free, number = f"{name[: LONGEST_NAME - len(behind)]}{behind}", number + 1
    return free


def _not_importable(error: ConsoleError, remedy: str) -> ConsoleError:
    return ConsoleError(
        "The file cannot be imported" if "Entry" not in error.detail else "An entry cannot be imported",
        detail=error.detail,
        remedy=remedy,
        cause=error.cause,
    )
