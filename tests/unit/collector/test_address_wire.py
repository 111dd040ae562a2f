"""Any address survives the way to a child, passwords and all; nothing else is taken for one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.broker.address import BrokerAddress, BrokerKind
from console.broker.address_wire import (
    address_from_wire,
    address_to_wire,
    results_from_wire,
    results_to_wire,
)
from console.broker.database import DatabaseAddress, DatabaseKind
from console.broker.tls import TlsOptions
from console.collector.wire import CollectorConfig, decode_config, encode_config
from console.core.redaction import Secret

texts = st.text(max_size=30)
secrets = st.builds(Secret, texts)
endpoints = st.tuples(texts, st.integers(0, 65_535))
addresses = st.builds(
    BrokerAddress,
    host=texts,
    port=st.integers(0, 65_535),
    database=st.integers(0, 1000),
    username=texts,
    password=secrets,
    tls=st.none() | st.builds(TlsOptions, st.booleans(), texts, texts, texts, texts),
    key_prefix=texts,
    kind=st.sampled_from(BrokerKind),
    socket_path=texts,
    vhost=texts,
    sentinels=st.lists(endpoints, max_size=3).map(tuple),
    master_name=texts,
    sentinel_username=texts,
    sentinel_password=secrets,
    timeout_s=st.floats(0.01, 1000.0),
    management_url=texts,
    routes=st.lists(st.tuples(endpoints, endpoints), max_size=3).map(tuple),
)


@given(addresses)
def test_any_address_survives_the_way(address: BrokerAddress) -> None:
    assert address_from_wire(json.loads(json.dumps(address_to_wire(address)))) == address
    line = encode_config(CollectorConfig(address, Path("h"), Path("l")))
    assert line.count(b"\n") == 1
    assert decode_config(line).address == address


databases = st.builds(
    DatabaseAddress,
    kind=st.sampled_from(DatabaseKind),
    path=texts,
    host=texts,
    port=st.integers(0, 65_535),
    name=texts,
    username=texts,
    password=secrets,
    tls=st.none() | st.builds(TlsOptions, st.booleans(), texts, texts, texts, texts),
    near=st.none() | endpoints,
)


@given(st.none() | addresses | databases)
def test_any_result_backend_survives_the_way(results: BrokerAddress | DatabaseAddress | None) -> None:
    assert results_from_wire(json.loads(json.dumps(results_to_wire(results)))) == results
    line = encode_config(CollectorConfig(BrokerAddress("h", 1), Path("h"), Path("l"), results))
    assert decode_config(line).results == results


def test_every_field_is_on_the_wire() -> None:
    database = results_to_wire(DatabaseAddress(DatabaseKind.MYSQL))
    assert database is not None
    assert set(database["database"]) == set(DatabaseAddress.__slots__)
    wire = address_to_wire(BrokerAddress("h", 1))
    assert set(wire) == set(BrokerAddress.__slots__)


@pytest.mark.parametrize(
    "change",
    [
        {"host": 5}, {"port": "1"}, {"kind": "Kafka"}, {"password": None}, {"sentinels": [["h"]]},
        {"routes": [[["h", 1]]]}, {"tls": {"verified": True}}, {"timeout_s": "long"},
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(change: dict[str, Any]) -> None:
    wire = address_to_wire(BrokerAddress("h", 1, password=Secret("hidden-word"))) | change
    with pytest.raises((ValueError, KeyError, TypeError)) as failed:
        address_from_wire(wire)
    assert "hidden-word" not in str(failed.value)
