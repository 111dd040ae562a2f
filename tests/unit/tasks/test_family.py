"""What is said of a family: how many, how they ended, and who is missing."""

from __future__ import annotations

from dataclasses import replace

from console.history.model import Relative, TaskState
from console.tasks.family_model import missing_words, summary_words
from tests.unit.tasks.test_moments import DETAIL, ROW, at

FAMILY = (
    Relative(replace(ROW, id="root", state=TaskState.SUCCEEDED), 0),
    Relative(replace(ROW, id="t", ended=at(12.4)), 1),
    Relative(replace(ROW, id="child", state=TaskState.SUCCEEDED), 2),
)
LONG = "1c2d3e4f-0000-4000-8000-00000000beef"


def test_a_family_that_has_ended() -> None:
    assert summary_words(FAMILY) == "3 tasks: 2 Succeeded, 1 Failed; 12.4 s in all"
    assert summary_words(FAMILY[:1]) == "1 task: 1 Succeeded; 10.0 s in all"
    assert summary_words(()) == ""


def test_while_one_runs_there_is_no_whole_time() -> None:
    runs = Relative(replace(ROW, id="r", state=TaskState.STARTED, ended=None), 1)

    assert summary_words((*FAMILY, runs)) == "4 tasks: 2 Succeeded, 1 Failed, 1 Started"


def test_who_is_missing() -> None:
    known = replace(DETAIL, parent_id="root", root_id="root")
    assert missing_words(known, FAMILY) == ""
    assert missing_words(replace(known, parent_id=LONG), FAMILY) == (
        "Parent 1c2d3e…beef is not in the history."
    )
    assert missing_words(replace(known, parent_id=LONG, root_id=LONG), FAMILY) == (
        "Parent and root 1c2d3e…beef is not in the history."
    )


def test_a_family_that_is_cut_says_so() -> None:
    many = tuple(Relative(replace(ROW, id=str(number)), 0) for number in range(300))

    assert missing_words(replace(DETAIL, parent_id=LONG, root_id=None), many) == (
        "Parent 1c2d3e…beef is not among those shown; the first 300 tasks are shown."
    )
