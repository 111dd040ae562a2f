"""What the command line prints of a broker's own words."""

from __future__ import annotations

import pytest

from console.app.connections_actions import _complain, _say


def test_a_broker_s_words_do_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    _say("Redis 7\x1b]0;owned\x07\n  Läden\u202e")
    _complain("queue \x1b[2J")
    said = capsys.readouterr()
    assert said.out == "Redis 7?]0;owned?\n  Läden?\n"
    assert said.err == "celery-console: queue ?[2J\n"
