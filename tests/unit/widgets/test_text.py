"""How names, numbers and times are written."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.widgets import text

KOLKATA = ZoneInfo("Asia/Kolkata")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (-3.0, "0 ms"),
        (0.0, "0 ms"),
        (0.28, "280 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (4.1, "4.1 s"),
        (30.0, "30.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min"),
        (90, "1 min 30 s"),
        (724, "12 min 4 s"),
        (46 * 60, "46 min"),
        (3600, "1 h"),
        (3660, "1 h 1 min"),
        (3 * 86400 + 4 * 3600 + 59, "3 d 4 h"),
        (86400, "1 d"),
    ],
)
def test_durations_are_written_as_a_person_would_say_them(seconds: float | None, words: str) -> None:
    assert text.duration_text(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (None, "–"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (14_000_000, "14 MB"),
        (212_300_000, "212 MB"),
        (1_400_000_000, "1.4 GB"),
        (999_600_000, "1.0 GB"),
        (2.5e12, "2.5 TB"),
    ],
)
def test_bytes(count: float | None, words: str) -> None:
    assert text.bytes_text(count) == words


def test_unknown_is_a_dash_and_never_zero() -> None:
    assert {
        text.number_text(None),
        text.rate_text(None),
        text.percent_text(None),
        text.ago_text(None),
        text.clock_text(None, UTC),
        text.exact_instant(None, UTC),
    } == {"–"}


def test_numbers_rates_and_shares() -> None:
    assert text.number_text(18412) == "18,412"
    assert text.number_text(0) == "0"
    assert text.rate_text(7.8) == "7.8/s"
    assert text.rate_text(0) == "0.0/s"
    assert text.rate_text(1204.4) == "1,204/s"
    assert text.percent_text(18.4) == "18.4 %"


def test_ids_keep_six_and_four() -> None:
    assert text.middle_elide_id("95986266-356c-4733-ab4c-719e2b8b86d7") == "959862…86d7"
    assert text.middle_elide_id("short-id") == "short-id"
    assert text.middle_elide_id("12345678901") == "12345678901"


@given(st.text(), st.integers(min_value=0, max_value=60))
def test_middle_elision_never_exceeds_its_limit(value: str, limit: int) -> None:
    cut = text.middle_elide(value, limit)
    assert len(cut) <= max(limit, 0) or cut == value
    if len(value) <= limit:
        assert cut == value


def test_task_names_drop_their_module_unless_two_would_be_the_same() -> None:
    names = {"shop.tasks.send_invoice", "billing.tasks.send_invoice", "shop.tasks.charge"}
    ambiguous = text.ambiguous_task_names(names)
    assert ambiguous == {"send_invoice"}
    assert text.short_task_name("shop.tasks.charge", ambiguous) == "charge"
    assert text.short_task_name("shop.tasks.send_invoice", ambiguous) == "shop.tasks.send_invoice"
    assert text.short_task_name("plain") == "plain"
    assert text.short_worker_name("celery@web-1") == "web-1"


def test_clock_shows_the_day_when_it_is_not_today() -> None:
    now = datetime(2026, 10, 22, 9, 0, tzinfo=UTC)
    assert text.clock_text(datetime(2026, 10, 22, 8, 31, 40, tzinfo=UTC), KOLKATA, now=now) == "14:01:40"
    assert text.clock_text(now, KOLKATA, now=now, seconds=False) == "14:30"
    assert text.clock_text(now - timedelta(days=3), KOLKATA, now=now) == "19 Oct 14:30"
    assert text.clock_text(now - timedelta(days=400), KOLKATA, now=now) == "17 Sep 2025"
    # 19:00 UTC is already the next day in Kolkata.
    assert text.clock_text(datetime(2026, 10, 21, 19, 0, tzinfo=UTC), KOLKATA, now=now) == "00:30:00"


def test_how_long_ago() -> None:
    assert [text.ago_text(s) for s in (0.2, 48, 61, 7200, 200_000)] == [
        "now",
        "48 s ago",
        "1 min ago",
        "2 h ago",
        "2 d ago",
    ]


def test_exact_instants_name_their_zone() -> None:
    instant = datetime(2026, 10, 22, 9, 1, 40, 114_000, tzinfo=UTC)
    assert text.exact_instant(instant, KOLKATA) == "2026-10-22 14:31:40.114 IST (UTC+05:30)"
    assert text.exact_instant(instant, timezone(timedelta(hours=-3))) == (
        "2026-10-22 06:01:40.114 UTC-03:00 (UTC-03:00)"
    )
