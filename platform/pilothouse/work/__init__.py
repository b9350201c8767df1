"""Work outside of requests: jobs in the database, Celery as the wake-up, mail."""
