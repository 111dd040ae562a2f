"""Django in the console's process: set up once, on the database lane, with the bundled project's models.

The bundled project's own databases are not touched: each open connection registers an alias of its own,
so that two connections never share one and nothing is ever migrated.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from console.core.errors import Cause, ConsoleError

SETTINGS = "bundled_project.settings"
BUSY_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_S = 8

_setting_up = threading.Lock()


def set_up_django() -> None:
    """Import Django and the models. Blocking (about half a second the first time)."""
    with _setting_up:
        from django.apps import apps
        from django.conf import settings

        if apps.ready:
            return
        # A shell's own DJANGO_SETTINGS_MODULE must not win, and must not be lost for our children;
        # celery's Django fix-up puts the working directory on sys.path: files there could be imported.
        # Settings also move the process to TIME_ZONE; the person's own zone is what pages and logs show.
        kept = {name: os.environ.get(name) for name in ("DJANGO_SETTINGS_MODULE", "TZ")}
        path = list(sys.path)
        os.environ["DJANGO_SETTINGS_MODULE"] = SETTINGS
        try:
            import django

            if not settings.configured:
                django.setup()
        finally:
            sys.path[:] = path
            for name, value in kept.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            if hasattr(time, "tzset"):
                time.tzset()


def database_settings(url: str) -> dict[str, Any]:
    """Django's settings for `sqlite:///path` or `postgresql://...`, with a timeout on everything.

    Raises `ConsoleError` (`Cause.INVALID`, or `Cause.NOT_FOUND` for a missing file) without the password.
    """
    scheme, separator, rest = url.strip().partition("://")
    if separator and scheme == "sqlite":
        return _sqlite(Path("/" + unquote(rest).lstrip("/")))
    if separator and scheme in ("postgres", "postgresql"):
        return _postgresql(url.strip())
    raise ConsoleError(
        "The schedules database is not valid",
        detail=f"{scheme if separator else 'It'} is not sqlite:/// or postgresql://.",
        remedy="Example: sqlite:////srv/shop/db.sqlite3",
        cause=Cause.INVALID,
    )


def _sqlite(path: Path) -> dict[str, Any]:
    # mode=rw: a missing file is an error, never created. No pragmas: a foreign file keeps its journal mode.
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": f"file:{quote(str(path))}?mode=rw",
        "OPTIONS": {"uri": True, "timeout": BUSY_TIMEOUT_S, "transaction_mode": "IMMEDIATE"},
    }


def sqlite_path(url: str) -> Path | None:
    """The file of a `sqlite:///` URL; None for another kind."""
    scheme, _, rest = url.strip().partition("://")
    return Path("/" + unquote(rest).lstrip("/")) if scheme == "sqlite" else None


def _postgresql(url: str) -> dict[str, Any]:
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise ConsoleError(
            "PostgreSQL needs one more package",
            detail="psycopg is not installed with this console.",
            remedy="Install it with: pip install 'celery-console[postgres]'",
            cause=Cause.INVALID,
        ) from error
    try:
        parts = urlsplit(url)
        port = str(parts.port or "")
    except ValueError as error:
        raise ConsoleError(
            "The schedules database is not valid",
            detail="The port or the host cannot be read.",
            remedy="Example: postgresql://user@host:5432/name",
            cause=Cause.INVALID,
        ) from error
    limits = f"-c statement_timeout={STATEMENT_TIMEOUT_S * 1000} -c lock_timeout={int(BUSY_TIMEOUT_S * 1000)}"
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": port,
        "OPTIONS": {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": "celery-console",
            "options": limits,
            **{key: value for key, value in parse_qsl(parts.query) if key.startswith("ssl")},
        },
    }
