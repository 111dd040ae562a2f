"""What `celery-console connections` does: on the connections file and the keyring, without a loop or Qt."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from console.app.connections_arguments import check_files, connection_of
from console.app.connections_command import sentence
from console.app.connections_secrets import all_secrets, forget, given_secrets, in_time, keep
from console.app.connections_words import as_json, ask_out, complain, say, say_step, step_json
from console.connections.check_model import CheckStep, all_passed, summary
from console.connections.gateway import ConnectionsFile, KeyringSecrets
from console.connections.model import (
    Connection,
    Purpose,
    Secrets,
    keyring_entry,
    new_connection_id,
    wanted_secrets,
)
from console.connections.sharing import (
    ImportEntry,
    ImportKind,
    export_text,
    free_name,
    plan_import,
    redirected,
)
from console.core.errors import Cause, ConsoleError
from console.core.home import Home, write_atomically


def add(root: Path, wanted: argparse.Namespace) -> int:
    home = _home(root)
    before = _same_name(existing_connections(home), wanted)
    connection = connection_of(wanted, before)
    check_files(connection, before)
    secrets = given_secrets(wanted, connection)
    if secrets.values:
        in_time(KeyringSecrets().probe)  # before anything is written
    saved: list[tuple[Connection, tuple[Purpose, ...]]] = []

    def change(existing: list[Connection]) -> list[Connection]:
        same = _same_name(existing, wanted)
        if same is None:
            saved.append((connection, ()))
            return [*existing, connection]
        replaced = connection_of(wanted, same)
        saved.append((replaced, redirected(same, replaced)))
        return [replaced if one is same else one for one in existing]

    _file(home).update(change)
    [(made, moved)] = saved
    given = dict(secrets.values)
    forget(made, [purpose for purpose in moved if purpose not in given])
    keep(made, secrets)
    say(f"{made.name} is saved.")
    return 0


def _same_name(existing: Sequence[Connection], wanted: argparse.Namespace) -> Connection | None:
    """The connection that is to be replaced. Raises `ConsoleError` when nobody has said so."""
    name = wanted.name.strip()
    same = next((one for one in existing if one.name == name), None)
    if same is not None and not wanted.replace:
        raise ConsoleError(
            f"There is already a connection named {name}",
            remedy="Choose another name, or say --replace.",
            cause=Cause.CONFLICT,
        )
    return same


def list_all(root: Path, wanted: argparse.Namespace) -> int:
    connections = existing_connections(Home(root))
    if wanted.json:
        say(json.dumps([as_json(one) for one in connections], indent=2, ensure_ascii=False))
        return 0
    rows = [("Name", "Environment", "What may be done", "Broker", "Schedules database")]
    rows += [
        (
            one.name,
            one.environment,
            one.mode,
            one.broker.url if one.broker else "–",
            one.schedules.summary if one.schedules else "–",
        )
        for one in connections
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        say(line.rstrip())
    return 0


def test(root: Path, wanted: argparse.Namespace) -> int:
    import asyncio

    home = Home(root)
    if bool(wanted.name) == wanted.all:
        raise ConsoleError("Name one connection, or say --all", cause=Cause.INVALID)
    existing = existing_connections(home)
    chosen = existing if wanted.all else [named_connection(existing, wanted.name)]
    if wanted.all and (wanted.password_stdin or wanted.secrets_stdin):
        raise ConsoleError(
            "Standard input holds the secrets of one connection, not of all", cause=Cause.INVALID
        )
    results: list[dict[str, object]] = []
    good = True
    for connection in chosen:
        typed = given_secrets(wanted, connection)
        secrets, problem = all_secrets(connection, typed)
        if problem is not None:
            complain(f"{connection.name}: {sentence(problem)} Go on without, or say --ask-passwords.")
        if not wanted.json:
            say(connection.name)
        try:
            steps = asyncio.run(_tested(home, connection, secrets, typed, quiet=wanted.json))
        except asyncio.CancelledError as error:
            raise KeyboardInterrupt from error
        good = good and all_passed(steps)
        results.append({"name": connection.name, "steps": [step_json(step) for step in steps]})
        if not wanted.json:
            say(f"  {summary(steps)}")
    if wanted.json:
        say(json.dumps(results, indent=2, ensure_ascii=False))
    return 0 if good else 1


async def _tested(
    home: Home, connection: Connection, secrets: Secrets, typed: Secrets, *, quiet: bool
) -> tuple[CheckStep, ...]:
    import asyncio

    from console.app.checker import make_checker

    # asyncio's own handler sees Ctrl+C only when the loop wakes: the system may give it to another thread.
    if (task := asyncio.current_task()) is not None:
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)
    printed: set[str] = set()

    def on_steps(steps: tuple[CheckStep, ...]) -> None:
        for step in steps:
            if step.state.ended and step.key not in printed and not quiet:
                printed.add(step.key)
                say_step(step)

    checker = make_checker(home)
    return await checker.check(connection, secrets, on_steps, typed=dict(typed.values))


def export(root: Path, wanted: argparse.Namespace) -> int:
    existing = existing_connections(Home(root))
    chosen = [named_connection(existing, name) for name in wanted.names] if wanted.names else existing
    text = export_text(existing, {one.id for one in chosen})
    if wanted.output is None:
        sys.stdout.write(text)
        return 0
    target = Path(wanted.output)
    try:
        write_atomically(target.absolute(), text)
    except OSError as error:
        raise ConsoleError(
            "The file could not be written", detail=f"{target}: {error.strerror}.", cause=Cause.NOT_PERMITTED
        ) from error
    say(f"{len(chosen)} exported to {target}, without secrets.")
    return 0


def take_in(root: Path, wanted: argparse.Namespace) -> int:
    home = _home(root)
    text = _read(wanted.file)
    taken: list[tuple[Connection, Secrets, tuple[Purpose, ...]]] = []
    told: list[str] = []
    failed = False

    def change(existing: list[Connection]) -> list[Connection]:
        nonlocal failed
        plan = plan_import(text, existing)
        for error in plan.errors:
            failed = True
            complain(sentence(error))
        changed = list(existing)
        for entry in plan.entries:
            saved, what = _resolved(entry, changed, wanted.on_conflict)
            told.append(f"{entry.connection.name if saved is None else saved.name}: {what}")
            if saved is not None:
                ids = [one.id for one in changed]
                if saved.id in ids:
                    at = ids.index(saved.id)
                    taken.append((saved, entry.secrets, redirected(changed[at], saved)))
                    changed[at] = saved
                else:
                    taken.append((saved, entry.secrets, ()))
                    changed.append(saved)
        return changed

    if wanted.dry_run:
        change(existing_connections(home))
    else:
        _file(home).update(change)
        for connection, secrets, moved in taken:
            forget(connection, moved)
            keep(connection, secrets)
    for line in told:
        say(line)
    return 1 if failed else 0


def _resolved(
    entry: ImportEntry, existing: Sequence[Connection], on_conflict: str
) -> tuple[Connection | None, str]:
    """What is saved of an entry (None: nothing), and what is told about it."""
    connection = entry.connection
    match entry.kind:
        case ImportKind.SAME:
            return (connection, "only its secrets are taken") if entry.secrets.values else (None, "as it is")
        case ImportKind.NEW:
            return connection, "added"
        case ImportKind.CHANGED:
            differs = ", ".join(entry.changed)
            if on_conflict == "replace":
                return connection, f"replaced ({differs})"
            if on_conflict == "rename":
                names = {one.name for one in existing}
                name = free_name(connection.name, names)
                return replace(connection, id=new_connection_id(), name=name), f"added beside ({differs})"
            return None, f"skipped, it is there differently ({differs})"
        case ImportKind.NAME_TAKEN:
            if on_conflict == "rename":
                return connection, "added under another name"
            name, same = _taken(connection.name, existing)
            if on_conflict == "replace" and same is not None:
                return replace(connection, id=same.id, name=name), "replaced the one of this name"
            return None, "skipped, the name is taken"


def _taken(name: str, existing: Sequence[Connection]) -> tuple[str, Connection | None]:
    """The plan has put a number behind a name that is taken: the name, and who has it."""
    first = name.rpartition(" ")[0]
    return first, next((one for one in existing if one.name == first), None)


def remove(root: Path, wanted: argparse.Namespace) -> int:
    home = _home(root)
    connection = named_connection(existing_connections(home), wanted.name)
    if not wanted.yes:
        if not sys.stdin.isatty():
            raise ConsoleError("Nobody is there to be asked", remedy="Say --yes.", cause=Cause.INVALID)
        ask_out(f"Remove {connection.name} and its secrets? [y/N] ")
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            say("Nothing is removed.")
            return 1
    _file(home).update(lambda existing: [one for one in existing if one.id != connection.id])
    say(f"{connection.name} is removed.")
    store = KeyringSecrets()
    try:
        for purpose in wanted_secrets(connection):
            entry = keyring_entry(connection.id, purpose)
            in_time(store.remove, entry)
    except ConsoleError as error:
        complain(f"Its secrets may still be in the keyring. {sentence(error)}")
        return 1
    return 0


def _home(root: Path) -> Home:
    home = Home(root)
    home.prepare()
    return home


def _file(home: Home) -> ConnectionsFile:
    return ConnectionsFile(home.connections_file)


def existing_connections(home: Home) -> list[Connection]:
    """The saved connections; the local stack is the window's own."""
    return [one for one in _file(home).read() if not one.is_local_stack]


def named_connection(connections: Sequence[Connection], name: str) -> Connection:
    """The one of that name. Raises `ConsoleError` when there is none."""
    found = next((one for one in connections if one.name == name), None)
    if found is None:
        raise ConsoleError(
            f"There is no connection named {name}",
            remedy="See: celery-console connections list",
            cause=Cause.NOT_FOUND,
        )
    return found


def _read(file: str) -> str:
    if file == "-":
        return sys.stdin.read()
    try:
        return Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConsoleError(
            "The file cannot be read",
            detail=f"{file}: {getattr(error, 'strerror', None) or 'it is not text in UTF-8'}.",
            cause=Cause.NOT_FOUND,
        ) from error
