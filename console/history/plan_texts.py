"""Text as the full-text index sees it: words of letters and digits, phrases, one argument of a display text.

A frequent word is cheaper to look for in the rows one walks over than in the index, a rare one the other
way round; so both ways must agree. A word is a run of letters and digits without regard to case, as the
tokenizer `unicode61` of SQLite's FTS5 has it (https://www.sqlite.org/fts5.html#unicode61_tokenizer).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import translate

_WORD = re.compile(r"[^\W_]+")
_BEGIN, _END = r"(?<![^\W_])", r"(?![^\W_])"
_OPENING, _CLOSING = "([{", ")]}"
_OPENINGS = frozenset(_OPENING)
_DEEPEST = 60
_STRING = re.compile(r"""[bBrRuUfF]{0,2}('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""", re.DOTALL)
_BEFORE_STRING = frozenset("bBrRuUfF'\"")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)

Texts = tuple[str | None, str | None, str | None, str | None]  # args, kwargs, result, exception


def words_of(text: str) -> list[str]:
    """The words of `text`, in lower case."""
    return _WORD.findall(text.lower())


class Phrase:
    """Words one after another; `begins`: the last one is the beginning of a word."""

    def __init__(self, words: Sequence[str], *, begins: bool) -> None:
        self.words = tuple(words)
        # As FTS5 wants it; `whole` finds only rows that fit, yet not those with a longer last word.
        self.whole = f'"{" ".join(words)}"'
        self.match = f"{self.whole}{' *' if begins else ''}"
        between = r"[\W_]+".join(re.escape(word) for word in words)
        self._first = words[0] if words else ""
        self._search = re.compile(_BEGIN + between + ("" if begins else _END)).search

    def fits(self, text: str | None) -> bool:
        """Whether `text` has it in it."""
        if not text:
            return False
        low = text.lower()
        return self._first in low and self._search(low) is not None


def argument_test(
    path: tuple[str, ...], value: str, likely: Callable[[str | None], bool]
) -> Callable[[Texts], bool]:
    """Whether the argument at `path` of a task is `value`, as far as its display text tells.

    A path that begins with a number is that of a positional argument. `likely` is asked first: reading a
    display is slow.
    """
    if "*" in value:
        fits = re.compile(translate(value.lower().replace("[", "[[]").replace("?", "[?]"))).match
    else:
        fits = re.compile(re.escape(value.lower()) + r"\Z").match

    place = 0 if path[0].isdigit() else 1

    def test(texts: Texts) -> bool:
        text = texts[place]
        return bool(text) and likely(text) and any(fits(one.lower()) for one in values_at(text or "", path))

    return test


def values_at(text: str, path: tuple[str, ...]) -> list[str]:
    """The plain values at `path` in a Python display such as `{'user': {'plan': 'pro'}}`.

    Tolerant: the text may be cut anywhere, and what is no display has no values.
    """
    scan = _Scan(text)
    scan.value(0, path, 0)
    return scan.found


class _Scan:
    """Reads a display from left to right; `found` are the values at the path it was sent along."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.found: list[str] = []

    def value(self, at: int, path: tuple[str, ...] | None, depth: int) -> int:
        """Read one value; `path` leads on from it, None leads elsewhere. Gives the place behind it."""
        at = self._skip(at)
        if self._text[at : at + 1] in _OPENINGS:
            return self._items(at, path, depth + 1)
        end = self._plain(at, stop=",")
        if path == ():
            self.found.append(_unquoted(self._text[at:end]))
        return end

    def _items(self, at: int, path: tuple[str, ...] | None, depth: int) -> int:
        if depth > _DEEPEST:
            return len(self._text)
        is_dict = self._text[at] == "{"
        at, number = at + 1, 0
        while (at := self._skip(at)) < len(self._text):
            one = self._text[at]
            if one in _CLOSING:
                return at + 1
            if one == ",":
                at, number = at + 1, number + 1
                continue
            key, start = str(number), at
            if is_dict:
                end = self._plain(at, stop=",:")
                key, at = _unquoted(self._text[at:end]), self._skip(end)
                at += self._text[at : at + 1] == ":"
            at = self.value(at, path[1:] if path and path[0] == key else None, depth)
            at += at == start
        return at

    def _plain(self, at: int, *, stop: str) -> int:
        """The place behind a string, a number or a call such as `Decimal('9.5')`."""
        depth = 0
        while at < len(self._text):
            one = self._text[at]
            found = _STRING.match(self._text, at) if one in _BEFORE_STRING else None
            if found is not None:
                at = found.end()
                continue
            if depth == 0 and (one in stop or one in _CLOSING):
                break
            depth += (one in _OPENING) - (one in _CLOSING)
            at += 1
        return at

    def _skip(self, at: int) -> int:
        while at < len(self._text) and self._text[at].isspace():
            at += 1
        return at


def _unquoted(text: str) -> str:
    text = text.strip()
    found = _STRING.fullmatch(text)
    return text if found is None else _ESCAPE.sub(r"\1", found[1][1:-1])
