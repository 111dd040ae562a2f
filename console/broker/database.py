"""The database with a deployment's schedules: where it is and how one gets in.

Stands beside the broker's address because both belong to an open connection; the schedules feature makes
Django's settings of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from console.broker.address import Endpoint, endpoint_text
from console.broker.tls import TlsOptions
from console.core.errors import Cause, ConsoleError
from console.core.redaction import MASK, Secret


class DatabaseKind(StrEnum):
    """The words of the editor."""

    SQLITE = "SQLite"
    POSTGRESQL = "PostgreSQL"
    MYSQL = "MySQL"


DATABASE_PORTS = {DatabaseKind.POSTGRESQL: 5432, DatabaseKind.MYSQL: 3306}
# What stands for a Unix socket in the query: libpq's word and that of MySQL's clients.
_SOCKET_WORDS = {DatabaseKind.POSTGRESQL: "host", DatabaseKind.MYSQL: "unix_socket"}
_SCHEMES = {
    "sqlite": DatabaseKind.SQLITE,
    "sqlite3": DatabaseKind.SQLITE,
    "postgres": DatabaseKind.POSTGRESQL,
    "postgresql": DatabaseKind.POSTGRESQL,
    "mysql": DatabaseKind.MYSQL,
    "mariadb": DatabaseKind.MYSQL,
}


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """A database. `path` (absolute) is SQLite's file and `host` to `tls` the servers'; `name` the database.

    A `host` that begins with a slash is a Unix socket: PostgreSQL's folder of it, MySQL's file.
    `near` is where to connect instead of host and port: the near end of a tunnel.
    """

    kind: DatabaseKind
    path: str = ""
    host: str = ""
    port: int = 0
    name: str = ""
    username: str = ""
    password: Secret = field(default_factory=lambda: Secret(""))
    tls: TlsOptions | None = None
    near: Endpoint | None = None

    @property
    def url(self) -> str:
        """Without a password: what files and exports hold."""
        return self._url("")

    @property
    def shown(self) -> str:
        """For people: the password as dots."""
        return self._url(MASK if self.password else "")

    @property
    def is_socket(self) -> bool:
        """Whether it is reached by a Unix socket of this computer."""
        return self.host.startswith("/")

    @property
    def place(self) -> str:
        """Where it is, for sentences."""
        if self.kind is DatabaseKind.SQLITE:
            return self.path
        return self.host if self.is_socket else endpoint_text((self.host, self.port))

    @property
    def summary(self) -> str:
        """How a table names it: "PostgreSQL, shop"."""
        name = self.path.rpartition("/")[2] if self.kind is DatabaseKind.SQLITE else self.name
        return f"{self.kind}, {name}"

    def _url(self, password: str) -> str:
        if self.kind is DatabaseKind.SQLITE:
            return f"sqlite:///{quote(self.path)}"
        login = f"{quote(self.username, safe='')}{':' if password else ''}{password}"
        login = f"{login}@" if login else ""
        name = quote(self.name, safe="")
        if self.is_socket:
            port = f"&port={self.port}" if self.port != DATABASE_PORTS[self.kind] else ""
            return f"{self.kind.lower()}://{login}/{name}?{_SOCKET_WORDS[self.kind]}={quote(self.host)}{port}"
        return f"{self.kind.lower()}://{login}{endpoint_text((self.host, self.port))}/{name}"

    def with_password(self, password: Secret) -> DatabaseAddress:
        return replace(self, password=password)


def parse_database_url(url: str) -> DatabaseAddress:
    """`sqlite:////path`, `postgresql://user@host:5432/name` or `mysql://...`; TLS by the usual query words.

    Over a Unix socket: `postgresql:///name?host=/run/postgresql`, `mysql:///name?unix_socket=/run/my.sock`.

    Raises `ConsoleError` (`Cause.INVALID`) without repeating what may be a password.
    """
    scheme, separator, rest = url.strip().partition("://")
    kind = _SCHEMES.get(scheme.lower()) if separator else None
    if kind is None:
        raise invalid_database("It must start with sqlite:///, postgresql:// or mysql://.")
    if kind is DatabaseKind.SQLITE:
        path = unquote(rest).lstrip("/")
        if not path:
            raise invalid_database("The path of the file is missing: sqlite:////srv/shop/db.sqlite3")
        return DatabaseAddress(kind, path="/" + path)
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise invalid_database("The host or the port cannot be read.") from error
    if parts.fragment or "@" in parts.path + parts.query:
        raise invalid_database(
            "If it holds a password with / # ? or @, type the password into its field instead."
        )
    options = dict(parse_qsl(parts.query))
    host, port = _place(kind, parts.hostname or "", port or DATABASE_PORTS[kind], options)
    name = unquote(parts.path.strip("/"))
    if not name:
        raise invalid_database("The name of the database after the host is missing.")
    return DatabaseAddress(
        kind,
        host=host,
        port=port,
        name=name,
        username=unquote(parts.username or ""),
        password=Secret(unquote(parts.password or "")),
        tls=None if host.startswith("/") else _tls(options),
    )


def _place(kind: DatabaseKind, host: str, port: int, options: dict[str, str]) -> Endpoint:
    """The host of the URL, or the Unix socket of its query, whose port PostgreSQL makes a name of."""
    if host:
        return host, port
    path = options.get(_SOCKET_WORDS[kind], "")
    if not path.startswith("/"):
        raise invalid_database("The host is missing.")
    text = options.get("port", "")
    return path, int(text) if text.isascii() and text.isdecimal() else port


def _tls(options: dict[str, str]) -> TlsOptions | None:
    """libpq's `sslmode` and its files; MySQL clients' `ssl-mode` and `ssl-ca`."""
    mode = (options.get("sslmode") or options.get("ssl-mode") or options.get("ssl_mode") or "").lower()
    ca_file = options.get("sslrootcert") or options.get("ssl-ca") or options.get("ssl_ca") or ""
    if not mode and not ca_file:
        return None
    if mode.replace("_", "-") in ("disable", "disabled", "allow", "prefer", "preferred"):
        return None
    return TlsOptions(
        verify=mode.replace("_", "-") not in ("require", "required"),
        ca_file="" if ca_file == "system" else ca_file,
        cert_file=options.get("sslcert") or options.get("ssl-cert") or "",
        key_file=options.get("sslkey") or options.get("ssl-key") or "",
    )


def invalid_database(detail: str) -> ConsoleError:
    return ConsoleError(
        "The schedules database is not valid",
        detail=detail,
        remedy="Example: postgresql://user@host/name or sqlite:////srv/shop/db.sqlite3",
        cause=Cause.INVALID,
    )
