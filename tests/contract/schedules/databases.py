"""Real databases with django-celery-beat's own migrations applied, and a second party that writes to them."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pymysql

from console.broker.database import parse_database_url

ROOT = Path(__file__).parents[3]
BEFORE = "2026-01-01 00:00:00+00:00"
COLUMNS: dict[str, Any] = {
    "args": "[]",
    "kwargs": "{}",
    "headers": "{}",
    "enabled": True,
    "total_run_count": 0,
    "date_changed": BEFORE,
    "description": "",
    "one_off": False,
}


def environment_for(url: str, data: Path) -> dict[str, str]:
    """The environment of a process of the bundled project on the database at `url`."""
    environment = {**os.environ, "DATABASE_URL": url, "BUNDLED_PROJECT_DATA": str(data)}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    if url.startswith("mysql"):
        # The bundled project itself speaks to SQLite and PostgreSQL only.
        environment |= {"MYSQL_URL": environment.pop("DATABASE_URL")}
        environment["DJANGO_SETTINGS_MODULE"] = "tests.contract.schedules.mysql_settings"
    return environment


def migrate(url: str, data: Path) -> None:
    """What a project does: `migrate django_celery_beat`, in a process of its own."""
    subprocess.run(
        [sys.executable, "-m", "bundled_project", "migrate", "django_celery_beat", "-v", "0"],
        cwd=ROOT,
        env=environment_for(url, data),
        check=True,
        timeout=60,
    )


@dataclass(frozen=True)
class Database:
    """A database as another program sees it: plain SQL on a connection of its own."""

    url: str

    @property
    def is_sqlite(self) -> bool:
        return self.url.startswith("sqlite")

    @property
    def is_mysql(self) -> bool:
        return self.url.startswith("mysql")

    @property
    def path(self) -> Path:
        return Path("/" + self.url.removeprefix("sqlite:///").lstrip("/"))

    def execute(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        if self.is_sqlite:
            with closing(sqlite3.connect(self.path, timeout=5)) as connection, connection:
                return connection.execute(sql.replace("%s", "?"), values).fetchall()
        if self.is_mysql:
            return self.execute_all(sql, values=values)
        import psycopg

        with psycopg.connect(self.url) as pg:
            cursor = pg.execute(sql, values)
            return cursor.fetchall() if cursor.description else []

    def execute_all(self, *statements: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """MySQL: one after the other on one connection; the rows of the last."""
        address = parse_database_url(self.url)
        given = tuple(_naive(value) for value in values)
        with (
            closing(
                pymysql.connect(
                    host=address.host,
                    port=address.port,
                    user=address.username,
                    password=address.password.reveal(),
                    database=address.name,
                    autocommit=True,
                )
            ) as connection,
            connection.cursor() as cursor,
        ):
            for sql in statements:
                cursor.execute(sql, given or None)
            return list(cursor.fetchall())

    def insert(self, table: str, **columns: Any) -> int:
        names, marks = ", ".join(columns), ", ".join(["%s"] * len(columns))
        sql = f"INSERT INTO django_celery_beat_{table} ({names}) VALUES ({marks}) RETURNING id"
        ((key,),) = self.execute(sql, *columns.values())
        return int(key)

    def interval(self, every: int = 60, period: str = "seconds") -> int:
        return self.insert("intervalschedule", every=every, period=period)

    def crontab(self, minute: str = "30", hour: str = "2", *, zone: str = "UTC", **fields: str) -> int:
        fields = {"day_of_month": "*", "month_of_year": "*", "day_of_week": "*", **fields}
        return self.insert("crontabschedule", minute=minute, hour=hour, timezone=zone, **fields)

    def task(self, name: str, task: str = "shop.tasks.build_report", **columns: Any) -> int:
        return self.insert("periodictask", name=name, task=task, **{**COLUMNS, **columns})

    def row(self, key: int) -> dict[str, Any]:
        names = [
            *(
                "id",
                "name",
                "task",
                "enabled",
                "last_run_at",
                "total_run_count",
                "date_changed",
                "start_time",
            ),
            *("args", "kwargs", "headers", "queue", "description", "one_off", "expires", "priority"),
        ]
        ((*values,),) = self.execute(
            f"SELECT {', '.join(names)} FROM django_celery_beat_periodictask WHERE id = %s", key
        )
        return dict(zip(names, values, strict=True))

    def signal(self) -> Any:
        rows = self.execute("SELECT last_update FROM django_celery_beat_periodictasks WHERE ident = 1")
        return rows[0][0] if rows else None


def _naive(value: Any) -> Any:
    """MySQL keeps no zones: an instant goes in as Django would write it, in UTC without saying so."""
    if isinstance(value, str) and value.endswith("+00:00"):
        return datetime.fromisoformat(value).astimezone(UTC).replace(tzinfo=None)
    return value
