"""Text from outside that may not be text: what JSON lets through and neither UTF-8 nor a database takes."""

from __future__ import annotations


def storable(text: str) -> str:
    """`text` with each half of a surrogate pair (Python's reading of odd file names) as a question mark."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
