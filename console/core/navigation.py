"""How a feature leads a person to another feature without knowing it: a noun and a query."""

from __future__ import annotations

from typing import Protocol


class Navigate(Protocol):
    """`navigate("tasks", "state:failed")` shows the page of that noun with that query."""

    def __call__(self, noun: str, query: str = "") -> None: ...
