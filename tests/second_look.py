"""A stall of the main thread, or a window that cannot be seen, has to be met twice to be believed.

The tests share their machine, and a stall is a time: what the machine did cannot be told apart with certainty
from what we did (tests/heartbeat.py takes off what can). The accessibility bus, for its part, now and then
misses a window that opens on a busy machine. A freeze of ours or a wrong name comes back at once; noise does
not. Only these failures get a second look, with new fixtures; the end of the run says which tests had one.
"""

from __future__ import annotations

import pytest
from _pytest.runner import runtestprotocol
from _pytest.terminal import TerminalReporter

STOOD_STILL = "the main thread stood still"
UNSEEN = "tests.e2e.atspi.NotThereError"
looked_again: list[str] = []


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """Run `item`; once more when the only complaint is the heartbeat's or the accessibility bus's."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    failed = [report for report in reports if report.failed]
    if failed and all(_may_be_noise(report.longreprtext) for report in failed):
        looked_again.append(item.nodeid)
        item._initrequest()  # type: ignore[attr-defined]  # new fixtures, as for a first run
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _may_be_noise(text: str) -> bool:
    return STOOD_STILL in text or UNSEEN in text


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Say who had a second look: often the same name means that it is no noise."""
    for nodeid in looked_again:
        terminalreporter.write_line(f"second look: {nodeid}")
