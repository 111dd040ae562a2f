"""What is typed into the editor of a connection, as values: from a connection, and from one key to the next.

Pure. Everything that is typed is kept as it was typed, however wrong; `draft_check` makes a connection of it
or says at which field it cannot.
"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from console.broker.address import (
    DEFAULT_PORTS,
    TLS_PORTS,
    BrokerAddress,
    BrokerKind,
    endpoint_text,
)
from console.broker.database import DATABASE_PORTS, DatabaseAddress, DatabaseKind, parse_database_url
from console.broker.tls import TlsOptions
from console.broker.tunnel_settings import TunnelSettings
from console.broker.url import parse_broker_url
from console.connections.draft_fields import (
    Draft,
    ResultsChoice,
    SchedulesChoice,
    TunnelChoice,
    TunnelLogin,
    Typed,
    Value,
)
from console.connections.model import Colour, Connection, ResultBackend
from console.core.connection import Environment, Mode
from console.core.errors import ConsoleError
from console.core.redaction import Secret

_CHOICES: dict[str, type[StrEnum]] = {
    "environment": Environment,
    "colour": Colour,
    "mode": Mode,
    "kind": BrokerKind,
    "results": ResultsChoice,
    "schedules": SchedulesChoice,
    "broker_tunnel": TunnelChoice,
    "results_tunnel": TunnelChoice,
    "schedules_tunnel": TunnelChoice,
    "broker_tunnel_login": TunnelLogin,
    "results_tunnel_login": TunnelLogin,
    "schedules_tunnel_login": TunnelLogin,
}
_IN_BROKER_URL = frozenset(
    {"kind", "host", "port", "database", "vhost", "username", "socket_path", "sentinels", "tls"}
)
_IN_SCHEDULES_URL = frozenset(
    {
        *("schedules", "schedules_path", "schedules_host", "schedules_port", "schedules_name"),
        "schedules_username",
    }
)
_DERIVED = frozenset({"broker_url", "schedules_url"})
_DATABASE_KINDS = {
    DatabaseKind.SQLITE: SchedulesChoice.SQLITE,
    DatabaseKind.POSTGRESQL: SchedulesChoice.POSTGRESQL,
    DatabaseKind.MYSQL: SchedulesChoice.MYSQL,
}


def draft_of(connection: Connection) -> Draft:
    """The editor's fields for `connection`, whose secrets are left alone."""
    draft = Draft(
        name=connection.name,
        environment=connection.environment,
        colour=connection.colour,
        mode=connection.mode,
        queues=", ".join(connection.queues),
    )
    if connection.broker is not None:
        draft = with_broker(draft, connection.broker)
    draft = _with_results(draft, connection.results)
    if connection.schedules is not None:
        draft = with_database(draft, connection.schedules)
    broker_tunnel = connection.broker_tunnel
    for what in ("broker", "results", "schedules"):
        tunnel: TunnelSettings | None = getattr(connection, f"{what}_tunnel")
        same = what != "broker" and tunnel is not None and tunnel == broker_tunnel
        draft = _with_tunnel(draft, what, tunnel, same=same)
    return draft


def with_broker(draft: Draft, broker: BrokerAddress) -> Draft:
    """`draft` with all that an address says; its passwords are taken only where there are any."""
    draft = _with_place(draft, broker)
    return in_step(
        replace(
            draft,
            **_tls_fields("", broker.tls),
            key_prefix=broker.key_prefix,
            master_name=broker.master_name,
            sentinel_username=broker.sentinel_username,
            sentinel_password=_typed(broker.sentinel_password) or draft.sentinel_password,
            timeout_s=f"{broker.timeout_s:g}",
            management_url=broker.management_url,
        )
    )


def with_database(draft: Draft, database: DatabaseAddress) -> Draft:
    """`draft` with this schedules database."""
    return in_step(replace(_with_database_place(draft, database), **_tls_fields("schedules_", database.tls)))


def typed(draft: Draft, name: str, value: Value) -> Draft:
    """`draft` after a person has changed one field, and what follows from it.

    A URL that can be read fills the fields and keeps its words until `left`; a field rewrites the URL.
    """
    before = draft
    put: dict[str, Any] = {name: _CHOICES[name](str(value)) if name in _CHOICES else value}
    draft = replace(draft, **put)
    if name == "broker_url":
        return _from_broker_url(draft)
    if name == "schedules_url":
        return _from_schedules_url(draft)
    if name == "results_url":
        return _from_results_url(draft)
    if name in ("kind", "tls"):
        draft = _with_usual_port(before, draft)
    if name == "schedules":
        draft = _with_usual_database_port(before, draft)
    if name in _IN_BROKER_URL:
        draft = replace(draft, broker_url=broker_url_of(draft))
    if name in _IN_SCHEDULES_URL:
        draft = replace(draft, schedules_url=schedules_url_of(draft))
    return draft


def left(draft: Draft, name: str) -> Draft:
    """`draft` after a person has left a field: a URL that could be read takes its plain form, no password."""
    if name == "broker_url" and url_error(draft) == "":
        return replace(draft, broker_url=broker_url_of(draft))
    if name == "schedules_url" and schedules_url_error(draft) == "":
        return replace(draft, schedules_url=schedules_url_of(draft))
    if name == "results_url" and draft.results_url:
        try:
            return replace(draft, results_url=parse_broker_url(draft.results_url).url)
        except ConsoleError:
            return draft
    return draft


def in_step(draft: Draft) -> Draft:
    """`draft` with the URLs that its fields say."""
    return replace(draft, broker_url=broker_url_of(draft), schedules_url=schedules_url_of(draft))


def changed_fields(before: Draft, after: Draft) -> tuple[str, ...]:
    """Which fields differ; a URL only where it says something that the fields do not."""
    names = tuple(
        one.name
        for one in fields(Draft)
        if one.name not in _DERIVED and getattr(before, one.name) != getattr(after, one.name)
    )
    odd = [
        name
        for name, error in (("broker_url", url_error(after)), ("schedules_url", schedules_url_error(after)))
        if error and getattr(before, name) != getattr(after, name)
    ]
    return (*names, *odd)


def url_error(draft: Draft) -> str:
    """Why the broker's URL cannot be read, in words; empty when it can, or when the fields have made it."""
    if draft.broker_url == broker_url_of(draft):
        return ""
    try:
        parse_broker_url(draft.broker_url)
    except ConsoleError as error:
        return error.detail
    return ""


def schedules_url_error(draft: Draft) -> str:
    """The same for the URL of the schedules database."""
    if draft.schedules_url == schedules_url_of(draft):
        return ""
    try:
        parse_database_url(draft.schedules_url)
    except ConsoleError as error:
        return error.detail
    return ""


def broker_url_of(draft: Draft) -> str:
    """The URL that the fields say, however wrong they are; empty while there is no host yet."""
    login = f"{quote(draft.username.strip(), safe='')}@" if draft.username.strip() else ""
    place = _place(draft.host, draft.port)
    match draft.kind:
        case BrokerKind.SOCKET:
            path = draft.socket_path.strip()
            return (
                f"redis+socket://{login}{quote(path)}?virtual_host={draft.database.strip()}" if path else ""
            )
        case BrokerKind.SENTINEL:
            first, *others = split_names(draft.sentinels) or [""]
            urls = [f"sentinel://{login}{first}", *(f"sentinel://{other}" for other in others)]
            return f"{';'.join(urls)}/{draft.database.strip()}" if first else ""
        case BrokerKind.RABBITMQ:
            scheme = "amqps" if draft.tls else "amqp"
            return f"{scheme}://{login}{place}/{quote(draft.vhost or '/', safe='')}" if place else ""
        case BrokerKind.REDIS:
            scheme = "rediss" if draft.tls else "redis"
            return f"{scheme}://{login}{place}/{draft.database.strip()}" if place else ""


def schedules_url_of(draft: Draft) -> str:
    """The URL of the schedules database that the fields say."""
    if draft.schedules is SchedulesChoice.NONE:
        return ""
    if draft.schedules is SchedulesChoice.SQLITE:
        path = draft.schedules_path.strip()
        return f"sqlite:///{quote(path)}" if path else ""
    login = draft.schedules_username.strip()
    place = _place(draft.schedules_host, draft.schedules_port)
    if not place:
        return ""
    name = quote(draft.schedules_name.strip(), safe="")
    return f"{draft.schedules.lower()}://{quote(login, safe='')}{'@' if login else ''}{place}/{name}"


def split_names(text: str) -> list[str]:
    """Names apart by commas, semicolons, blanks or lines."""
    return [part for part in re.split(r"[\s,;]+", text) if part]


def split_queues(text: str) -> tuple[str, ...]:
    """Queue names apart by commas or lines: a queue's name may have a blank in it."""
    return tuple(dict.fromkeys(part.strip() for part in re.split(r"[,\n]", text) if part.strip()))


def _place(host: str, port: str) -> str:
    host = host.strip().removeprefix("[").removesuffix("]")
    if not host:
        return ""
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{port.strip()}" if port.strip() else shown


def _typed(secret: Secret) -> Typed | None:
    return Typed(secret.reveal()) if secret else None


def _with_place(draft: Draft, broker: BrokerAddress) -> Draft:
    """What a URL says of a broker."""
    sentinels = broker.sentinels or ((broker.host, broker.port),)
    is_sentinel = broker.kind is BrokerKind.SENTINEL
    return replace(
        draft,
        kind=broker.kind,
        host=broker.host if broker.host and not is_sentinel else draft.host,
        port=str(broker.port) if broker.port and not is_sentinel else draft.port,
        database=str(broker.database),
        vhost=broker.vhost,
        username=broker.username,
        password=_typed(broker.password) or draft.password,
        socket_path=broker.socket_path or draft.socket_path,
        sentinels=", ".join(endpoint_text(one) for one in sentinels) if is_sentinel else draft.sentinels,
        master_name=broker.master_name or draft.master_name,
    )


def _from_broker_url(draft: Draft) -> Draft:
    try:
        broker = parse_broker_url(draft.broker_url)
    except ConsoleError:
        return draft
    written = draft.broker_url
    draft = _with_place(draft, broker)
    # The URL of a Sentinel does not say whether there is TLS, and no URL tells the files of plain TLS.
    if broker.kind is not BrokerKind.SENTINEL or broker.tls is not None:
        draft = replace(draft, tls=broker.tls is not None)
    if broker.tls is not None and broker.tls != TlsOptions():
        draft = replace(draft, **_tls_fields("", broker.tls))
    return replace(draft, broker_url=written)


def _with_database_place(draft: Draft, database: DatabaseAddress) -> Draft:
    is_server = database.kind is not DatabaseKind.SQLITE
    return replace(
        draft,
        schedules=_DATABASE_KINDS[database.kind],
        schedules_path=database.path or draft.schedules_path,
        schedules_host=database.host if is_server else draft.schedules_host,
        schedules_port=str(database.port) if is_server else draft.schedules_port,
        schedules_name=database.name if is_server else draft.schedules_name,
        schedules_username=database.username if is_server else draft.schedules_username,
        schedules_password=_typed(database.password) or draft.schedules_password,
    )


def _from_schedules_url(draft: Draft) -> Draft:
    written = draft.schedules_url
    if not written.strip():
        return replace(draft, schedules=SchedulesChoice.NONE, schedules_url="")
    try:
        database = parse_database_url(written)
    except ConsoleError:
        return draft
    draft = _with_database_place(draft, database)
    if database.tls is not None:
        draft = replace(draft, **_tls_fields("schedules_", database.tls))
    return replace(draft, schedules_url=written)


def _from_results_url(draft: Draft) -> Draft:
    try:
        address = parse_broker_url(draft.results_url)
    except ConsoleError:
        return draft
    return replace(draft, results_password=_typed(address.password) or draft.results_password)


def _with_results(draft: Draft, results: ResultBackend) -> Draft:
    if results.redis is not None:
        return replace(draft, results=ResultsChoice.REDIS, results_url=results.redis.url)
    return replace(draft, results=ResultsChoice.DJANGO if results.django else ResultsChoice.WORKERS)


def _with_tunnel(draft: Draft, what: str, tunnel: TunnelSettings | None, *, same: bool) -> Draft:
    if tunnel is None:
        return draft
    values: dict[str, Any] = {f"{what}_tunnel": TunnelChoice.SAME}
    if same:
        return replace(draft, **values)
    values = {
        f"{what}_tunnel": TunnelChoice.OWN,
        f"{what}_tunnel_host": tunnel.host,
        f"{what}_tunnel_port": str(tunnel.port),
        f"{what}_tunnel_user": tunnel.user,
        f"{what}_tunnel_login": TunnelLogin.KEY if tunnel.key_file else TunnelLogin.AGENT,
        f"{what}_tunnel_key_file": tunnel.key_file,
    }
    return replace(draft, **values)


def _tls_fields(prefix: str, tls: TlsOptions | None) -> dict[str, Any]:
    options = tls or TlsOptions()
    return {
        f"{prefix}tls": tls is not None,
        f"{prefix}verify": options.verify,
        f"{prefix}ca_file": options.ca_file,
        f"{prefix}cert_file": options.cert_file,
        f"{prefix}key_file": options.key_file,
        f"{prefix}server_name": options.server_name,
    }


def _with_usual_port(before: Draft, draft: Draft) -> Draft:
    """The port follows kind and TLS as long as it is the usual one."""
    usual_before = (TLS_PORTS if before.tls else DEFAULT_PORTS).get(before.kind)
    usual = (TLS_PORTS if draft.tls else DEFAULT_PORTS).get(draft.kind)
    if usual is None or before.port.strip() not in ("", str(usual_before)):
        return draft
    return replace(draft, port=str(usual))


def _with_usual_database_port(before: Draft, draft: Draft) -> Draft:
    ports = {str(kind): str(port) for kind, port in DATABASE_PORTS.items()}
    if draft.schedules not in ports or before.schedules_port.strip() not in ("", ports.get(before.schedules)):
        return draft
    return replace(draft, schedules_port=ports[draft.schedules])
