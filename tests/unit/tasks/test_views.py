"""Saved views: their file, names, the columns of the table, and what a selection is."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import QLockFile

from console.core.errors import Cause, ConsoleError
from console.core.notices import NoticeBoard
from console.history.model import TaskRow, TaskState
from console.history.query import parse_query
from console.tasks import views
from console.tasks.columns import AT_FIRST, COLUMN, TableLayout, known_columns, moved, toggled
from console.tasks.selection import Selection, breakdown, text_with_fingerprint
from console.tasks.views import (
    BUILT_IN,
    Kept,
    SavedView,
    ViewsFile,
    kept_as_json,
    kept_from,
    renamed,
    with_view,
    without_view,
    wrong_name,
)
from console.tasks.views_store import ViewsStore

NOW = datetime(2026, 11, 22, 14, 31, tzinfo=UTC)
SLOW = SavedView("Slow mail", "queue:mail runtime:>5s", sort="runtime", columns=("state", "task", "result"))


class StillClock:
    def now(self) -> datetime:
        return NOW

    def monotonic_s(self) -> float:
        return 0.0


def test_views_and_layout_come_back_as_they_were_kept(tmp_path: Path) -> None:
    file = ViewsFile(tmp_path / "task-views.json")
    layout = TableLayout(("state", "id"), {"id": 120}, "runtime", descending=False)
    file.update(lambda kept: replace(with_view(kept, SLOW), layout=layout), NOW)
    kept, trouble = ViewsFile(tmp_path / "task-views.json").read(NOW)
    assert trouble is None
    assert (kept.views, kept.layout) == ((SLOW,), layout)


def test_a_change_is_made_to_what_another_window_wrote(tmp_path: Path) -> None:
    one, other = ViewsFile(tmp_path / "v.json"), ViewsFile(tmp_path / "v.json")
    one.update(lambda kept: with_view(kept, SLOW), NOW)
    other.update(lambda kept: with_view(kept, SavedView("a", "state:lost")), NOW)
    kept, _ = one.update(lambda kept: renamed(kept, "a", "zebra"), NOW)
    assert [view.name for view in kept.views] == ["Slow mail", "zebra"]
    kept, _ = one.update(lambda kept: without_view(kept, "Slow mail"), NOW)
    assert [view.name for view in kept.views] == ["zebra"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[" * 20_000,
        '{"version": 99}',
        '{"version": 1, "views": [{"name": "x"}]}',
        '{"version": 1, "views": 3}',
        '{"version": 1, "table": []}',
        "\x00\xff",
    ],
)
async def test_a_broken_file_is_set_aside_and_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "task-views.json"
    path.write_text(text, "latin-1")
    notices = NoticeBoard(StillClock())
    store = ViewsStore(path, clock=StillClock(), notices=notices)
    await store.load()
    await store.save(SLOW)
    assert store.all == (*BUILT_IN, SLOW)
    (notice,) = notices.notices
    assert notice.text == "The saved views could not be read"
    aside = tmp_path / "task-views.broken-20261122T143100Z.json"
    assert aside.read_text("latin-1") == text
    assert aside.name in notice.detail
    await store.aclose()


async def test_what_cannot_be_written_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    notices = NoticeBoard(StillClock())
    store = ViewsStore(tmp_path / "gone" / "v.json", clock=StillClock(), notices=notices)
    await store.load()
    await store.save(SLOW)
    assert [notice.text for notice in notices.notices] == ["The views were not saved"]
    await store.aclose()


def test_unknown_columns_and_widths_of_a_file_are_left_out() -> None:
    kept = kept_from(
        {
            "version": 1,
            "views": [{"name": "a", "query": "", "columns": ["nope", "id"], "sort": "nope"}],
            "table": {"columns": ["x"], "widths": {"id": 100, "task": -1, "queue": True}, "sort": 3},
        }
    )
    (view,) = kept.views
    assert (view.columns, view.sort) == (("state", "id"), "received")
    assert kept.layout == TableLayout(AT_FIRST, {"id": 100})


def test_names() -> None:
    views = (SLOW,)
    assert wrong_name("  ", views) == "Give it a name"
    assert wrong_name("running", views) == "This name is taken by a view of the console"
    assert wrong_name("SLOW MAIL", views) == "Another view has this name"
    assert wrong_name("slow Mail", views, but="Slow mail") == ""
    assert wrong_name("x" * 61, views) == "At most 60 characters"
    assert wrong_name("Nightly", views) == ""


def test_there_is_a_limit() -> None:
    kept = Kept(tuple(SavedView(f"v{number}", "") for number in range(200)))
    with pytest.raises(ConsoleError):
        with_view(kept, SLOW)
    with_view(kept, SavedView("v7", "state:lost"))


@given(
    st.builds(
        Kept,
        st.just((SLOW,)),
        st.builds(
            TableLayout,
            st.lists(st.sampled_from(sorted(COLUMN)), unique=True).map(known_columns),
            st.dictionaries(st.sampled_from(sorted(COLUMN)), st.integers(1, 2000)),
            st.sampled_from(["received", "runtime", "state"]),
            st.booleans(),
        ),
    )
)
def test_what_is_written_can_be_read(kept: Kept) -> None:
    assert kept_from(json.loads(json.dumps(kept_as_json(kept)))) == kept


def test_the_views_of_the_console_can_all_be_read_as_queries() -> None:
    for view in BUILT_IN:
        parse_query(view.query)


def test_columns_come_to_their_usual_place_and_can_be_moved() -> None:
    with_result = toggled(AT_FIRST, "result", True)
    assert with_result == (*AT_FIRST, "result")
    assert toggled(("state", "retries", "result"), "id", True) == ("state", "id", "retries", "result")
    assert toggled(AT_FIRST, "state", False) == AT_FIRST
    assert "worker" not in toggled(AT_FIRST, "worker", False)
    assert moved(("a", "b", "c"), "a", 1) == ("b", "a", "c")
    assert moved(("a", "b", "c"), "a", -1) == ("a", "b", "c")
    assert moved(("a", "b", "c"), "b", 9) == ("a", "c", "b")
    assert TableLayout(with_result).needs_detail
    assert not TableLayout().needs_detail


def row(number: int, state: TaskState, name: str) -> TaskRow:
    return TaskRow(
        rowid=number, id=str(number), name=name, state=state, worker=None, queue=None, sent=None,
        received=None, started=None, ended=None, waited_s=None, runtime_s=None, retries=0, change=1,
    )  # fmt: skip


def test_a_selection_in_words_and_as_a_query() -> None:
    chosen = Selection(("a1", "b2"))
    assert (chosen.size, chosen.many, chosen.words) == (2, True, "2 selected")
    assert parse_query(chosen.query_text()).filters
    everything = Selection(("a1",), parse_query("state:failed x"), 31_204)
    assert everything.words == "All 31,204 that match are selected"
    assert everything.query_text() == "state:failed x"
    assert len(Selection(tuple(f"{n:032}" for n in range(500))).query_text()) <= 2000
    rows = [
        row(n, TaskState.STARTED if n % 3 else TaskState.SENT, f"shop.{'abcde'[n % 5]}") for n in range(30)
    ]
    assert breakdown(rows) == "10 Sent, 20 Started: 6 a, 6 b, 6 c, 12 others"


@pytest.mark.parametrize(
    ("text", "narrowed"),
    [
        ("", "fingerprint:7"),
        ("state:failed since:1h", "state:failed since:1h fingerprint:7"),
        ("name:a or name:b", "(name:a or name:b) fingerprint:7"),
    ],
)
def test_a_query_narrowed_down_to_one_error(text: str, narrowed: str) -> None:
    assert text_with_fingerprint(parse_query(text), 7) == narrowed
    parse_query(narrowed)


def test_a_file_of_far_too_many_views_is_set_aside(tmp_path: Path) -> None:
    file = tmp_path / "v.json"
    many = [{"name": f"view {number}", "query": ""} for number in range(10_000)]
    file.write_text(json.dumps({"version": 1, "views": many}))
    kept, trouble = ViewsFile(file).read(NOW)
    assert kept == Kept()
    assert trouble is not None
    assert "10,000 views" in trouble.detail
    assert not file.exists()
    ViewsFile(file).update(lambda kept: with_view(kept, SLOW), NOW)
    assert ViewsFile(file).read(NOW)[0].views == (SLOW,)


def test_two_windows_that_save_at_once_lose_nothing(tmp_path: Path) -> None:
    def save(window: int) -> None:
        file = ViewsFile(tmp_path / "v.json")
        for number in range(15):
            view = SavedView(f"{window} {number}", "")
            file.update(lambda kept, view=view: with_view(kept, view), NOW)  # type: ignore[misc]

    with ThreadPoolExecutor(3) as windows:
        list(windows.map(save, range(3)))
    assert len(ViewsFile(tmp_path / "v.json").read(NOW)[0].views) == 45


def test_a_window_that_holds_the_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "LOCK_MS", 20)
    held = QLockFile(str(tmp_path / "v.lock"))
    assert held.tryLock(0)
    with pytest.raises(ConsoleError, match="The views were not saved") as raised:
        ViewsFile(tmp_path / "v.json").update(lambda kept: with_view(kept, SLOW), NOW)
    assert raised.value.cause is Cause.LOCKED
    held.unlock()
