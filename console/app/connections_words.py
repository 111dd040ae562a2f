"""What `celery-console connections` writes: lines for people, JSON for scripts, and no secret in either."""

from __future__ import annotations

import json
import sys

from console.connections.check_model import CheckStep
from console.connections.file_format import dump_connections
from console.connections.model import Connection
from console.core.redaction import redact


def say_step(step: CheckStep) -> None:
    took = "" if step.took_s is None else f"{step.took_s * 1000:.0f} ms"
    say(redact(f"  {step.state:8} {step.title:17} {step.says}{f'  ({took})' if took else ''}"))
    error = step.error
    if error is not None:
        parts = [text for text in (error.detail, error.remedy) if text]
        if error.title != step.says:
            parts.insert(0, f"{error.title}.")
        say(redact(f"           {' '.join(parts)}"))
    if step.command:
        say(f"           {step.command}")


def as_json(one: Connection) -> dict[str, object]:
    [entry] = json.loads(dump_connections([one]))["connections"]
    known: dict[str, object] = entry
    return known


def step_json(step: CheckStep) -> dict[str, object]:
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


def say(text: str) -> None:
    sys.stdout.write(f"{_plain(text)}\n")
    sys.stdout.flush()


def ask_out(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def complain(text: str) -> None:
    sys.stderr.write(redact(f"celery-console: {_plain(text)}\n"))
