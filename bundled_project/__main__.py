"""What ``manage.py`` does elsewhere: ``python -m bundled_project migrate``."""

import os
import sys

from django.core.management import execute_from_command_line


def main() -> None:
    """Run the Django command named on the command line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bundled_project.settings")
    execute_from_command_line(["python -m bundled_project", *sys.argv[1:]])


if __name__ == "__main__":
    main()
