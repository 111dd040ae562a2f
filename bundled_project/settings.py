"""The project's settings, each from the environment with a default that works on a developer's machine."""

import math
import os
import secrets
from pathlib import Path

from bundled_project.database_url import database_from_url


def _env(name: str, default: str) -> str:
    return os.environ.get(name) or default


def _seconds(name: str, default: float) -> float:
    text = _env(name, str(default))
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        message = f"{name}: {text!r} is not a number of seconds"
        raise ValueError(message)
    return value


def _whole(name: str, default: int) -> int:
    text = _env(name, str(default))
    if not text.isdecimal():
        message = f"{name}: {text!r} is not a whole number"
        raise ValueError(message)
    return int(text)


DATA_DIR = Path(_env("BUNDLED_PROJECT_DATA", ".")).expanduser().absolute()

# --- Django ---------------------------------------------------------------------------------------------

# A fresh key for each start logs people out and nothing worse; production gives its own.
SECRET_KEY = os.environ.get("SECRET_KEY") or secrets.token_urlsafe(50)
DEBUG = os.environ.get("DEBUG") == "1"
ALLOWED_HOSTS = _env("ALLOWED_HOSTS", "localhost,127.0.0.1").split(",")
# Only what is needed: every application more is migrations to run before the first task can.
INSTALLED_APPS = ["django_celery_beat", "django_celery_results", "bundled_project.shop"]
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "bundled_project.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": database_from_url(
        _env("DATABASE_URL", str(DATA_DIR / "bundled_project.sqlite3")),
        busy_timeout_s=_seconds("DATABASE_BUSY_TIMEOUT_S", 20),
    )
}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
USE_TZ = True

# --- Mail: files a developer can look at, or SMTP as soon as EMAIL_HOST is set ----------------------------

MAIL_DIR = Path(_env("MAIL_DIR", str(DATA_DIR / "mail"))).expanduser().absolute()
MAIL_LATENCY_S = _seconds("MAIL_LATENCY_S", 0)
EMAIL_HOST = os.environ.get("EMAIL_HOST", "")
EMAIL_BACKEND = (
    "django.core.mail.backends.smtp.EmailBackend"
    if EMAIL_HOST
    else "bundled_project.shop.mail.FileMailBackend"
)
EMAIL_PORT = _whole("EMAIL_PORT", 587)
EMAIL_HOST_USER = os.environ.get("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = os.environ.get("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = _env("EMAIL_USE_TLS", "1") == "1"
EMAIL_TIMEOUT = 15
DEFAULT_FROM_EMAIL = _env("DEFAULT_FROM_EMAIL", "shop@example.test")

# --- The shop -------------------------------------------------------------------------------------------

WELCOME_RETRY_BASE_S = _seconds("WELCOME_RETRY_BASE_S", 60)
# How long one run may hold a mail before another may take it over: longer than the mail tasks' hard limit.
MAIL_TIME_LIMIT_S = _seconds("MAIL_TIME_LIMIT_S", 60)
MAIL_CLAIM_S = _seconds("MAIL_CLAIM_S", MAIL_TIME_LIMIT_S + 10)
SANDBOX_LATENCY_S = _seconds("SANDBOX_LATENCY_S", 0)
REPORTS_DIR = Path(_env("REPORTS_DIR", str(DATA_DIR / "reports"))).expanduser().absolute()

# --- Celery: broker -------------------------------------------------------------------------------------

CELERY_BROKER_URL = _env("CELERY_BROKER_URL", "redis://localhost:6379/0")
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # A message that is not acknowledged for this long is delivered again. Longer than the longest task and
    # than the longest countdown; the shortest value of all workers on one Redis database wins.
    "visibility_timeout": _seconds("VISIBILITY_TIMEOUT_S", 3600),
    "unacked_restore_interval": _seconds("UNACKED_RESTORE_INTERVAL_S", 10),
    "unacked_restore_throttle": _whole("UNACKED_RESTORE_THROTTLE", 10),
    # Without a socket timeout, publishing on a dead link waits for ever.
    "socket_timeout": 30,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "client_name": _env("REDIS_CLIENT_NAME", "bundled_project"),
}
# Counters live beside the broker unless told otherwise (or when the broker is no Redis).
COUNTERS_REDIS_URL = _env(
    "COUNTERS_REDIS_URL",
    CELERY_BROKER_URL if CELERY_BROKER_URL.startswith("redis") else "redis://localhost:6379/0",
)

# --- Celery: results ------------------------------------------------------------------------------------

CELERY_RESULT_BACKEND = "django-db"
CELERY_CACHE_BACKEND = "default"
CELERY_RESULT_EXTENDED = True
CELERY_RESULT_EXPIRES = _seconds("RESULT_EXPIRES_S", 86_400)

# --- Celery: tasks --------------------------------------------------------------------------------------

CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_TRACK_STARTED = True
CELERY_TASK_TIME_LIMIT = _seconds("TASK_TIME_LIMIT_S", 300)
CELERY_TASK_SOFT_TIME_LIMIT = _seconds("TASK_SOFT_TIME_LIMIT_S", 240)
# Early acknowledgement is the default; tasks that may run twice without harm say acks_late themselves.
CELERY_TASK_ACKS_LATE = False
CELERY_TASK_DEFAULT_QUEUE = "default"
# Named here, so that a worker without -Q takes them all.
CELERY_TASK_QUEUES = {
    name: {"exchange": name, "routing_key": name} for name in ("default", "mail", "reports")
}
CELERY_TASK_ROUTES = {
    "bundled_project.shop.tasks.send_welcome_email": {"queue": "mail"},
    "bundled_project.shop.tasks.send_invoice": {"queue": "mail"},
    "bundled_project.shop.tasks.resend_welcome_email": {"queue": "mail"},
    "bundled_project.shop.tasks.resend_invoice": {"queue": "mail"},
    "bundled_project.shop.tasks.build_report": {"queue": "reports"},
}

# --- Celery: workers ------------------------------------------------------------------------------------

CELERY_WORKER_CONCURRENCY = _whole("WORKER_CONCURRENCY", 2)
# One message ahead for each process: a long report does not hold short tasks back.
CELERY_WORKER_PREFETCH_MULTIPLIER = _whole("WORKER_PREFETCH_MULTIPLIER", 1)
CELERY_WORKER_SEND_TASK_EVENTS = True
CELERY_TASK_SEND_SENT_EVENT = True
# Late-acknowledged work goes on when the broker goes away; delivered again, it finds itself done.
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False

# --- Celery: beat ---------------------------------------------------------------------------------------

CELERY_TIMEZONE = _env("CELERY_TIMEZONE", "Asia/Kolkata")
TIME_ZONE = CELERY_TIMEZONE
CELERY_ENABLE_UTC = True
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
# Write "last run" after each dispatch: a killed beat does not fire again what it has already sent.
CELERY_BEAT_SYNC_EVERY = 1
# After an outage run what was missed within the hour, not everything of last week at once.
CELERY_BEAT_CRON_STARTING_DEADLINE = 3600
# Beat answers `celery inspect ping` as celerybeat@host.
CELERY_BEAT_ENABLE_REMOTE_CONTROL = True
