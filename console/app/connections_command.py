"""`celery-console connections ...`: connections for scripts and for machines without a display. No Qt.

It works on the same file and keyring as the window, also while one runs on the same home. Secrets come from
standard input or a prompt, never from an argument: those are visible to everybody on the machine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_ENVIRONMENTS = ("development", "staging", "production")
MODES = {"everything": "Everything", "resend-only": "Resend only", "read-only": "Read only"}
_COLOURS = ("by-environment", "blue", "teal", "green", "amber", "red", "violet", "pink")
_ADD_HELP = """\
with --replace:
  What is not named stays as it is. An empty value takes away: --schedules "", --ssh "", --queue "".
  Where the connection then leads to another server, a kept password is forgotten unless it is given.

"""
SECRETS_HELP = """\
secrets:
  Passwords and passphrases are never arguments. Give them in one of these ways:
    --password-stdin   the broker's password is the first line of standard input
    --ask-passwords    each is asked for at the terminal; an empty answer leaves it out
    --secrets-stdin    a JSON object on standard input, such as
                       {"broker": "...", "schedules": "...", "broker-tunnel": "..."}
                       with any of: broker, sentinel, results, schedules, broker-tunnel, results-tunnel,
                       schedules-tunnel
  They go to the keyring of this computer."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `connections` and what comes after it."""
    text = "Add, list, test, export, import and remove connections without a window."
    parser = commands.add_parser("connections", help="work on connections without a window", description=text)
    add_home_option(parser)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_add(actions)
    listing = _action(actions, "list", "list the connections")
    listing.add_argument("--json", action="store_true", help="as JSON")
    testing = _action(
        actions,
        "test",
        "test connections step by step",
        epilog="The exit status is 0 when no step has failed. The test only reads.\n\n" + SECRETS_HELP,
    )
    testing.add_argument("name", nargs="?", metavar="NAME", help="the connection")
    testing.add_argument("--all", action="store_true", help="all of them, one after another")
    testing.add_argument("--json", action="store_true", help="as JSON")
    add_secret_options(testing)
    exporting = _action(actions, "export", "write connections as a file, without any secret")
    exporting.add_argument("names", nargs="*", metavar="NAME", help="these only; otherwise all")
    exporting.add_argument("--output", metavar="FILE", help="otherwise standard output")
    importing = _action(actions, "import", "take connections from an exported file")
    importing.add_argument("file", metavar="FILE", help="- for standard input")
    importing.add_argument("--dry-run", action="store_true", help="only say what would be done")
    importing.add_argument(
        "--on-conflict",
        choices=("skip", "rename", "replace"),
        default="skip",
        help="what becomes of one that is there already, differently (default: skip)",
    )
    removing = _action(actions, "remove", "remove a connection and its secrets")
    removing.add_argument("name", metavar="NAME")
    removing.add_argument("--yes", action="store_true", help="do not ask")


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, *, epilog: str = ""
) -> argparse.ArgumentParser:
    parser = actions.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_home_option(parser)
    return parser


def add_home_option(parser: argparse.ArgumentParser) -> None:
    """`--home`, also after the command."""
    parser.add_argument(
        "--home",
        metavar="DIR",
        default=argparse.SUPPRESS,  # or it would undo what stands before the command
        help="the folder that holds all state of this console",
    )


def _add_add(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """No option has a default here: what is not named stays as it is in a connection that is replaced."""
    epilog = _ADD_HELP + SECRETS_HELP
    parser = _action(actions, "add", "add a connection, or change one with --replace", epilog=epilog)
    parser.add_argument("name", metavar="NAME")
    parser.add_argument(
        "--url",
        help="the broker without a password: redis://, rediss://, redis+socket://, sentinel://, amqp:// or"
        " amqps://; needed for a new connection",
    )
    parser.add_argument("--environment", choices=_ENVIRONMENTS, help="default: development")
    parser.add_argument("--mode", choices=tuple(MODES), help="what may be done; default: everything")
    parser.add_argument("--colour", choices=_COLOURS, help="default: by-environment")
    parser.add_argument("--key-prefix", metavar="TEXT", help="kombu's global_keyprefix")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="for connecting and each answer")
    parser.add_argument("--queue", action="append", metavar="NAME", help="a queue to show; may be repeated")
    parser.add_argument("--management-url", metavar="URL", help="RabbitMQ's management API")
    parser.add_argument("--sentinel-master", metavar="NAME", help="the name Sentinel knows it by")
    parser.add_argument("--sentinel-user", metavar="NAME")
    parser.add_argument("--result-backend", metavar="URL|django-db", help="otherwise as the workers say")
    parser.add_argument("--schedules", metavar="URL", help="sqlite:///, postgresql:// or mysql://")
    _add_tls(parser, "", "the broker")
    _add_tls(parser, "schedules-", "the schedules database")
    for prefix, what in (
        ("", "the broker"),
        ("schedules-", "the schedules database"),
        ("results-", "the result backend"),
    ):
        parser.add_argument(f"--{prefix}ssh", metavar="USER@HOST[:PORT]", help=f"an SSH tunnel to {what}")
        parser.add_argument(f"--{prefix}ssh-key", metavar="FILE", help="its key; otherwise the ssh-agent")
    parser.add_argument("--replace", action="store_true", help="change the one of this name")
    add_secret_options(parser)


def _add_tls(parser: argparse.ArgumentParser, prefix: str, what: str) -> None:
    group = parser.add_argument_group(f"TLS to {what}")
    group.add_argument(f"--{prefix}ca-file", metavar="FILE", help="otherwise the system's store")
    group.add_argument(f"--{prefix}cert-file", metavar="FILE", help="the client certificate")
    group.add_argument(f"--{prefix}key-file", metavar="FILE", help="its key")
    group.add_argument(f"--{prefix}server-name", metavar="NAME", help="otherwise the host")
    checks = group.add_mutually_exclusive_group()
    verify = f"{prefix.replace('-', '_')}verify"
    checks.add_argument(
        f"--{prefix}verify", dest=verify, action="store_const", const=True, help="the default"
    )
    checks.add_argument(
        f"--{prefix}no-verify",
        dest=verify,
        action="store_const",
        const=False,
        help="do not verify the certificate",
    )


def add_secret_options(parser: argparse.ArgumentParser) -> None:
    """The ways in which secrets may be given."""
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--password-stdin", action="store_true", help="the broker's password, a line")
    ways.add_argument("--ask-passwords", action="store_true", help="ask for them at the terminal")
    ways.add_argument("--secrets-stdin", action="store_true", help="a JSON object, purpose to secret")


def run_connections(home: Path, wanted: argparse.Namespace) -> int:
    """Do what is wanted; the exit status. Failures of the world are lines on standard error."""
    from console.app import connections_actions as actions

    known: dict[str, Callable[[Path, argparse.Namespace], int]] = {
        "add": actions.add,
        "list": actions.list_all,
        "test": actions.test,
        "export": actions.export,
        "import": actions.take_in,
        "remove": actions.remove,
    }
    return in_words(lambda: known[wanted.action](home, wanted))


def in_words(action: Callable[[], int]) -> int:
    """The exit status of a command, whose failures become one line on standard error."""
    import logging

    from console.core.errors import ConsoleError
    from console.core.redaction import redact

    logging.getLogger().addHandler(logging.NullHandler())
    try:
        return action()
    except ConsoleError as error:
        sys.stderr.write(redact(f"celery-console: {sentence(error)}\n"))
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\ncelery-console: stopped\n")
        return 130
    except BrokenPipeError:
        # Whoever read our lines has enough of them; the interpreter must not try to write the rest.
        sys.stdout = None
        return 1


def sentence(error: Exception) -> str:
    """The texts of a `ConsoleError` as sentences."""
    parts = [getattr(error, name, "") for name in ("title", "detail", "remedy")]
    return " ".join(part if part.endswith((".", "?", "!")) else f"{part}." for part in parts if part)
