"""The WSGI application, for any server: `gunicorn wsgi:app`, `waitress-serve wsgi:app`."""

from pilothouse.app import create_app

app = create_app()
