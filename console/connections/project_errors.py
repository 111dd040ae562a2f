"""Why a project could not be read, in words; beside the values, because both come from the same document.

Nothing of the project's own text goes into a sentence before it was redacted: the probe takes out what the
failing code held, this takes out what the caller knows and what looks like a password.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from console.connections.project import Candidate
from console.core.errors import Cause, ConsoleError
from console.core.redaction import MASK, redact

TAIL_LINES = 3
LINE_CHARACTERS = 300
_MIN_SECRET = 4
_SECRET_NAME = re.compile(r"pass|pwd|secret|token|credential|private|api_?key|_key$|dsn", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"://[^\s:/@]*:([^\s@]+)@")
_SAID = re.compile(
    r"(?i)((?:pass(?:word|wd|phrase)?|pwd|secret|token|credential|api_?key)\w*['\"]?\s*(?:=>|[:=]|\bis\b)\s*['\"]?)"
    r"[^\s'\",;)]+"
)
_TOO_OLD = re.compile(r"SyntaxError: (?:future feature annotations|invalid syntax)")


class MissingVariableError(ConsoleError):
    """The project reads the environment variable `name`, and it is not set.

    `env_files` are the files of variables beside the project, which the person may choose to use.
    """

    def __init__(self, name: str, *, detail: str, env_files: tuple[Path, ...] = ()) -> None:
        offer = f", or take the variables from {env_files[0].name}" if env_files else ""
        super().__init__(
            f"The project needs the environment variable {name}",
            detail=detail,
            remedy=f"Give {name} a value here{offer}; it is used for this reading only.",
            cause=Cause.INVALID,
        )
        self.name = name
        self.env_files = env_files


def error_of(
    document: Mapping[str, Any],
    candidate: Candidate,
    interpreter: Path,
    *,
    env_files: tuple[Path, ...] = (),
    known: Collection[str] = (),
) -> ConsoleError:
    """The probe's `error` as a sentence. `known` are secrets to take out besides those registered."""
    error = document["error"]
    said = {key: without(str(error.get(key, "")), known) for key in ("exception", "message", "where", "line")}
    module, variable = str(error.get("missing_module", "")), str(error.get("missing_variable", ""))
    raised = ": ".join(part for part in (said["exception"], said["message"]) if part)
    place = " – ".join(part for part in (said["where"], said["line"]) if part)
    detail = f"{raised} ({place})" if place else f"{raised}"
    if module in ("celery", "django"):
        return ConsoleError(
            f"{module} is not installed for {interpreter}",
            detail=f"{candidate.name} needs it.",
            remedy="Choose the interpreter that runs the project.",
            cause=Cause.NOT_FOUND,
        )
    if variable == "DJANGO_SETTINGS_MODULE":
        return ConsoleError(
            f"{candidate.name} does not say which Django settings it uses",
            detail=detail,
            remedy="Choose the Django settings instead, or give DJANGO_SETTINGS_MODULE a value here.",
            cause=Cause.INVALID,
        )
    if variable:
        return MissingVariableError(variable, detail=detail, env_files=env_files)
    if error.get("kind") == "no app":
        return ConsoleError(
            f"There is no Celery app in {candidate.module}",
            detail=said["message"],
            remedy="Name the app as celery -A takes it, for example shop.celery:app.",
            cause=Cause.NOT_FOUND,
        )
    if error.get("kind") == "exit":
        return ConsoleError(
            f"The project ended while {candidate.name} was read",
            detail=f"It called sys.exit: {said['message'] or 'no message'}{f' ({place})' if place else ''}",
            remedy="See to what it says; a variable or an .env file may be missing.",
            cause=Cause.INVALID,
        )
    if module:
        return _no_module(module, detail, candidate, interpreter)
    return ConsoleError(
        f"{candidate.name} cannot be imported",
        detail=detail,
        remedy="See to the line that is named, or give the variables that the project needs.",
        cause=Cause.INVALID,
    )


def _no_module(module: str, detail: str, candidate: Candidate, interpreter: Path) -> ConsoleError:
    wanted = candidate.module
    if wanted == module or wanted.startswith(f"{module}."):
        return ConsoleError(
            f"There is no module {module} in {candidate.root}",
            detail=detail,
            remedy="Choose the folder in which the project is started.",
            cause=Cause.NOT_FOUND,
        )
    return ConsoleError(
        f"The project needs {module}, which {interpreter} does not find",
        detail=detail,
        remedy="Choose the interpreter that runs the project, or the folder in which it is started.",
        cause=Cause.NOT_FOUND,
    )


def silent_end(
    code: int | None, tail: str, candidate: Candidate, interpreter: Path, *, known: Collection[str]
) -> ConsoleError:
    """The process ended with `code` (negative: by that signal) and gave no answer."""
    last = last_lines(tail, known)
    if _TOO_OLD.search(tail) and "project_probe" in tail:
        return ConsoleError(
            f"{interpreter} is too old",
            detail="Reading a project needs Python 3.7 or newer there.",
            remedy="Choose another interpreter.",
            cause=Cause.INVALID,
        )
    how = f"signal {-code}" if code is not None and code < 0 else f"exit status {code}"
    return ConsoleError(
        f"The project ended while {candidate.name} was read",
        detail=f"It ended with {how}{f': {last}' if last else ', and said nothing.'}",
        remedy="Start the project with this interpreter in a terminal to see why.",
        cause=Cause.OTHER,
    )


def too_slow(timeout_s: float, tail: str, candidate: Candidate, *, known: Collection[str]) -> ConsoleError:
    last = last_lines(tail, known)
    return ConsoleError(
        f"{candidate.name} was not read within {timeout_s:g} s",
        detail=f"The last it said: {last}" if last else "It said nothing, and was ended.",
        remedy="It may wait for a server when it is imported. Try again, or fill in the fields by hand.",
        cause=Cause.TIMEOUT,
        retryable=True,
    )


def last_lines(text: str, known: Collection[str]) -> str:
    """The last lines of standard error in one, redacted."""
    lines = [line.strip()[:LINE_CHARACTERS] for line in without(text, known).splitlines() if line.strip()]
    return " / ".join(lines[-TAIL_LINES:])


def without(text: str, known: Collection[str]) -> str:
    """`text` without registered secrets, without `known`, without what follows `password=`."""
    for secret in sorted(known, key=len, reverse=True):
        if len(secret) >= _MIN_SECRET:
            text = text.replace(secret, MASK)
    # First by their names: a registered secret may be the word `password` itself.
    return redact(_SAID.sub(lambda match: match.group(1) + MASK, text))


def literal_secrets(source: str) -> set[str]:
    """What a settings file holds in plain text under the name of a secret, or as the password of a URL.

    For a project that ends without an answer: then only its own words are there, and these must not be
    among them. What cannot be parsed has none.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return set()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.update(_URL_PASSWORD.findall(node.value))
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                _named(ast.unparse(target), node.value, found)
        elif isinstance(node, ast.keyword):
            _named(node.arg or "", node.value, found)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                _named(str(key.value) if isinstance(key, ast.Constant) else "", value, found)
    return found


def _named(name: str, value: ast.expr, found: set[str]) -> None:
    if _SECRET_NAME.search(name):
        found.update(
            one.value
            for one in ast.walk(value)
            if isinstance(one, ast.Constant) and isinstance(one.value, str)
        )
