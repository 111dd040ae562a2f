"""An SQLite file that may be read and not written, whoever asks; root may write what permissions forbid."""

from __future__ import annotations

from pathlib import Path

_WRITE_VERSION = 18


def make_read_only(path: Path) -> None:
    """Give the file a write version of the future: SQLite must then treat it as read-only.

    https://www.sqlite.org/fileformat2.html#file_format_version_numbers
    """
    with path.open("r+b") as file:
        file.seek(_WRITE_VERSION)
        file.write(b"\x03")
