"""What the figures of RabbitMQ's management API mean for the page: never a 0 for what nobody told."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from console.broker.management import QueueFigures, _counts_rates
from console.queues.amqp_gateway import _depths
from console.queues.cells import age_text, queue_row, summary_text
from console.queues.model import Age, QueueRow, QueuesSnapshot


def figures(name: str, *, ready: int | None = 0, unacked: int | None = 0) -> QueueFigures:
    return QueueFigures(name, ready, unacked, consumers=1, in_per_s=0.0, out_per_s=0.0, oldest=None)


def test_a_queue_that_was_not_reached_among_many_is_unknown_not_empty() -> None:
    depths = _depths([figures("mail")], frozenset({"mail", "zeta"}), complete=False)
    assert depths.unknown == {"zeta"}
    assert depths.missing == frozenset()
    assert depths.unacked is not None
    assert not depths.unacked.complete
    whole = _depths([figures("mail")], frozenset({"mail", "zeta"}), complete=True)
    assert whole.missing == {"zeta"}
    assert whole.unknown == frozenset()


def test_held_messages_that_one_queue_does_not_tell_are_at_least_the_others() -> None:
    depths = _depths([figures("mail", unacked=3), figures("new", unacked=None)], frozenset(), complete=True)
    assert depths.unacked is not None
    assert (depths.unacked.total, depths.unacked.complete) == (3, False)


@pytest.mark.parametrize(
    ("overview", "counts"),
    [
        ({"rates_mode": "basic", "disable_stats": False}, True),
        ({"rates_mode": "basic"}, True),
        ({"rates_mode": "none"}, False),
        ({"rates_mode": "basic", "disable_stats": True}, False),
        ([], False),
    ],
)
def test_rates_that_the_server_does_not_count_are_unknown(overview: object, counts: bool) -> None:
    assert _counts_rates(overview) is counts


def row(name: str, ready: int | None, unacked: int | None, *, missing: bool = False) -> QueueRow:
    return QueueRow(name, ready, unacked, False, None, None, None, None, None, missing=missing)


def test_a_total_without_a_queue_that_is_not_known_is_at_least_that() -> None:
    noon = datetime(2026, 1, 2, 12, tzinfo=UTC)
    mail, gone = row("mail", 1200, 3), row("gone", None, None, missing=True)
    known = QueuesSnapshot((mail, gone), noon)
    assert summary_text(known) == "2 queues, 1,200 ready, 3 unacknowledged"
    partly = QueuesSnapshot((mail, row("silent", None, None)), noon)
    assert summary_text(partly) == "2 queues, ≥ 1,200 ready, ≥ 3 unacknowledged"
    unknown = QueuesSnapshot((row("silent", None, None),), noon)
    assert summary_text(unknown) == "1 queue, – ready, – unacknowledged"


def test_an_estimate_is_shown_as_one() -> None:
    guess = Age(2760.0, exact=False, estimated=True)
    assert age_text(guess).startswith("≈ ")
    assert age_text(Age(25.0, exact=False)).startswith("≥ ")
    shown = QueueRow("mail", 3, 0, False, 1, guess, None, None, None)
    assert "estimate" in (queue_row(shown).cells["oldest"].tooltip or "")
