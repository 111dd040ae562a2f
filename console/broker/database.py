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
    def place(self) -> str:
        """Where it is, for sentences."""
        return self.path if self.kind is DatabaseKind.SQLITE else endpoint_text((self.host, self.port))

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
        place = endpoint_text((self.host, self.port))
        return f"{self.kind.lower()}://{login}{place}/{quote(self.name, safe='')}"

    def with_password(self, password: Secret) -> DatabaseAddress:
        return replace(self, password=password)


def parse_database_url(url: str) -> DatabaseAddress:
    """`sqlite:////path`, `postgresql://user@host:5432/name` or `mysql://...`; TLS by the usual query words.

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
    if not parts.hostname:
        raise invalid_database("The host is missing.")
    name = unquote(parts.path.strip("/"))
    if not name:
        raise invalid_database("The name of the database after the host is missing.")
    return DatabaseAddress(
        kind,
        host=parts.hostname,
        port=port or DATABASE_PORTS[kind],
        name=name,
        username=unquote(parts.username or ""),
        password=Secret(unquote(parts.password or "")),
        tls=_tls(dict(parse_qsl(parts.query))),
    )


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
