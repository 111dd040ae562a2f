"""The result backend of the open connection, as the tab `Result` asks it for one task. Blocking, no Qt."""

from __future__ import annotations

from console.broker.address import BrokerAddress
from console.broker.database import DatabaseAddress
from console.broker.results import BackendResult, open_results
from console.broker.session import Session

NOT_SET = "No result backend is set for this connection; choose one in Connections"


def why_no_results(session: Session | None) -> str | None:
    """Why no result can be opened; None when it can be tried."""
    if session is None:
        return "No connection is open"
    return NOT_SET if session.results is None else None


def read_result(address: BrokerAddress | DatabaseAddress, task_id: str) -> BackendResult | None:
    """What the backend holds of a task; None: it is unknown to the backend.

    AsyncResult calls that PENDING, which is no state: such a task may wait, run, be forgotten, or never have
    been. Blocking. Raises `ConsoleError`.
    """
    return open_results(address).read([task_id]).get(task_id)
