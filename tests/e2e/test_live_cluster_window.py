"""The live cluster as a person sees it: real workers, the real window, through its accessibility tree only.

One cluster serves all steps of a test: a window, a broker and workers take seconds to start. Nothing sleeps;
every step waits for what it says.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.e2e.atspi import Bus, Node, NotThereError, wait_until
from tests.e2e.test_real_window import ROOT, bus, close, console, go_to, rows_of, wait_for_row
from tests.valkey import ValkeyServer, valkey_server

__all__ = ["bus"]

STATES = ("Sent", "Received", "Started", "Succeeded", "Failed", "Retrying", "Revoked", "Rejected", "Lost")


@dataclass
class Cluster:
    """A broker, its workers, and a window that is connected to it as Shop."""

    server: ValkeyServer
    home: Path
    bus: Bus
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    window: Node = field(init=False)

    def work(self, name: str, *options: str) -> None:
        """Start a worker of the test's tasks in a process group of its own."""
        words = ("worker", "-n", f"{name}@shop", "--without-mingle", "--without-gossip", *options)
        self.workers[name] = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "live_work", *words],
            cwd=Path(__file__).parent,
            env={**os.environ, "WORK_BROKER": self.server.url},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def kill(self, name: str) -> None:
        """SIGKILL to the worker with all its processes, as the out-of-memory killer or a lost machine."""
        os.killpg(self.workers[name].pid, signal.SIGKILL)
        self.workers.pop(name).wait()

    def send(self, name: str, *args: Any, queue: str = "celery", **options: Any) -> str:
        """As a program sends it, sent event included."""
        from celery import Celery

        task_id = str(uuid.uuid4())
        with Celery("sender", broker=self.server.url) as app:
            app.conf.task_send_sent_event = True
            app.send_task(name, args, queue=queue, task_id=task_id, **options)
        return task_id

    # What a person does.

    def press(self, name: str) -> None:
        found = self.window.find(name, "push button", within_s=10)
        wait_until(lambda: found.enabled, 10, f"{name} to be enabled")
        found.press()

    def answer(self, title: str, button: str, **fields: str) -> None:
        """Fill in a dialog and press its button once it can be pressed."""
        dialog = self.window.find(title, "dialog", within_s=10)
        for name, text in fields.items():
            dialog.find(name.replace("_", " "), "text").set_text(text)
        found = dialog.find(button, "push button")
        wait_until(lambda: found.enabled, 5, f"{button} to be enabled")
        found.press()

    def search(self, query: str, count: int) -> None:
        """Search on Tasks until that many rows are there; the counts of the chips may say more."""
        self.window.find("Search tasks", "text").set_text(query)
        wait_until(lambda: self.rows() == count, 30, f"{count} rows for {query!r}")

    def rows(self) -> int:
        """How many rows Tasks has; 0 also where no task matches."""
        try:
            cells = rows_of(self.window, "Tasks")
        except NotThereError:
            return 0
        return len(cells) // (cells.index("Retries") + 1) - 1

    def choose(self, table: str, words: str) -> None:
        cells = self.window.find(table, "table").children()
        next(cell for cell in cells if cell.name.split(",")[0] == words).press()

    def worker(self, name: str) -> list[str]:
        """The cells of a worker's row after its name; empty while it has none."""
        try:
            cells = rows_of(self.window, "Workers")
        except NotThereError:
            return []
        width = cells.index("Last heartbeat") + 1
        rows = (cells[at : at + width] for at in range(width, len(cells), width))
        return next((row[2:] for row in rows if row[1].split(",")[0] == f"{name}@shop"), [])

    def is_in(self, name: str, state: str) -> bool:
        return self.worker(name)[:1] == [state]

    def chips(self) -> dict[str, int]:
        found = {}
        for node in self.window.walk(showing=True):
            try:
                if node.name in STATES and node.role == "check box":
                    found[node.name] = int(node.description.replace(",", "").rstrip("+") or 0)
            except NotThereError:
                continue
        return {name: count for name, count in found.items() if count}

    def notice(self, words: str, within_s: float = 15) -> None:
        """Wait for the last notice to say so."""

        def says() -> bool:
            return any(words in one.name for one in self.window.find("Status bar").walk(showing=True))

        wait_until(says, within_s, f"the notice {words!r}")

    def attention_says(self, words: str) -> bool:
        try:
            return any(words in cell for cell in rows_of(self.window, "Attention"))
        except NotThereError:
            return False

    def attention(self, words: str, within_s: float) -> None:
        wait_until(lambda: self.attention_says(words), within_s, f"{words!r} under Attention")

    def press_box(self, name: str) -> None:
        self.window.find(name, "check box").press()

    def export(self, file: Path) -> None:
        """What matches, as CSV with all columns; returns when the file is whole."""
        self.press("Export…")
        dialog = self.window.find("Export tasks", "dialog")
        next(one for one in dialog.walk() if one.name.startswith("Columns: All")).press()
        dialog.find("Export…", "push button").press()
        self.window.find("File name:", "text").set_text(str(file))
        chooser = next(one for one in self.window.children() if one.role == "dialog")
        chooser.find("Save", "push button").press()
        wait_until(file.exists, 20, "the file")

    def inspect(self, command: str, name: str) -> Any:
        """What the worker says of itself, by Celery's own means."""
        from celery import Celery

        with Celery("asker", broker=self.server.url) as app:
            inspect = app.control.inspect([f"{name}@shop"], timeout=5, limit=1)
            return getattr(inspect, command)()[f"{name}@shop"]

    def showing(self) -> Iterator[str]:
        for node in self.window.walk(showing=True):
            try:
                if node.name and node.showing:
                    yield node.name
            except NotThereError:
                continue

    def shows_that_begins(self, words: str) -> bool:
        return any(name.startswith(words) for name in self.showing())

    def gone(self, words: str) -> None:
        wait_until(lambda: words not in self.showing(), 10, f"the end of {words!r}")

    def says(self, words: str, within_s: float = 15) -> None:
        """Wait until something that shows is named so."""
        self.window.find(words, within_s=within_s)


@contextmanager
def cluster(tmp_path: Path, bus: Bus, *workers: tuple[str, ...], abandoned: str = "") -> Iterator[Cluster]:
    """A cluster with these workers, all of them online; it leaves no crash report.

    `abandoned` is a queue that nobody consumes, with one task that the console has not heard of: a queue that
    comes later is looked for every two minutes only.
    """
    home = tmp_path / "home"
    with valkey_server(tmp_path / "valkey") as server:
        shop = Cluster(server, home, bus)
        url = f"redis://127.0.0.1:{server.port}/0"
        try:
            for name, *options in workers:
                shop.work(name, *options)
            if abandoned:
                shop.send("shop.mail", queue=abandoned)
            added = subprocess.run(
                [*command(home), "connections", "add", "Shop", "--password-stdin", "--url", url],
                input=server.password,
                cwd=ROOT,
                check=False,
                capture_output=True,
                text=True,
                timeout=30,
            )
            assert added.returncode == 0, added.stderr
            with console(home, "--connection", "Shop") as process:
                shop.window = bus.application(process.pid)
                shop.says("Connected", 20)
                go_to(shop.window, "Workers")
                for name, *_ in workers:
                    wait_until(partial(shop.is_in, name, "Online"), 30, f"{name} online")
                yield shop
                close(process)
        finally:
            for name in list(shop.workers):
                shop.kill(name)
    assert not list(home.glob("logs/crash-*"))
    assert "Traceback" not in "".join(log.read_text(encoding="utf-8") for log in home.glob("logs/*.log"))


def command(home: Path) -> list[str]:
    return [sys.executable, "-m", "console", "--home", str(home)]


PREFORK = ("prefork", "-E", "-c", "2")
QUIET = ("quiet", "-P", "threads", "-c", "2", "-Q", "quiet")


def test_support_finds_one_task_among_many_and_reads_and_exports_it(tmp_path: Path, bus: Bus) -> None:
    with cluster(tmp_path, bus, PREFORK, abandoned="nobody") as shop:
        for number in range(20):
            shop.send("shop.nap", 0.0)
            shop.send("shop.mail", f"customer{number}@example.org", queue="nobody")
        failed = [shop.send("shop.charge", number) for number in range(3)]
        go_to(shop.window, "Tasks")
        expected = {"Sent": 20, "Succeeded": 20, "Failed": 3}
        wait_until(lambda: shop.chips() == expected, 30, f"{expected} on the chips")
        shop.search("customer7@example.org", 1)
        assert "nobody" in rows_of(shop.window, "Tasks")
        field = shop.window.find("Search tasks", "text")
        field.set_text("stat:failed")
        wait_until(lambda: "There is no field stat" in field.description, 5, "what is wrong")
        shop.search("state:failed", 3)
        assert "There is no field" not in field.description
        shop.press_box("By error")
        wait_for_row(shop.window, "Errors", "order # has no lines", 5)
        assert rows_of(shop.window, "Errors").count("ValueError") == 1
        shop.press_box("By error")
        shop.search(f"id:{failed[0]}", 1)
        shop.choose("Tasks", "Failed")
        for tab, words in (("Traceback", "Attempt 2 of 2, Failed"), ("Timeline", "Retrying")):
            shop.window.find(tab, "page tab").press()
            shop.says(words)
        file = tmp_path / "failed.csv"
        shop.search("state:failed", 3)
        shop.export(file)
        rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
        assert {row["id"] for row in rows} == set(failed)
        assert {(row["state"], row["retries"]) for row in rows} == {("Failed", "1")}
        asked = ("tasks", "--connection", "Shop", "--format", "json", "customer7@example.org")
        said = subprocess.run(
            [*command(shop.home), *asked],
            cwd=ROOT, check=True, capture_output=True, text=True, timeout=30,
        ).stdout  # fmt: skip
        assert [one["task"] for one in json.loads(said)] == ["shop.mail"]
        go_to(shop.window, "Overview")
        shop.attention("Queue has no consumer, 21 waiting", 30)


def test_an_operator_has_the_workers_in_hand(tmp_path: Path, bus: Bus) -> None:
    with cluster(tmp_path, bus, PREFORK, QUIET) as shop:
        shop.choose("Workers", "prefork@shop")
        shop.press("Grow pool")
        shop.notice("runs 3 tasks at once (before: 2)")
        wait_until(lambda: shop.worker("prefork")[5] == "3", 10, "the new size")
        shop.press("Add queue…")
        shop.answer("Add queue", "Add queue", Queue="extra")
        shop.notice("prefork@shop consumes extra now")
        assert "extra" in {one["name"] for one in shop.inspect("active_queues", "prefork")}
        shop.choose("Workers", "prefork@shop")  # pressed again it is no longer chosen
        shop.choose("Workers", "quiet@shop")
        grow = shop.window.find("Grow pool", "push button")
        wait_until(lambda: not grow.enabled, 5, "the refusal")
        assert grow.description == "A pool of threads cannot change its size while it runs"
        # On another page, while the other worker is heard all the time.
        go_to(shop.window, "Tasks")
        shop.send("shop.nap", 0.0, queue="quiet")
        for _ in range(5):
            shop.send("shop.nap", 0.0)
        shop.says("quiet@shop sends no task events", 30)
        shop.press("Enable events")
        shop.notice("quiet@shop sends task events now")
        heard = shop.send("shop.nap", 0.0, queue="quiet")
        shop.search(f"id:{heard} state:succeeded", 1)
        running = shop.send("shop.nap", 120.0, queue="extra")
        shop.search(f"id:{running} state:started", 1)
        shop.choose("Tasks", "Started")
        shop.press("Terminate…")
        shop.answer("Terminate nap?", "Terminate", Reason="it hangs")
        shop.search(f"id:{running} state:revoked", 1)
        assert shop.inspect("active", "prefork") == []


def test_what_goes_wrong_is_told_and_told_no_longer_when_it_is_over(tmp_path: Path, bus: Bus) -> None:
    with cluster(tmp_path, bus, PREFORK) as shop:
        wait_until(lambda: ":" in shop.worker("prefork")[8], 10, "a heartbeat")
        shop.kill("prefork")
        wait_until(lambda: shop.is_in("prefork", "Late"), 20, "the silence")
        go_to(shop.window, "Overview")
        shop.attention("prefork@shop: last heartbeat", 15)
        shop.work(*PREFORK)
        wait_until(lambda: not shop.attention_says("prefork@shop"), 40, "the worker's return")
        shop.server.kill()
        shop.says("Reconnecting…")
        shop.says("Broker cannot be reached")
        shop.server.start()
        shop.says("Connected", 60)
        shop.gone("Broker cannot be reached")
        go_to(shop.window, "Tasks")
        wait_until(lambda: shop.shows_that_begins("Events were missed from"), 30, "the gap")
        done = shop.send("shop.nap", 0.0)
        shop.search(f"id:{done} state:succeeded", 1)
