"""Reads the Celery and Django settings of a project, inside the project's own interpreter.

It is started by its path in a foreign Python (3.7 or newer), so it imports nothing of ours and nothing but
the standard library, Celery and Django as the project has them. On standard input comes one line of JSON:
`mark` (what precedes the answer), `kind`, `name`, `root`, `paths` (for sys.path), `environment`. The answer,
one JSON document, leaves by a copy of standard output that the project does not know; what the project prints
goes nowhere. Nothing is connected to, no tasks are imported beyond what importing the project imports.
When standard input ends early, the console is gone or does not want to know: the whole group ends.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # Our folder comes first on the path of a script, and its names are not the project's.
    _HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != _HERE]  # noqa: PTH100

import datetime as dt
import enum
import importlib
import importlib.util
import json
import linecache
import re
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

MASK = "\u2022" * 4
MESSAGE_CHARACTERS = 600
NAMES_AT_MOST = 2000
DEEP = 6
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)

SECRET_NAME = re.compile(r"pass|pwd|secret|token|credential|private|api_?key|_key$|dsn", re.IGNORECASE)
FOLDERS = ("PWD", "OLDPWD")
URL_PASSWORD = re.compile(r"://[^\s:/@]*:([^\s@]+)@")
STRING = re.compile(r"""(["'])(?:\\.|(?!\1).)*\1""")
# django-environ, python-decouple, environs, pydantic-settings; then what people write themselves.
MISSING = (
    re.compile(r"[Ss]et the ['\"]?([A-Za-z_]\w+)['\"]? env"),
    re.compile(r"^['\"]?([A-Za-z_]\w*)['\"]? not found\. Declare it as envvar"),
    re.compile(r"[Ee]nvironment variable:? ['\"]?([A-Za-z_]\w+)['\"]?"),
    re.compile(r"^(\w+)\n\s+[Ff]ield required", re.MULTILINE),
)
MISSING_WORDS = re.compile(
    r"\b([A-Z][A-Z0-9_]{2,})\b(?=.*(?:not set|not defined|required|must be set|missing))", re.DOTALL
)

OLD_NAMES = {
    "broker_url": "BROKER_URL",
    "broker_transport_options": "BROKER_TRANSPORT_OPTIONS",
    "broker_use_ssl": "BROKER_USE_SSL",
    "result_backend": "CELERY_RESULT_BACKEND",
    "task_queues": "CELERY_QUEUES",
    "task_default_queue": "CELERY_DEFAULT_QUEUE",
    "task_routes": "CELERY_ROUTES",
    "timezone": "CELERY_TIMEZONE",
    "beat_scheduler": "CELERYBEAT_SCHEDULER",
}
PLAIN_SETTINGS = (
    *("broker_url", "broker_read_url", "broker_use_ssl", "redis_backend_use_ssl", "result_backend"),
    *("task_default_queue", "timezone", "beat_scheduler"),
)
TRANSPORT_OPTIONS = (
    *("global_keyprefix", "master_name", "sentinel_kwargs", "visibility_timeout"),
    *("priority_steps", "queue_order_strategy"),
)
DATABASE_FIELDS = ("ENGINE", "NAME", "HOST", "PORT", "USER", "PASSWORD")
DATABASE_OPTIONS = (
    *("sslmode", "sslrootcert", "sslcert", "sslkey", "ssl", "ssl_mode"),
    *("password", "passwd", "service", "read_default_file", "unix_socket"),
)


class NoAppError(Exception):
    """The module was imported, and there is no Celery app in it."""


# --- Values ---------------------------------------------------------------------------------------------


def plain(value: Any, deep: int = 0) -> Any:
    """`value` as JSON; what JSON has no word for as `{"type": its name}`, never as its text."""
    if isinstance(value, enum.Enum):
        return value.value if isinstance(value.value, str) else value.name
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, os.PathLike):
        path = os.fspath(value)
        return os.fsdecode(path)
    if isinstance(value, dict) and deep < DEEP:
        return {str(key): plain(one, deep + 1) for key, one in list(value.items())[:NAMES_AT_MOST]}
    if isinstance(value, (list, tuple, set, frozenset)) and deep < DEEP:
        return [plain(one, deep + 1) for one in list(value)[:NAMES_AT_MOST]]
    if isinstance(value, type):
        return f"{value.__module__}:{value.__qualname__}"
    if isinstance(value, dt.tzinfo):
        key = getattr(value, "key", None) or getattr(value, "zone", None)  # of zoneinfo, of pytz
        return key if isinstance(key, str) else str(value)
    return {"type": type(value).__name__}


def queue_name(value: Any) -> str | None:
    """The name of a queue that is text or a kombu `Queue`."""
    name = value if isinstance(value, str) else getattr(value, "name", None)
    return str(name) if isinstance(name, str) and name else None


def queue_names(queues: Any) -> Iterator[str]:
    """The names in `task_queues`: names to options, or a list of names or `Queue`s."""
    if isinstance(queues, (dict, list, tuple, set, frozenset)):
        for one in queues:
            name = queue_name(one)
            if name:
                yield name


def routed_names(routes: Any, deep: int = 0) -> Iterator[str]:
    """The queues that `task_routes` names; a router that is a function is not asked."""
    if deep > DEEP:
        return
    if isinstance(routes, dict):
        for route in routes.values():
            name = queue_name(route.get("queue") if isinstance(route, dict) else route)
            if name:
                yield name
    elif isinstance(routes, (list, tuple)):
        for one in routes:
            if isinstance(one, (list, tuple)) and len(one) == 2:
                yield from routed_names({"": one[1]}, deep + 1)
            elif not isinstance(one, str):
                yield from routed_names(one, deep + 1)


def transport_options(options: Any) -> dict[str, Any]:
    """Those of the transport's options that the console has a use for."""
    return {name: plain(options[name]) for name in TRANSPORT_OPTIONS if name in (options or {})}


def celery_values(read: Callable[[str], Any], notes: list[str]) -> dict[str, Any]:
    """What is wanted of Celery's settings, each taken by `read(name)`."""

    def taken(name: str, form: Callable[[Any], Any] = plain) -> Any:
        try:
            return form(read(name))
        except Exception as error:
            notes.append(f"{name} cannot be read: {type(error).__name__}")
            return None

    values = {name: taken(name) for name in PLAIN_SETTINGS}
    values["broker_transport_options"] = taken("broker_transport_options", transport_options)
    queues = taken("task_queues", lambda value: list(queue_names(value))) or []
    routed = taken("task_routes", lambda value: list(routed_names(value))) or []
    values["queues"] = sorted({*queues, *routed})[:NAMES_AT_MOST]
    return values


def app_values(app: Any, notes: list[str]) -> dict[str, Any]:
    """The settings of a Celery app, as its workers have them."""
    conf = app.conf
    conf.get(
        "task_default_queue"
    )  # what is configured is read now: a mistake in it is not one of a single value

    def read(name: str) -> Any:
        # These are properties: the environment's CELERY_BROKER_URL goes before what is configured.
        if name in ("broker_url", "broker_read_url", "result_backend"):
            return getattr(conf, name)
        return conf.get(name)

    values = celery_values(read, notes)
    url = values["broker_url"]
    if not url or (isinstance(url, str) and "://" not in url):
        try:
            # No connection is made: it says what the broker_host, broker_user, ... and the defaults come to.
            values["broker_url"] = app.connection_for_write().as_uri(include_password=True)
        except Exception as error:
            notes.append(f"broker_url cannot be worked out: {type(error).__name__}")
        if not url:
            notes.append("The project names no broker; Celery's own default is taken")
    if values["broker_read_url"] == url:
        values["broker_read_url"] = None
    return values


def settings_values(settings: Any, notes: list[str]) -> dict[str, Any]:
    """The same, from Django settings alone: `CELERY_` and the new name, or the name before Celery 4."""

    def read(name: str) -> Any:
        new = f"CELERY_{name.upper()}"
        if hasattr(settings, new):
            return getattr(settings, new)
        return getattr(settings, OLD_NAMES.get(name, new), None)

    return celery_values(read, notes)


class _Schedule:
    """Stands for the model of django-celery-beat where a database router asks for one."""

    class _meta:  # noqa: N801
        app_label = "django_celery_beat"
        model_name = "periodictask"
        label = "django_celery_beat.PeriodicTask"
        label_lower = "django_celery_beat.periodictask"
        db_table = "django_celery_beat_periodictask"


def database_values(settings: Any, notes: list[str]) -> dict[str, Any]:
    """The databases that matter, and which of them has the schedules."""
    databases = settings.DATABASES
    if not isinstance(databases, dict):
        return {}
    alias = "default"
    if getattr(settings, "DATABASE_ROUTERS", None):
        try:
            from django.db import router

            alias = router.db_for_write(_Schedule)
        except Exception as error:
            others = [name for name in databases if name != "default"]
            alias = str(others[0]) if len(others) == 1 else "default"
            notes.append(f"DATABASE_ROUTERS cannot be asked: {type(error).__name__}")
    found = {}
    for name in {"default", alias}:
        database = databases.get(name)
        if isinstance(database, dict):
            options = database.get("OPTIONS")
            found[name] = {key: plain(database.get(key)) for key in DATABASE_FIELDS}
            found[name]["OPTIONS"] = {
                key: plain(options[key])
                for key in DATABASE_OPTIONS
                if isinstance(options, dict) and key in options
            }
    return {"databases": found, "schedules_alias": alias}


def django_values(settings: Any, notes: list[str]) -> dict[str, Any]:
    apps = [str(app).split(".", 1)[0] for app in settings.INSTALLED_APPS]
    values = database_values(settings, notes)
    values["beat"] = "django_celery_beat" in apps
    values["results"] = "django_celery_results" in apps
    return values


# --- Finding --------------------------------------------------------------------------------------------


def find_app(name: str) -> Any:
    """The app that `celery -A name` takes, without its habit of hiding why a module cannot be imported.

    Source of the order: celery/app/utils.py, `find_app`.
    """
    from celery import Celery

    module_name, colon, attributes = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        parent, dot, attribute = module_name.rpartition(".")
        if colon or not dot or error.name != module_name:
            raise
        return find_app(f"{parent}:{attribute}")
    if colon:
        found: Any = module
        for attribute in attributes.split("."):
            found = getattr(found, attribute, None)
        if isinstance(found, Celery):
            return found
        raise NoAppError(f"{attributes} in {module_name} is not a Celery app")
    for attribute in ("app", "celery"):
        found = getattr(module, attribute, None)
        if isinstance(found, Celery):
            return found
    if hasattr(module, "__path__") and importlib.util.find_spec(f"{module_name}.celery"):
        return find_app(f"{module_name}.celery")
    for found in list(vars(module).values()):
        if issubclass(type(found), Celery):
            return found
    raise NoAppError(f"{module_name} was imported, and there is no Celery app in it")


def app_beside(settings_name: str) -> str:
    """The module `celery` in a package above a settings module; "" where there is none."""
    package = settings_name
    while "." in package:
        package = package.rpartition(".")[0]
        try:
            if importlib.util.find_spec(f"{package}.celery"):
                return f"{package}.celery"
        except (ImportError, ValueError):
            continue
    return ""


def read_app(name: str, notes: list[str]) -> dict[str, Any]:
    import_module("celery")
    values: dict[str, Any] = {"celery": app_values(find_app(name), notes), "app": name}
    if os.environ.get("DJANGO_SETTINGS_MODULE") and "django" in sys.modules:
        from django.conf import settings

        values["django"] = django_values(settings, notes)
    return values


def read_settings(name: str, notes: list[str]) -> dict[str, Any]:
    import_module("django")
    os.environ["DJANGO_SETTINGS_MODULE"] = name
    from django.conf import settings

    values: dict[str, Any] = {"django": django_values(settings, notes)}
    app_name = app_beside(name)
    if app_name:
        try:
            values["celery"] = app_values(find_app(app_name), notes)
            values["app"] = app_name
            return values
        except Exception as error:
            notes.append(
                f"{app_name} cannot be read ({type(error).__name__}); the settings were taken as they are"
            )
    values["celery"] = settings_values(settings, notes)
    return values


class LackingError(Exception):
    """The interpreter has no Celery, or no Django."""


def import_module(name: str) -> None:
    """Import `celery` or `django` itself, before the project's folder could have one of that name."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            raise LackingError(name) from None
        raise


# --- Errors ---------------------------------------------------------------------------------------------


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """`error` and what it was raised from or during."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def is_own(filename: str, root: str) -> bool:
    """Whether a file is the project's own, not of a library that lies in its folder."""
    return (
        filename.startswith(root + os.sep)
        and not filename.startswith(sys.prefix + os.sep)
        and "site-packages" not in filename
    )


def frames(error: BaseException) -> list[tuple[FrameType, int]]:
    return list(traceback.walk_tb(error.__traceback__))


def secrets_in(value: Any, name: str, found: set[str], deep: int = 0) -> None:
    """Add to `found` what looks like a secret, by the name it goes by or as the password of a URL."""
    if deep > DEEP:
        return
    kind = type(value)  # isinstance would wake what is lazy, such as Django's settings
    if issubclass(kind, str):
        if SECRET_NAME.search(name):
            found.add(value)
        found.update(URL_PASSWORD.findall(value))
    elif issubclass(kind, dict):
        for key, one in list(value.items())[:NAMES_AT_MOST]:
            secrets_in(
                one, f"{name}.{key}" if issubclass(type(one), (dict, list)) else str(key), found, deep + 1
            )
    elif issubclass(kind, (list, tuple)):
        for one in value[:NAMES_AT_MOST]:
            secrets_in(one, name, found, deep + 1)


def without_secrets(text: str, error: BaseException, request: dict[str, Any]) -> str:
    """`text` without what the failing code held at the time under the name of a secret."""
    found: set[str] = {str(value) for value in request["environment"].values()}
    secrets_in({key: one for key, one in os.environ.items() if key not in FOLDERS}, "", found)
    for one in chain(error):
        for frame, _line in frames(one):
            if is_own(frame.f_code.co_filename, request["root"]):
                secrets_in(dict(frame.f_locals), "", found)
                secrets_in(dict(frame.f_globals), "", found)
    for name, module in list(sys.modules.items()):  # settings that are read already
        if name != "__main__" and is_own(getattr(module, "__file__", None) or "", request["root"]):
            secrets_in(dict(vars(module)), "", found)
    for secret in sorted(found, key=len, reverse=True):
        if len(secret) >= 4:
            text = text.replace(secret, MASK)
    return URL_PASSWORD.sub(lambda match: match.group().replace(match.group(1), MASK), text)


def place(error: BaseException, root: str) -> tuple[str, str]:
    """Where in the project's own files it happened: `file:line`, and that line with its texts taken out."""
    for one in chain(error):
        where: list[tuple[str, int]] = [
            (frame.f_code.co_filename, line)
            for frame, line in frames(one)
            if is_own(frame.f_code.co_filename, root)
        ]
        if isinstance(one, SyntaxError) and one.filename and is_own(one.filename, root):
            where.append((one.filename, one.lineno or 0))
        if where:
            filename, line = where[-1]
            code = STRING.sub("…", linecache.getline(filename, line).strip())
            if '"' in code or "'" in code:
                code = ""  # a piece of a longer text
            return f"{os.path.relpath(filename, root)}:{line}", code
    return "", ""


def missing_variable(error: BaseException) -> str:
    """The environment variable that the project missed; "" when it was something else."""
    for one in chain(error):
        text = str(one)
        if isinstance(one, KeyError) and frames(one):
            code = frames(one)[-1][0].f_code
            if code.co_name == "__getitem__" and re.search(r"\bos(\.py|>)$", code.co_filename):
                return str(one.args[0])
        if isinstance(one, (ImportError, SyntaxError)):
            continue
        for pattern in MISSING:
            match = pattern.search(text)
            if match:
                return match.group(1).upper() if pattern is MISSING[-1] else match.group(1)
        match = MISSING_WORDS.search(text)
        if match and ("env" in text.lower() or type(one).__name__ == "ImproperlyConfigured"):
            return match.group(1)
    return ""


def described(error: BaseException, request: dict[str, Any]) -> dict[str, Any]:
    """A failure for the console, with no secret in it."""
    where, line = place(error, request["root"])
    modules = [one.name for one in chain(error) if isinstance(one, ModuleNotFoundError) and one.name]
    kind = "exception"
    if isinstance(error, LackingError):
        kind, modules = "lacking", [str(error)]
    elif isinstance(error, NoAppError):
        kind = "no app"
    elif isinstance(error, SystemExit):
        kind = "exit"
    try:
        message = str(error)
    except Exception:
        message = ""
    if isinstance(error, SyntaxError):
        message = error.msg or ""
    return {
        "kind": kind,
        "exception": type(error).__name__,
        "message": without_secrets(message, error, request)[:MESSAGE_CHARACTERS],
        "where": where,
        "line": without_secrets(line, error, request)[:MESSAGE_CHARACTERS],
        "missing_module": modules[-1] if modules else "",
        "missing_variable": missing_variable(error),
    }


# --- Running --------------------------------------------------------------------------------------------


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The document: what was read, or `error`."""
    notes: list[str] = []
    document: dict[str, Any] = {"python": ".".join(map(str, sys.version_info[:3])), "notes": notes}
    is_app = request["kind"] == "celery"
    try:
        # Both first, where they are there: a folder may hold a celery.py of its own.
        for name in ("celery", "django"):
            if importlib.util.find_spec(name):
                importlib.import_module(name)
        os.environ.update(request["environment"])
        sys.path[:0] = request["paths"]
        sys.argv[:] = ["celery", "report"] if is_app else ["manage.py", "check"]
        document.update((read_app if is_app else read_settings)(request["name"], notes))
    except BaseException as error:
        try:
            document["error"] = described(error, request)
        except Exception:  # the project's own objects are looked at, and may do anything
            document["error"] = {"kind": "exception", "exception": type(error).__name__}
    for name in ("celery", "django"):
        version = getattr(sys.modules.get(name), "__version__", "")
        document[f"{name}_version"] = version if isinstance(version, str) else ""
    return document


def keep_descendants() -> None:
    """Become the parent of what detaches itself below us, so that it can be found and ended (Linux)."""
    if sys.platform == "linux":
        try:
            import ctypes

            ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
        except Exception:  # a Python without ctypes
            pass


def end_group() -> None:
    if os.name == "posix":
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


def main() -> None:
    # The project gets neither of our pipes: what it prints goes nowhere, what it reads is empty.
    orders, answers = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(orders, 65536)
        if not piece:
            return
        line += piece
    request: dict[str, Any] = json.loads(line.decode())
    told, released = threading.Event(), threading.Event()

    def watch() -> None:
        while os.read(orders, 4096):
            pass
        if not told.is_set():
            end_group()
        released.set()

    threading.Thread(target=watch, name="console", daemon=True).start()
    keep_descendants()
    reader = os.getpid()
    document = json.dumps(answer(request))
    if os.getpid() != reader:
        os._exit(0)  # the project has forked at import and this is the copy
    told.set()
    with os.fdopen(answers, "wb") as pipe:
        pipe.write(f"{request['mark']}{document}\n".encode())
    released.wait()


if __name__ == "__main__":
    main()
