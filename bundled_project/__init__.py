"""A small Django project in which Celery is set up the way production needs it.

Loading the Celery application with the package is what lets ``shared_task`` functions, the shell, the web
process and ``celery -A bundled_project`` all meet the same, configured application.
"""

from bundled_project.celery import app as celery_app

__all__ = ["celery_app"]
