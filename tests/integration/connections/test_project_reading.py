"""Real little projects, read by a real interpreter: what comes back, what is said, and that nothing is left.

Every project here holds the marker `SECRET`; it may come back as a `Secret` and may be nowhere else.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path

import psutil
import pytest

from console.broker.tls import TlsOptions
from console.connections.project import Candidate, CandidateKind, ProjectSettings
from console.connections.project_errors import MissingVariableError
from console.connections.project_gateway import PROBE, read_project, require_candidates
from console.core.errors import Cause, ConsoleError
from console.core.redaction import Secret

PYTHON = Path(sys.executable)
ROOT = Path(__file__).parents[3]
SECRET = "mark-er/7#q"
WAIT_S = 30.0

APP = """
from celery import Celery
from kombu import Queue
app = Celery("shop", broker="redis://:mark-er%2F7%23q@redis.example:6380/4", backend="rpc://")
app.conf.task_queues = [Queue("mail"), Queue("reports")]
app.conf.task_routes = ([("shop.pay.*", {"queue": "pay"})], {"shop.tell": "bells"})
app.conf.task_default_queue = "main"
app.conf.timezone = "Europe/Berlin"
app.conf.broker_transport_options = {"global_keyprefix": "shop:", "visibility_timeout": 900, "own": print}
"""
DJANGO_APP = """
import os
from celery import Celery
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
"""
SETTINGS = """
import ssl
from pathlib import Path
SECRET_KEY = "mark-er/7#q"
INSTALLED_APPS = ["django_celery_beat.apps.BeatConfig", "django_celery_results"]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": Path("db.sqlite3")},
    "beat": {"ENGINE": "django.db.backends.postgresql", "NAME": "beat", "USER": "b",
             "PASSWORD": "mark-er/7#q", "HOST": "pg", "PORT": "5433",
             "OPTIONS": {"sslmode": "verify-full", "sslrootcert": "ca.pem"}},
}
DATABASE_ROUTERS = ["shop.routers.BeatRouter"]
CELERY_BROKER_URL = "amqps://me:mark-er%2F7%23q@mq.example/live"
CELERY_BROKER_USE_SSL = {"ca_certs": "certs/ca.pem", "cert_reqs": ssl.CERT_REQUIRED}
CELERY_RESULT_BACKEND = "django-db"
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
"""
ROUTERS = """
class BeatRouter:
    def db_for_write(self, model, **hints):
        return "beat" if model._meta.app_label == "django_celery_beat" else None
"""


def write(folder: Path, **files: str) -> Path:
    """Files by name, `__` for `/`, each with `.py` behind."""
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".py").replace("/init.py", "/__init__.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def app_in(folder: Path, name: str = "tasks") -> Candidate:
    return Candidate(CandidateKind.CELERY, name, folder / "tasks.py", folder)


def settings_in(folder: Path, name: str = "shop.settings") -> Candidate:
    return Candidate(CandidateKind.DJANGO, name, folder / f"{name.replace('.', '/')}.py", folder)


def django_project(folder: Path, settings: str = SETTINGS) -> Path:
    return write(
        folder, shop__init="", shop__settings=settings, shop__routers=ROUTERS, shop__celery=DJANGO_APP
    )


def read(candidate: Candidate, *, timeout_s: float = WAIT_S, **environment: str) -> ProjectSettings:
    return read_project(candidate.root, PYTHON, candidate, environment=environment, timeout_s=timeout_s)


def failure(candidate: Candidate, *, timeout_s: float = WAIT_S, **environment: str) -> ConsoleError:
    """The error of a reading; with its causes it holds the marker nowhere."""
    with pytest.raises(ConsoleError) as caught:
        read(candidate, timeout_s=timeout_s, **environment)
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in f"{error} {error!r} {error.args}"
        error = error.__cause__ or error.__context__
    return caught.value


def printable(value: object) -> str:
    """Everything of a value that is not a `Secret`."""
    if isinstance(value, Secret):
        return ""
    if is_dataclass(value) and not isinstance(value, type):
        return " ".join(printable(getattr(value, one.name)) for one in fields(value))
    return " ".join(map(printable, value)) if isinstance(value, tuple) else str(value)


def readers() -> list[psutil.Process]:
    """The probes that are running."""
    found = []
    for one in psutil.Process().children(recursive=True):
        try:
            if str(PROBE) in one.cmdline():
                found.append(one)
        except psutil.Error:
            continue
    return found


def open_files() -> int:
    process = psutil.Process()
    return process.num_fds() if sys.platform != "win32" else 0


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until(condition: Callable[[], bool], *, what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.01)


def in_a_thread(work: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    came: list[object] = []

    def run() -> None:
        try:
            came.append(work())
        except ConsoleError as error:
            came.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, came


@pytest.fixture(autouse=True)
def nothing_is_left(caplog: pytest.LogCaptureFixture) -> object:
    """No process, thread or pipe of a reading stays; no log has the marker."""
    caplog.set_level(logging.DEBUG)
    before = open_files()
    yield
    assert open_files() <= before
    assert readers() == []
    until(lambda: not [one for one in threading.enumerate() if one.name == "project-reader"], what="an end")
    assert SECRET not in caplog.text


def test_a_celery_app(tmp_path: Path) -> None:
    taken = read(app_in(write(tmp_path, tasks=APP)))
    (broker,) = taken.broker_urls
    assert (broker.url, broker.password.reveal()) == ("redis://redis.example:6380/4", SECRET)
    assert taken.queues == ("bells", "mail", "main", "pay", "reports")
    assert (taken.key_prefix, taken.visibility_timeout_s) == ("shop:", 900.0)
    assert (taken.timezone, taken.default_queue, taken.result_backend.url) == (
        "Europe/Berlin",
        "main",
        "rpc://",
    )
    assert (taken.database, taken.broker_read_urls, taken.notes) == (None, (), ())
    assert taken.celery_version
    assert SECRET not in printable(taken) + repr(taken)
    assert sorted(os.listdir(tmp_path)) == ["tasks.py"]  # no compiled files


@pytest.mark.parametrize("name", ["app", "settings"])
def test_a_django_project(tmp_path: Path, name: str) -> None:
    folder = django_project(tmp_path)
    taken = read(app_in(folder, "shop") if name == "app" else settings_in(folder))
    (broker,) = taken.broker_urls
    assert (broker.url, broker.password.reveal()) == ("amqps://me@mq.example/live", SECRET)
    assert taken.broker_tls == TlsOptions(ca_file=str(tmp_path / "certs/ca.pem"))
    assert taken.result_backend.url == "django-db"
    assert taken.database is not None
    assert taken.database.name == str(tmp_path / "db.sqlite3")
    assert taken.schedules is not None
    assert taken.schedules.url.startswith("postgresql://b@pg:5433/beat?sslmode=verify-full")
    assert taken.schedules.password.reveal() == SECRET
    assert taken.uses_django_celery_beat
    assert taken.uses_django_celery_results
    assert taken.beat_scheduler.endswith("DatabaseScheduler")
    assert SECRET not in printable(taken) + repr(taken)


def test_a_router_that_cannot_be_asked(tmp_path: Path) -> None:
    settings = SETTINGS.replace("shop.routers.", "shop.nowhere.")
    taken = read(settings_in(django_project(tmp_path, settings)))
    assert taken.schedules is not None
    assert taken.schedules.alias == "beat"  # the only other one
    assert "DATABASE_ROUTERS cannot be asked" in " ".join(taken.notes)


def test_django_settings_without_an_app_and_with_old_names(tmp_path: Path) -> None:
    settings = (
        "BROKER_URL = 'redis://old/3'\nCELERY_QUEUES = {'a': {}, 'b': {}}\nCELERYBEAT_SCHEDULER = 's:S'\n"
    )
    taken = read(settings_in(write(tmp_path, conf=settings), "conf"))
    assert [one.url for one in taken.broker_urls] == ["redis://old/3"]
    assert taken.queues == ("a", "b", "celery")
    assert taken.beat_scheduler == "s:S"


def test_the_app_of_a_settings_module_that_fails_is_a_note(tmp_path: Path) -> None:
    folder = django_project(tmp_path)
    write(folder, shop__celery="raise ValueError('no')")
    taken = read(settings_in(folder))
    assert taken.broker_urls[0].url == "amqps://me@mq.example/live"
    assert "shop.celery cannot be read (ValueError)" in " ".join(taken.notes)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("tasks", {"tasks": APP}),
        ("tasks:app", {"tasks": APP}),
        ("tasks.app", {"tasks": APP}),
        ("tasks", {"tasks": APP.replace("app", "jobs")}),
        ("tasks", {"src__tasks": APP}),
        ("shop", {"shop__init": "", "shop__celery": APP}),
        ("shop", {"src__shop__init": "", "src__shop__celery": APP}),
        ("shop.celery", {"shop__celery": APP}),
        ("shop.celery:app", {"shop__init": "from .celery import app", "shop__celery": APP}),
        ("page", {"model": "x = 1", "page": "import model\nassert model.x\n" + APP}),
    ],
)
def test_layouts(tmp_path: Path, name: str, files: dict[str, str]) -> None:
    taken = read(app_in(write(tmp_path, **files), name))
    assert taken.broker_urls[0].url == "redis://redis.example:6380/4"


def test_candidates_are_read_as_they_are_found(tmp_path: Path) -> None:
    folder = django_project(tmp_path / "site" / "backend").parent
    for candidate in require_candidates(folder):
        assert read_project(folder, PYTHON, candidate).broker_urls[0].url == "amqps://me@mq.example/live"


def test_our_own_project(tmp_path: Path) -> None:
    candidate = next(
        one for one in require_candidates(ROOT / "bundled_project") if one.name.endswith("celery")
    )
    taken = read(
        candidate, DATABASE_URL="postgresql://u:mark-er%2F7%23q@db/shop", BUNDLED_PROJECT_DATA=str(tmp_path)
    )
    assert taken.queues == ("default", "mail", "reports")
    assert taken.schedules is not None
    assert taken.schedules.password.reveal() == SECRET
    assert "wrong" in failure(candidate, DEBUG="1", WORKER_CONCURRENCY="many").detail


def test_the_variable_of_the_broker_goes_first_and_no_broker_is_the_default(tmp_path: Path) -> None:
    folder = write(tmp_path, tasks="from celery import Celery\napp = Celery('x')\n")
    assert (
        read(app_in(folder), CELERY_BROKER_URL="redis://elsewhere/1").broker_urls[0].url
        == "redis://elsewhere/1"
    )
    taken = read(app_in(folder))
    assert taken.broker_urls[0].url.startswith("amqp://guest@")
    assert "names no broker" in taken.notes[0]


@pytest.mark.parametrize(
    "raising",
    [
        'os.environ["SHOP_BROKER"]',
        'fail(ImproperlyConfigured("Set the SHOP_BROKER environment variable"))',
        'fail(UndefinedValueError("SHOP_BROKER not found. Declare it as envvar or define a default value."))',
        "fail(ImproperlyConfigured('SHOP_BROKER must be set'))",
        "sys.exit('Environment variable \"SHOP_BROKER\" not set')",
    ],
)
def test_a_missing_variable_is_named_and_can_be_given(tmp_path: Path, raising: str) -> None:
    text = f"""
import os, sys
from celery import Celery
class ImproperlyConfigured(Exception): pass
class UndefinedValueError(Exception): pass
def fail(error): raise error
PASSWORD = "mark-er/7#q"
app = Celery("x", broker=os.environ.get("SHOP_BROKER") or {raising})
"""
    (tmp_path / ".env").write_text("SHOP_BROKER=redis://given/1\n")
    candidate = app_in(write(tmp_path, tasks=text))
    error = failure(candidate)
    assert isinstance(error, MissingVariableError)
    assert (error.name, error.env_files) == ("SHOP_BROKER", (tmp_path / ".env",))
    assert read(candidate, SHOP_BROKER="redis://given/1").broker_urls[0].url == "redis://given/1"


def test_an_error_of_the_project_says_where_and_keeps_its_secrets(tmp_path: Path) -> None:
    text = """
from celery import Celery
CONFIG = {"DATABASE": {"PASSWORD": "mark-er/7#q"}}
def connect(token):
    raise ValueError(f"cannot use {token} of {CONFIG}")
app = Celery("x"); connect("mark-er/7#q")
"""
    error = failure(app_in(write(tmp_path, tasks=text)))
    assert error.title == "tasks cannot be imported"
    assert "ValueError: cannot use •••• of" in error.detail
    assert "tasks.py:5" in error.detail


def test_a_syntax_error_and_a_missing_module(tmp_path: Path) -> None:
    assert "tasks.py:2" in failure(app_in(write(tmp_path, tasks="PASSWORD = 'mark-er/7#q'\ndef (\n"))).detail
    error = failure(app_in(write(tmp_path, tasks="import no_such_library")))
    assert error.title == f"The project needs no_such_library, which {PYTHON} does not find"
    assert failure(app_in(tmp_path, "nowhere")).title == f"There is no module nowhere in {tmp_path}"
    assert "no Celery app" in failure(app_in(write(tmp_path, tasks="x = 1"))).title


def test_settings_that_are_not_configured(tmp_path: Path) -> None:
    text = "from django.conf import settings\nfrom celery import Celery\napp = Celery(settings.NAME)\n"
    assert "which Django settings" in failure(app_in(write(tmp_path, tasks=text))).title


def test_a_configuration_that_cannot_be_loaded(tmp_path: Path) -> None:
    text = "from celery import Celery\napp = Celery('x')\napp.config_from_object('celeryconfig')\n"
    candidate = app_in(write(tmp_path, tasks=text))
    assert "needs celeryconfig" in failure(candidate).title
    write(
        tmp_path,
        celeryconfig="broker_url = 'redis://h/1'\nBROKER_USE_SSL = True\nCELERY_TASK_SERIALIZER = 'json'\n",
    )
    assert failure(candidate).title == "tasks cannot be imported"


def test_values_that_are_no_json(tmp_path: Path) -> None:
    text = (
        APP
        + """
import ssl
class Dsn:
    def __repr__(self): return "mark-er/7#q"
app.conf.broker_use_ssl = ssl.create_default_context()
app.conf.beat_scheduler = Dsn
app.conf.result_backend = Dsn()
"""
    )
    taken = read(app_in(write(tmp_path, tasks=text)))
    assert taken.broker_tls == TlsOptions()
    assert taken.beat_scheduler == "tasks:Dsn"
    assert taken.result_backend.url == ""
    assert "broker_use_ssl is not a dict, but SSLContext" in " ".join(taken.notes)
    assert SECRET not in printable(taken)


def test_a_project_that_exits(tmp_path: Path) -> None:
    text = "import sys\nPASSWORD = 'mark-er/7#q'\nsys.exit('bad: ' + PASSWORD)\n"
    assert "sys.exit: bad: ••••" in failure(app_in(write(tmp_path, tasks=text))).detail
    said = "sys.stderr.write('it was ' + PASSWORD)\nsys.stderr.flush()"
    hard = f"import os, sys\nPASSWORD = 'mark-er/7#q'\n{said}\nos._exit(7)\n"
    assert "exit status 7: it was ••••" in failure(app_in(write(tmp_path, tasks=hard))).detail
    assert "signal 9" in failure(app_in(write(tmp_path, tasks="import os\nos.kill(os.getpid(), 9)"))).detail


def test_a_project_that_prints_megabytes(tmp_path: Path) -> None:
    text = (
        "import os, sys\nfor _ in range(64):\n    print('x' * 99_999); sys.stderr.write('y' * 99_999)\n"
        "os.write(1, b'{}' * 50_000)\ninput_was = sys.stdin.read()\n" + APP
    )
    assert read(app_in(write(tmp_path, tasks=text))).default_queue == "main"


def test_a_project_that_waits_for_ever_is_ended(tmp_path: Path) -> None:
    text = "import sys, time\nprint('password: mark-er/7#q', file=sys.stderr, flush=True)\ntime.sleep(600)\n"
    error = failure(app_in(write(tmp_path, tasks=text)), timeout_s=0.6)
    assert (error.cause, error.title) == (Cause.TIMEOUT, "tasks was not read within 0.6 s")


FORKING = """
import os, subprocess, sys, time
def note(): open(f"pid-{os.getpid()}", "w").close()
if os.fork() == 0:
    note(); time.sleep(600)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
open(f"pid-{child.pid}", "w").close()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        note(); time.sleep(600)
    os._exit(0)
while len([name for name in os.listdir(".") if name.startswith("pid-")]) < 3: time.sleep(0.01)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere what detaches itself cannot be followed")
@pytest.mark.parametrize("hangs", [False, True])
def test_what_a_project_forks_is_ended_with_it(tmp_path: Path, hangs: bool) -> None:
    candidate = app_in(write(tmp_path, tasks=FORKING + ("time.sleep(600)" if hangs else APP)))
    stop = threading.Event()
    thread, came = in_a_thread(lambda: read_project(tmp_path, PYTHON, candidate, stop=stop))
    until(lambda: len(list(tmp_path.glob("pid-*"))) == 3, what="forking")
    if hangs:
        stop.set()
    thread.join(WAIT_S)
    assert isinstance(came[0], ConsoleError if hangs else ProjectSettings)
    pids = [int(file.name.removeprefix("pid-")) for file in tmp_path.glob("pid-*")]
    until(lambda: not any(map(runs, pids)), what="the end of what was forked")


def test_a_copy_that_a_project_forks_does_not_answer(tmp_path: Path) -> None:
    assert read(app_in(write(tmp_path, tasks="import os\nos.fork()\n" + APP))).default_queue == "main"


WAITING = """
import os, time
while not os.path.exists("go"): time.sleep(0.01)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
def test_no_secret_is_in_arguments_or_environment_while_it_runs(tmp_path: Path) -> None:
    candidate = app_in(write(tmp_path, tasks=WAITING + APP))
    thread, came = in_a_thread(lambda: read(candidate, EXTRA=SECRET))
    until(lambda: bool(readers()), what="the start")
    seen = b""
    for one in readers():
        for name in ("cmdline", "environ"):
            seen += Path(f"/proc/{one.pid}/{name}").read_bytes()
    (tmp_path / "go").touch()
    thread.join(WAIT_S)
    assert str(PROBE).encode() in seen
    assert SECRET.encode() not in seen
    assert isinstance(came[0], ProjectSettings)


def test_stopping_ends_the_reading(tmp_path: Path) -> None:
    candidate, stop = app_in(write(tmp_path, tasks=WAITING)), threading.Event()
    thread, came = in_a_thread(lambda: read_project(tmp_path, PYTHON, candidate, stop=stop))
    until(lambda: bool(readers()), what="the start")
    stop.set()
    thread.join(WAIT_S)
    assert "was stopped" in str(came[0])


@pytest.mark.skipif(sys.platform == "win32", reason="no process groups")
def test_a_console_that_is_killed_leaves_no_reading_behind(tmp_path: Path) -> None:
    write(tmp_path, tasks="import os\nopen(f'pid-{os.getpid()}', 'w').close()\n" + WAITING)
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.integration.connections.test_project_reading import app_in, read\n"
        "read(app_in(Path(sys.argv[1])))"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT) as console:
        until(lambda: bool(list(tmp_path.glob("pid-*"))), what="the start")
        console.kill()
    (pid,) = (int(file.name.removeprefix("pid-")) for file in tmp_path.glob("pid-*"))
    until(lambda: not runs(pid), what="the end of the reading")


def test_a_variable_that_is_set_reaches_the_project_and_its_value_no_error(tmp_path: Path) -> None:
    text = "import os\nraise RuntimeError('no use for ' + os.environ['EXTRA'])"
    assert "no use for ••••" in failure(app_in(write(tmp_path, tasks=text)), EXTRA=SECRET).detail


@pytest.mark.parametrize("program", ["/bin/true", "/bin/cat", "/nowhere/python", "/etc/passwd", "/"])
def test_what_is_no_interpreter(tmp_path: Path, program: str) -> None:
    candidate = app_in(write(tmp_path, tasks=APP))
    with pytest.raises(ConsoleError):
        read_project(tmp_path, Path(program), candidate, timeout_s=0.5)


def test_an_interpreter_without_celery(tmp_path: Path) -> None:
    """The base interpreter of our environment: a Python, and nothing in it."""
    bare = Path(sys.base_prefix, "bin", "python3")
    if bare == PYTHON or any(Path(sys.base_prefix).glob("lib/python3*/site-packages/celery")):
        pytest.skip("the base interpreter has Celery")
    with pytest.raises(ConsoleError) as caught:
        read_project(tmp_path, bare, app_in(write(tmp_path, tasks=APP)))
    assert caught.value.title == f"celery is not installed for {bare}"
    assert caught.value.remedy == "Choose the interpreter that runs the project."
    with pytest.raises(ConsoleError, match="django is not installed"):
        read_project(tmp_path, bare, settings_in(django_project(tmp_path)))


@pytest.mark.parametrize("name", ["", "-c", "a b", "shop;x", "../x", "shop.", ":app", "x" * 9 + ":"])
def test_a_name_that_is_none(tmp_path: Path, name: str) -> None:
    assert "is not the name of a module" in failure(app_in(tmp_path, name)).title


def test_variables_that_cannot_be(tmp_path: Path) -> None:
    candidate = app_in(write(tmp_path, tasks=APP))
    assert "cannot be used" in failure(candidate, A="x\0y").title
    assert "too many variables" in failure(candidate, A="x" * 60_000).title
