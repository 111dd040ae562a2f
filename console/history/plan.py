"""How a query is answered without reading the whole history: which index leads, and when to change the plan.

There are two ways to a page. Along the index of the order, leaving out what does not fit: quick when much
fits. Or from a bounded set of rows that holds all that fit (an id, a rare word, a rare value), sorted:
quick when little fits. Nobody knows before which it is, so the walk gets a few milliseconds first; only
then the sets are asked for, and only when none is small enough the walk goes on to its end.
"""

from __future__ import annotations

import json
import time
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from console.core.errors import Cause, ConsoleError
from console.history.history_file import STATEMENT_LIMIT_S, HistoryFile
from console.history.plan_terms import (
    Both,
    Column,
    Either,
    Fixed,
    InText,
    RowTest,
    Tree,
    both,
    conjuncts,
    has_text,
    implied,
    leaves,
    resolved,
    row_test,
)
from console.history.plan_texts import Texts
from console.history.query import Cursor, TaskQuery
from console.history.query_terms import StateTerm
from console.history.schema import WordKind
from console.history.statements import COVERED, ORDERS, Order, beyond, covering, ordered

SET_AT_MOST = 20_000
SMALL_SET = 2_000
LARGE_SET = 300_000
FIRST_WALK_S = 0.006
FIRST_CHECKED_WALK_S = 0.008
FREQUENT = 0.05
SAMPLE = 400
CHECKED_AT_ONCE = (64, 128, 256)
COUNTING_S = 0.060
_NO_TEXTS: Texts = (None, None, None, None)


@dataclass(frozen=True, slots=True)
class Where:
    """A query made ready: `sql` is implied by it, `needs` are the columns that it reads.

    `selected` are the number of the row and the truth of each column where the texts decide too:
    `text_tests` tell that of `texts`, the parts that must hold.
    """

    tree: Tree
    sql: str
    values: tuple[Any, ...]
    needs: frozenset[str]
    selected: str = "rowid"
    truth_values: tuple[Any, ...] = ()
    texts: tuple[Tree, ...] = ()
    text_tests: tuple[RowTest, ...] = ()


@dataclass(slots=True)
class Found:
    """Rows in order; `finished`: there are no more, or as many as wanted.

    Among the first `checked` rows whose texts were looked at, `fitted` fitted each text.
    """

    rowids: list[int]
    finished: bool
    checked: int = 0
    fitted: list[int] = field(default_factory=list)


class TaskSearch(HistoryFile):
    """The history as a query sees it: numbers of rows, in order, and how many there are."""

    _vocabulary: dict[int, list[tuple[int, str]]] | None = None
    _newest_word = -1

    def _search(self, query: TaskQuery, after: Cursor | None, limit: int) -> list[int]:
        """The numbers of at most `limit` rows of `query` after `after`, in its order."""
        where = self._where(query)
        if isinstance(where.tree, Fixed) and not where.tree.holds:
            return []
        order = ORDERS[query.sort]
        place = (order, after, query.descending, limit)
        rowids = self._single(where)
        if rowids is not None:
            return self._from_set(where, rowids, *place)
        budget_s = FIRST_WALK_S if not where.texts else FIRST_CHECKED_WALK_S
        first = self._walk(where, *place, budget_s=budget_s)
        if first.finished:
            return first.rowids
        rowids = self._bounded_set(where, first)
        if rowids is None and not where.texts:
            rowids = self._scanned_set(where, order)
        elif rowids is None:
            rowids = self._large_set(where)
        if rowids is not None:
            return self._from_set(where, rowids, *place)
        return self._walk(where, *place, budget_s=STATEMENT_LIMIT_S).rowids

    # A query made ready.

    def _where(self, query: TaskQuery, *, states: bool = True) -> Where:
        tree = resolved(query.expr, words=self._known_words, now=self._now())
        if states and query.states:
            chips = resolved(StateTerm(query.states), words=self._known_words, now=0.0)
            tree = both([chips, tree])
        sql, values = implied(tree) or ("1", ())
        columns = tuple(dict.fromkeys(one for one in leaves(tree) if isinstance(one, Column)))
        needs = frozenset(column.column for column in columns)
        if not has_text(tree):
            return Where(tree, sql, values, needs)
        places = {column: place for place, column in enumerate(columns, 1)}
        texts = tuple(part for part in conjuncts(tree) if has_text(part))
        return Where(
            tree,
            sql,
            values,
            needs,
            selected=", ".join(["rowid", *(column.sql for column in columns)]),
            truth_values=tuple(value for column in columns for value in column.values),
            texts=texts,  # what has no text in it is in the SQL already
            text_tests=tuple(row_test(part, places) for part in texts),
        )

    def _known_words(self, kind: WordKind) -> list[tuple[int, str]]:
        """The words of a kind by number; read again when there are new ones."""
        newest: int = self._all("SELECT ifnull(max(id), 0) FROM words")[0][0]
        if self._vocabulary is None or newest != self._newest_word:
            self._vocabulary, self._newest_word = {}, newest
        if kind not in self._vocabulary:
            self._vocabulary[kind] = self._words(kind)
        return self._vocabulary[kind]

    # Along the index of the order.

    def _walk(
        self,
        where: Where,
        order: Order,
        after: Cursor | None,
        descending: bool,
        limit: int,
        *,
        budget_s: float,
    ) -> Found:
        until = time.monotonic() + budget_s
        found = Found([], finished=False, fitted=[0] * len(where.texts))
        try:
            for stretch, number, keys, here in self._stretches(where, order, after, descending):
                place, place_values = beyond(keys, here, descending=descending)
                room = limit - len(found.rowids)
                statement = (
                    f"SELECT {where.selected} FROM tasks INDEXED BY {order.index} "  # noqa: S608
                    f"WHERE {stretch} AND {where.sql} AND {place} {ordered(keys, descending=descending)}"
                    f"{'' if where.texts else f' LIMIT {room}'}"
                )
                values = (*where.truth_values, *number, *where.values, *place_values)
                self._take(where, statement, values, limit, until, found)
                if len(found.rowids) >= limit:
                    break
        except ConsoleError as error:
            if error.cause is not Cause.TIMEOUT or budget_s >= STATEMENT_LIMIT_S:
                raise
            return found
        found.finished = True
        return found

    def _stretches(
        self, where: Where, order: Order, after: Cursor | None, descending: bool
    ) -> Iterator[tuple[str, tuple[int, ...], tuple[str, ...], Cursor | None]]:
        """The whole index, or one word after the other: condition, its value, keys, and the place in it."""
        if order.words is None:
            yield "1", (), order.keys, after
            return
        column = order.keys[0]
        wanted = next(
            (
                one.numbers
                for one in conjuncts(where.tree)
                if isinstance(one, Column) and one.column == column
            ),
            None,
        )
        words = sorted([("", 0), *((word, number) for number, word in self._known_words(order.words))])
        if after is not None:
            if descending:
                words = words[: bisect_right(words, (str(after.value), 2**63))]
            else:
                words = words[bisect_left(words, (str(after.value), -1)) :]
        for word, number in reversed(words) if descending else words:
            if wanted is None or number in wanted:
                here = None if after is None or word != after.value else Cursor(after.at, 0.0, after.rowid)
                yield f"{column} = ?", (number,), order.keys[1:], here

    def _take(
        self, where: Where, statement: str, values: Sequence[Any], limit: int, until: float, found: Found
    ) -> None:
        """Rows of a statement into `found` until there are `limit`."""
        if not where.texts:
            for rows in self._batches(statement, values, until=until):
                found.rowids += [row[0] for row in rows]
            return
        for rows in self._batches(statement, values, until=until, sizes=CHECKED_AT_ONCE):
            self._check(where, rows, found)
            if len(found.rowids) >= limit:
                del found.rowids[limit:]
                return

    def _check(self, where: Where, rows: list[tuple[Any, ...]], found: Found) -> None:
        """Those of `rows` (number of the row, truths of the columns) whose texts fit."""
        texts = self._texts([row[0] for row in rows])
        sampling = found.checked < SAMPLE
        found.checked += len(rows) if sampling else 0
        for row in rows:
            own = texts.get(row[0], _NO_TEXTS)
            if sampling:
                told = [test(row, own) for test in where.text_tests]
                found.fitted = [number + fits for number, fits in zip(found.fitted, told, strict=True)]
                if all(told):
                    found.rowids.append(row[0])
            elif all(test(row, own) for test in where.text_tests):
                found.rowids.append(row[0])

    def _texts(self, rowids: list[int]) -> dict[int, Texts]:
        rows = self._all(
            "SELECT rowid, args, kwargs, result, exception FROM texts "
            "WHERE rowid IN (SELECT value FROM json_each(?))",
            [json.dumps(rowids)],
        )
        return {row[0]: row[1:] for row in rows}

    # From a set of rows that holds all that fit.

    def _from_set(
        self,
        where: Where,
        rowids: Collection[int],
        order: Order,
        after: Cursor | None,
        descending: bool,
        limit: int,
    ) -> list[int]:
        if not rowids:
            return []
        keys = order.sorted_keys
        place, place_values = beyond(keys, after, descending=descending)
        statement = (
            f"SELECT {where.selected} FROM tasks WHERE rowid IN (SELECT value FROM json_each(?)) "  # noqa: S608
            f"AND {where.sql} AND {place} {ordered(keys, descending=descending)}"
            f"{'' if where.texts else f' LIMIT {limit}'}"
        )
        values = (*where.truth_values, json.dumps(list(rowids)), *where.values, *place_values)
        found = Found([], finished=True, fitted=[0] * len(where.texts))
        self._take(where, statement, values, limit, time.monotonic() + STATEMENT_LIMIT_S, found)
        return found.rowids

    def _single(self, where: Where) -> set[int] | None:
        """The rows of an id or of a kind of error, where the query asks for one."""
        for part in conjuncts(where.tree):
            if isinstance(part, Column) and part.column in ("id", "error"):
                rowids = self._bounded(part)
                if rowids is not None:
                    return rowids
        return None

    def _bounded_set(self, where: Where, walked: Found | None) -> set[int] | None:
        """The rows that at most fit, when one condition alone leaves at most `SET_AT_MOST`.

        Texts that fitted often while walking are not asked for: they are frequent.
        """
        sets: list[set[int]] = []
        for part in conjuncts(where.tree):
            if not has_text(part):
                rowids = self._bounded(part)
                if rowids is not None:
                    sets.append(rowids)
        if not sets or min(map(len, sets)) > SMALL_SET:
            for number, part in enumerate(where.texts):
                frequent = (
                    walked is not None
                    and walked.checked >= SAMPLE
                    and walked.fitted[number] > walked.checked * FREQUENT
                )
                rowids = None if frequent else self._bounded(part)
                if rowids is not None:
                    sets.append(rowids)
        return set.intersection(*sets) if sets else None

    def _bounded(self, tree: Tree, at_most: int | None = None) -> set[int] | None:
        """The rows that at most fit `tree`; None when there may be more than `at_most`."""
        at_most = SET_AT_MOST if at_most is None else at_most
        match tree:
            case Column(_, _, _, leads, _):
                return self._led(tree.column, leads, at_most)
            case InText(table, match, _):
                return None if match is None else self._matching(table, match, at_most)
            case Either(parts):
                union: set[int] = set()
                for part in parts:
                    rowids = self._bounded(part, at_most)
                    if rowids is None:
                        return None
                    union |= rowids
                return union if len(union) <= at_most else None
            case Both(parts):
                found = (self._bounded(part, at_most) for part in parts)
                return next((rowids for rowids in found if rowids is not None), None)
            case _:
                return None

    def _led(
        self, column: str, leads: tuple[tuple[str, tuple[Any, ...]], ...], at_most: int
    ) -> set[int] | None:
        union: set[int] = set()
        for sql, values in leads:
            some = f"SELECT rowid FROM tasks INDEXED BY tasks_{column} WHERE {sql} LIMIT {at_most + 1}"  # noqa: S608
            if self._all(f"SELECT count(*) FROM ({some})", values)[0][0] > at_most:  # noqa: S608
                return None
            union.update(row[0] for row in self._all(some, values))
        return union if len(union) <= at_most else None

    def _matching(self, table: str, match: str, at_most: int) -> set[int] | None:
        rows = self._all(
            f"SELECT rowid FROM {table} WHERE {table} MATCH ? LIMIT {at_most + 1}",  # noqa: S608
            [match],
        )
        return {row[0] for row in rows} if len(rows) <= at_most else None

    def _scanned_set(self, where: Where, order: Order) -> set[int] | None:
        """What fits, by one walk over an index that knows every column, where the order's own does not."""
        index = covering(where.needs)
        if index is None or where.needs <= COVERED[order.index]:
            return None
        rows = self._all(
            f"SELECT rowid FROM tasks INDEXED BY {index} WHERE {where.sql} LIMIT {SET_AT_MOST + 1}",  # noqa: S608
            where.values,
        )
        return {row[0] for row in rows} if len(rows) <= SET_AT_MOST else None

    def _large_set(self, where: Where) -> set[int] | None:
        """The rows of a text that is frequent, where the walk has found that hardly any row fits."""
        found = (self._bounded(part, LARGE_SET) for part in where.texts)
        return next((rowids for rowids in found if rowids is not None), None)

    # How many.

    def _count(self, query: TaskQuery) -> tuple[dict[int, int], bool]:
        """Tasks by state code that fit, the states of the chips left out; whether these are all."""
        where = self._where(query, states=False)
        if isinstance(where.tree, Fixed):
            return dict(self._all("SELECT state, n FROM counts") if where.tree.holds else ()), True
        rowids = self._bounded_set(where, None)
        if rowids is not None:
            return self._count_set(where, rowids)
        index = covering(where.needs)
        if not where.texts and index is not None:
            rows = self._all(
                f"SELECT state, count(*) FROM tasks INDEXED BY {index} WHERE {where.sql} GROUP BY state",  # noqa: S608
                where.values,
            )
            return dict(rows), True
        return self._count_newest(where)

    def _count_set(self, where: Where, rowids: set[int]) -> tuple[dict[int, int], bool]:
        source = "FROM tasks WHERE rowid IN (SELECT value FROM json_each(?))"
        some = json.dumps(list(rowids))
        if not where.texts:
            rows = self._all(
                f"SELECT state, count(*) {source} AND {where.sql} GROUP BY state",
                (some, *where.values),
            )
            return dict(rows), True
        statement = f"SELECT {where.selected}, state {source} AND {where.sql} ORDER BY rowid DESC"
        return self._count_checked(where, statement, (*where.truth_values, some, *where.values))

    def _count_newest(self, where: Where) -> tuple[dict[int, int], bool]:
        statement = (
            f"SELECT {where.selected}, state FROM tasks INDEXED BY tasks_at "  # noqa: S608
            f"WHERE {where.sql} ORDER BY at DESC"
        )
        return self._count_checked(where, statement, (*where.truth_values, *where.values))

    def _count_checked(
        self, where: Where, statement: str, values: Sequence[Any]
    ) -> tuple[dict[int, int], bool]:
        """As many as can be looked at in `COUNTING_S`."""
        by_state: dict[int, int] = {}
        try:
            until = time.monotonic() + COUNTING_S
            for rows in self._batches(statement, values, until=until, sizes=CHECKED_AT_ONCE):
                fitting = {row[0] for row in rows}
                if where.texts:
                    found = Found([], finished=True, fitted=[0] * len(where.texts), checked=SAMPLE)
                    self._check(where, rows, found)
                    fitting = set(found.rowids)
                for row in rows:
                    if row[0] in fitting:
                        by_state[row[-1]] = by_state.get(row[-1], 0) + 1
        except ConsoleError as error:
            if error.cause is not Cause.TIMEOUT:
                raise
            return by_state, False
        return by_state, True
