"""What a gap has cost by the workers' own count: true where it is said, and unknown where it cannot be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from console.collector.events import Event
from console.collector.loss import LossCount

WORKER = "celery@web"


def beat(at: float, processed: int, *, pid: int = 7, name: str = WORKER) -> Event:
    return Event("worker-heartbeat", hostname=name, timestamp=at, processed=processed, pid=pid)


def start(at: float, name: str = WORKER) -> Event:
    return Event("task-started", uuid="a", hostname=name, timestamp=at)


def steady() -> LossCount:
    """A worker that was seen to keep the rule; its last heartbeat was at 6 with 3 tasks."""
    loss = LossCount()
    assert loss.see([beat(0, 0), start(1), start(1.5), beat(2, 2), start(3), beat(4, 3), beat(6, 3)]) == 0
    return loss


def test_starts_that_no_event_told_of_are_known() -> None:
    loss = steady()
    loss.gap()
    assert loss.see([beat(60, 1243), start(61), beat(62, 1244)]) == 1240
    assert loss.see([beat(64, 1244), beat(66, 1244)]) == 0


def test_what_the_worker_still_held_at_its_heartbeat_is_not_missed() -> None:
    loss = steady()
    loss.gap()
    assert loss.see([beat(8, 5), start(7.9), start(7.95), beat(10, 5)]) == 0


def test_what_it_held_when_the_stream_was_cut_is() -> None:
    loss = LossCount()
    loss.see([beat(0, 0), start(1), beat(2, 1), beat(4, 1), beat(6, 2)])  # one start is not yet here
    loss.gap()
    assert loss.see([beat(8, 2), beat(10, 2)]) == 1


def test_nothing_is_said_of_a_worker_whose_events_do_not_tell_of_all_its_tasks() -> None:
    loss = LossCount()
    loss.see([beat(0, 0), start(1), beat(2, 1), beat(4, 3), beat(6, 3), start(7), beat(8, 4), beat(10, 4)])
    loss.gap()
    assert loss.see([beat(12, 90), beat(14, 90)]) == 0
    unproven = LossCount()
    unproven.see([beat(0, 0), beat(2, 0), beat(4, 0)])
    unproven.gap()
    assert unproven.see([beat(6, 90), beat(8, 90)]) == 0


def test_nothing_is_said_of_a_worker_that_began_again_or_whose_clock_was_set_back() -> None:
    for then in (beat(8, 9, pid=8), beat(8, 1), beat(5, 90)):
        loss = steady()
        loss.gap()
        assert loss.see([then, beat(100, 90, pid=then.pid or 0), beat(102, 90, pid=then.pid or 0)]) == 0


def test_heartbeats_without_figures_are_passed_over() -> None:
    loss = steady()
    loss.gap()
    odd = [Event("worker-heartbeat"), Event("worker-heartbeat", hostname=WORKER), Event("task-started")]
    assert loss.see([*odd, beat(8, 4), beat(10, 4)]) == 1


@given(st.lists(st.integers(0, 5), min_size=4, max_size=12), st.data())
def test_never_more_than_were_missed(counts: list[int], data: st.DataObject) -> None:
    """`counts` starts between heartbeats, some of them in a gap: what is said is at most what was missed."""
    stream: list[Event] = [beat(0, 0)]
    total = 0
    for number, count in enumerate(counts):
        stream += [start(number * 2 + (k + 1) / 10) for k in range(count)]
        total += count
        stream.append(beat(number * 2 + 2, total))
    first = data.draw(st.integers(0, len(stream)))
    last = data.draw(st.integers(first, len(stream)))
    loss = LossCount()
    said = loss.see(stream[:first])
    loss.gap()
    said += loss.see(stream[last:])
    missed = sum(one.type == "task-started" for one in stream[first:last])
    assert 0 <= said <= missed
