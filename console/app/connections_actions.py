"""What `celery-console connections` does: on the connections file and the keyring, without a loop or Qt."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from console.app.connections_command import MODES, sentence
from console.broker.address import BrokerAddress, BrokerKind
from console.broker.database import DatabaseAddress, parse_database_url
from console.broker.tls import TlsOptions
from console.broker.tunnel_settings import SSH_PORT, TunnelSettings
from console.broker.url import parse_broker_url
from console.connections.check_model import CheckStep, all_passed, summary
from console.connections.file_format import dump_connections, load_connections
from console.connections.gateway import ConnectionsFile, KeyringSecrets
from console.connections.model import (
    Colour,
    Connection,
    Purpose,
    ResultBackend,
    Secrets,
    keyring_entry,
    new_connection_id,
    wanted_secrets,
    without_secrets,
)
from console.connections.sharing import (
    ImportEntry,
    ImportKind,
    export_text,
    free_name,
    plan_import,
    redirected,
)
from console.core.connection import Environment, Mode
from console.core.errors import Cause, ConsoleError
from console.core.home import Home, write_atomically
from console.core.redaction import Secret, redact

KEYRING_S = 30.0
"""A keyring may show a prompt on a desktop; on a server one that hangs must not hang us."""

T = TypeVar("T")


def add(root: Path, wanted: argparse.Namespace) -> int:
    home = _home(root)
    connection = _connection(wanted)
    secrets = _given_secrets(wanted, connection)
    if secrets.values:
        _in_time(KeyringSecrets().probe)  # before anything is written

    saved: list[Connection] = []

    def change(existing: list[Connection]) -> list[Connection]:
        same = next((one for one in existing if one.name == connection.name), None)
        if same is None:
            saved.append(connection)
            return [*existing, connection]
        if not wanted.replace:
            raise ConsoleError(
                f"There is already a connection named {connection.name}",
                remedy="Choose another name, or say --replace.",
                cause=Cause.CONFLICT,
            )
        saved.append(replace(connection, id=same.id))
        return [saved[0] if one is same else one for one in existing]

    _file(home).update(change)
    _keep(saved[0], secrets)
    _say(f"{saved[0].name} is saved.")
    return 0


def list_all(root: Path, wanted: argparse.Namespace) -> int:
    connections = _existing(Home(root))
    if wanted.json:
        _say(json.dumps([_as_json(one) for one in connections], indent=2, ensure_ascii=False))
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
        _say(line.rstrip())
    return 0


def test(root: Path, wanted: argparse.Namespace) -> int:
    import asyncio

    home = Home(root)
    if bool(wanted.name) == wanted.all:
        raise ConsoleError("Name one connection, or say --all", cause=Cause.INVALID)
    existing = _existing(home)
    chosen = existing if wanted.all else [_named(existing, wanted.name)]
    if wanted.all and (wanted.password_stdin or wanted.secrets_stdin):
        raise ConsoleError(
            "Standard input holds the secrets of one connection, not of all", cause=Cause.INVALID
        )
    results: list[dict[str, object]] = []
    good = True
    for connection in chosen:
        typed = _given_secrets(wanted, connection)
        secrets, problem = _all_secrets(connection, typed)
        if problem is not None:
            _complain(f"{connection.name}: {sentence(problem)} Go on without, or say --ask-passwords.")
        if not wanted.json:
            _say(connection.name)
        try:
            steps = asyncio.run(_tested(home, connection, secrets, typed, quiet=wanted.json))
        except asyncio.CancelledError as error:
            raise KeyboardInterrupt from error
        good = good and all_passed(steps)
        results.append({"name": connection.name, "steps": [_step_json(step) for step in steps]})
        if not wanted.json:
            _say(f"  {summary(steps)}")
    if wanted.json:
        _say(json.dumps(results, indent=2, ensure_ascii=False))
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
                _say_step(step)

    checker = make_checker(home)
    return await checker.check(connection, secrets, on_steps, typed=dict(typed.values))


def _say_step(step: CheckStep) -> None:
    took = "" if step.took_s is None else f"{step.took_s * 1000:.0f} ms"
    _say(redact(f"  {step.state:8} {step.title:17} {step.says}{f'  ({took})' if took else ''}"))
    error = step.error
    if error is not None:
        parts = [text for text in (error.detail, error.remedy) if text]
        if error.title != step.says:
            parts.insert(0, f"{error.title}.")
        _say(redact(f"           {' '.join(parts)}"))
    if step.command:
        _say(f"           {step.command}")


def export(root: Path, wanted: argparse.Namespace) -> int:
    existing = _existing(Home(root))
    chosen = [_named(existing, name) for name in wanted.names] if wanted.names else existing
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
    _say(f"{len(chosen)} exported to {target}, without secrets.")
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
            _complain(sentence(error))
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
        change(_existing(home))
    else:
        _file(home).update(change)
        for connection, secrets, moved in taken:
            _forget(connection, moved)
            _keep(connection, secrets)
    for line in told:
        _say(line)
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
    connection = _named(_existing(home), wanted.name)
    if not wanted.yes:
        if not sys.stdin.isatty():
            raise ConsoleError("Nobody is there to be asked", remedy="Say --yes.", cause=Cause.INVALID)
        _ask_out(f"Remove {connection.name} and its secrets? [y/N] ")
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            _say("Nothing is removed.")
            return 1
    _file(home).update(lambda existing: [one for one in existing if one.id != connection.id])
    _say(f"{connection.name} is removed.")
    store = KeyringSecrets()
    try:
        for purpose in wanted_secrets(connection):
            entry = keyring_entry(connection.id, purpose)
            _in_time(store.remove, entry)
    except ConsoleError as error:
        _complain(f"Its secrets may still be in the keyring. {sentence(error)}")
        return 1
    return 0


def _connection(wanted: argparse.Namespace) -> Connection:
    broker = _broker(wanted)
    schedules = None if wanted.schedules is None else parse_database_url(wanted.schedules)
    if schedules is not None:
        _no_password(schedules.password, "--schedules")
        schedules = _with_tls(schedules, _tls(wanted, "schedules_"))
    connection = Connection(
        new_connection_id(),
        wanted.name.strip(),
        Environment(wanted.environment.capitalize()),
        broker,
        schedules=schedules,
        mode=Mode(MODES[wanted.mode]),
        colour=Colour(wanted.colour.replace("-", " ").capitalize()),
        queues=tuple(wanted.queue),
        results=_results(wanted.result_backend),
        broker_tunnel=_tunnel(wanted.ssh, wanted.ssh_key, "--ssh"),
        schedules_tunnel=_tunnel(wanted.schedules_ssh, wanted.schedules_ssh_key, "--schedules-ssh"),
        results_tunnel=_tunnel(wanted.results_ssh, wanted.results_ssh_key, "--results-ssh"),
    )
    # What the file refuses to read must not get into it: the reader is the one judge.
    [checked] = load_connections(dump_connections([connection]))
    return checked


def _broker(wanted: argparse.Namespace) -> BrokerAddress:
    broker = parse_broker_url(wanted.url)
    _no_password(broker.password, "--url")
    tls = _tls(wanted, "")
    if tls is not None:
        if broker.tls is None and broker.kind is not BrokerKind.SENTINEL:
            raise ConsoleError(
                "TLS is set for a broker without TLS",
                detail=f"{broker.url} does not use it.",
                remedy="Use rediss:// or amqps://.",
                cause=Cause.INVALID,
            )
        broker = replace(broker, tls=tls)
    more = {
        "key_prefix": wanted.key_prefix,
        "management_url": wanted.management_url,
        "master_name": wanted.sentinel_master,
        "sentinel_username": wanted.sentinel_user,
    }
    broker = replace(broker, **{name: value for name, value in more.items() if value})
    return broker if wanted.timeout is None else replace(broker, timeout_s=wanted.timeout)


def _with_tls(database: DatabaseAddress, tls: TlsOptions | None) -> DatabaseAddress:
    return database if tls is None else replace(database, tls=tls)


def _tls(wanted: argparse.Namespace, prefix: str) -> TlsOptions | None:
    """What the options of one group say; None when none of them is given. Files become absolute."""
    files = {name: getattr(wanted, f"{prefix}{name}") for name in ("ca_file", "cert_file", "key_file")}
    name, unverified = getattr(wanted, f"{prefix}server_name"), getattr(wanted, f"{prefix}no_verify")
    if not any(files.values()) and not name and not unverified:
        return None
    absolute = {key: _absolute(value) for key, value in files.items()}
    return TlsOptions(verify=not unverified, server_name=name, **absolute)


def _absolute(file: str) -> str:
    return str(Path(file).expanduser().absolute()) if file else ""


def _results(text: str | None) -> ResultBackend:
    if text is None:
        return ResultBackend()
    if text == "django-db":
        return ResultBackend(django=True)
    redis = parse_broker_url(text)
    _no_password(redis.password, "--result-backend")
    if not redis.kind.is_redis:
        raise ConsoleError(
            "This result backend cannot be read", detail="Redis, or django-db.", cause=Cause.INVALID
        )
    return ResultBackend(redis=redis)


def _tunnel(text: str, key_file: str, option: str) -> TunnelSettings | None:
    if not text:
        return None
    try:
        parts = urlsplit(f"ssh://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.path or parts.password is not None:
        raise ConsoleError(
            f"{option} cannot be read", detail="It looks like deploy@jump.example:22.", cause=Cause.INVALID
        )
    return TunnelSettings(host, port or SSH_PORT, parts.username or "", _absolute(key_file))


def _no_password(password: Secret, option: str) -> None:
    if password:
        raise ConsoleError(
            f"{option} holds a password, and arguments are visible to everybody on this machine",
            remedy="Leave it out of the URL and say --password-stdin, --ask-passwords or --secrets-stdin."
            " Change the password if others may have seen it.",
            cause=Cause.INVALID,
        )


def _given_secrets(wanted: argparse.Namespace, connection: Connection) -> Secrets:
    """The secrets from standard input or the terminal."""
    if wanted.password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
        return Secrets(((Purpose.BROKER, Secret(password)),)) if password else Secrets()
    if wanted.secrets_stdin:
        return _secrets_from(sys.stdin.read(), connection)
    if not wanted.ask_passwords:
        return Secrets()
    if not sys.stdin.isatty():
        raise ConsoleError(
            "Nobody is there to be asked",
            remedy="Say --password-stdin or --secrets-stdin in a script.",
            cause=Cause.INVALID,
        )
    import getpass

    given = ((one, getpass.getpass(f"{connection.name}, {one}: ")) for one in wanted_secrets(connection))
    return Secrets(tuple((purpose, Secret(text)) for purpose, text in given if text))


def _secrets_from(text: str, connection: Connection) -> Secrets:
    try:
        stored = json.loads(text)
    except (ValueError, RecursionError):
        stored = None
    if not isinstance(stored, dict) or not all(isinstance(value, str) for value in stored.values()):
        # Nothing of it is repeated: it holds secrets.
        raise ConsoleError(
            "Standard input is not a JSON object of secrets",
            remedy='It looks like {"broker": "...", "schedules": "..."}.',
            cause=Cause.INVALID,
        )
    known = {str(purpose): purpose for purpose in wanted_secrets(connection)}
    if not stored.keys() <= known.keys():
        raise ConsoleError(
            "A secret is for nothing that this connection has",
            detail=f"It may have: {', '.join(known) or 'none'}.",
            cause=Cause.INVALID,
        )
    return Secrets(tuple((known[name], Secret(value)) for name, value in stored.items() if value))


def _all_secrets(connection: Connection, typed: Secrets) -> tuple[Secrets, ConsoleError | None]:
    """The typed ones, those written into the file by hand, and for the rest what the keyring holds."""
    _clean, by_hand = without_secrets(connection)
    secrets = Secrets((*by_hand.values, *typed.values))
    store = KeyringSecrets()
    for purpose in wanted_secrets(connection):
        if purpose in dict(secrets.values):
            continue
        entry = keyring_entry(connection.id, purpose)
        try:
            found = _in_time(store.get, entry)
        except ConsoleError as error:
            # Where every secret that could matter is given, a server needs no keyring.
            return secrets, None if secrets.values else _without_keyring(error)
        if found:
            secrets = secrets.with_secret(purpose, found)
    return secrets, None


def _forget(connection: Connection, purposes: Sequence[Purpose]) -> None:
    """Passwords that a file would send elsewhere must be given anew."""
    store = KeyringSecrets()
    try:
        for purpose in purposes:
            _in_time(store.remove, keyring_entry(connection.id, purpose))
    except ConsoleError as error:
        _complain(f"The old secrets of {connection.name} may still be in the keyring. {sentence(error)}")


def _keep(connection: Connection, secrets: Secrets) -> None:
    store = KeyringSecrets()
    for purpose, secret in secrets.values:
        entry = keyring_entry(connection.id, purpose)
        _in_time(store.set, entry, secret)


def _in_time(call: Callable[..., T], *arguments: object) -> T:
    """`call`, given up after a while: its thread is left to a keyring that hangs."""
    answers: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            answers.append(call(*arguments))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, name="keyring", daemon=True)
    thread.start()
    thread.join(KEYRING_S)
    if errors and isinstance(errors[0], ConsoleError):
        raise _without_keyring(errors[0])
    if errors:
        raise errors[0]
    if not answers:
        raise _without_keyring(
            ConsoleError(
                "The keyring does not answer", detail="It may wait at a prompt.", cause=Cause.TIMEOUT
            )
        )
    return answers[0]


def _without_keyring(error: ConsoleError) -> ConsoleError:
    """The same with what helps at a terminal, where nothing is kept for a run."""
    return ConsoleError(
        error.title,
        detail=error.detail,
        remedy="On a server, start a Secret Service (gnome-keyring) in this session and unlock it, or leave"
        " passwords out: the window asks for them, and test takes them by --ask-passwords.",
        cause=error.cause,
    )


def _home(root: Path) -> Home:
    home = Home(root)
    home.prepare()
    return home


def _file(home: Home) -> ConnectionsFile:
    return ConnectionsFile(home.connections_file)


def _existing(home: Home) -> list[Connection]:
    return [one for one in _file(home).read() if not one.is_local_stack]


def _named(connections: Sequence[Connection], name: str) -> Connection:
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


def _as_json(one: Connection) -> dict[str, object]:
    [entry] = json.loads(dump_connections([one]))["connections"]
    known: dict[str, object] = entry
    return known


def _step_json(step: CheckStep) -> dict[str, object]:
    error = step.error
    return {
        "step": step.key,
        "title": step.title,
        "state": step.state.lower(),
        "says": redact(step.says),
        "took_ms": None if step.took_s is None else round(step.took_s * 1000, 1),
        "error": None
        if error is None
        else {"title": error.title, "detail": redact(error.detail), "remedy": error.remedy},
        "command": step.command,
    }


def _plain(text: str) -> str:
    """`text` without what steers a terminal: some of it is a broker's own words."""
    return "".join(one if one.isprintable() or one == "\n" else "?" for one in text)


def _say(text: str) -> None:
    sys.stdout.write(f"{_plain(text)}\n")
    sys.stdout.flush()


def _ask_out(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _complain(text: str) -> None:
    sys.stderr.write(redact(f"celery-console: {_plain(text)}\n"))
