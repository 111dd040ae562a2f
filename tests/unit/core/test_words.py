"""Redaction, notices, the home folder, happenings and the command palette's search."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from console.core.clock import SystemClock
from console.core.commands import Command
from console.core.errors import ConsoleError
from console.core.happening import Happening
from console.core.home import Home, write_atomically
from console.core.notices import Level, NoticeBoard
from console.core.redaction import Secret, mask_url, redact
from console.window.command_palette import matching


def test_a_secret_shows_nothing_of_itself() -> None:
    secret = Secret("hunter-2-marker")
    assert "hunter" not in f"{secret} {secret!r}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_registered_secrets_and_passwords_in_urls_are_masked() -> None:
    Secret("s3cret/with?signs")
    assert redact("failed with s3cret/with?signs") == "failed with ••••"
    assert redact("at s3cret%2Fwith%3Fsigns") == "at ••••"
    assert mask_url("redis://u:p%40ss@host:6379/0") == "redis://u:••••@host:6379/0"
    assert mask_url("redis://host:6379/0") == "redis://host:6379/0"


def test_an_outage_is_one_notice() -> None:
    board = NoticeBoard(SystemClock())
    posted: list[str] = []
    board.posted.connect(lambda notice: posted.append(notice.text))
    for _ in range(5):
        board.post(Level.ERROR, "Broker cannot be reached", key="link")
    board.post(Level.OK, "Connected again", key="link")
    assert posted == ["Broker cannot be reached", "Connected again"]
    assert [notice.text for notice in board.notices] == ["Connected again"]
    board.withdraw("link")
    assert board.notices == []


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(ConsoleError) as caught:
        Home(blocked / "home").prepare()
    assert str(blocked) in caught.value.detail
    assert "--home" in caught.value.remedy


def test_writing_replaces_the_whole_or_nothing(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    write_atomically(file, "one")
    write_atomically(file, "two")
    assert file.read_text() == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]


def test_a_listener_that_fails_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    happening: Happening[int] = Happening()
    seen: list[int] = []
    happening.connect(lambda value: seen.append(1 // value))
    disconnect = happening.connect(seen.append)
    happening.emit(0)
    assert seen == [0]
    assert "A listener failed" in caplog.text
    disconnect()
    happening.emit(1)
    assert seen == [0, 1]


def test_the_palette_finds_all_words_and_puts_beginnings_first() -> None:
    commands = [
        Command(text, lambda: None) for text in ("Restart worker", "Start local stack", "Stop local stack")
    ]
    assert [one.text for one in matching(commands, "sta")] == [
        "Start local stack",
        "Restart worker",
        "Stop local stack",
    ]
    assert [one.text for one in matching(commands, "local st stop")] == ["Stop local stack"]
