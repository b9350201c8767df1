"""The Alembic environment that all parts share, and the core's own revisions."""
