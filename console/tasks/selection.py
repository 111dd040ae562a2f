"""What a person has selected: some rows of the table, or everything that matches the search."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from console.history.model import TaskRow, TaskState
from console.history.query import TaskQuery, text_with_states
from console.history.query_parser import MAX_QUERY

NAMES_TOLD = 3


@dataclass(frozen=True, slots=True)
class Selection:
    """`ids` in the order of the table. `all_of`: whatever matches this query, of which `count` were counted
    (`at_least`: there may be more).
    """

    ids: tuple[str, ...] = ()
    all_of: TaskQuery | None = None
    count: int = 0
    at_least: bool = False

    @property
    def size(self) -> int:
        """How many tasks it is."""
        return self.count if self.all_of is not None else len(self.ids)

    @property
    def many(self) -> bool:
        """Whether it is more than one task."""
        return self.all_of is not None or len(self.ids) > 1

    @property
    def words(self) -> str:
        """`200 selected`."""
        number = f"{self.size:,}{'+' if self.all_of is not None and self.at_least else ''}"
        return f"All {number} that match are selected" if self.all_of is not None else f"{number} selected"

    def query_text(self) -> str:
        """The selection in the language of `Search tasks`; too many ids are all that there is room for."""
        if self.all_of is not None:
            return self.all_of.text
        text = f"id:{','.join(self.ids)}"
        return text if len(text) <= MAX_QUERY else text[: text.rfind(",", 0, MAX_QUERY)]


def breakdown(rows: Iterable[TaskRow]) -> str:
    """How many there are by state and by name: `150 Received, 50 Started: 120 send_invoice, 80 others`."""
    states: Counter[TaskState] = Counter()
    names: Counter[str] = Counter()
    for row in rows:
        states[row.state] += 1
        names[(row.name or "without a name").rsplit(".", 1)[-1]] += 1
    by_state = ", ".join(f"{states[state]:,} {state.value}" for state in TaskState if states[state])
    told = names.most_common(NAMES_TOLD)
    others = sum(names.values()) - sum(count for _, count in told)
    by_name = [f"{count:,} {name}" for name, count in told]
    if others:
        by_name.append(f"{others:,} others")
    return f"{by_state}: {', '.join(by_name)}"


def text_with_fingerprint(query: TaskQuery, number: int) -> str:
    """The text of `query` narrowed down to the failures of one kind."""
    if query.states:
        rest = text_with_states(query.text, query.states)
    else:
        # With a state in front, what an `or` joins stands in parentheses.
        front = f"state:{TaskState.FAILED.value.lower()}"
        rest = text_with_states(query.text, frozenset({TaskState.FAILED})).removeprefix(front)
    return f"{rest.strip()} fingerprint:{number}".strip()
