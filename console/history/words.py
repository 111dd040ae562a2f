"""The numbers of words while the history is written: those used lately in memory, the others looked up.

Names come from outside, so there is no end to them: two generations of bounded size hold what was asked
for last, and one look into an index finds any other.
"""

from __future__ import annotations

from typing import Protocol

from console.history.schema import WordKind

GENERATION = 8192


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
