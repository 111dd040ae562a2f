"""Reads a value that was written as text, JSON or Python's repr (Celery's cut one too), into a tree of nodes.

The text comes from a broker: it is only looked at, never evaluated. A reader takes a few hundred steps at a
time, so that a text of a megabyte never holds the window; depth and number of nodes are bounded.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum

MAX_TEXT = 500_000
MAX_NODES = 50_000
MAX_DEPTH = 100
MAX_OPEN = 12_000
STEPS_AT_ONCE = 200
MAX_OBJECT = 2_000

_BLANK = re.compile(r"\s*")
# Celery escapes only the quote (celery/utils/saferepr.py, `_format_chars`); the end is found the same way.
# The bound is one of time: a text with more escapes is no value to us, and shown as it is.
_STRING = re.compile(
    r"([bB]|[rR]|[uU])?('(?:[^'\\]++|\\.){0,60000}+'|\"(?:[^\"\\]++|\\.){0,60000}+\")", re.DOTALL
)
_NUMBER = re.compile(r"[-+]?(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?j?(?=[\s,:\])}]|$)")
_WORD = re.compile(r"(?:None|True|False|null|true|false|NaN|nan|-?inf|-?Infinity)(?=[\s,:\])}]|$)")
_SHORT_STRING = re.compile(r"'(?:[^'\\]|\\.){0,400}+'|\"(?:[^\"\\]|\\.){0,400}+\"", re.DOTALL)
_OPAQUE = re.compile(r"[^\[\](){}<>'\",:]+|.", re.DOTALL)
_CLOSERS = {"[": "]", "(": ")", "{": "}"}
_KINDS = {"[": "list", "(": "tuple", "{": "dict"}


class Flavour(StrEnum):
    """How strings are written."""

    PYTHON = "python"
    JSON = "json"


@dataclass(slots=True, eq=False)
class Node:
    """A value: `kind` is list, tuple, dict, set, string, bytes, number, word, object or more (something cut).

    `text` is a string's content or the value as written; `start` and `end` its place in the whole text. `key`
    is what stands before it: a key, or its position. A container too deep to be shown has
    no children; an object for each of them would make the collector of garbage stop the window.
    """

    kind: str
    start: int
    end: int = 0
    key: str = ""
    text: str = ""
    plain_key: bool = False
    children: list[Node] | None = None
    parent: Node | None = None

    @property
    def is_container(self) -> bool:
        return self.kind in ("list", "tuple", "dict", "set")


@dataclass(slots=True)
class _Open:
    """A container that is being read: `held` is what stands before the next mark, which says what it is."""

    node: Node
    closer: str
    key: Node | None = None
    held: Node | None = None
    count: int = 0
    pairs: int = 0
    lone: int = 0


class TextReader:
    """Reads one text; call `step` until it says that it is over, then look at `root`.

    `root` is None when the text is no value. `cut` says that the text ends before its value does, `bounded`
    that there is more than is shown: too many values, or nested too deeply.
    """

    def __init__(self, text: str, flavour: Flavour = Flavour.PYTHON) -> None:
        self.text = text
        self.flavour = flavour
        self.root: Node | None = None
        self.over = len(text) > MAX_TEXT
        self.cut = False
        self.bounded = False
        self._at = 0
        self._open: list[_Open] = []
        self._nodes = 0

    def step(self, steps: int = STEPS_AT_ONCE) -> bool:
        """Go on by at most `steps` values; True when it is over."""
        for _ in range(steps):
            if self.over:
                break
            if self._nodes >= MAX_NODES or len(self._open) > MAX_OPEN:
                self.bounded = True
                self._end_early()
                break
            self._skip_blanks()
            if self._open:
                self._inside(self._open[-1])
            elif self.root is None:
                self._value()
            else:
                self.over = True
                if self._at < len(self.text):
                    self.root = None
        return self.over

    def _skip_blanks(self) -> None:
        found = _BLANK.match(self.text, self._at)
        if found is not None:
            self._at = found.end()

    def _inside(self, top: _Open) -> None:
        if self._at >= len(self.text):
            self._end_early()
            return
        mark = self.text[self._at]
        if mark == top.closer:
            self._at += 1
            self._close(top)
        elif mark == "," and top.held is not None:
            self._at += 1
            self._attach(top)
        elif mark == ":" and top.held is not None and top.key is None and top.node.kind == "dict":
            self._at += 1
            top.key, top.held = top.held, None
        elif top.held is None:
            self._value()
        else:
            self._fail()

    def _value(self) -> None:
        at, text = self._at, self.text
        if at >= len(text):
            self._fail() if not self._open else self._end_early()
            return
        mark = text[at]
        if mark in _CLOSERS:
            node = Node(_KINDS[mark], at, len(text))
            self._add(node)
            self._open.append(_Open(node, _CLOSERS[mark]))
            self._at += 1
            return
        if text.startswith("...", at):
            self._leaf("more", at + 3, "…")
        elif (string := _STRING.match(text, at)) is not None:
            self._string(string)
        elif (number := _NUMBER.match(text, at)) is not None:
            self._leaf("number", number.end(), number.group())
        elif (word := _WORD.match(text, at)) is not None:
            self._leaf("word", word.end(), word.group())
        elif mark in "])}:,":
            self._fail()
        else:
            self._object()

    def _string(self, found: re.Match[str]) -> None:
        prefix, quoted = found.group(1), found.group(2)
        if self.flavour is Flavour.JSON:
            try:
                content = json.loads(quoted, strict=False)
            except ValueError:
                self._fail()
                return
        else:
            content = quoted[1:-1].replace(f"\\{quoted[0]}", quoted[0])
        self._leaf("bytes" if prefix in ("b", "B") else "string", found.end(), content)

    def _object(self) -> None:
        """`Decimal('1.1')`, `<Order 7>` and the like: taken as it stands, to the comma that ends it."""
        if self.flavour is Flavour.JSON:
            self._fail()
            return
        at, text = self._at, self.text
        closers: list[str] = []
        while at < len(text):
            if at - self._at > MAX_OBJECT:
                self._fail()
                return
            mark = text[at]
            if not closers and (mark in ",])}" or (mark == ":" and self._may_be_key())):
                break
            if closers and mark == closers[-1]:
                closers.pop()
            elif mark in "[({<" and not (mark == "<" and closers and closers[-1] != ">"):
                closers.append({"[": "]", "(": ")", "{": "}", "<": ">"}[mark])
            elif mark in "'\"":
                string = _SHORT_STRING.match(text, at)
                at = string.end() if string is not None else at + 1
                continue
            found = _OPAQUE.match(text, at)
            at = found.end() if found is not None else at + 1
        written = text[self._at : at].rstrip()
        self._leaf("object", self._at + len(written), written)

    def _may_be_key(self) -> bool:
        return bool(self._open) and self._open[-1].node.kind == "dict" and self._open[-1].key is None

    def _leaf(self, kind: str, end: int, text: str) -> None:
        self._add(Node(kind, self._at, end, text=text))
        self._at = end

    def _add(self, node: Node) -> None:
        if self._open:
            self._open[-1].held = node
        else:
            self.root = node

    def _attach(self, top: _Open) -> None:
        """The value that was read last belongs to `top`, with its key where there is one."""
        node, key, parent = top.held, top.key, top.node
        if node is None:
            return
        top.held = top.key = None
        if key is not None:
            node.key = key.text if key.kind == "string" else self.text[key.start : key.end]
            node.plain_key = True
            top.pairs += 1
        elif node.kind != "more":
            node.key = str(top.count)
            top.lone += 1
        top.count += 1
        if len(self._open) > MAX_DEPTH:
            self.bounded = True
            return
        self._nodes += 1
        node.parent = parent
        if parent.children is None:
            parent.children = []
        parent.children.append(node)

    def _close(self, top: _Open) -> None:
        """Braces hold pairs or, without keys, make a set; a lone "..." is what was cut of either."""
        self._attach(top)
        top.node.end = self._at
        if top.key is not None or (top.node.kind == "dict" and top.pairs and top.lone):
            self._fail()
            return
        if top.node.kind == "dict" and top.lone:
            top.node.kind = "set"
        self._open.pop()

    def _end_early(self) -> None:
        self.over = True
        self.cut = not self.bounded
        del self._open[MAX_DEPTH + 1 :]
        while self._open:
            self._attach(self._open[-1])
            self._open.pop().node.end = len(self.text)

    def _fail(self) -> None:
        self.root, self._open, self.over = None, [], True


def read_text(text: str, flavour: Flavour = Flavour.PYTHON) -> TextReader:
    """Read a whole text at once; for short texts and for threads."""
    reader = TextReader(text, flavour)
    while not reader.step():
        pass
    return reader


def path_of(node: Node) -> str:
    """Where a value stands: `$.lines[2].name`."""
    parts: list[str] = []
    one: Node | None = node
    while one is not None and one.parent is not None:
        if not one.plain_key:
            parts.append(f"[{one.key}]")
        elif one.key.isidentifier():
            parts.append(f".{one.key}")
        else:
            parts.append(f"[{one.key!r}]")
        one = one.parent
    return "$" + "".join(reversed(parts))


def value_text(node: Node, whole: str) -> str:
    """A value to copy: a string's content, anything else as it is written."""
    return node.text if node.kind == "string" else whole[node.start : node.end]
