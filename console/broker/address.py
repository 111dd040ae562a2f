"""Where a broker is and how one gets in, with the password kept apart from everything printable."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from urllib.parse import quote, unquote, urlsplit

from console.core.errors import Cause, ConsoleError
from console.core.redaction import MASK, Secret

REDIS_PORT = 6379


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """A Redis broker. `key_prefix` is kombu's `global_keyprefix`."""

    host: str
    port: int
    database: int = 0
    username: str = ""
    password: Secret = field(default_factory=lambda: Secret(""))
    tls: bool = False
    key_prefix: str = ""

    @property
    def shown(self) -> str:
        """The URL for people: the password as dots."""
        return self._url(MASK if self.password else "")

    def reveal_url(self) -> str:
        """The URL with the password in it: only for the environment or the standard input of a child."""
        return self._url(quote(self.password.reveal(), safe=""))

    def _url(self, password: str) -> str:
        login = f"{quote(self.username, safe='')}:{password}@" if self.username or password else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rediss' if self.tls else 'redis'}://{login}{host}:{self.port}/{self.database}"

    def with_password(self, password: Secret) -> BrokerAddress:
        return replace(self, password=password)


def parse_broker_url(url: str) -> BrokerAddress:
    """A `redis://` or `rediss://` URL as an address.

    Raises `ConsoleError` (`Cause.INVALID`) that says what is wrong, without repeating a password.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise _invalid("The port or the host cannot be read.") from error
    if parts.scheme not in ("redis", "rediss"):
        raise _invalid(f"It starts with {parts.scheme or 'nothing'}; redis:// or rediss:// is expected.")
    if not parts.hostname:
        raise _invalid("The host is missing.")
    try:
        parts.hostname.encode("idna")
    except UnicodeError as error:
        raise _invalid(f"{parts.hostname!r} is no host name.") from error
    database = parts.path.strip("/") or "0"
    if not database.isdecimal():
        raise _invalid(f"The database must be a number, not {database!r}.")
    return BrokerAddress(
        host=parts.hostname,
        port=port or REDIS_PORT,
        database=int(database),
        username=unquote(parts.username or ""),
        password=Secret(unquote(parts.password or "")),
        tls=parts.scheme == "rediss",
    )


def _invalid(detail: str) -> ConsoleError:
    return ConsoleError(
        "The broker URL is not valid",
        detail=detail,
        remedy="Example: redis://user@host:6379/0",
        cause=Cause.INVALID,
    )
