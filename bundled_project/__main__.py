"""What ``manage.py`` does elsewhere: ``python -m bundled_project migrate``."""

import sys

from django.core.management import execute_from_command_line


def main() -> None:
    """Run the Django command named on the command line."""
    execute_from_command_line(["python -m bundled_project", *sys.argv[1:]])


if __name__ == "__main__":
    main()
