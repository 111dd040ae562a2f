"""Loads the settings at the start of every process, so that a wrong value ends it with words.

Left to Django, a wrong environment variable surfaces where a setting is first read, below a long traceback.
"""

import os
import sys
from importlib import import_module


def load_settings() -> None:
    """Import the settings module. Exits with status 1 and one line on standard error for a wrong value."""
    module = os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bundled_project.settings")
    try:
        import_module(module)
    except ValueError as error:
        sys.exit(f"bundled_project: a setting is wrong: {error}")
