"""The reader of results against what real workers store, in Redis and in django-celery-results' table."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from console.broker.results import BackendResult, ResultReader, open_results
from console.core.errors import Cause, ConsoleError
from tests.contract.tasks.conftest import Shop

ENOUGH_S = 20.0


def ended(reader: ResultReader, task_id: str) -> BackendResult:
    """The result of a task, once it has one of an end."""
    deadline = time.monotonic() + ENOUGH_S
    while True:
        found = reader.read([task_id]).get(task_id)
        if found is not None and found.state in ("SUCCESS", "FAILURE"):
            return found
        assert time.monotonic() < deadline, f"no end, but {found}"
        time.sleep(0.02)


@pytest.fixture(params=["redis", "django", "packed"])
def place(request: pytest.FixtureRequest, shop: Shop) -> tuple[ResultReader, str]:
    address = shop.django_results if request.param == "django" else shop.redis_results
    return open_results(address), str(request.param)


def test_what_a_task_returned(shop: Shop, place: tuple[ResultReader, str]) -> None:
    reader, queue = place
    task_id = str(uuid.uuid4())
    shop.send(task_id, "shop.total", 7, [1.5, 2.25], queue=queue)

    found = ended(reader, task_id)

    assert (found.state, found.problem, found.name) == ("SUCCESS", "", "shop.total")
    assert found.result_text == '{"order": 7, "total": 3.75, "note": "it\'s \\"fine\\"\\n\\\\o/"}'
    assert (found.worker or "").endswith("@test")
    assert found.date_done is not None
    assert abs(datetime.now(UTC) - found.date_done) < timedelta(minutes=1)
    assert found.args_text in ("[7, [1.5, 2.25]]", '"(7, [1.5, 2.25])"')


def test_what_a_task_raised(shop: Shop, place: tuple[ResultReader, str]) -> None:
    reader, queue = place
    task_id = str(uuid.uuid4())
    shop.send(task_id, "shop.boom", "no stock", queue=queue)

    found = ended(reader, task_id)

    assert (found.state, found.result_text, found.exception) == ("FAILURE", None, "ValueError('no stock')")
    assert (found.traceback or "").endswith("ValueError: no stock\n")


def test_the_tasks_it_sent_those_in_a_group_too(shop: Shop, place: tuple[ResultReader, str]) -> None:
    reader, queue = place
    task_id = str(uuid.uuid4())
    shop.send(task_id, "shop.fan_out", queue=queue)

    children = ended(reader, task_id).children

    assert len(children) == 3
    assert {ended(reader, child).state for child in children} == {"SUCCESS"}


def test_an_unknown_id_is_absent(place: tuple[ResultReader, str]) -> None:
    reader, _ = place

    assert reader.read([str(uuid.uuid4()) for _ in range(120)]) == {}
    assert reader.read([]) == {}


def test_a_database_without_the_table(shop: Shop) -> None:
    from console.broker.database import DatabaseAddress, DatabaseKind

    empty = shop.folder / "empty.sqlite3"
    empty.touch()
    with pytest.raises(ConsoleError, match="no table of results") as raised:
        open_results(DatabaseAddress(DatabaseKind.SQLITE, path=str(empty))).read(["x"])
    assert raised.value.cause is Cause.NOT_MIGRATED


def test_a_missing_file_is_said_and_not_created(shop: Shop) -> None:
    from console.broker.database import DatabaseAddress, DatabaseKind

    missing = shop.folder / "missing.sqlite3"
    with pytest.raises(ConsoleError, match="cannot be read"):
        open_results(DatabaseAddress(DatabaseKind.SQLITE, path=str(missing))).read(["x"])
    assert not missing.exists()
