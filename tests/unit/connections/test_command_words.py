"""What the command line prints of a broker's own words."""

from __future__ import annotations

import pytest

from console.app.connections_words import complain, say


def test_a_broker_s_words_do_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say("Redis 7\x1b]0;owned\x07\n  Läden\u202e")
    complain("queue \x1b[2J")
    said = capsys.readouterr()
    assert said.out == "Redis 7?]0;owned?\n  Läden?\n"
    assert said.err == "celery-console: queue ?[2J\n"
