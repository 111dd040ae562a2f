"""The systemd units: what they promise, and their command lines started for real.

``systemd-analyze verify`` does not notice a ``Type=forking`` whose process never forks, nor an option that
celery does not know, so the commands themselves are run.
"""

import shlex
import signal
from configparser import ConfigParser

import pytest

from tests.bundled.support import ROOT, Project

UNITS = ROOT / "packaging" / "systemd"


def service(name: str) -> dict[str, str]:
    """The [Service] section of a unit."""
    parser = ConfigParser(interpolation=None, strict=False, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((UNITS / f"celery-{name}.service").read_text().replace("\\\n", ""))
    return dict(parser["Service"])


@pytest.mark.parametrize("name", ["worker", "beat"])
def test_unit_stops_gently_comes_back_and_is_confined(name: str) -> None:
    """Type, stop, restart and the options that confine the process."""
    unit = service(name)
    assert unit["Type"] == "exec"
    assert (unit["KillMode"], unit["KillSignal"], unit["Restart"]) == ("mixed", "SIGTERM", "always")
    assert name == "beat" or int(unit["TimeoutStopSec"]) > 300
    for option in ("NoNewPrivileges", "PrivateTmp", "ProtectHome", "LockPersonality"):
        assert unit[option] == "yes"
    assert unit["ProtectSystem"] == "strict"
    assert "change-me" not in " ".join(unit.values())


def test_commands_of_the_units_start_and_stop(project: Project) -> None:
    """With the environment file's names and systemd's way to stop: TERM to the main process."""
    names = {
        line.partition("=")[0].lstrip("#")
        for line in (UNITS / "celery-console.env.example").read_text().splitlines()
        if "=" in line and not line.startswith("# ")
    }
    settings = (ROOT / "bundled_project" / "settings.py").read_text()
    assert {name for name in names if f'"{name}"' not in settings} == set()
    children = []
    for name in ("worker", "beat"):
        _python, *arguments = shlex.split(service(name)["ExecStart"].replace("%%", "%"))
        state = service(name)["WorkingDirectory"]
        children.append(project.spawn(name, [word.replace(state, str(project.folder)) for word in arguments]))
    children[0].wait_for_log(" ready.")
    children[1].wait_for_log("First tick done")
    task = project.send("take_time", 0.5)
    project.wait_state(task, "STARTED")
    for child in children:
        child.process.send_signal(signal.SIGTERM)
    assert [child.process.wait(20) for child in children] == [0, 0]
    assert project.state(task) == "SUCCESS"
