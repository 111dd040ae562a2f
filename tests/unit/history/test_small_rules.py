"""Ids on disk, percentiles out of buckets, attempts out of marks, families in order."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from console.history.buckets import bucket_of, percentiles
from console.history.ids import pack_id, prefix_range, unpack_id
from console.history.marks import RECEIVED, STARTED, SUCCEEDED, attempts_of, decode_marks, encode_marks
from console.history.model import TaskState


@given(st.one_of(st.uuids().map(str), st.uuids().map(lambda one: str(one).upper()), st.text(max_size=40)))
def test_an_id_comes_back_as_it_was(task_id: str) -> None:
    assert unpack_id(pack_id(task_id)) == task_id


def test_a_uuid_takes_sixteen_bytes_and_is_found_by_its_beginning() -> None:
    packed = pack_id("1ce91560-6e4c-40d1-a8d3-915a4a34fa7b")
    assert isinstance(packed, bytes)
    low, high = prefix_range("1ce91560-6") or (b"", b"")
    assert low <= packed <= high
    assert prefix_range("xyz") is None


def test_percentiles_are_exact_to_about_a_tenth() -> None:
    rng = random.Random(1)
    values = sorted(rng.lognormvariate(0, 1.5) for _ in range(20_000))
    histogram: dict[int, int] = {}
    for value in values:
        histogram[bucket_of(value)] = histogram.get(bucket_of(value), 0) + 1
    found = percentiles(histogram)
    for seconds, share in ((found.p50_s, 0.5), (found.p95_s, 0.95), (found.p99_s, 0.99)):
        exact = values[int(len(values) * share)]
        assert seconds is not None
        assert abs(seconds / exact - 1) < 0.12


def test_nothing_measured_is_unknown() -> None:
    assert percentiles({}).p50_s is None
    assert bucket_of(float("nan")) == 0
    assert bucket_of(1e300) == 140


def test_a_receipt_without_a_start_is_an_attempt_that_waits() -> None:
    (attempt,) = attempts_of([(RECEIVED, 1e9, "w", 1, 0, 3)])
    assert attempt.state is TaskState.RECEIVED
    assert attempt.started is None


def test_an_end_without_a_start_is_an_attempt_all_the_same() -> None:
    (attempt,) = attempts_of([(SUCCEEDED, 1e9, "w", 1, 0.5, None)])
    assert (attempt.state, attempt.started) == (TaskState.SUCCEEDED, None)


def test_marks_survive_storage() -> None:
    marks = [(STARTED, 1.5, "w", 1, None, None), (SUCCEEDED, 2.5, "w", 1, 0.5, None)]
    assert decode_marks(encode_marks(marks)) == marks
