"""A broker's address with its secrets as plain JSON values: for the standard input of our own children only.

Apart from the address because this is the one place where all its passwords come out at once. Nothing that
is made here may be stored, logged, or put into an argument list or an environment.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from console.broker.address import BrokerAddress, BrokerKind, Endpoint
from console.broker.database import DatabaseAddress, DatabaseKind
from console.broker.tls import TlsOptions
from console.core.redaction import Secret

_TEXTS = (
    "host", "username", "key_prefix", "socket_path", "vhost", "master_name", "sentinel_username",
    "management_url",
)  # fmt: skip
_DATABASE_TEXTS = ("path", "host", "name", "username")
_SECRETS = ("password", "sentinel_password")


def address_to_wire(address: BrokerAddress) -> dict[str, Any]:
    """`address` as JSON values, passwords included."""
    return {
        **{name: getattr(address, name) for name in _TEXTS},
        **{name: getattr(address, name).reveal() for name in _SECRETS},
        "kind": address.kind.value,
        "port": address.port,
        "database": address.database,
        "timeout_s": address.timeout_s,
        "tls": None if address.tls is None else asdict(address.tls),
        "sentinels": [list(one) for one in address.sentinels],
        "routes": [[list(far), list(near)] for far, near in address.routes],
    }


def address_from_wire(values: Any) -> BrokerAddress:
    """The address that `address_to_wire` made these of.

    Raises `ValueError`, `KeyError` or `TypeError` for anything else; their texts hold no secret.
    """
    tls = values["tls"]
    fields: dict[str, Any] = {name: _typed(values[name], str) for name in _TEXTS}
    fields |= {name: Secret(_typed(values[name], str)) for name in _SECRETS}
    return BrokerAddress(
        **fields,
        kind=BrokerKind(values["kind"]),
        port=_typed(values["port"], int),
        database=_typed(values["database"], int),
        timeout_s=float(_typed(values["timeout_s"], (int, float))),
        tls=None if tls is None else TlsOptions(**tls),
        sentinels=tuple(_endpoint(one) for one in values["sentinels"]),
        routes=tuple((_endpoint(far), _endpoint(near)) for far, near in values["routes"]),
    )


def results_to_wire(results: BrokerAddress | DatabaseAddress | None) -> dict[str, Any] | None:
    """A result backend as JSON values, passwords included."""
    if results is None:
        return None
    if isinstance(results, BrokerAddress):
        return {"broker": address_to_wire(results)}
    return {
        "database": {
            **{name: getattr(results, name) for name in _DATABASE_TEXTS},
            "kind": results.kind.value,
            "port": results.port,
            "password": results.password.reveal(),
            "tls": None if results.tls is None else asdict(results.tls),
            "near": None if results.near is None else list(results.near),
        }
    }


def results_from_wire(values: Any) -> BrokerAddress | DatabaseAddress | None:
    """The result backend that `results_to_wire` made these of; raises as `address_from_wire` does."""
    if values is None:
        return None
    if "broker" in values:
        return address_from_wire(values["broker"])
    database = values["database"]
    tls, near = database["tls"], database["near"]
    return DatabaseAddress(
        **{name: _typed(database[name], str) for name in _DATABASE_TEXTS},
        kind=DatabaseKind(database["kind"]),
        port=_typed(database["port"], int),
        password=Secret(_typed(database["password"], str)),
        tls=None if tls is None else TlsOptions(**tls),
        near=None if near is None else _endpoint(near),
    )


def _endpoint(values: Any) -> Endpoint:
    host, port = values
    return _typed(host, str), _typed(port, int)


def _typed(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"a {type(value).__name__} where another type is expected")
    return value
