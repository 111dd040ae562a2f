"""Reads the text of a Python traceback into frames. It comes from a broker: parsed, never trusted."""

import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

_LONGEST = 200_000
_MOST_FRAMES = 1_000
_SHOWN_AT_END = 12
_FILE = re.compile(r'^\s{2,}File "([^"]{1,1000})", line (\d{1,9})(?:, in (.{1,300}))?\s*$')
_MARKS = re.compile(r"^[\s^~-]+$")
_ERROR = re.compile(r"^([A-Za-z_][\w.]{0,300})(?::\s?(.*))?$")
_CODE_LONGEST = 400
_CODE = re.compile(
    r"(?P<comment>#.*)"
    r"|(?P<string>[rbfuRBFU]{0,2}(?:'(?:[^'\\]|\\.)*+(?:'|$)|\"(?:[^\"\\]|\\.)*+(?:\"|$)))"
    r"|(?P<number>\b\d[\w.]*)"
    r"|(?P<decorator>@[\w.]+)"
    r"|(?P<name>[^\W\d]\w*)"
    r"|(?P<other>\s+|.)"
)
_KEYWORDS = frozenset({*keyword.kwlist, "self", "cls"})
_HEAD = "Traceback (most recent call last):"
_PACKAGES = re.compile(r"(?:^|/)(?:site-packages|dist-packages)/(.+)$")
_STANDARD = re.compile(r"(?:^|/)lib/python\d[\d.]*/(.+)$")


@dataclass(frozen=True, slots=True)
class Frame:
    """One call: where, in which function, and the line of source when the text has it."""

    path: str
    line: int
    function: str
    code: str
    own: bool
    module: str

    @property
    def file(self) -> str:
        """The last part of the path."""
        return self.path.replace("\\", "/").rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class ParsedTraceback:
    """The last exception of a traceback text, and the errors that led to it, oldest first.

    Without a readable traceback there are no frames and `message` is the whole text.
    """

    error: str
    message: str
    frames: tuple[Frame, ...]
    causes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FrameGroup:
    """Neighbouring frames: own ones and the place of the error are shown, others folded under `title`."""

    title: str
    frames: tuple[Frame, ...]
    folded: bool


def parse_traceback(text: str, *, own_paths: Sequence[str] = ()) -> ParsedTraceback:
    """Read a traceback. `own_paths`: pieces of paths that mark own code; without, all but libraries is."""
    blocks: list[tuple[list[Frame], list[str]]] = []
    lines = text[:_LONGEST].splitlines()
    at = 0
    while at < len(lines):
        if lines[at].strip() == _HEAD:
            at, frames, rest = _read_block(lines, at + 1, own_paths)
            blocks.append((frames, rest))
        else:
            at += 1
    if not blocks:
        first, _, others = text.strip().partition("\n")
        found = _ERROR.match(first.strip())
        if (
            found is not None
            and "." not in first.split(":", maxsplit=1)[0].strip(".")
            and found.group(2) is not None
        ):
            message = "\n".join(part for part in (found.group(2), others) if part)
            return ParsedTraceback(found.group(1), message, (), ())
        return ParsedTraceback("", text.strip(), (), ())
    errors = [_error_of(rest) for _, rest in blocks]
    causes = tuple(f"{name}: {message}" if message else name for name, message in errors[:-1])
    return ParsedTraceback(errors[-1][0], errors[-1][1], tuple(blocks[-1][0]), causes)


def code_pieces(code: str) -> list[tuple[str, str]]:
    """A line of Python in pieces with their kind: keyword, call, string, number, comment, name or other.

    At most 400 characters of it. Pieces next to each other with one kind are one.
    """
    pieces: list[tuple[str, str]] = []
    for found in _CODE.finditer(code[:_CODE_LONGEST]):
        kind, text = found.lastgroup or "other", found.group()
        if kind == "name":
            called = code[found.end() : found.end() + 1] == "("
            kind = "keyword" if text in _KEYWORDS else "call" if called else "name"
        if pieces and pieces[-1][1] == kind:
            text = pieces.pop()[0] + text
        pieces.append((text, kind))
    return pieces


def group_frames(frames: Sequence[Frame]) -> list[FrameGroup]:
    """Fold what lies in libraries, except the place where the error was raised."""
    if not frames:
        return []
    *before, last = frames
    groups: list[FrameGroup] = []
    for (own, package), run in groupby(before, key=lambda frame: (frame.own, _package(frame))):
        members = tuple(run)
        count = len(members)
        title = f"{count} frame{'' if count == 1 else 's'} in {_common(members) or package}"
        groups.append(FrameGroup("" if own else title, members, folded=not own))
    if groups and not groups[-1].folded and last.own:
        groups[-1] = FrameGroup("", (*groups[-1].frames, last), folded=False)
    else:
        groups.append(FrameGroup("", (last,), folded=False))
    return [part for group in groups for part in _shortened(group)]


def _shortened(group: FrameGroup) -> list[FrameGroup]:
    """Of a long run of own frames (a recursion) only both ends are shown; hundreds would take too long."""
    if group.folded or len(group.frames) <= 2 * _SHOWN_AT_END:
        return [group]
    middle = group.frames[_SHOWN_AT_END:-_SHOWN_AT_END]
    return [
        FrameGroup("", group.frames[:_SHOWN_AT_END], folded=False),
        FrameGroup(f"{len(middle)} more frames", middle, folded=True),
        FrameGroup("", group.frames[-_SHOWN_AT_END:], folded=False),
    ]


def _read_block(lines: list[str], at: int, own_paths: Sequence[str]) -> tuple[int, list[Frame], list[str]]:
    """Read frames and the error after a head; returns where the reading stopped."""
    frames: list[Frame] = []
    while at < len(lines):
        found = _FILE.match(lines[at])
        if found is None:
            if lines[at].startswith("  "):
                at += 1
                continue
            break
        code = ""
        at += 1
        if at < len(lines) and lines[at].startswith("    ") and _FILE.match(lines[at]) is None:
            code = lines[at].strip()
            at += 1
            while at < len(lines) and lines[at].strip() and _MARKS.match(lines[at]):
                at += 1
        if len(frames) < _MOST_FRAMES:
            frames.append(_frame(found.group(1), int(found.group(2)), found.group(3) or "", code, own_paths))
    rest: list[str] = []
    while at < len(lines) and lines[at].strip() != _HEAD and not _is_bridge(lines[at]):
        rest.append(lines[at])
        at += 1
    return at, frames, rest


def _is_bridge(line: str) -> bool:
    return line.startswith(
        ("During handling of the above exception", "The above exception was the direct cause")
    )


def _error_of(lines: list[str]) -> tuple[str, str]:
    words = "\n".join(lines).strip()
    first, _, rest = words.partition("\n")
    found = _ERROR.match(first)
    if found is None:
        return "", words
    name = found.group(1).rpartition(".")[2]
    return name, "\n".join(part for part in (found.group(2) or "", rest) if part).strip()


def _frame(path: str, line: int, function: str, code: str, own_paths: Sequence[str]) -> Frame:
    plain = path.replace("\\", "/")
    library = _PACKAGES.search(plain) or _STANDARD.search(plain)
    if own_paths:
        own = any(piece in plain for piece in own_paths)
    else:
        own = library is None and not plain.startswith("<")
    inside = library.group(1) if library is not None else plain.rpartition("/")[2]
    module = inside.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return Frame(path, line, function, code, own, module)


def _package(frame: Frame) -> str:
    return "" if frame.own else frame.module.partition(".")[0]


def _common(frames: Sequence[Frame]) -> str:
    """The longest dotted package that all these modules share."""
    split = [frame.module.split(".")[:-1] for frame in frames]
    shared: list[str] = []
    for parts in zip(*split, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return ".".join(shared)
