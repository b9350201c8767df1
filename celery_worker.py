"""The Celery application: `celery --app celery_worker worker`."""

from pilothouse.app import create_app

app = create_app().extensions["celery"]
