"""Whether the files that a connection names exist, looked up off the main thread.

A path may lie on a network drive that does not answer, and a look at it then ends when the drive likes. On
the loop.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from console.core.errors import ConsoleError
from console.core.lanes import Lane

PATIENCE_S = 2.0


class FilesSeen:
    """`missing` are the paths that were no files at their last look; what nobody could look at is not."""

    def __init__(self) -> None:
        self._lane = Lane("named files", threads=1, timeout_s=PATIENCE_S)
        self.missing: frozenset[str] = frozenset()

    async def look(self, paths: Collection[str]) -> None:
        """Look at all `paths` again; after two seconds those that do not answer count as there."""
        looked = frozenset(paths)
        try:
            missing = await self._lane.run(_missing, looked)
        except ConsoleError:
            missing = frozenset()
        self.missing = self.missing - looked | missing

    async def aclose(self) -> None:
        await self._lane.aclose(wait_s=0.2)


def _missing(paths: frozenset[str]) -> frozenset[str]:
    return frozenset(path for path in paths if not _is_file(path))


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except OSError:
        return True  # it is there in some way, and Test says what is wrong with it
