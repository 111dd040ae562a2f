"""One task as the fold holds it: packed while nothing happens to it, because there are many."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from console.collector.tally import Filed
from console.history.ids import unpack_id, unpack_optional
from console.history.marks import RECEIVED, SENT, SUCCEEDED, VERDICT, Mark, decode_marks

MAX_WORD = 512
WORDS_SHARED = 8192
_NO_KEY: tuple[Any, ...] = ()
_NOTHING: tuple[str | None, ...] = (None,) * 4
_NO_IDENTITY: tuple[str | None, ...] = (None,) * 7


class FoldedTask:
    """The marks of a task, and three groups of texts each taken whole from one event.

    A group belongs to the event with the greatest key among those that carry it, ties decided by the
    texts themselves; the keys can be computed again from the marks. `stored` are the texts that the
    history has indexed of it: args, kwargs, result, exception. `marks` are only there while it is open.
    """

    __slots__ = (
        "_packed", "derived", "id", "identity", "identity_key", "marks", "result", "result_key", "route",
        "route_key", "rowid", "state", "stored",
    )  # fmt: skip

    def __init__(self, task_id: str) -> None:
        self.id = task_id
        self.rowid = 0
        self.state = -1
        self.stored = self.derived = _NOTHING
        self.marks: list[Mark] = []
        self.identity = _NO_IDENTITY  # name args kwargs root parent eta expires
        self.identity_key = _NO_KEY
        self.route = _NOTHING  # queue exchange routing_key client
        self.route_key = _NO_KEY
        self.result: str | None = None
        self.result_key = _NO_KEY
        self._packed: bytes | None = None

    @property
    def files(self) -> Filed:
        """What it is counted under."""
        return self.identity[0] or "", self.route[0] or ""

    def pack(self, marks: bytes) -> None:
        """Keep the marks as these bytes, which say the same, and nothing twice."""
        self._packed, self.marks, self.stored = marks, [], self.derived

    def open(self) -> bool:
        """Have the marks at hand; whether it was packed."""
        if self._packed is None:
            return False
        self.marks, self._packed = decode_marks(self._packed), None
        return True


def restored(row: tuple[Any, ...]) -> FoldedTask:
    """A task as it was when its row (`LOADED_COLUMNS`) was stored."""
    (
        rowid, stored_id, state, name, queue, args, kwargs, result, exception, root_id, parent_id, eta,
        expires, routing_key, exchange, client, blob,
    ) = row  # fmt: skip
    task = FoldedTask(unpack_id(stored_id))
    task.rowid, task.state, task.marks = rowid, state, decode_marks(blob)
    task.stored = task.derived = (args, kwargs, result, exception)
    judged = False
    for kind, when, _host, _process, first, second in task.marks:
        if kind in (SENT, RECEIVED):
            task.identity_key = max(task.identity_key, (second, first, kind, when))
        if kind == SENT:
            task.route_key = max(task.route_key, (first, when))
        elif kind == SUCCEEDED:
            task.result_key = max(task.result_key, (when,))
        elif kind == VERDICT:
            judged = True
    parent = None if parent_id is None else unpack_optional(parent_id)
    root = None if root_id is None else unpack_optional(root_id)
    task.identity = (shared(name), args, kwargs, root, parent, eta, expires)
    task.route = (shared(queue), shared(exchange), shared(routing_key), shared(client))
    # A result that only the verdict told is told by it again, as long as it holds.
    task.result = None if judged and not task.result_key else result
    return task


def one_line(text: str | None) -> str | None:
    """A name as it can be shown on one line: control characters and reversals of the writing are replaced."""
    if not text:
        return None
    word = text[:MAX_WORD]
    return word if word.isprintable() else "".join(one if one.isprintable() else "\ufffd" for one in word)


_shared_line = lru_cache(maxsize=WORDS_SHARED)(one_line)


def shared(text: str | None) -> str | None:
    """`one_line` for words that come again and again: the same object each time."""
    return _shared_line(text[:MAX_WORD]) if text else None
