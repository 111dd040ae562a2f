"""Which rows of Attention become notifications, when, and how many at once."""

from __future__ import annotations

from console.app.notifications import AGAIN_S, Choice, Pacing, notification_of
from console.app.notifications_desktop import choice_of
from console.core.connection import ConnectionInfo, Environment
from console.overview.model import Attention, AttentionKind, Severity

SHOP = ConnectionInfo("shop", "Shop production", Environment.PRODUCTION)
TEST = ConnectionInfo("test", "Shop test", Environment.STAGING)


def row(
    key: str, kind: AttentionKind = AttentionKind.NO_CONSUMER, severity: Severity = Severity.WARNING
) -> Attention:
    return Attention(key, kind, severity, f"{key} has no consumer", key, "queues", key)


def test_production_only_unless_chosen_otherwise() -> None:
    assert Choice().wants(row("mail"), SHOP)
    assert not Choice().wants(row("mail"), TEST)
    assert Choice(everywhere=True).wants(row("mail"), TEST)
    assert not Choice(frozenset(), everywhere=True).wants(row("mail"), SHOP)


def test_what_is_stored_comes_back_and_what_is_unknown_does_not() -> None:
    assert choice_of((None, False)) == Choice()
    assert choice_of(((), True)) == Choice(frozenset(), everywhere=True)
    assert choice_of((("BEAT", "NO_SUCH"), False)).kinds == {AttentionKind.BEAT}


def test_a_row_is_news_once_and_again_after_ten_minutes() -> None:
    pacing = Pacing()
    mail = row("mail")
    assert pacing.news([mail], SHOP, now_s=0) == (mail,)
    assert pacing.news([mail], SHOP, now_s=1) == ()
    assert pacing.news([], SHOP, now_s=2) == ()
    assert pacing.news([mail], SHOP, now_s=AGAIN_S - 1) == ()
    assert pacing.news([], SHOP, now_s=AGAIN_S) == ()
    assert pacing.news([mail], SHOP, now_s=AGAIN_S + 1) == (mail,)
    assert pacing.news([mail], SHOP, now_s=5 * AGAIN_S) == ()  # it has been there all the time


def test_the_same_queue_elsewhere_is_something_else() -> None:
    pacing = Pacing()
    assert len(pacing.news([row("mail")], SHOP, now_s=0)) == 1
    assert len(pacing.news([row("mail")], TEST, now_s=1)) == 1


def test_many_rows_are_one_notification() -> None:
    one = notification_of([row("mail")], SHOP)
    assert (one.key, one.title, one.body, one.urgent) == (
        "mail",
        "Shop production",
        "mail: mail has no consumer",
        False,
    )
    worst = row("celery@a", AttentionKind.WORKER_LOST, Severity.ERROR)
    many = notification_of([*(row(f"q{n}") for n in range(6)), worst], SHOP)
    assert many.title == "Shop production: 7 things need attention"
    assert many.body.splitlines()[0] == "celery@a: celery@a has no consumer"
    assert many.body.splitlines()[-1] == "and 3 more"
    assert (many.key, many.urgent) == ("celery@a", True)
