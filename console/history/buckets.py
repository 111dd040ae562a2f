"""Durations in logarithmic buckets: percentiles of any span of time without keeping every value.

Four buckets per doubling: a percentile is exact to about a tenth, from 0.1 ms to 38 days in at most
140 buckets, and histograms of minutes and names simply add up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from console.history.model import Percentiles

SMALLEST_S = 0.0001
PER_DOUBLING = 4
LAST_BUCKET = 140


def bucket_of(duration_s: float) -> int:
    """The bucket of a duration; anything not above 0.1 ms is in bucket 0."""
    if not duration_s > SMALLEST_S:
        return 0
    return min(LAST_BUCKET, 1 + int(math.log2(duration_s / SMALLEST_S) * PER_DOUBLING))


def middle_of(bucket: int) -> float:
    """The duration (seconds) that stands for a bucket: its geometric middle."""
    if bucket <= 0:
        return SMALLEST_S
    low = SMALLEST_S * 2 ** ((bucket - 1) / PER_DOUBLING)
    high = SMALLEST_S * 2 ** (bucket / PER_DOUBLING)
    return math.sqrt(low * high)


def percentiles(histogram: Mapping[int, int]) -> Percentiles:
    """p50, p95 and p99 of counts by bucket."""
    count = sum(histogram.values())
    if not count:
        return Percentiles(None, None, None, 0)
    wanted = [math.ceil(count * share) for share in (0.50, 0.95, 0.99)]
    found: list[float] = []
    seen = 0
    for bucket in sorted(histogram):
        seen += histogram[bucket]
        while len(found) < 3 and seen >= wanted[len(found)]:
            found.append(middle_of(bucket))
    return Percentiles(found[0], found[1], found[2], count)
