"""The home folder of one console: where everything it keeps stands, and who holds it."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from console.core.errors import Cause, ConsoleError


@dataclass(frozen=True, slots=True)
class Home:
    """`root` and the folders in it; those are private to the user (mode 0700), as is a root made by us."""

    root: Path

    @property
    def connections_file(self) -> Path:
        return self.root / "connections.json"

    @property
    def last_used_file(self) -> Path:
        """When each connection was last connected: apart, so that connecting does not write the settings."""
        return self.root / "connections.last-used.json"

    @property
    def known_hosts_file(self) -> Path:
        """The SSH servers that a person has trusted here, beside those of ~/.ssh."""
        return self.root / "known_hosts"

    @property
    def settings_file(self) -> Path:
        return self.root / "settings.json"

    @property
    def activity_file(self) -> Path:
        return self.root / "activity.sqlite3"

    @property
    def history(self) -> Path:
        return self.root / "history"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def stack(self) -> Path:
        return self.root / "stack"

    def history_file(self, connection_id: str) -> Path:
        return self.history / f"{connection_id}.sqlite3"

    def prepare(self) -> None:
        """Make the folders and prove that they can be written.

        Raises `ConsoleError` that names the folder when one cannot.
        """
        try:
            for folder in (self.root, self.history, self.logs, self.stack):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                if folder is not self.root:  # an existing home may be shared on purpose; what is in it is not
                    folder.chmod(0o700)
                with tempfile.TemporaryFile(dir=folder):
                    pass
        except OSError as error:
            raise ConsoleError(
                "The home folder cannot be written",
                detail=f"{self.root}: {error.strerror or error}.",
                remedy="Choose another folder with --home, or give yourself the right to write there.",
                cause=Cause.NO_SPACE if error.errno == 28 else Cause.NOT_PERMITTED,
            ) from error


def write_atomically(path: Path, text: str) -> None:
    """Replace `path` by `text` so that a reader or a crash sees the old or the new, never half."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
