"""The file of an export: its forms, what a spreadsheet may open, and that it is whole or not there."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from console.core.errors import Cause, ConsoleError
from console.history.model import TaskDetail, TaskRow, TaskState
from console.tasks.export import ALL_COLUMNS, Cancelled, Format, Progress, safe_cell, write_tasks

AT = datetime(2026, 11, 22, 14, 31, 40, 5000, tzinfo=UTC)


def detail(number: int, *, args: str = "(7, 'é')", result: str | None = "'ok'") -> TaskDetail:
    row = TaskRow(
        rowid=number, id=f"id-{number}", name="shop.send", state=TaskState.SUCCEEDED, worker="celery@a",
        queue="mail", sent=AT, received=AT + timedelta(seconds=1), started=None, ended=None, waited_s=1.0,
        runtime_s=None, retries=0, change=1,
    )  # fmt: skip
    return TaskDetail(
        row=row, args=args, kwargs="{}", result=result, exception=None, traceback=None, root_id=row.id,
        parent_id=None, eta=None, expires=None, routing_key=None, exchange=None, pid=7, client=None,
        attempts=(),
    )  # fmt: skip


def write(
    target: Path, form: Format, *batches: list[TaskDetail], columns: tuple[str, ...] = ALL_COLUMNS
) -> int:
    return write_tasks(target, batches, form=form, columns=columns, progress=Progress())


def test_csv_has_instants_in_utc_and_all_that_was_asked_for(tmp_path: Path) -> None:
    target = tmp_path / "tasks.csv"
    assert write(target, Format.CSV, [detail(1), detail(2)], [detail(3)]) == 3
    with target.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["id-1", "id-2", "id-3"]
    assert rows[0]["sent"] == "2026-11-22T14:31:40.005000Z"
    assert (rows[0]["waited_s"], rows[0]["runtime_s"], rows[0]["args"]) == ("1.0", "", "(7, 'é')")
    assert list(tmp_path.iterdir()) == [target]


def test_json_is_an_array_of_objects(tmp_path: Path) -> None:
    target = tmp_path / "tasks.json"
    write(target, Format.JSON, [detail(1)], [detail(2)], columns=("id", "state", "runtime", "args"))
    assert json.loads(target.read_text("utf-8")) == [
        {"id": f"id-{number}", "state": "Succeeded", "runtime_s": None, "args": "(7, 'é')"}
        for number in (1, 2)
    ]
    write(target, Format.JSON)
    assert json.loads(target.read_text("utf-8")) == []


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", '=HYPERLINK("http://x")'])
def test_no_cell_is_a_formula(tmp_path: Path, text: str) -> None:
    assert safe_cell(text) == f"'{text}"
    target = tmp_path / "tasks.csv"
    write(target, Format.CSV, [detail(1, args=text, result=f"a{text}")], columns=("args", "result"))
    with target.open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file))[1] == [f"'{text}", f"a{text}"]


def test_numbers_stay_numbers() -> None:
    assert safe_cell(-1.5) == -1.5
    assert safe_cell(None) == ""


def test_a_cancelled_export_leaves_nothing_and_the_old_file_as_it_was(tmp_path: Path) -> None:
    target, progress = tmp_path / "tasks.csv", Progress()
    target.write_text("before")

    def batches() -> Iterator[list[TaskDetail]]:
        yield [detail(1)]
        progress.cancelled.set()
        yield [detail(2)]

    with pytest.raises(Cancelled):
        write_tasks(target, batches(), form=Format.CSV, columns=ALL_COLUMNS, progress=progress)
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConsoleError) as caught:
        write(tmp_path / "gone" / "tasks.csv", Format.CSV, [detail(1)])
    assert (caught.value.title, caught.value.cause) == ("The folder is not there", Cause.NOT_FOUND)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full disk to write to")
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    def batches() -> Iterator[list[TaskDetail]]:
        # The part that is being written becomes the full disk.
        (part,) = tmp_path.iterdir()
        full = os.open("/dev/full", os.O_WRONLY)
        for number in os.listdir("/proc/self/fd"):
            try:
                if os.readlink(f"/proc/self/fd/{number}") == str(part):
                    os.dup2(full, int(number))
            except OSError:
                continue
        os.close(full)
        yield [detail(number) for number in range(2000)]

    with pytest.raises(ConsoleError) as caught:
        write_tasks(
            tmp_path / "tasks.csv", batches(), form=Format.CSV, columns=ALL_COLUMNS, progress=Progress()
        )
    assert (caught.value.title, caught.value.cause) == ("The disk is full", Cause.NO_SPACE)
    assert not list(tmp_path.iterdir())
