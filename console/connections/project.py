"""What was read from a project, as values: from the probe's document to what the connection editor fills in.

Pure, apart from the process that reads: a document is untrusted input, every field of it is looked at.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

from console.broker.tls import TlsOptions
from console.core.redaction import Secret

DJANGO_RESULTS = "django-db"
DEFAULT_QUEUE = "celery"
_NEXT_URL = re.compile(r";(?=[A-Za-z][A-Za-z0-9+.\-]*://)")
_SECRET_QUERY = frozenset({"password", "passwd", "ssl_keyfile_password", "ssl_password"})
_ENGINES = {"sqlite": "sqlite", "spatialite": "sqlite", "postg": "postgresql", "mysql": "mysql"}


def no_secret() -> Secret:
    return Secret("")


class CandidateKind(StrEnum):
    """What of a project can be read; the words of the page."""

    CELERY = "Celery app"
    DJANGO = "Django settings"


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that looks as if it held the settings.

    `name` is dotted, for an app perhaps with `:attribute`; `found_in` the file that says so; `root` the
    folder in which the project runs: its modules are found from there (and from `src` in it), and its
    relative paths start there.
    """

    kind: CandidateKind
    name: str
    found_in: Path
    root: Path

    @property
    def module(self) -> str:
        return self.name.partition(":")[0]


@dataclass(frozen=True, slots=True)
class ProjectUrl:
    """A URL without its password, and the password, decoded. `url` may be a bare word such as `django-db`."""

    url: str
    password: Secret = field(default_factory=no_secret)


@dataclass(frozen=True, slots=True)
class ProjectDatabase:
    """One entry of `DATABASES`.

    `engine` is `sqlite`, `postgresql`, `mysql` or the last part of an unknown engine's name. For SQLite
    `name` is the absolute path. `port` is None where the project names none. `ssl_mode` is in the words of
    libpq (or of MySQL); `tls` the files, None where the project says nothing of TLS.
    """

    alias: str
    engine: str
    name: str
    host: str = ""
    port: int | None = None
    user: str = ""
    password: Secret = field(default_factory=no_secret)
    ssl_mode: str = ""
    tls: TlsOptions | None = None

    @property
    def url(self) -> str:
        """The URL without the password: `sqlite:////srv/shop.sqlite3`, `postgresql://user@host:5432/name?...`."""
        if self.engine == "sqlite":
            return f"sqlite:///{quote(self.name)}"
        login = f"{quote(self.user, safe='')}@" if self.user else ""
        is_socket = self.host.startswith("/")
        host = f"[{self.host}]" if ":" in self.host and not is_socket else self.host
        port = f":{self.port}" if self.port is not None and not is_socket else ""
        query = {"host": self.host if is_socket else "", "sslmode": self.ssl_mode}
        if self.tls is not None:
            query |= {
                "sslrootcert": self.tls.ca_file,
                "sslcert": self.tls.cert_file,
                "sslkey": self.tls.key_file,
            }
        asked = urlencode({key: value for key, value in query.items() if value})
        place = f"{login}{'' if is_socket else host}{port}"
        return f"{self.engine}://{place}/{quote(self.name, safe='')}{'?' if asked else ''}{asked}"


@dataclass(frozen=True, slots=True)
class ProjectSettings:
    """What a project says about its broker, results, queues and databases.

    `broker_urls` is empty when nothing usable was said, and holds several for Sentinel or for brokers tried
    in turn; `broker_read_urls` only where workers read from elsewhere. `queues` are sorted and hold the
    default queue. `schedules` is the database of django-celery-beat, None when the project does not use it.
    `notes` are sentences for the person: what was not taken over, and why.
    """

    candidate: Candidate
    app: str = ""
    broker_urls: tuple[ProjectUrl, ...] = ()
    broker_read_urls: tuple[ProjectUrl, ...] = ()
    broker_tls: TlsOptions | None = None
    key_prefix: str = ""
    sentinel_master: str = ""
    sentinel_username: str = ""
    sentinel_password: Secret = field(default_factory=no_secret)
    visibility_timeout_s: float | None = None
    priority_steps: tuple[int, ...] = ()
    queue_order_strategy: str = ""
    result_backend: ProjectUrl = field(default_factory=lambda: ProjectUrl(""))
    result_tls: TlsOptions | None = None
    queues: tuple[str, ...] = ()
    default_queue: str = DEFAULT_QUEUE
    timezone: str = ""
    beat_scheduler: str = ""
    database: ProjectDatabase | None = None
    schedules: ProjectDatabase | None = None
    uses_django_celery_beat: bool = False
    uses_django_celery_results: bool = False
    python_version: str = ""
    celery_version: str = ""
    django_version: str = ""
    notes: tuple[str, ...] = ()


def project_settings(document: Mapping[str, Any], candidate: Candidate) -> ProjectSettings:
    """The values of the probe's `document`, which holds no `error`. The rest becomes notes."""
    notes = [str(note) for note in _list(document.get("notes"))]
    celery = _Fields(_dict(document.get("celery")), notes)
    options = _Fields(_dict(celery.values.get("broker_transport_options")), notes)
    sentinel = _Fields(_dict(options.values.get("sentinel_kwargs")), notes)
    django = _dict(document.get("django"))
    brokers = celery.urls("broker_url")
    results = celery.urls("result_backend")
    default_queue = celery.text("task_default_queue") or DEFAULT_QUEUE
    uses_beat = django.get("beat") is True
    databases = {
        str(alias): database
        for alias, entry in _dict(django.get("databases")).items()
        if (database := _database(str(alias), _Fields(_dict(entry), notes), candidate.root)) is not None
    }
    return ProjectSettings(
        candidate,
        app=str(document.get("app", "")),
        broker_urls=brokers,
        broker_read_urls=celery.urls("broker_read_url"),
        broker_tls=celery.tls("broker_use_ssl", brokers, candidate.root),
        key_prefix=options.text("global_keyprefix"),
        sentinel_master=options.text("master_name"),
        sentinel_username=sentinel.text("username"),
        sentinel_password=Secret(sentinel.text("password")),
        visibility_timeout_s=options.number("visibility_timeout"),
        priority_steps=tuple(
            step for step in _list(options.values.get("priority_steps")) if type(step) is int
        ),
        queue_order_strategy=options.text("queue_order_strategy"),
        result_backend=results[0] if results else ProjectUrl(""),
        result_tls=celery.tls("redis_backend_use_ssl", results, candidate.root),
        queues=tuple(sorted({default_queue, *map(str, _list(celery.values.get("queues")))})),
        default_queue=default_queue,
        timezone=celery.text("timezone"),
        beat_scheduler=celery.text("beat_scheduler"),
        database=databases.get("default"),
        schedules=databases.get(str(django.get("schedules_alias"))) if uses_beat else None,
        uses_django_celery_beat=uses_beat,
        uses_django_celery_results=django.get("results") is True,
        python_version=str(document.get("python", "")),
        celery_version=str(document.get("celery_version", "")),
        django_version=str(document.get("django_version", "")),
        notes=tuple(notes),
    )


def project_url(text: str) -> ProjectUrl:
    """`text` taken apart. A password that was not percent-encoded is found, too: none may stay in the URL."""
    scheme, separator, rest = text.strip().partition("://")
    if not separator:
        return ProjectUrl(text.strip())
    rest, question, query = rest.partition("?")
    end = min((at for at in map(rest.find, "/#") if at >= 0), default=len(rest))
    place, tail = rest[:end], rest[end:]
    whole = f"{rest}{question}{query}"
    port = place.rpartition(":")[2]
    if "@" not in place and "@" in whole and ":" in place and not (port.isdigit() and place[0] != ":"):
        # A "/", "?" or "#" in the password has ended the place too early.
        login, _at, after = whole.rpartition("@")
        user, _colon, password = login.partition(":")
        return ProjectUrl(f"{scheme}://{f'{user}@' if user else ''}{after}", Secret(unquote(password)))
    login, at, host = place.rpartition("@")
    user, _colon, password = login.partition(":")
    secret = unquote(password)
    asked = parse_qsl(query, keep_blank_values=True)
    if any(key in _SECRET_QUERY for key, _value in asked):
        secret = secret or next((value for key, value in asked if key in ("password", "passwd")), "")
        query = urlencode([(key, value) for key, value in asked if key not in _SECRET_QUERY])
    login = f"{user}@" if at and user else ""
    return ProjectUrl(f"{scheme}://{login}{host}{tail}{'?' if query else ''}{query}", Secret(secret))


def absolute(path: str, root: Path) -> str:
    """`path` as the project finds it when it runs in `root`; "" stays ""."""
    return os.path.normpath(root / path) if path else ""


class _Fields:
    """Fields of a document, each taken as the kind of value that it must be."""

    def __init__(self, values: dict[str, Any], notes: list[str]) -> None:
        self.values = values
        self.notes = notes

    def text(self, name: str) -> str:
        value = self.values.get(name)
        if isinstance(value, str):
            return _sound(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return str(value)
        self._say(name, value, "text")
        return ""

    def number(self, name: str) -> float | None:
        value = self.values.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        self._say(name, value, "a number")
        return None

    def urls(self, name: str) -> tuple[ProjectUrl, ...]:
        """One URL, several with `;` between them, or a list (kombu takes all three)."""
        value = self.values.get(name)
        if isinstance(value, list):
            texts = [_sound(one) for one in value if isinstance(one, str)]
        else:
            texts = _NEXT_URL.split(self.text(name))
        return tuple(project_url(one) for one in texts if one.strip())

    def tls(self, name: str, urls: tuple[ProjectUrl, ...], root: Path) -> TlsOptions | None:
        """TLS by a setting of redis (`ssl_ca_certs`) or of amqp (`ca_certs`), or in the query of the URL."""
        value = self.values.get(name)
        said = value if isinstance(value, dict) else {}
        query = dict(parse_qsl(urls[0].url.partition("?")[2])) if urls else {}
        is_asked = any(key.startswith("ssl_") for key in query)
        if not (value or is_asked or (urls and urls[0].url.startswith(("rediss://", "amqps://")))):
            return None
        if (value and not isinstance(value, (bool, dict))) or said.keys() == {"type"}:
            self._say(name, value, "a dict")
        said = {key.removeprefix("ssl_"): one for key, one in (query | said).items()}
        fields = _Fields(said, self.notes)
        required = fields.text("cert_reqs").lower().removeprefix("cert_")
        if required in ("none", "0"):
            self.notes.append(f"{name}: the project does not verify the certificate of the server")
        if said.get("check_hostname") in (False, "false", "False"):
            self.notes.append(
                f"{name}: the project does not look at the name in the certificate; the console does"
            )
        if said.get("keyfile_password") or said.get("password"):
            self.notes.append(f"{name}: the passphrase of the key is not taken over")
        return TlsOptions(
            verify=required not in ("none", "0"),
            ca_file=absolute(fields.text("ca_certs"), root),
            cert_file=absolute(fields.text("certfile"), root),
            key_file=absolute(fields.text("keyfile"), root),
            server_name=fields.text("server_hostname"),
        )

    def _say(self, name: str, value: object, wanted: str) -> None:
        if value is None:
            return
        kind = value.get("type") if isinstance(value, dict) else None
        self.notes.append(f"{name} is not {wanted}, but {kind or type(value).__name__}; it was left out")


def _database(alias: str, fields: _Fields, root: Path) -> ProjectDatabase | None:
    """One database; None for what Django has when nothing is configured."""
    module = fields.text("ENGINE")
    if not module or module.endswith(".dummy"):
        return None
    engine = next((known for part, known in _ENGINES.items() if part in module), module.rpartition(".")[2])
    name = fields.text("NAME")
    if engine == "sqlite" and name and not name.startswith((":memory:", "file:")):
        name = absolute(name, root)
    options = _Fields(_dict(fields.values.get("OPTIONS")), fields.notes)
    port = fields.text("PORT")
    for pointer in ("service", "read_default_file"):
        if options.values.get(pointer):
            fields.notes.append(f"DATABASES {alias}: what its {pointer} says is not taken over")
    return ProjectDatabase(
        alias,
        engine,
        name,
        host=fields.text("HOST") or options.text("unix_socket"),
        port=int(port) if port.isdecimal() else None,
        user=fields.text("USER"),
        password=Secret(fields.text("PASSWORD") or options.text("password") or options.text("passwd")),
        ssl_mode=options.text("sslmode") or options.text("ssl_mode"),
        tls=_database_tls(options, root),
    )


def _database_tls(options: _Fields, root: Path) -> TlsOptions | None:
    """TLS by libpq's `sslrootcert`, ... or by the `ssl` of a MySQL driver."""
    ssl = options.values.get("ssl")
    mysql = _Fields(_dict(ssl), options.notes)
    mode = (options.text("sslmode") or options.text("ssl_mode")).lower()
    files = [
        absolute(options.text(postgresql) or mysql.text(key), root)
        for postgresql, key in (("sslrootcert", "ca"), ("sslcert", "cert"), ("sslkey", "key"))
    ]
    if not any(files) and not ssl and mode not in ("require", "required", "verify-ca", "verify-full"):
        return None
    verify = mode not in ("require", "required") or bool(files[0])
    return TlsOptions(verify=verify, ca_file=files[0], cert_file=files[1], key_file=files[2])


def _sound(text: str) -> str:
    """`text` without halves of characters, which JSON can carry and nothing else can."""
    return text.encode(errors="replace").decode()


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
