"""The words of a test's steps that need no server."""

from __future__ import annotations

import pytest

from console.broker.address import BrokerAddress
from console.broker.needs import REDIS_NEEDS
from console.broker.rights import Probed, Refusal
from console.connections.check_model import CheckStep, StepState, all_passed, summary, total_s
from console.connections.check_rights import rabbitmq_permissions, redis_permissions
from console.connections.check_server import RedisFacts, redis_version
from console.core.connection import Mode, Right

ADDRESS = BrokerAddress("redis.shop.example", 6379, username="console")


def _step(state: StepState, took_s: float | None = None) -> CheckStep:
    return CheckStep("key", "Title", state, took_s=took_s)


@pytest.mark.parametrize(
    ("states", "passed", "text"),
    [
        ("Passed Passed", True, "2 of 2 passed"),
        ("Passed Warning", True, "2 of 2 passed"),
        ("Passed Skipped", True, "1 of 2 passed"),
        ("Passed Failed", False, "1 of 2 passed"),
        ("Passed Running", False, "1 of 2 passed"),
        ("Passed Waiting", False, "1 of 2 passed"),
    ],
)
def test_what_counts_as_passed(states: str, text: str, *, passed: bool) -> None:
    steps = tuple(_step(StepState(word)) for word in states.split())
    assert all_passed(steps) is passed
    assert summary(steps) == text


def test_the_time_of_all() -> None:
    steps = (_step(StepState.PASSED, 0.5), _step(StepState.SKIPPED), _step(StepState.PASSED, 0.25))
    assert total_s(steps) == 0.75


@pytest.mark.parametrize(
    ("facts", "says", "state"),
    [
        (RedisFacts("Redis", "7.2.5", "master", "noeviction"), "Redis 7.2.5, primary", StepState.PASSED),
        (RedisFacts("Redis", "7.2.5", "master"), "Redis 7.2.5, primary", StepState.PASSED),
        (RedisFacts("Valkey", "9.1.0", "slave"), "Valkey 9.1.0, replica", StepState.WARNING),
        (RedisFacts("Redis", "6.0.16", "master"), "Redis 6.0.16, primary", StepState.WARNING),
        (RedisFacts("Redis", "6.2.0", "master"), "Redis 6.2.0, primary", StepState.PASSED),
        (
            RedisFacts("Redis", "7.0.0", "master", "allkeys-lru"),
            "Redis 7.0.0, primary, allkeys-lru",
            StepState.WARNING,
        ),
        (RedisFacts("Redis", "", ""), "Redis of unknown version", StepState.PASSED),
    ],
)
def test_versions(facts: RedisFacts, says: str, state: StepState) -> None:
    found = redis_version(facts, ADDRESS)
    assert (found.says, found.state) == (says, state)
    assert (found.error is None) is (state is StepState.PASSED)


def _probed(*commands: str) -> Probed:
    refused = tuple(Refusal(need) for need in REDIS_NEEDS if need.command in commands)
    return Probed(frozenset(REDIS_NEEDS), refused, ("celery",))


def test_what_a_mode_does_not_use_need_not_be_allowed() -> None:
    everything = redis_permissions(_probed("publish", "lpush"), ADDRESS, Mode.FULL)
    assert everything.state is StepState.WARNING
    assert everything.command == (
        "ACL SETUSER console (&/0.celery.pidbox +publish) (%W~* +lpush) (&/0.celeryev/task.sent +publish)"
    )
    assert everything.error is not None
    assert everything.error.title == "publish and lpush are refused"
    reading = redis_permissions(_probed("publish", "lpush"), ADDRESS, Mode.READ_ONLY)
    assert (reading.says, reading.state) == ("9 of 9 commands allowed", StepState.PASSED)
    blind = redis_permissions(_probed("psubscribe"), ADDRESS, Mode.READ_ONLY)
    assert blind.state is StepState.FAILED
    assert blind.error is not None
    assert "events" in blind.error.detail


def test_what_could_not_be_asked_about_is_not_said_to_be_allowed() -> None:
    known = frozenset(need for need in REDIS_NEEDS if not need.changes)
    found = redis_permissions(Probed(known, (), ("celery",)), ADDRESS, Mode.FULL)
    assert found.says == "9 of 17 commands allowed, 8 cannot be asked about"


@pytest.mark.parametrize(
    "commands", [("multi",), ("multi", "publish"), ("multi", "exec", "publish", "lpush")]
)
def test_what_does_not_work_is_said_once(commands: tuple[str, ...]) -> None:
    error = redis_permissions(_probed(*commands), ADDRESS, Mode.FULL).error
    assert error is not None
    assert error.detail == (
        "This does not work: asking and telling workers and sending tasks. Everything else works."
    )


@pytest.mark.parametrize(
    ("missing", "mode", "says", "state", "title"),
    [
        ("", Mode.FULL, "events, asking workers and sending tasks are allowed", "Passed", ""),
        ("", Mode.READ_ONLY, "events are allowed", "Passed", ""),
        ("ask send", Mode.READ_ONLY, "events are allowed", "Passed", ""),
        ("send", Mode.FULL, "1 of 3 rights missing", "Warning", "Sending tasks is not allowed"),
        (
            *("ask send", Mode.FULL, "2 of 3 rights missing", "Warning"),
            "Asking workers and sending tasks are not allowed",
        ),
        ("read ask", Mode.READ_ONLY, "1 of 1 right missing", "Failed", "Events are not allowed"),
    ],
)
def test_rabbitmq_counts_what_the_mode_needs(
    missing: str, mode: Mode, says: str, state: str, title: str
) -> None:
    words = {"read": Right.READ_EVENTS, "ask": Right.ASK_WORKERS, "send": Right.SEND_TASKS}
    rights = {words[word]: f"The broker user may not {words[word]}" for word in missing.split()}
    found = rabbitmq_permissions(rights, mode)
    assert (found.says, found.state) == (says, state)
    assert (found.error.title if found.error is not None else "") == title
    if mode is Mode.READ_ONLY and found.error is not None:
        assert "workers" not in found.error.detail
