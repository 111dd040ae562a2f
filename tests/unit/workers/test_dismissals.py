"""The file beside the history: what it keeps, and what is in it that it did not write."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from console.core.errors import ConsoleError
from console.workers import dismissals
from console.workers.dismissals import FileDismissals

AT = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def test_keeps_who_was_dismissed_and_when_they_were_last_heard(tmp_path: Path) -> None:
    history = tmp_path / "c.sqlite3"
    assert FileDismissals(history).read() == {}
    FileDismissals(history).write({"web@a": AT, "web@b": AT + timedelta(days=1)})
    assert FileDismissals(history).read() == {"web@a": AT, "web@b": AT + timedelta(days=1)}
    assert [file.name for file in tmp_path.iterdir()] == ["c.dismissed-workers.json"]
    FileDismissals(history).write({})
    assert FileDismissals(history).read() == {}


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", "null", '{"a": 3}', '{"a": "yesterday"}', '{"a": "2026-03-01T12:00:00"}', "\x00"],
)
def test_whatever_else_stands_there_dismisses_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.dismissed-workers.json").write_text(text)
    assert FileDismissals(tmp_path / "c.sqlite3").read() == {}


def test_is_bounded_and_says_where_it_cannot_write(tmp_path: Path) -> None:
    many = {f"pod-{n}": AT + timedelta(seconds=n) for n in range(dismissals.MOST_DISMISSALS + 5)}
    FileDismissals(tmp_path / "c.sqlite3").write(many)
    kept = json.loads((tmp_path / "c.dismissed-workers.json").read_text())
    assert len(kept) == dismissals.MOST_DISMISSALS
    assert "pod-4" not in kept
    with pytest.raises(ConsoleError) as raised:
        FileDismissals(tmp_path / "nowhere" / "c.sqlite3").write(many)
    assert "nowhere" in raised.value.detail
