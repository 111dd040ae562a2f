"""Fingerprints of failures: the class of an exception and what its message always says.

Failures that differ only in an id, a number, an address or a name in quotes are one error. The fold
asks once per failed task, so this is one pass of one expression and nothing else.
"""

from __future__ import annotations

import re

LONGEST = 200
READ_AT_MOST = 600

_CLASS = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
# What Celery sends is a repr: KeyError('x'), OSError(2, 'No such file'), Outer(Inner("why")).
_REPR = re.compile(rf"((?:{_CLASS}\()+)(?:[-\d., ]*(?:[bru]?(['\"])))?")
_TOLD = re.compile(rf"({_CLASS})(?::(?=\s|$)|$)")
_CUT = r"\s\"'`,;:=()<>\[\]{}#…"
_QUOTED = re.compile(r"(?<![\w#])'[^']*'(?![\w#])|(?<![\w#])\"[^\"]*\"(?![\w#])|`[^`]*`")
# Any word with a digit, an @ or a slash in it: numbers, UUIDs, hex, addresses, paths.
_VARIES = re.compile(rf"(?<![^{_CUT}])(?:[^{_CUT}\d@/]*+[\d@/][^{_CUT}]*|[a-fA-F]{{8,}}(?![^{_CUT}]))")


def fingerprint(exception: str) -> str:
    """What all failures like `exception` have in common, at most 200 characters.

    `exception` is what Celery's events and results call so: a repr, or `Class: message`. The
    fingerprint of a fingerprint is itself.
    """
    text = exception[:READ_AT_MOST]
    if "\\" in text:
        text = text.replace("\\\\", "/").replace("\\n", " ").replace("\\", "")
    text = " ".join(text.split())
    said, message = _parts(text)
    if "'" in message or '"' in message or "`" in message:
        before = ""
        while message != before:  # quotes within quotes
            before, message = message, _QUOTED.sub("#", message)
    message = _VARIES.sub("#", message)
    whole = f"{said}: {message}" if said and message else said or message
    return whole[:LONGEST].rstrip()


def _parts(text: str) -> tuple[str, str]:
    """The classes in front, without modules, and the bare message."""
    found = _REPR.match(text)
    if found is None:
        told = _TOLD.match(text)
        return ("", text) if told is None else (told[1].rpartition(".")[2], text[told.end() :].lstrip())
    classes = found[1][:-1].split("(")
    ending = (found[2] or "") + ")" * len(classes)
    message = text[found.end() :].removesuffix(ending) if text.endswith(ending) else text[found.end() :]
    return ": ".join(one.rpartition(".")[2] for one in classes), message.strip()
