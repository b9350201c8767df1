"""Runs one part's migrations on the connection and with the options that `pilothouse.migrate` prepared."""

from alembic import context


def run() -> None:
    """Run the steps."""
    options = context.config.attributes.get("options")
    if options is None:
        raise SystemExit("Run `pilothouse db upgrade`: it migrates the core and every plugin in one transaction.")
    context.configure(**options)
    with context.begin_transaction():
        context.run_migrations()


run()
