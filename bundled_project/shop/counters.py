"""Counters that are cheap to increment in Redis and end up in the database, each increment exactly once.

A flush takes three steps, and may be killed between any two:

1. Redis, one script: unless a batch is already taken, rename the hash of counters to the taken batch and
   give it an id. New increments start a new hash.
2. Database, one transaction: insert the batch id and add the increments. A batch whose id is already there
   was applied by a run that died before step 3, so it is not added again.
3. Redis, one script: delete the taken batch, if it is still the one with this id.

The next flush starts with the batch it finds taken. Two flushes at once take the same batch, and the unique
id lets one of them apply it.
"""

import uuid
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

import redis
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from bundled_project.shop.models import Counter, CounterBatch

# The braces keep both keys in one slot of a Redis Cluster.
LIVE_KEY = "{shop:counters}:live"
TAKEN_KEY = "{shop:counters}:taken"
BATCH_FIELD = "\x00batch"
KEEP_BATCH_IDS = timedelta(days=30)

_TAKE = """
if redis.call('EXISTS', KEYS[2]) == 0 then
  if redis.call('EXISTS', KEYS[1]) == 0 then return {} end
  redis.call('RENAME', KEYS[1], KEYS[2])
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
end
return redis.call('HGETALL', KEYS[2])
"""
_DROP = """
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('DEL', KEYS[1]) end
return 0
"""


@dataclass(frozen=True, slots=True)
class Batch:
    """Increments taken from Redis: name -> by how much."""

    id: uuid.UUID
    increments: dict[str, int]


@cache
def _redis() -> redis.Redis:
    return redis.Redis.from_url(
        settings.COUNTERS_REDIS_URL, decode_responses=True, socket_timeout=10, socket_connect_timeout=5
    )


def increment(name: str, by: int = 1) -> None:
    """Count. Names are text of 1 to 200 characters; raises ``ValueError`` for others."""
    if not 0 < len(name) <= 200 or name == BATCH_FIELD:
        message = "a counter's name has 1 to 200 characters"
        raise ValueError(message)
    _redis().hincrby(LIVE_KEY, name, by)


def take_batch() -> Batch | None:
    """Step 1: the batch to apply now, or None when nothing was counted."""
    flat = _redis().eval(_TAKE, 2, LIVE_KEY, TAKEN_KEY, BATCH_FIELD, str(uuid.uuid4()))
    # Redis answers pairs in a flat list, or a map under RESP3.
    fields = dict(flat) if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))
    if not fields:
        return None
    batch_id = uuid.UUID(fields.pop(BATCH_FIELD))
    return Batch(id=batch_id, increments={name: int(by) for name, by in fields.items()})


def apply_batch(batch: Batch) -> int:
    """Step 2: add the batch to the database once; return the increments it brought, 0 when it was there."""
    moved = sum(batch.increments.values())
    with transaction.atomic():
        _row, created = CounterBatch.objects.get_or_create(id=batch.id, defaults={"increments": moved})
        if not created:
            return 0
        # In one order everywhere, so that two flushes cannot wait for each other's rows.
        names = sorted(batch.increments)
        Counter.objects.bulk_create([Counter(name=name) for name in names], ignore_conflicts=True)
        for name in names:
            Counter.objects.filter(name=name).update(value=F("value") + batch.increments[name])
        CounterBatch.objects.filter(applied_at__lt=timezone.now() - KEEP_BATCH_IDS).exclude(
            id=batch.id
        ).delete()
    return moved


def drop_batch(batch: Batch) -> None:
    """Step 3: forget the batch in Redis."""
    _redis().eval(_DROP, 1, TAKEN_KEY, BATCH_FIELD, str(batch.id))


def flush() -> int:
    """Move what was counted to the database, first what a killed flush left; return the increments moved."""
    moved = 0
    for _turn in ("left over", "new"):
        batch = take_batch()
        if batch is None:
            break
        moved += apply_batch(batch)
        drop_batch(batch)
    return moved
