"""A line of Python in pieces for its colours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.widgets.traceback_text import code_pieces, group_frames, parse_traceback


@pytest.mark.parametrize(
    ("code", "kinds"),
    [
        ("raise Oh('no') # why", {"raise": "keyword", "Oh": "call", "'no'": "string", "# why": "comment"}),
        ("@app.task(retries=3)", {"@app.task": "decorator", "retries": "name", "3": "number"}),
        ("x = f\"{y!r}\" + b'\\x27'", {'f"{y!r}"': "string", "b'\\x27'": "string"}),
        ("print('open", {"print": "call", "'open": "string"}),
        ("return self.größe", {"return": "keyword", "self": "keyword", "größe": "name"}),
    ],
)  # fmt: skip
def test_kinds(code: str, kinds: dict[str, str]) -> None:
    found = dict(code_pieces(code))
    assert {text: found.get(text) for text in kinds} == kinds


@given(st.text(max_size=600))
def test_nothing_is_lost_and_nothing_raises(code: str) -> None:
    line = code.replace("\n", " ")
    assert "".join(text for text, _ in code_pieces(line)) == line[:400]


def test_a_long_run_of_own_frames_shows_its_ends() -> None:
    calls = "".join(
        f'  File "/srv/app.py", line {number}, in again\n    again()\n' for number in range(1, 900)
    )
    parsed = parse_traceback(f"Traceback (most recent call last):\n{calls}RecursionError: too deep\n")

    groups = group_frames(parsed.frames)

    assert [(len(one.frames), one.folded) for one in groups] == [(12, False), (875, True), (12, False)]
    assert groups[1].title == "875 more frames"
