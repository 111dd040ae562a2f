"""The numbers of words while the history is written: those used lately in memory, the others looked up.

Names come from outside, so there is no end to them: two generations of bounded size hold what was asked
for last, and one look into an index finds any other.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from console.history.schema import WordKind

GENERATION = 8192
COUNTED_AT_MOST = 5_000
COUNTED_FOR_S = 86_400.0


class WordStore(Protocol):
    """Where words are stored. Both raise `ConsoleError`."""

    def next_word(self) -> int: ...

    def word_id(self, kind: WordKind, word: str) -> int: ...


class WordNumbers:
    """Numbers for words. `new` are those that are not stored yet: number, kind, word."""

    def __init__(self, store: WordStore) -> None:
        self._store = store
        self._next = store.next_word()
        self._young: dict[tuple[int, str], int] = {}
        self._old: dict[tuple[int, str], int] = {}
        self.new: dict[tuple[int, str], int] = {}

    def number(self, kind: WordKind, word: str | None) -> int:
        """The number of `word`, a new one if need be; 0 for no word. Raises `ConsoleError`."""
        if not word:
            return 0
        key = (int(kind), word)
        found = self._young.get(key)
        if found is not None:
            return found
        found = self._old.get(key) or self.new.get(key) or self._store.word_id(kind, word)
        if not found:
            found = self.new[key] = self._next
            self._next += 1
        if len(self._young) >= GENERATION:
            self._old, self._young = self._young, {}
        self._young[key] = found
        return found

    def rows(self) -> list[tuple[int, int, str]]:
        """The new words as the history stores them."""
        return [(number, kind, word) for (kind, word), number in self.new.items()]

    def stored(self) -> None:
        """The new words are in the history."""
        self.new.clear()

    def forget(self) -> None:
        """Words have been removed from the history; what is not stored yet stays."""
        self._young.clear()
        self._old.clear()


class CountedWords:
    """Numbers for words that figures are kept for: no more than some thousand of a kind in a day.

    Figures are kept much longer than tasks, so names that each come once must not fill the history with them;
    what is beyond counts as unknown, and so in the sums only.
    """

    def __init__(self, words: WordNumbers, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._words = words
        self._clock = clock
        self._counted: dict[WordKind, set[str]] = {}
        self._since_s = clock()

    def number(self, kind: WordKind, word: str) -> int:
        """As `WordNumbers.number`; 0 for a word that is not counted."""
        counted = self._counted.setdefault(kind, set())
        if word not in counted:
            if len(counted) >= COUNTED_AT_MOST:
                if self._clock() - self._since_s < COUNTED_FOR_S:
                    return 0
                self._counted.clear()
                self._since_s = self._clock()
                return self.number(kind, word)
            counted.add(word)
        return self._words.number(kind, word)
