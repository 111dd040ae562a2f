"""``prepare``: everything a database needs before worker and beat start, in one quick process.

Progress goes to standard output, one JSON object per line, for whoever started it.
"""

import errno
import json
import sqlite3
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

BUSY_TIMEOUT_S = 5
KIND_OF_ERRNO = {
    errno.ENOSPC: "no-space",
    errno.EDQUOT: "no-space",
    errno.EROFS: "readonly",
    errno.EACCES: "readonly",
    errno.EPERM: "readonly",
}
KIND_OF_SQLITE = {
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_FULL: "no-space",
    sqlite3.SQLITE_READONLY: "readonly",
    sqlite3.SQLITE_CANTOPEN: "readonly",
    sqlite3.SQLITE_PERM: "readonly",
}

KIND_OF_SQLSTATE = {"55P03": "locked", "53100": "no-space", "25006": "readonly"}


def kind_of(error: BaseException) -> str:
    """Why a step failed: ``locked``, ``no-space``, ``readonly`` or ``other``."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, sqlite3.Error):
            # The low byte is the primary code; the rest tells variants of it apart.
            code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
            return KIND_OF_SQLITE.get(code, "other")
        if isinstance(cause, OSError):
            return KIND_OF_ERRNO.get(cause.errno or 0, "other")
        if (sqlstate := getattr(cause, "sqlstate", None)) is not None:
            return KIND_OF_SQLSTATE.get(sqlstate, "other")
        cause = cause.__cause__
    return "other"


class Command(BaseCommand):
    """Apply migrations and, if asked, make demo data."""

    help = "Apply migrations; with --demo also make demo data in an empty database. Prints JSON lines."
    requires_system_checks: tuple[str, ...] = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take ``--demo``."""
        parser.add_argument("--demo", action="store_true", help="make demo data where there is none")

    def handle(self, *, demo: bool, **_options: Any) -> None:
        """Run the steps; on failure print it as JSON and exit with status 1."""
        self._step("migrations", self._migrate)
        if demo:
            self._step("demo", self._seed)

    def _say(self, step: str, state: str, **facts: Any) -> None:
        self.stdout.write(json.dumps({"step": step, "state": state, **facts}))
        self.stdout.flush()

    def _step(self, name: str, run: Any) -> None:
        started_s = time.monotonic()
        try:
            facts = run()
        except (DatabaseError, OSError, ValueError, LookupError) as error:
            self._say(name, "failed", error=str(error), kind=kind_of(error))
            raise SystemExit(1) from None
        self._say(name, "done", **facts, seconds=round(time.monotonic() - started_s, 3))

    def _migrate(self) -> dict[str, int]:
        """Apply what is missing, straight through the executor.

        ``migrate`` would also run checks and send its signals, which nothing in this project listens to.
        """
        if connection.vendor == "sqlite":
            Path(settings.DATABASES["default"]["NAME"]).parent.mkdir(parents=True, exist_ok=True)
            # Someone waits for this process: say "locked" soon.
            options = settings.DATABASES["default"]["OPTIONS"]
            options["timeout"] = min(options["timeout"], BUSY_TIMEOUT_S)
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        applied = 0
        self._say("migrations", "running", applied=applied, total=len(plan))

        def report(action: str, _migration: Any = None, _fake: bool = False) -> None:
            nonlocal applied
            if action == "apply_success":
                applied += 1
                self._say("migrations", "running", applied=applied, total=len(plan))

        executor.progress_callback = report
        if plan:
            executor.loader.check_consistent_history(connection)
            executor.migrate(executor.loader.graph.leaf_nodes(), plan)
        else:
            # Changes nothing, but fails where nothing can be written: before the worker finds out.
            executor.recorder.migration_qs.filter(pk=0).update(app="")
        return {"applied": applied, "total": len(plan)}

    def _seed(self) -> dict[str, int]:
        from bundled_project.shop.demo import seed

        seeded = seed()
        return {"users": seeded.users, "orders": seeded.orders}
