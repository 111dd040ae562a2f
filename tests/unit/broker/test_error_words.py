"""A server's own words become sentences: what to do about them comes right behind."""

from __future__ import annotations

import redis

from console.app.connections_command import sentence
from console.broker.address import BrokerAddress
from console.broker.errors import redis_error

ADDRESS = BrokerAddress("redis.shop.example", 6379)


def test_what_redis_refuses_does_not_run_into_what_to_do() -> None:
    said = "NOPERM this user has no permissions to run the 'lindex' command"
    error = redis_error(redis.exceptions.NoPermissionError(said), ADDRESS)
    assert error.detail == "This user has no permissions to run the 'lindex' command."
    assert sentence(error) == (
        "The broker user may not do this. This user has no permissions to run the 'lindex' command."
        " Ask for the right, or use another user."
    )


def test_any_other_refusal_is_a_sentence_too() -> None:
    error = redis_error(redis.ResponseError("unknown command"), ADDRESS)
    assert error.detail == "Unknown command."
