"""Files that a connection names are looked at where a drive that hangs holds up nobody."""

from __future__ import annotations

import os
import time
from pathlib import Path

from console.broker.address import BrokerKind
from console.connections.draft import typed
from console.connections.draft_check import named_files
from console.connections.draft_fields import Draft, SchedulesChoice, TunnelChoice, TunnelLogin
from console.connections.files_seen import FilesSeen


async def test_what_is_missing_is_known_until_it_is_there(tmp_path: Path) -> None:
    seen, there, away = FilesSeen(), tmp_path / "there", tmp_path / "away"
    there.touch()
    await seen.look([str(there), str(away), str(tmp_path)])
    assert seen.missing == {str(away), str(tmp_path)}
    away.touch()
    await seen.look([str(away)])
    assert seen.missing == {str(tmp_path)}
    await seen.aclose()


def test_only_files_that_count_are_looked_at() -> None:
    draft = Draft()
    for name, value in (
        ("ca_file", "/ca"),
        ("schedules_path", "/db"),
        ("schedules_key_file", "/key"),
        ("broker_tunnel_key_file", "~/id"),
    ):
        draft = typed(draft, name, value)
    assert named_files(draft) == {}
    draft = typed(typed(draft, "tls", True), "schedules", SchedulesChoice.SQLITE)
    draft = typed(typed(draft, "broker_tunnel", TunnelChoice.OWN), "broker_tunnel_login", TunnelLogin.KEY)
    home = os.path.expanduser("~/id")
    assert named_files(draft) == {"ca_file": "/ca", "schedules_path": "/db", "broker_tunnel_key_file": home}
    assert "ca_file" not in named_files(typed(draft, "kind", BrokerKind.SOCKET))


def test_checking_a_draft_touches_no_disk(tmp_path: Path) -> None:
    """A pipe that nobody writes to stands for a drive that hangs: whoever opens it waits."""
    from console.connections.draft_check import check_draft
    from console.connections.model import Connection
    from console.core.connection import Environment

    pipe = tmp_path / "ca"
    os.mkfifo(pipe)
    draft = typed(typed(typed(Draft(name="x"), "host", "h"), "tls", True), "ca_file", str(pipe))
    began_s = time.monotonic()
    checked = check_draft(draft, Connection("id", "", Environment.STAGING, None), ())
    assert checked.errors == {}  # a look would have said that this is no file
    assert time.monotonic() - began_s < 0.5
