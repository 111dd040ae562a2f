"""The rates on the cards."""

from __future__ import annotations

from datetime import timedelta

import pytest

from console.overview.model import rates_of
from tests.unit.overview.samples import NOON, minute


def test_the_rate_of_the_last_minute_slides() -> None:
    minutes = [minute(1, succeeded=60), minute(0, succeeded=10)]
    assert rates_of(minutes, NOON + timedelta(seconds=15)).tasks == pytest.approx(55)
    assert rates_of(minutes, NOON + timedelta(seconds=60)).tasks == pytest.approx(10)


def test_rates_are_unknown_while_nothing_is_known() -> None:
    assert rates_of([], NOON).tasks is None
    unknown = rates_of([minute(1, gap=True), minute(0, gap=True)], NOON)
    assert unknown.tasks is None
    assert unknown.failed is None
    young = rates_of([minute(1, gap=True), minute(0, succeeded=4, failed=1)], NOON + timedelta(seconds=30))
    assert (young.tasks, young.tasks_usual) == (5, None)


def test_failures_rise_when_there_are_clearly_more_than_usual() -> None:
    before = [minute(ago, succeeded=100, failed=0) for ago in range(30, 5, -1)]
    bad = [minute(ago, succeeded=90, failed=10) for ago in range(5, -1, -1)]
    rising = rates_of(before + bad, NOON)
    assert rising.failures_rise
    assert rising.failed_usual == 0
    assert rising.tasks_usual == 100
    assert not rates_of([minute(ago, failed=10) for ago in range(30, -1, -1)], NOON).failures_rise
