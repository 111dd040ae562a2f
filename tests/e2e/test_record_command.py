"""`celery-console record` as a service runs it: a process of its own, without a display."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from console.core.home import Home
from console.history.reader import HistoryReader
from tests.integration.collector.conftest import life, publish
from tests.valkey import ValkeyServer

DEADLINE_S = 60.0
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")
}


class Recorder:
    """One `record` on `home`, and what it says."""

    def __init__(self, home: Path, *, password: str = "", connection: str = "Shop") -> None:
        self.said = home / f"said-{time.monotonic_ns()}"
        given = ["--password-stdin"] if password else []
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(
                [*command(home), "record", "--connection", connection, *given],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env=ENVIRONMENT,
            )
        assert self.process.stdin is not None
        with self.process.stdin as stdin:
            stdin.write(password.encode())

    def text(self) -> str:
        return self.said.read_text(encoding="utf-8")

    def until(self, words: str) -> None:
        wait(lambda: words in self.text() or self.process.poll() is not None)
        assert words in self.text()

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)


def command(home: Path) -> list[str]:
    return [sys.executable, "-m", "console", "--home", str(home)]


def wait(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, "it never came to that"
        time.sleep(0.02)


@pytest.fixture
def home(tmp_path: Path, own_broker: ValkeyServer) -> Path:
    home = tmp_path / "home"
    address = own_broker.address
    url = f"redis://{address.host}:{address.port}/0"
    password = address.password.reveal() if address.password else ""
    given = ["--password-stdin"] if password else []
    added = subprocess.run(
        [*command(home), "connections", "add", "Shop", "--url", url, *given],
        input=password,
        check=False,
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=DEADLINE_S,
    )
    assert added.returncode == 0, added.stderr
    return home


@pytest.fixture
def recorders(home: Path) -> Iterator[Callable[[], Recorder]]:
    started: list[Recorder] = []

    def start() -> Recorder:
        started.append(Recorder(home))
        return started[-1]

    yield start
    for one in started:
        one.end()


def stored(home: Path) -> int:
    [file] = Home(home).history.glob("*.sqlite3")
    reader = HistoryReader(file)
    try:
        return sum(reader.totals().values())
    finally:
        reader.close()


def test_it_records_until_it_is_ended_and_comes_back_after_a_kill(
    home: Path, own_broker: ValkeyServer, recorders: Callable[[], Recorder]
) -> None:
    recorder = recorders()
    recorder.until("Shop: recording\n")
    publish(own_broker, life("a"))
    wait(lambda: stored(home) == 1)
    [collector] = psutil.Process(recorder.process.pid).children()
    collector.kill()
    recorder.until("It is started again")
    wait(lambda: recorder.text().count("Shop: recording\n") == 2)
    publish(own_broker, life("b"))
    wait(lambda: stored(home) == 2)
    publish(own_broker, life("c"))
    assert recorder.end() == 0
    assert stored(home) == 3
    assert "Traceback" not in recorder.text()


def test_of_two_one_records_and_the_other_takes_over(
    home: Path, own_broker: ValkeyServer, recorders: Callable[[], Recorder]
) -> None:
    first = recorders()
    first.until("Shop: recording\n")
    second = recorders()
    second.until("another collector records this history")
    with own_broker.client() as client:
        assert client.pubsub_numpat() == 1
    assert first.end(signal.SIGINT) == 0
    second.until("Shop: recording\n")
    publish(own_broker, life("a"))
    wait(lambda: stored(home) == 1)


def test_a_broker_that_is_away_is_waited_for(
    home: Path, own_broker: ValkeyServer, recorders: Callable[[], Recorder]
) -> None:
    own_broker.kill()
    recorder = recorders()
    recorder.until("Shop: connecting")
    own_broker.start()
    recorder.until("Shop: recording\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((), "Say which connection"), (("--connection", "Nobody"), "There is no connection named Nobody")],
)
def test_what_it_cannot_do_it_says(home: Path, arguments: tuple[str, ...], words: str) -> None:
    done = subprocess.run(
        [*command(home), "record", *arguments],
        stdin=subprocess.DEVNULL,
        check=False,
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
