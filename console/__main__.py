"""`celery-console` and `python -m console`: parse the arguments, call the app."""

from __future__ import annotations

import sys


def main() -> int:
    """The exit status of the program."""
    from console.app.commands import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
