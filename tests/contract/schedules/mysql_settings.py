"""The bundled project's settings on MySQL, for the tests' migrations and beat: all else is its own."""

from __future__ import annotations

import os

from bundled_project.settings import *  # noqa: F403
from console.broker.database import parse_database_url
from console.schedules.django_setup import database_settings

_ADDRESS = parse_database_url(os.environ["MYSQL_URL"])
DATABASES = {"default": database_settings(_ADDRESS)}
