"""Reading and writing the files that connections are handed over in. Blocking: on a lane."""

from __future__ import annotations

from pathlib import Path

from console.core.errors import Cause, ConsoleError
from console.core.home import write_atomically

LARGEST_BYTES = 4 * 1024 * 1024


def read_shared(path: Path) -> str:
    """The text of a file of exported connections. Raises `ConsoleError`."""
    try:
        with path.open("rb") as file:  # not by its size: a device or a pipe has none
            data = file.read(LARGEST_BYTES + 1)
        if len(data) > LARGEST_BYTES:
            raise ConsoleError(
                "This is no file of connections", detail=f"{path} is larger than 4 MB.", cause=Cause.INVALID
            )
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConsoleError(
            "This is no file of connections", detail=f"{path} is no text.", cause=Cause.INVALID
        ) from error
    except OSError as error:
        raise ConsoleError(
            "The file cannot be read",
            detail=f"{path}: {error.strerror or type(error).__name__}.",
            remedy="Choose another file.",
            cause=Cause.NOT_FOUND,
        ) from error


def write_shared(path: Path, text: str) -> None:
    """Write the file of exported connections, whole or not at all. Raises `ConsoleError`."""
    try:
        write_atomically(path, text)
    except OSError as error:
        raise ConsoleError(
            "The connections could not be exported",
            detail=f"{path}: {error.strerror or type(error).__name__}.",
            remedy="Choose another folder.",
            cause=Cause.NOT_PERMITTED,
        ) from error
