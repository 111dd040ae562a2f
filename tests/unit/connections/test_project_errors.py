"""Each way in which reading a project fails, in words that say what to do, and with no secret in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from console.connections.project import Candidate, CandidateKind
from console.connections.project_errors import (
    MissingVariableError,
    error_of,
    last_lines,
    literal_secrets,
    silent_end,
    too_slow,
    without,
)
from console.core.errors import Cause, ConsoleError

ROOT = Path("/srv/shop")
PYTHON = ROOT / ".venv/bin/python"
SETTINGS = Candidate(CandidateKind.DJANGO, "shop.settings", ROOT / "shop/settings.py", ROOT)


def of(**error: Any) -> ConsoleError:
    return error_of({"error": error}, SETTINGS, PYTHON, known={"known-secret"})


def test_a_missing_library_names_the_interpreter() -> None:
    error = of(kind="exception", exception="ModuleNotFoundError", missing_module="celery")
    assert error.title == "celery is not installed for /srv/shop/.venv/bin/python"
    assert error.remedy == "Choose the interpreter that runs the project."
    assert "needs stripe, which" in of(kind="exception", missing_module="stripe").title
    assert error.cause is Cause.NOT_FOUND


def test_a_wrong_folder() -> None:
    error = of(kind="exception", exception="ModuleNotFoundError", missing_module="shop")
    assert error.title == "There is no module shop in /srv/shop"


def test_a_missing_variable_is_named_and_the_env_file_offered() -> None:
    error = error_of(
        {"error": {"kind": "exception", "exception": "KeyError", "missing_variable": "DB_URL"}},
        SETTINGS,
        PYTHON,
        env_files=(ROOT / ".env",),
    )
    assert isinstance(error, MissingVariableError)
    assert error.name == "DB_URL"
    assert "or take the variables from .env" in error.remedy


def test_an_import_error_says_where() -> None:
    error = of(
        kind="exception",
        exception="ValueError",
        message="no known-secret",
        where="shop/settings.py:3",
        line="f(…)",
    )
    assert error.title == "shop.settings cannot be imported"
    assert error.detail == "ValueError: no •••• (shop/settings.py:3 – f(…))"


def test_an_exit_and_a_lack_of_an_app() -> None:
    assert "It called sys.exit: 2" in of(kind="exit", exception="SystemExit", message="2").detail
    assert of(kind="no app", exception="NoAppError").title == "There is no Celery app in shop.settings"
    unconfigured = of(kind="exception", missing_variable="DJANGO_SETTINGS_MODULE")
    assert "does not say which Django settings" in unconfigured.title


def test_a_silent_end_and_a_slow_one() -> None:
    assert "signal 11" in silent_end(-11, "", SETTINGS, PYTHON, known=()).detail
    assert "exit status 3: a / b" in silent_end(3, "a\n\nb\n", SETTINGS, PYTHON, known=()).detail
    assert too_slow(2.5, "", SETTINGS, known=()).title == "shop.settings was not read within 2.5 s"
    old = '  File "project_probe.py", line 13\nSyntaxError: future feature annotations is not defined'
    assert silent_end(1, old, SETTINGS, PYTHON, known=()).title.endswith("is too old")


@pytest.mark.parametrize(
    "text",
    [
        "redis://:marker-77@host/0",
        "PASSWORD = 'marker-77'",
        '{"PASSWORD": "marker-77"}',
        "password is marker-77",
        "api_key=marker-77;",
        "a marker-77 known",
    ],
)
def test_what_looks_like_a_password_is_taken_out(text: str) -> None:
    assert "marker-77" not in without(text, {"marker-77"} if "known" in text else ())


def test_the_tail_is_short() -> None:
    assert len(last_lines("\n".join("x" * 5000 for _ in range(9)), ())) < 1000


def test_secrets_in_plain_text_are_found() -> None:
    source = """
PASSWORD = "one-one"
URL = "redis://:two-two@host/0"
DATABASES = {"default": {"NAME": "shop", "PASSWORD": "three"}}
connect(token="four-four", name="five-five")
"""
    assert literal_secrets(source) >= {"one-one", "two-two", "three", "four-four"}
    assert not literal_secrets(source) & {"shop", "five-five"}
    assert literal_secrets("not python (") == set()
