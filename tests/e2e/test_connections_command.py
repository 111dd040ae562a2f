"""`celery-console connections` as scripts run it: a process of its own, no display, the real keyring."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.proxy import Proxy
from tests.valkey import ValkeyServer, free_port

SECRET = "pä ß/№:@#?%&+=\"'\\{}-geheim"
END_S = 60.0


class Console:
    """The program with a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
        }

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "console", "connections", *words, "--home", str(self.home)]

    def run(self, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*words),
            input=given,
            check=False,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=END_S,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert SECRET not in done.stdout + done.stderr
        return done

    def good(self, *words: str, given: str = "") -> str:
        done = self.run(*words, given=given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(self, *words: str, given: str = "", status: int = 1) -> str:
        done = self.run(*words, given=given)
        assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
        return done.stderr

    def listed(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.good("list", "--json"))
        return found


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return Console(tmp_path / "home")


def _add(console: Console, name: str = "Shop", *more: str) -> str:
    return console.good("add", name, "--url", "redis://console@redis.shop.example/0", *more)


def test_every_field_of_a_connection_can_be_set(console: Console, tmp_path: Path) -> None:
    for name in ("ca.pem", "pg.pem", "key"):
        (tmp_path / name).touch()
    said = console.good(
        *("add", "Shop production", "--url", "rediss://console@redis.shop.example:6380/2"),
        *("--environment", "production", "--mode", "read-only", "--colour", "violet"),
        *("--ca-file", str(tmp_path / "ca.pem"), "--server-name", "shop", "--key-prefix", "shop:"),
        *("--timeout", "2.5", "--queue", "orders", "--queue", "mail", "--result-backend", "django-db"),
        *("--schedules", "postgresql://console@pg.shop.example/shop"),
        *("--schedules-ca-file", str(tmp_path / "pg.pem")),
        *("--ssh", "deploy@jump.shop.example:2222", "--ssh-key", str(tmp_path / "key")),
        *("--schedules-ssh", "deploy@[::1]"),
    )
    assert said == "Shop production is saved.\n"
    [one] = console.listed()
    assert one["name"] == "Shop production"
    assert one["environment"] == "Production"
    assert one["mode"] == "Read only"
    assert one["colour"] == "Violet"
    assert one["queues"] == ["orders", "mail"]
    text = console.good("list")
    assert "rediss://console@redis.shop.example:6380/2" in text
    assert "PostgreSQL, shop" in text
    assert "Read only" in text
    file = (console.home / "connections.json").read_text(encoding="utf-8")
    for part in ("shop:", "2.5", "ca.pem", "pg.pem", "jump.shop.example", "2222", "::1"):
        assert part in file


def test_home_may_stand_before_the_command(console: Console) -> None:
    _add(console)
    before = [sys.executable, "-m", "console", "--home", str(console.home), "connections", "list", "--json"]
    done = subprocess.run(
        before, check=False, capture_output=True, text=True, env=console.environment, timeout=END_S
    )
    assert json.loads(done.stdout) == console.listed()


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (("--password-stdin",), f"{SECRET}\n"),
        (("--secrets-stdin",), json.dumps({"broker": SECRET})),
    ],
)
def test_a_password_comes_by_standard_input_and_stays_in_the_keyring(
    own_broker: ValkeyServer, console: Console, words: Sequence[str], given: str
) -> None:
    with own_broker.client() as client:
        # redis-py's own types know nothing of `ACL SETUSER` with a password of odd characters.
        client.acl_setuser(
            "console",
            enabled=True,
            passwords=[f"+{SECRET}"],
            keys=["*"],
            channels=["*"],
            categories=["+@all"],
        )
    url = f"redis://console@127.0.0.1:{own_broker.port}/0"
    console.good("add", "Shop", "--url", url, *words, given=given)
    said = console.good("test", "Shop")
    assert "as console, password from the keyring" in said
    assert "6 of 6 passed" in said
    for file in console.home.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes()
    assert "geheim" not in console.good("export")
    console.good("remove", "Shop", "--yes")
    assert console.listed() == []


def test_a_password_in_an_argument_is_refused_and_not_repeated(console: Console) -> None:
    for words in (
        ("--url", "redis://console:geheimes-wort@host/0"),
        ("--url", "redis://host/0", "--schedules", "postgresql://a:geheimes-wort@host/b"),
        ("--url", "redis://host/0", "--result-backend", "redis://:geheimes-wort@host/1"),
    ):
        said = console.refused("add", "Shop", *words)
        assert "visible to everybody on this machine" in said
        assert "geheimes-wort" not in said
    assert not (console.home / "connections.json").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("add", "Shop", "--url", "ftp://host"), "ftp://"),
        (("add", "Shop", "--url", "redis://host", "--ca-file", "a.pem"), "Use rediss:// or amqps://."),
        (("add", "Shop", "--url", "redis://host", "--ssh", "a@b/c"), "--ssh cannot be read"),
        (("add", "Shop", "--url", "redis://host", "--timeout", "0"), "timeout"),
        (("add", "", "--url", "redis://host"), "name"),
        (("add", "Shop"), "Where the broker is was not said. Say --url"),
        (("add", "Shop", "--replace"), "Where the broker is was not said. Say --url"),
        (("add", "Shop", "--url", "redis://host", "--ssh-key", "key"), "Say --ssh."),
        (("add", "Shop", "--url", "redis://host", "--schedules-no-verify"), "Say --schedules."),
        (("test", "Nobody"), "There is no connection named Nobody"),
        (("test",), "Name one connection, or say --all"),
        (("remove", "Nobody", "--yes"), "There is no connection named Nobody"),
        (("export", "Nobody"), "There is no connection named Nobody"),
        (("import", "/nowhere/file.json"), "The file cannot be read"),
    ],
)
def test_what_is_wrong_is_one_line(console: Console, words: Sequence[str], says: str) -> None:
    said = console.refused(*words)
    assert says in said
    assert said.startswith("celery-console: ")
    assert said.count("\n") == 1


def test_secrets_that_cannot_be_read_are_not_repeated(console: Console) -> None:
    for given in ("geheim{", '["geheim"]', '{"broker": 7}', '{"geheim": "x"}'):
        said = console.refused("add", "Shop", "--url", "redis://host", "--secrets-stdin", given=given)
        assert "geheim" not in said
    assert console.listed() == []


def test_a_name_is_taken_once(console: Console) -> None:
    _add(console)
    [before] = console.listed()
    assert "say --replace" in console.refused("add", "Shop", "--url", "redis://other/0")
    console.good("add", "Shop", "--url", "redis://other/0", "--replace")
    [after] = console.listed()
    assert after["id"] == before["id"]
    assert "redis://other:6379/0" in console.good("list")


def test_replacing_changes_only_what_is_named(console: Console, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    (tmp_path / "key").touch()
    console.good(
        *("add", "Shop", "--url", "rediss://console@redis.shop.example:6380/2"),
        *("--environment", "production", "--mode", "read-only", "--colour", "violet", "--queue", "orders"),
        *("--ca-file", str(tmp_path / "ca.pem"), "--key-prefix", "shop:", "--timeout", "2.5"),
        *("--schedules", "postgresql://console@pg.shop.example/shop?sslmode=verify-full"),
        *("--ssh", "deploy@jump.shop.example", "--ssh-key", str(tmp_path / "key")),
    )
    [before] = console.listed()
    console.good("add", "Shop", "--replace", "--server-name", "shop")
    [named] = console.listed()
    before["broker"]["tls"]["server_name"] = "shop"
    assert named == before
    (tmp_path / "ca.pem").unlink()  # what was there before is not looked at again
    console.good("add", "Shop", "--replace", "--url", "rediss://new@redis2.shop.example:6380/2")
    [moved] = console.listed()
    before["broker"] |= {"url": "rediss://new@redis2.shop.example:6380/2"}
    assert moved == before
    console.good(
        "add", "Shop", "--replace", "--schedules", "", "--ssh", "", "--queue", "", "--mode", "everything"
    )
    [less] = console.listed()
    assert less["mode"] == "Everything"
    assert less["environment"] == "Production"
    for gone in ("schedules", "broker_tunnel", "queues"):
        assert not less.get(gone)


def test_replacing_sends_no_kept_password_to_another_server(console: Console) -> None:
    url = "redis://console@redis.shop.example/0"
    console.good("add", "Shop", "--url", url, "--password-stdin", given=f"{SECRET}\n")
    [one] = console.listed()

    def kept() -> str | None:
        program = f"import keyring; print(keyring.get_password('celery-console', {one['id']!r}) or '')"
        done = subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            text=True,
            env=console.environment,
        )
        return done.stdout.strip()

    assert kept() == SECRET
    said = console.good("add", "Shop", "--replace", "--mode", "read-only", "--url", f"{url[:-1]}3")
    assert said == "Shop is saved.\n"
    assert kept() == SECRET
    said = console.good("add", "Shop", "--replace", "--url", "redis://console@elsewhere.example/0")
    assert said.startswith("Shop: forgotten, as it would go to another server now: broker.")
    assert kept() == ""
    again = ("add", "Shop", "--replace", "--url", url, "--password-stdin")
    assert console.good(*again, given=f"{SECRET}\n") == "Shop is saved.\n"
    assert kept() == SECRET
    console.good("remove", "Shop", "--yes")


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("--ca-file", "The file of the certificate authority is not there."),
        ("--cert-file", "The file of the client certificate is not there."),
        ("--key-file", "The file of the client key is not there."),
        ("--schedules-ca-file", "The file of the certificate authority is not there."),
        ("--ssh-key", "The file of the SSH key is not there."),
    ],
)
def test_a_file_that_is_not_there_is_refused(
    console: Console, tmp_path: Path, option: str, says: str
) -> None:
    (tmp_path / "client.pem").touch()
    said = console.refused(
        *("add", "Shop", "--url", "rediss://host", "--ssh", "deploy@jump"),
        *("--schedules", "postgresql://pg/shop"),
        *(("--cert-file", str(tmp_path / "client.pem")) if option == "--key-file" else ()),
        *(option, str(tmp_path / "missing.pem")),
    )
    assert says in said
    assert "missing.pem" in said
    assert console.listed() == []


def test_export_and_import_carry_everything_but_secrets(console: Console, tmp_path: Path) -> None:
    _add(console, "One")
    _add(console, "Two", "--environment", "staging")
    file = tmp_path / "connections.json"
    assert "2 exported" in console.good("export", "--output", str(file))
    assert json.loads(console.good("export", "One"))["connections"][0]["name"] == "One"
    other = Console(tmp_path / "other")
    assert "One: added" in other.good("import", str(file), "--dry-run")
    assert other.listed() == []
    other.good("import", "-", given=file.read_text(encoding="utf-8"))
    assert other.listed() == console.listed()
    assert "One: as it is" in other.good("import", str(file))


@pytest.mark.parametrize(
    ("policy", "names", "environments"),
    [
        ("skip", ["Shop"], ["Development"]),
        ("rename", ["Shop", "Shop 2"], ["Development", "Staging"]),
        ("replace", ["Shop"], ["Staging"]),
    ],
)
@pytest.mark.parametrize("same_id", [True, False], ids=["changed", "name taken"])
def test_conflicts_end_as_was_said(
    console: Console, policy: str, names: list[str], environments: list[str], *, same_id: bool
) -> None:
    _add(console)
    data = json.loads(console.good("export"))
    data["connections"][0]["environment"] = "Staging"
    if not same_id:
        data["connections"][0]["id"] = "another"
    console.good("import", "-", "--on-conflict", policy, given=json.dumps(data))
    assert [one["name"] for one in console.listed()] == names
    assert [one["environment"] for one in console.listed()] == environments


def test_a_broken_file_is_told_and_left_alone(console: Console) -> None:
    _add(console)
    file = console.home / "connections.json"
    broken = file.read_text(encoding="utf-8")[:-20]
    file.write_text(broken, encoding="utf-8")
    for words in (("list",), ("add", "Other", "--url", "redis://host"), ("remove", "Shop", "--yes")):
        assert "The connections file cannot be read" in console.refused(*words)
    assert file.read_text(encoding="utf-8") == broken


def test_removing_asks_and_needs_somebody_to_ask(console: Console) -> None:
    _add(console)
    assert "Say --yes" in console.refused("remove", "Shop")
    assert len(console.listed()) == 1
    assert console.good("remove", "Shop", "--yes") == "Shop is removed.\n"


def test_a_failed_test_has_its_status_and_its_cause(console: Console) -> None:
    port = free_port()
    console.good("add", "Away", "--url", f"redis://127.0.0.1:{port}/0")
    done = console.run("test", "Away", "--json")
    assert done.returncode == 1
    [result] = json.loads(done.stdout)
    steps = {step["step"]: step for step in result["steps"]}
    assert steps["name"]["state"] == "passed"
    assert steps["tcp"]["state"] == "failed"
    assert steps["tcp"]["error"]["title"] == "Broker cannot be reached"
    assert steps["login"]["says"] == "because TCP failed"
    done = console.run("test", "--all")
    assert done.returncode == 1
    assert "Check that it runs and that this machine may reach it." in done.stdout


def test_without_a_keyring_it_says_what_to_do(console: Console, own_broker: ValkeyServer) -> None:
    console.environment |= {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    url = f"redis://127.0.0.1:{own_broker.port}/0"
    said = console.refused("add", "Shop", "--url", url, "--password-stdin", given=f"{own_broker.password}\n")
    assert "The keyring cannot be used" in said
    assert "gnome-keyring" in said
    assert console.listed() == []
    console.good("add", "Shop", "--url", url)
    done = console.run("test", "Shop", "--password-stdin", given=f"{own_broker.password}\n")
    assert done.returncode == 0, done.stdout
    assert "typed password" in done.stdout
    assert own_broker.password not in done.stdout
    done = console.run("test", "Shop")
    assert done.returncode == 1
    assert "gnome-keyring" in done.stderr


def test_it_loads_no_qt(console: Console, own_broker: ValkeyServer) -> None:
    console.good("add", "Shop", "--url", f"redis://127.0.0.1:{own_broker.port}/0")
    program = (
        "import sys\nfrom console.app.commands import run\n"
        f"run(['connections', 'test', 'Shop', '--home', {str(console.home)!r}])\n"
        "found = [name for name in sys.modules if name.startswith(('PySide6', 'shiboken', 'qasync'))]\n"
        "assert not found, found\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=False,
        text=True,
        env=console.environment,
        timeout=END_S,
    )
    assert done.returncode == 0, done.stderr


def test_interrupting_a_test_is_clean(console: Console, own_broker: ValkeyServer) -> None:
    with Proxy("127.0.0.1", own_broker.port) as proxy:
        proxy.accept_silently()
        console.good("add", "Hole", "--url", f"redis://127.0.0.1:{proxy.port}/0", "--timeout", "60")
        process = subprocess.Popen(
            console.command("test", "Hole"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=console.environment,
        )
        assert process.stdout is not None
        deadline_s = time.monotonic() + END_S
        while "TCP" not in process.stdout.readline():
            assert time.monotonic() < deadline_s
        started_s = time.monotonic()
        process.send_signal(signal.SIGINT)
        _out, err = process.communicate(timeout=END_S)
        assert time.monotonic() - started_s < 5
    assert process.returncode == 130
    assert err.strip() == "celery-console: stopped"


@pytest.mark.parametrize("words", [(), ("add",), ("test",), ("import",)])
def test_help_is_there(console: Console, words: Sequence[str]) -> None:
    said = console.good(*words, "--help")
    assert "usage: celery-console connections" in said
    assert "--home DIR" in said


def test_two_that_add_at_once_both_count(console: Console) -> None:
    running = [
        subprocess.Popen(
            console.command("add", f"Shop {number}", "--url", "redis://host"),
            stdout=subprocess.DEVNULL,
            env=console.environment,
        )
        for number in range(4)
    ]
    assert [one.wait(END_S) for one in running] == [0] * 4
    assert {one["name"] for one in console.listed()} == {f"Shop {number}" for number in range(4)}
