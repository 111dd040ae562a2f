"""From what is typed to a connection and its secrets, or to what is wrong at each field.

Pure: which of the files that are named do not exist is looked up elsewhere, off the main thread, where a
network drive that hangs holds up nothing.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from console.broker.address import DEFAULT_PORTS, BrokerAddress, BrokerKind, Endpoint
from console.broker.database import DatabaseAddress, DatabaseKind
from console.broker.tls import TlsOptions
from console.broker.tunnel_settings import TunnelSettings
from console.broker.url import check_host, parse_broker_url
from console.connections.draft import (
    schedules_url_error,
    split_names,
    split_queues,
    url_error,
)
from console.connections.draft_fields import (
    SECRET_FIELDS,
    Draft,
    ResultsChoice,
    SchedulesChoice,
    TunnelChoice,
    TunnelLogin,
    Typed,
)
from console.connections.file_format import LONGEST_TIMEOUT_S
from console.connections.model import (
    Connection,
    Purpose,
    ResultBackend,
    Secrets,
    name_error,
    wanted_secrets,
)
from console.core.errors import ConsoleError

TABS = ("Broker", "TLS", "SSH tunnel", "Schedules", "More", "Rights")
_TLS_FILES = ("ca_file", "cert_file", "key_file")
_PORT_WORDS = "A number from 1 to 65535"


@dataclass(frozen=True, slots=True)
class Checked:
    """`connection` is None while there are errors, which are words by field in the order of the editor."""

    connection: Connection | None
    secrets: Secrets
    errors: dict[str, str] = field(default_factory=dict)


def tab_of(name: str) -> str:
    """The tab of the editor on which a field stands."""
    if name in ("verify", "cert_file", "key_file"):
        return "TLS"
    if "_tunnel" in name:
        return "SSH tunnel"
    if name.startswith("schedules"):
        return "Schedules"
    if name in ("colour", "queues", "management_url", "timeout_s") or name.startswith("results"):
        return "More"
    return "Broker"


def check_draft(
    draft: Draft, base: Connection, names: Collection[str], *, missing: Collection[str] = ()
) -> Checked:
    """The connection that `draft` makes of `base`, which gives what the editor does not show.

    `names` are those of the other connections, `missing` those of `named_files` that are no files.
    """
    wrong: dict[str, str] = {}
    name = draft.name.strip()
    if error := name_error(name):
        wrong["name"] = error
    elif name in names:
        wrong["name"] = "Another connection has this name"
    broker = _broker(draft, wrong, missing)
    results = _results(draft, base.results, wrong)
    schedules = _schedules(draft, wrong, missing)
    if results.django and schedules is None and draft.schedules is SchedulesChoice.NONE:
        wrong["results"] = "The Django database is the schedules database: name that first"
    tunnels = {what: _tunnel(draft, what, wrong, missing) for what in ("broker", "results", "schedules")}
    if draft.broker_tunnel is TunnelChoice.OWN and draft.kind is BrokerKind.SOCKET:
        wrong["broker_tunnel"] = "A Unix socket is on this computer: no tunnel leads to it"
    connection = replace(
        base,
        name=name,
        environment=draft.environment,
        mode=draft.mode,
        colour=draft.colour,
        broker=broker,
        queues=split_queues(draft.queues),
        results=results,
        schedules=schedules,
        broker_tunnel=tunnels["broker"],
        results_tunnel=tunnels["results"],
        schedules_tunnel=tunnels["schedules"],
    )
    if wrong:
        return Checked(None, Secrets(), wrong)
    return Checked(connection, typed_secrets(draft, connection), {})


def named_files(draft: Draft) -> dict[str, str]:
    """The files of this computer that `draft` names, by field: whole paths."""
    fields: list[str] = []
    if draft.tls and draft.kind is not BrokerKind.SOCKET:
        fields += _TLS_FILES
    if draft.schedules is SchedulesChoice.SQLITE:
        fields.append("schedules_path")
    elif draft.schedules is not SchedulesChoice.NONE and draft.schedules_tls:
        fields += (f"schedules_{key}" for key in _TLS_FILES)
    for what in ("broker", "results", "schedules"):
        own = getattr(draft, f"{what}_tunnel") is TunnelChoice.OWN
        if own and getattr(draft, f"{what}_tunnel_login") is TunnelLogin.KEY:
            fields.append(f"{what}_tunnel_key_file")
    found = {name: _whole(getattr(draft, name)) for name in fields}
    return {name: path for name, path in found.items() if path.startswith("/")}


def typed_secrets(draft: Draft, connection: Connection) -> Secrets:
    """The secrets that were typed (or are to be forgotten), as far as `connection` has a use for them."""
    found = Secrets()
    wanted = wanted_secrets(connection)
    for name, purpose in SECRET_FIELDS.items():
        value: Typed | None = getattr(draft, _secret_field(draft, name))
        if value is not None and purpose in wanted:
            found = found.with_secret(purpose, value.secret())
    return found


def shared_passphrases(draft: Draft) -> tuple[Purpose, ...]:
    """The purposes whose passphrase is the one of the broker's tunnel."""
    if draft.broker_tunnel is not TunnelChoice.OWN:
        return ()
    pairs = (
        (draft.results_tunnel, Purpose.RESULTS_TUNNEL),
        (draft.schedules_tunnel, Purpose.SCHEDULES_TUNNEL),
    )
    return tuple(purpose for choice, purpose in pairs if choice is TunnelChoice.SAME)


def _secret_field(draft: Draft, name: str) -> str:
    shared = SECRET_FIELDS[name] in shared_passphrases(draft)
    return "broker_tunnel_passphrase" if shared else name


def _broker(draft: Draft, wrong: dict[str, str], missing: Collection[str]) -> BrokerAddress:
    kind = draft.kind
    if error := url_error(draft):
        wrong["broker_url"] = error
    sentinels: tuple[Endpoint, ...] = ()
    host, port = "", 0
    if kind is BrokerKind.SENTINEL:
        sentinels = _sentinels(draft.sentinels, wrong)
        host, port = sentinels[0] if sentinels else ("", 0)
        if not draft.master_name.strip():
            wrong["master_name"] = "A name is needed, often mymaster"
    elif kind is not BrokerKind.SOCKET:
        host, port = _host("host", draft.host, wrong), _port("port", draft.port, wrong)
    elif not draft.socket_path.strip().startswith("/"):
        wrong["socket_path"] = "The path of the socket must begin with a slash"
    return BrokerAddress(
        host=host,
        port=port,
        kind=kind,
        database=_database(draft.database, wrong) if kind.is_redis else 0,
        vhost=(draft.vhost or "/") if kind is BrokerKind.RABBITMQ else "/",
        username=draft.username.strip(),
        socket_path=draft.socket_path.strip() if kind is BrokerKind.SOCKET else "",
        sentinels=sentinels,
        master_name=draft.master_name.strip() if kind is BrokerKind.SENTINEL else "",
        sentinel_username=draft.sentinel_username.strip() if kind is BrokerKind.SENTINEL else "",
        tls=_tls(draft, "", wrong, missing) if kind is not BrokerKind.SOCKET else None,
        key_prefix=draft.key_prefix.strip() if kind.is_redis else "",
        timeout_s=_timeout(draft.timeout_s, wrong),
        management_url=_management(draft, wrong),
    )


def _results(draft: Draft, base: ResultBackend, wrong: dict[str, str]) -> ResultBackend:
    if draft.results is not ResultsChoice.REDIS:
        return ResultBackend(django=draft.results is ResultsChoice.DJANGO)
    try:
        address = parse_broker_url(draft.results_url)
    except ConsoleError as error:
        wrong["results_url"] = error.detail
        return base
    if not address.kind.is_redis:
        wrong["results_url"] = "A redis:// or rediss:// URL is expected"
    elif base.redis is not None and base.redis.url == address.url and address.tls in (None, TlsOptions()):
        return base  # with what a URL does not tell, such as the files of TLS
    return ResultBackend(redis=address)


def _schedules(draft: Draft, wrong: dict[str, str], missing: Collection[str]) -> DatabaseAddress | None:
    if error := schedules_url_error(draft):
        wrong["schedules_url"] = error
    if draft.schedules is SchedulesChoice.NONE:
        return None
    kind = DatabaseKind(draft.schedules.value)
    if kind is DatabaseKind.SQLITE:
        path = draft.schedules_path.strip()
        if not path.startswith("/"):
            wrong["schedules_path"] = "The whole path of the file is needed, from / on"
        elif path in missing:
            wrong["schedules_path"] = "There is no such file"
        return DatabaseAddress(kind, path=path)
    name = draft.schedules_name.strip()
    if not name:
        wrong["schedules_name"] = "The name of the database is needed"
    return DatabaseAddress(
        kind,
        host=_host("schedules_host", draft.schedules_host, wrong),
        port=_port("schedules_port", draft.schedules_port, wrong),
        name=name,
        username=draft.schedules_username.strip(),
        tls=_tls(draft, "schedules_", wrong, missing),
    )


def _tunnel(
    draft: Draft, what: str, wrong: dict[str, str], missing: Collection[str]
) -> TunnelSettings | None:
    choice: TunnelChoice = getattr(draft, f"{what}_tunnel")
    if choice is TunnelChoice.DIRECT:
        return None
    if choice is TunnelChoice.SAME:
        if draft.broker_tunnel is not TunnelChoice.OWN:
            wrong[f"{what}_tunnel"] = "The broker has no tunnel"
            return None
        return _tunnel(draft, "broker", {}, ())
    key_file = ""
    if getattr(draft, f"{what}_tunnel_login") is TunnelLogin.KEY:
        name = f"{what}_tunnel_key_file"
        key_file = _file(name, getattr(draft, name), wrong, missing)
        if not key_file:
            wrong[name] = "A file is needed"
    return TunnelSettings(
        host=_host(f"{what}_tunnel_host", getattr(draft, f"{what}_tunnel_host"), wrong),
        port=_port(f"{what}_tunnel_port", getattr(draft, f"{what}_tunnel_port"), wrong),
        user=getattr(draft, f"{what}_tunnel_user").strip(),
        key_file=key_file,
    )


def _tls(draft: Draft, prefix: str, wrong: dict[str, str], missing: Collection[str]) -> TlsOptions | None:
    if not getattr(draft, f"{prefix}tls"):
        return None
    files = {
        key: _file(f"{prefix}{key}", getattr(draft, f"{prefix}{key}"), wrong, missing) for key in _TLS_FILES
    }
    if files["key_file"] and not files["cert_file"]:
        wrong[f"{prefix}cert_file"] = "The key needs its certificate"
    return TlsOptions(
        verify=getattr(draft, f"{prefix}verify"),
        server_name=getattr(draft, f"{prefix}server_name").strip(),
        **files,
    )


def _file(name: str, text: str, wrong: dict[str, str], missing: Collection[str]) -> str:
    path = _whole(text)
    if path and not path.startswith("/"):
        wrong[name] = "The whole path of the file is needed, from / on"
    elif path in missing:
        wrong[name] = "There is no such file"
    return path


def _whole(text: str) -> str:
    # An unknown ~user stays as it is instead of raising.
    return os.path.expanduser(text.strip())  # noqa: PTH111


def _host(name: str, text: str, wrong: dict[str, str]) -> str:
    host = text.strip().removeprefix("[").removesuffix("]")
    if not host:
        wrong[name] = "A host is needed"
        return ""
    try:
        check_host(host)
    except ConsoleError:
        wrong[name] = "This is no host name"
    return host


def _port(name: str, text: str, wrong: dict[str, str]) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and 0 < int(text) < 65_536):
        wrong[name] = _PORT_WORDS
        return 0
    return int(text)


def _database(text: str, wrong: dict[str, str]) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdecimal() and len(text) < 6):
        wrong["database"] = "A number such as 0"
        return 0
    return int(text)


def _sentinels(text: str, wrong: dict[str, str]) -> tuple[Endpoint, ...]:
    found: list[Endpoint] = []
    for one in split_names(text):
        host, port = _endpoint(one)
        problems: dict[str, str] = {}
        found.append((_host("host", host, problems), _port("port", port, problems)))
        if problems:
            wrong["sentinels"] = f"{one}: {next(iter(problems.values()))}"
    if not found:
        wrong["sentinels"] = "At least one host:port is needed"
    return tuple(found)


def _endpoint(text: str) -> tuple[str, str]:
    usual = str(DEFAULT_PORTS[BrokerKind.SENTINEL])
    if text.startswith("["):
        host, _bracket, rest = text[1:].partition("]")
        return host, rest.removeprefix(":") or usual
    if text.count(":") > 1:  # an IPv6 address without brackets has no port
        return text, usual
    host, _colon, port = text.partition(":")
    return host, port or usual


def _timeout(text: str, wrong: dict[str, str]) -> float:
    try:
        timeout_s = float(text.strip())
    except ValueError:
        timeout_s = 0.0
    if not 0 < timeout_s <= LONGEST_TIMEOUT_S:
        wrong["timeout_s"] = f"A number of seconds up to {LONGEST_TIMEOUT_S:.0f}"
        return 1.0
    return timeout_s


def _management(draft: Draft, wrong: dict[str, str]) -> str:
    url = draft.management_url.strip()
    if draft.kind is not BrokerKind.RABBITMQ:
        return ""
    if url and not url.startswith(("http://", "https://")):
        wrong["management_url"] = "It starts with http:// or https://"
    elif "@" in url:
        wrong["management_url"] = "Without user and password: the broker's are used"
    return url
