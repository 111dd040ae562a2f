"""Broker URLs as people and projects write them (kombu's forms) to addresses.

Whatever is wrong is said without repeating a piece of the URL that may be the password.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from console.broker.address import DEFAULT_PORTS, TLS_PORTS, BrokerAddress, BrokerKind, Endpoint
from console.broker.tls import TlsOptions
from console.core.errors import Cause, ConsoleError
from console.core.redaction import Secret

# kombu's names for its transports; its aliases mean the same line.
_KINDS = {
    "redis": (BrokerKind.REDIS, False),
    "rediss": (BrokerKind.REDIS, True),
    "redis+socket": (BrokerKind.SOCKET, False),
    "unix": (BrokerKind.SOCKET, False),
    "socket": (BrokerKind.SOCKET, False),
    "sentinel": (BrokerKind.SENTINEL, False),
    "sentinels": (BrokerKind.SENTINEL, True),
    "amqp": (BrokerKind.RABBITMQ, False),
    "amqps": (BrokerKind.RABBITMQ, True),
    "pyamqp": (BrokerKind.RABBITMQ, False),
}
SCHEMES = "redis://, rediss://, redis+socket://, sentinel://, amqp:// or amqps://"
_ENCODE = (
    "If it holds a password with / # ? or @, leave the password out of the URL and type it into its field,"
    " or write those characters percent-encoded (%2F %23 %3F %40)."
)


def parse_broker_url(url: str) -> BrokerAddress:
    """An address from a `redis`, `rediss`, `redis+socket`, `sentinel`, `amqp` or `amqps` URL.

    Raises `ConsoleError` (`Cause.INVALID`) that says what is wrong, without repeating a password.
    """
    first, *others = [part.strip() for part in url.strip().split(";") if part.strip()] or [""]
    scheme = first.partition("://")[0].lower()
    if "://" not in first or scheme not in _KINDS:
        shown = scheme if "://" in first and len(scheme) < 20 and scheme.replace("+", "").isalnum() else ""
        raise invalid_url(
            f"It starts with {f'{shown}://' if shown else 'something else'}; {SCHEMES} is expected."
        )
    kind, tls = _KINDS[scheme]
    if others and kind is not BrokerKind.SENTINEL:
        raise invalid_url("Several brokers in one URL are only possible with sentinel://.")
    if kind is BrokerKind.SOCKET:
        return _socket(first)
    parts = _split(first)
    options = dict(parse_qsl(parts.query))
    address = BrokerAddress(
        host=_host(parts),
        port=_port(parts) or (TLS_PORTS if tls else DEFAULT_PORTS)[kind],
        username=unquote(parts.username or ""),
        password=Secret(unquote(parts.password or "")),
        tls=_tls(options) if tls or options.keys() & _TLS_OPTIONS else None,
        kind=kind,
    )
    if kind is BrokerKind.RABBITMQ:
        return replace(address, vhost=_vhost(parts.path))
    if kind is BrokerKind.SENTINEL:
        sentinels, last_path = _sentinels(address, others, parts.path)
        return replace(
            address,
            sentinels=sentinels,
            database=_database(last_path or options.get("virtual_host", "")),
            master_name=options.get("master_name", ""),
        )
    return replace(address, database=_database(parts.path or options.get("virtual_host", "")))


_TLS_OPTIONS = frozenset({"ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})


def _tls(options: Mapping[str, str]) -> TlsOptions:
    """redis-py's and kombu's names in the query of a URL."""
    reqs = options.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    if reqs not in ("required", "optional", "none"):
        raise invalid_url("ssl_cert_reqs must be required, optional or none.")
    return TlsOptions(
        verify=reqs != "none",
        ca_file=options.get("ssl_ca_certs", ""),
        cert_file=options.get("ssl_certfile", ""),
        key_file=options.get("ssl_keyfile", ""),
    )


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise invalid_url(f"The host cannot be read. {_ENCODE}") from error
    if "@" in parts.path + parts.query + parts.fragment or parts.fragment:
        raise invalid_url(_ENCODE)
    return parts


def _port(parts: SplitResult) -> int | None:
    try:
        port = parts.port
    except ValueError as error:
        raise invalid_url(f"The port must be a number from 1 to 65535. {_ENCODE}") from error
    if port == 0:
        raise invalid_url("The port must be a number from 1 to 65535.")
    return port


def _host(parts: SplitResult) -> str:
    host = parts.hostname
    if not host:
        raise invalid_url("The host is missing.")
    check_host(host)
    return host


def check_host(host: str) -> None:
    """Raises `ConsoleError` when no resolver would take `host`."""
    try:
        host.encode("idna")
    except UnicodeError as error:
        raise invalid_url(f"{host!r} is no host name.") from error
    if any(character.isspace() or character in "/?#@%" for character in host):
        raise invalid_url(f"{host!r} is no host name.")


def _database(path: str) -> int:
    text = unquote(path).strip("/") or "0"
    if not (text.isascii() and text.isdecimal()):
        raise invalid_url("The database after the host must be a number, such as /0.")
    return int(text)


def _vhost(path: str) -> str:
    """kombu's reading: no path, or one slash, is the vhost `/`; otherwise what follows the first slash."""
    return unquote(path[1:]) or "/"


def _sentinels(address: BrokerAddress, others: list[str], path: str) -> tuple[tuple[Endpoint, ...], str]:
    found: list[Endpoint] = [(address.host, address.port)]
    for other in others:
        parts = _split(other if "://" in other else f"sentinel://{other}")
        if parts.scheme not in ("sentinel", "sentinels"):
            raise invalid_url("All parts of a Sentinel URL must start with sentinel://.")
        found.append((_host(parts), _port(parts) or DEFAULT_PORTS[BrokerKind.SENTINEL]))
        path = parts.path.strip("/") or path
    return tuple(found), path


def _socket(url: str) -> BrokerAddress:
    parts = _split(url)
    options = dict(parse_qsl(parts.query))
    # Without a login the path may stand where a host would: redis+socket://path is a common slip.
    login, at, rest = parts.netloc.rpartition("@")
    if rest:
        raise invalid_url("The path of the socket must begin with a slash: redis+socket:///run/redis.sock")
    user, _colon, password = login.partition(":") if at else ("", "", "")
    path = unquote(parts.path)
    if path in ("", "/"):
        raise invalid_url("The path of the socket is missing: redis+socket:///run/redis.sock")
    return BrokerAddress(
        host="",
        port=0,
        kind=BrokerKind.SOCKET,
        socket_path=path,
        username=unquote(user),
        password=Secret(unquote(password)),
        database=_database(options.get("virtual_host", options.get("db", ""))),
    )


def invalid_url(detail: str) -> ConsoleError:
    return ConsoleError(
        "The broker URL is not valid",
        detail=detail,
        remedy="Example: redis://user@host:6379/0",
        cause=Cause.INVALID,
    )
