"""The tests' own Sentinel really fails over."""

from __future__ import annotations

from tests.sentinel import SentinelGroup


def test_a_failover_moves_the_primary_and_the_data(sentinel: SentinelGroup) -> None:
    first = sentinel.primary()
    assert first is sentinel.servers[0]
    with first.client() as client:
        client.set("kept", "1")
        client.wait(1, 5000)
    assert sentinel.fail_over() == sentinel.servers[1].port == sentinel.primary_port()
    with sentinel.primary().client() as client:
        assert client.get("kept") == b"1"
        assert client.set("written", "2")
    assert sentinel.restart_old_primary() is first


def test_a_switch_over_kills_nobody(sentinel: SentinelGroup) -> None:
    assert sentinel.switch_over() == sentinel.servers[1].port
    with sentinel.primary().client() as client:
        assert client.set("written", "2")
    assert all(server.process is not None for server in sentinel.servers)
