"""Task ids on disk: a canonical UUID takes 16 bytes instead of 36, everything else stays text.

The unique index over the ids is the largest of the history; halving it keeps it in memory.
"""

from __future__ import annotations

import re

StoredId = bytes | str

_canonical = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch


def pack_id(task_id: str) -> StoredId:
    """`task_id` as it is stored; `unpack_id` gives exactly the same text back."""
    return bytes.fromhex(task_id.replace("-", "")) if _canonical(task_id) else task_id


def unpack_id(stored: StoredId) -> str:
    """The id as Celery says it."""
    if isinstance(stored, str):
        return stored
    text = stored.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def pack_optional(task_id: str | None) -> StoredId | None:
    """`pack_id` for the ids of relatives, which may be unknown."""
    return None if not task_id else pack_id(task_id)


def unpack_optional(stored: StoredId | None) -> str | None:
    return None if stored is None else unpack_id(stored)


def prefix_range(prefix: str) -> tuple[bytes, bytes] | None:
    """Lowest and highest stored bytes of the UUIDs that begin with `prefix`; None when none can."""
    digits = prefix.lower().replace("-", "")
    if not digits or len(digits) > 32 or any(digit not in "0123456789abcdef" for digit in digits):
        return None
    return bytes.fromhex(digits.ljust(32, "0")), bytes.fromhex(digits.ljust(32, "f"))
