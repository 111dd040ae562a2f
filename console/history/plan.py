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
from collections.abc import Collection, Iterator, Sequence, Set
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
    Sql,
    Tree,
    Unless,
    both,
    conjuncts,
    has_text,
    implied,
    leaves,
    resolved,
    row_test,
)
from console.history.query import Cursor, Sort, TaskQuery
from console.history.query_terms import StateTerm
from console.history.schema import WordKind
from console.history.statements import COVERED, ORDERS, Order, beyond, covering, ordered

SET_AT_MOST = 60_000
SORTED_AT_MOST = 20_000
SMALL_SET = 2_000
# Quicker to look up than a walk that may find nothing, by the number of conditions that must hold.
QUICK_SETS = (10_000, 25_000, 50_000)
LARGE_SET = 150_000
SECOND_AT_MOST = 4  # times the smaller set: so many numbers are gone through sooner than that is looked up
FIRST_CHECKS = 500  # of STEPS_BETWEEN_CHECKS: some 100,000 entries of an index, 5 ms
FIRST_CHECKS_OF_ROWS = 60  # where each entry is looked up in its row
FIRST_CHECKS_OF_IDS = 15  # where those rows are all over the file
MEMBER_CHECKS = 150
MEMBERS_WALKED_FROM = 12_000
FREQUENT = 0.1
IMPLIED = 5
SAMPLE = 400
WORTH_CHECKING = 4_000
CHECKED_AT_ONCE = (224, 256)  # a page of 200 where every text fits is there after one look
LOOKED_UP_AT_ONCE = (500, 2000)


@dataclass(frozen=True, slots=True)
class Where:
    """A query made ready: `sql` is implied by it, `needs` are the columns that must be read for every row.

    `texts` are the parts that must hold and that the texts decide too: `text_tests` tell, from a row of the
    number, the texts and the `truths` of columns.
    """

    tree: Tree
    sql: str
    values: tuple[Any, ...]
    needs: frozenset[str]
    truths: str = ""
    truth_values: tuple[Any, ...] = ()
    texts: tuple[Tree, ...] = ()
    text_tests: tuple[RowTest, ...] = ()


@dataclass(frozen=True, slots=True)
class Bounded:
    """A set of rows that holds all that fit. `columns_hold`: its rows fit as far as columns tell."""

    rowids: Set[int]
    columns_hold: bool


@dataclass(slots=True)
class Found:
    """Rows in order, at most `limit`; `finished`: there are no more, or as many as wanted.

    A walk that is only tried may take `checks` (None: as long as a statement may take), and is given up
    when its texts fit too rarely. Among `checked` rows whose texts were looked at, `fitted` fitted each
    text. Where `members` are known only those are looked at.
    """

    limit: int
    texts: int
    checks: int | None = None
    members: Bounded | None = None
    rowids: list[int] = field(default_factory=list)
    finished: bool = False
    checked: int = 0
    fitted: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.fitted = [0] * self.texts

    @property
    def full(self) -> bool:
        return len(self.rowids) >= self.limit

    @property
    def is_hopeless(self) -> bool:
        """Whether so few texts fit that the full-text index will find them sooner."""
        if self.checks is None or self.members is not None or self.checked < SAMPLE:
            return False
        return self.checked * self.limit > len(self.rowids) * WORTH_CHECKING


class TaskSearch(HistoryFile):
    """The history as a query sees it: numbers of rows, in order, and how many there are."""

    _vocabulary: dict[int, list[tuple[int, str]]] | None = None
    _newest_word = -1
    _sizes: dict[Sql, tuple[int, int]]  # of this query's conditions: counted up to, and what was found

    def _search(self, query: TaskQuery, after: Cursor | None, limit: int) -> list[int]:
        """The numbers of at most `limit` rows of `query` after `after`, in its order."""
        where = self._where(query)
        if isinstance(where.tree, Fixed) and not where.tree.holds:
            return []
        order = ORDERS[query.sort]
        place = (order, after, query.descending, limit)
        plain = sum(not has_text(part) for part in conjuncts(where.tree))
        quick = QUICK_SETS[min(plain, len(QUICK_SETS)) - 1] if plain > bool(where.texts) else SMALL_SET
        sized = self._sized(where, quick)
        if sized and not where.texts and isinstance(sized[0][1], Column) and len(sized[0][1].leads) == 1:
            return self._from_lead(sized[0][1], self._beside(where, sized), *place)
        led = self._led_set(where, quick)
        if led is not None:
            return self._from_set(where, led.rowids, *place)
        known = where.needs <= COVERED[order.index]
        if known and not where.texts:
            return self._walk(where, *place).rowids
        checks = FIRST_CHECKS if known else FIRST_CHECKS_OF_ROWS
        first = self._walk(where, *place, checks=FIRST_CHECKS_OF_IDS if query.sort is Sort.ID else checks)
        if first.finished:
            return first.rowids
        bounded = self._bounded_set(where, first)
        rowids: Set[int] | None = None if bounded is None else bounded.rowids
        if bounded is not None and len(bounded.rowids) >= MEMBERS_WALKED_FROM:
            again = self._walk(where, *place, checks=MEMBER_CHECKS, members=bounded)
            if again.finished:
                return again.rowids
        if rowids is None:
            rowids = self._large_set(where, first) if where.texts else self._scanned_set(where)
        if rowids is None:
            return self._walk(where, *place).rowids
        return self._from_set(where, rowids, *place)

    # A query made ready.

    def _where(self, query: TaskQuery, *, states: bool = True) -> Where:
        self._sizes = {}
        tree = resolved(query.expr, words=self._known_words, now=self._now())
        if states and query.states:
            chips = resolved(StateTerm(query.states), words=self._known_words, now=0.0)
            tree = both([chips, tree])
        sql, values = implied(tree) or ("1", ())
        columns = tuple(dict.fromkeys(one for one in leaves(tree) if isinstance(one, Column)))
        plain = [leaf for part in conjuncts(tree) if not has_text(part) for leaf in leaves(part)]
        needs = frozenset(leaf.column for leaf in plain if isinstance(leaf, Column))
        if not has_text(tree):
            return Where(tree, sql, values, needs)
        places = {column: place for place, column in enumerate(columns, 5)}
        texts = tuple(part for part in conjuncts(tree) if has_text(part))
        return Where(
            tree,
            sql,
            values,
            needs,
            truths="".join(f", {column.sql}" for column in columns),
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
        checks: int | None = None,
        members: Bounded | None = None,
    ) -> Found:
        found = Found(limit, len(where.texts), checks, members)
        fitting: Sql = (where.sql, where.values)
        if members is not None and members.columns_hold:
            fitting = ("1", ())
        ends = "" if where.texts or members is not None else f" LIMIT {limit}"
        try:
            for stretch, number, keys, here in self._stretches(where, order, after, descending):
                if found.checks is not None and found.checks < 0:
                    return found
                place, place_values = beyond(keys, here, descending=descending)
                statement = (
                    f"SELECT rowid FROM tasks INDEXED BY {order.index} "  # noqa: S608
                    f"WHERE {stretch} AND {fitting[0]} AND {place} "
                    f"{ordered(keys, descending=descending)}{ends}"
                )
                values = (*number, *fitting[1], *place_values)
                self._take(where, statement, values, found)
                if found.full:
                    break
                if found.is_hopeless:
                    return found
        except ConsoleError as error:
            if error.cause is not Cause.TIMEOUT or checks is None:
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

    def _take(self, where: Where, statement: str, values: Sequence[Any], found: Found) -> None:
        """Rows of a statement into `found` until it is full, or there is no hope."""
        sizes = LOOKED_UP_AT_ONCE if found.members is not None or not where.texts else CHECKED_AT_ONCE
        checks = 10**9 if found.checks is None else found.checks
        until = time.monotonic() + STATEMENT_LIMIT_S
        for rows in self._batches(statement, values, until=until, sizes=sizes, checks=checks):
            if found.members is not None:
                rows = [row for row in rows if row[0] in found.members.rowids]
            if where.texts:
                self._check(where, rows, found)
            else:
                found.rowids += [row[0] for row in rows]
            if found.full or found.is_hopeless:
                del found.rowids[found.limit :]
                return
        if found.checks is not None:
            found.checks = min(self._checks_left, found.checks) - 1

    def _check(self, where: Where, rows: list[tuple[Any, ...]], found: Found) -> None:
        """Those of `rows` (their numbers come first) whose texts fit."""
        told = self._all(
            f"SELECT tasks.rowid, args, kwargs, result, exception{where.truths} "  # noqa: S608
            "FROM tasks NOT INDEXED JOIN texts ON texts.rowid = tasks.rowid "
            "WHERE tasks.rowid IN (SELECT value FROM json_each(?))",
            (*where.truth_values, json.dumps([row[0] for row in rows])),
        )
        known = {row[0]: [test(row, row[1:5]) for test in where.text_tests] for row in told}
        found.checked += len(rows)
        for row in rows:
            fits = known.get(row[0], [False])
            if all(fits):
                found.rowids.append(row[0])
            found.fitted = [number + one for number, one in zip(found.fitted, fits, strict=False)]

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
            f"SELECT rowid FROM tasks NOT INDEXED WHERE rowid IN (SELECT value FROM json_each(?)) "  # noqa: S608
            f"AND {where.sql} AND {place} {ordered(keys, descending=descending)}"
            f"{'' if where.texts else f' LIMIT {limit}'}"
        )
        values = (json.dumps(sorted(rowids)), *where.values, *place_values)
        found = Found(limit, len(where.texts))
        self._take(where, statement, values, found)
        return found.rowids

    def _from_lead(
        self,
        lead: Column,
        also: Sql,
        order: Order,
        after: Cursor | None,
        descending: bool,
        limit: int,
    ) -> list[int]:
        """In one statement where columns tell all: otherwise each row would be looked up twice."""
        keys, (sql, values) = order.sorted_keys, lead.leads[0]
        place, place_values = beyond(keys, after, descending=descending)
        rows = self._all(
            f"SELECT rowid FROM tasks INDEXED BY tasks_{lead.column} WHERE {sql} AND {also[0]} AND {place} "  # noqa: S608
            f"{ordered(keys, descending=descending)} LIMIT {limit}",
            (*values, *also[1], *place_values),
        )
        return [row[0] for row in rows]

    def _bounded_set(self, where: Where, walked: Found) -> Bounded | None:
        """The rows that at most fit, where one condition alone leaves few enough.

        Texts that fitted often while walking are not asked for: they are frequent. The others are asked for
        only among the rows that a column leaves.
        """
        led = self._sized(where, LARGE_SET if where.texts else SET_AT_MOST)
        if not where.texts or (led and led[0][0] <= SMALL_SET):
            return self._led_set(where, SET_AT_MOST)
        among: Sql = ("1", ())
        if led and isinstance(led[0][1], Column) and len(led[0][1].leads) == 1:
            among = _among(led[0][1])
        rowids: set[int] | None = None
        for number in sorted(range(len(where.texts)), key=lambda number: walked.fitted[number]):
            if walked.checked >= SAMPLE and walked.fitted[number] > walked.checked * FREQUENT:
                continue
            some = self._bounded(where.texts[number], SET_AT_MOST, among)
            if some is None:
                continue
            rowids = some if rowids is None else rowids & some
            if walked.fitted[number] == len(walked.rowids) >= IMPLIED:
                break  # what had this text had the others too
        if rowids is None:
            return self._led_set(where, SET_AT_MOST)
        return Bounded(rowids, columns_hold=False)

    def _led_set(self, where: Where, at_most: int) -> Bounded | None:
        """The rows whose columns fit, from the indexes of the columns that leave the fewest."""
        sized = self._sized(where, at_most)
        if not sized:
            return None
        part = sized[0][1]
        if not isinstance(part, Column):
            rowids = self._bounded(part, at_most)
            return None if rowids is None else Bounded(rowids, columns_hold=False)
        rowids = self._led(part, at_most, self._beside(where, sized))
        return None if rowids is None else Bounded(rowids, columns_hold=True)

    def _beside(self, where: Where, sized: list[tuple[int, Tree]]) -> Sql:
        """What to ask of the rows that the smallest of the conditions leads to."""
        size, sql, values = sized[0][0], where.sql, where.values
        if size > SMALL_SET and len(sized) == 1:
            sized = self._sized(where, min(SET_AT_MOST, SECOND_AT_MOST * size))
        second = sized[1][1] if len(sized) > 1 and size > SMALL_SET else None
        if isinstance(second, Column) and len(second.leads) == 1:
            # Numbers of rows from two indexes meet sooner than rows are looked up.
            among = _among(second)
            return f"{among[0]} AND {sql}", (*among[1], *values)
        return sql, values

    def _sized(self, where: Where, at_most: int) -> list[tuple[int, Tree]]:
        """The conditions on columns that leave at most so many rows, the fewest first."""
        columns = [(self._size(part, at_most), part) for part in conjuncts(where.tree) if not has_text(part)]
        return sorted(((size, part) for size, part in columns if size is not None), key=lambda one: one[0])

    def _size(self, tree: Tree, at_most: int) -> int | None:
        """How many rows at most fit the columns of `tree`; None when there are more than `at_most`."""
        match tree:
            case Column(column, _, _, leads, _):
                sizes = [self._led_size(column, lead, at_most) for lead in leads]
            case Either(parts):
                sizes = [self._size(part, at_most) for part in parts]
            case Both(parts):
                known = [size for part in parts if (size := self._size(part, at_most)) is not None]
                sizes = [min(known)] if known else [None]
            case _:
                return None
        size = sum(one for one in sizes if one is not None)
        return None if None in sizes or size > at_most else size

    def _led_size(self, column: str, lead: Sql, at_most: int) -> int | None:
        asked, size = self._sizes.get(lead, (-1, 0))
        if size > asked < at_most:  # never counted, or not far enough
            sql, values = lead
            some = f"SELECT 1 FROM tasks INDEXED BY tasks_{column} WHERE {sql} LIMIT {at_most + 1}"  # noqa: S608
            size = self._all(f"SELECT count(*) FROM ({some})", values)[0][0]  # noqa: S608
            self._sizes[lead] = (at_most, size)
        return size if size <= at_most else None

    def _bounded(self, tree: Tree, at_most: int, among: Sql = ("1", ())) -> set[int] | None:
        """The rows that at most fit `tree`, `among` some; None when there may be more than `at_most`."""
        match tree:
            case Column():
                return self._led(tree, at_most, among)
            case InText(table, match, _, wider=wider):
                some = None if wider is None else self._matching(table, wider, at_most // 2, among)
                if some is not None or match is None:
                    return some
                return self._matching(table, match, at_most, among)
            case Either(parts):
                union: set[int] = set()
                for part in parts:
                    rowids = self._bounded(part, at_most, among)
                    if rowids is None:
                        return None
                    union |= rowids
                return union if len(union) <= at_most else None
            case Both(parts):
                found = (self._bounded(part, at_most, among) for part in parts)
                return next((rowids for rowids in found if rowids is not None), None)
            case Unless(InText() as part):
                return self._without(part, at_most)
            case Unless(Either(parts)):
                texts = (part for part in parts if isinstance(part, InText))
                found = (self._without(part, at_most) for part in texts)
                return next((rowids for rowids in found if rowids is not None), None)
            case _:
                return None

    def _without(self, text: InText, at_most: int) -> set[int] | None:
        """The rows without a text that nearly all have; numbers of rows that are gone may be among them."""
        if text.whole is None:
            return None
        source = f"FROM {text.table} WHERE {text.table} MATCH ?"
        missing, first, last = self._all(
            f"SELECT (SELECT total(n) FROM counts) - (SELECT count(*) {source}), "  # noqa: S608
            "(SELECT min(rowid) FROM tasks), (SELECT max(rowid) FROM tasks)",
            (text.whole,),
        )[0]
        if missing > at_most:
            return None
        rowids: set[int] = set()
        if missing <= 0:
            return rowids
        until = time.monotonic() + STATEMENT_LIMIT_S
        for rows in self._batches(f"SELECT rowid {source} ORDER BY rowid", (text.whole,), until=until):
            between = range(first, rows[-1][0] + 1)
            if len(rowids) + len(between) - len(rows) > at_most:  # mostly numbers of rows that are gone
                return None
            if len(between) > len(rows):
                rowids.update(set(between).difference(row[0] for row in rows))
            first = between.stop
        rowids.update(range(first, min(last, first + at_most) + 1))
        return rowids if len(rowids) <= at_most else None

    def _led(self, column: Column, at_most: int, also: Sql = ("1", ())) -> set[int] | None:
        union: set[int] = set()
        for sql, values in column.leads:
            some = f"SELECT rowid FROM tasks INDEXED BY tasks_{column.column} WHERE {sql} AND {also[0]}"  # noqa: S608
            union.update(row[0] for row in self._all(f"{some} LIMIT {at_most + 1}", (*values, *also[1])))
            if len(union) > at_most:
                return None
        return union

    def _matching(self, table: str, match: str, at_most: int, among: Sql) -> set[int] | None:
        rows = self._all(
            f"SELECT rowid FROM {table} WHERE {table} MATCH ? AND {among[0]} LIMIT {at_most + 1}",  # noqa: S608
            (match, *among[1]),
        )
        return {row[0] for row in rows} if len(rows) <= at_most else None

    def _scanned_set(self, where: Where) -> set[int] | None:
        """What fits, by one walk over an index that knows every column, where the order's own does not."""
        index = covering(where.needs)
        if index is None:
            return None
        rows = self._all(
            f"SELECT rowid FROM tasks INDEXED BY {index} WHERE {where.sql} LIMIT {SORTED_AT_MOST + 1}",  # noqa: S608
            where.values,
        )
        return {row[0] for row in rows} if len(rows) <= SORTED_AT_MOST else None

    def _large_set(self, where: Where, walked: Found) -> set[int] | None:
        """The rows of a text that is frequent, where the walk has found that hardly any row fits."""
        order = sorted(range(len(where.texts)), key=lambda number: walked.fitted[number])
        found = (self._bounded(where.texts[number], LARGE_SET) for number in order)
        return next((rowids for rowids in found if rowids is not None), None)


def _among(column: Column) -> Sql:
    """That the number of a row is one that `column` leads to. The plus keeps SQLite from looking up each."""
    sql, values = column.leads[0]
    return f"+rowid IN (SELECT rowid FROM tasks INDEXED BY tasks_{column.column} WHERE {sql})", values  # noqa: S608
