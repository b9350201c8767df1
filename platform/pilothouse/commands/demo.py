"""`pilothouse demo`: real sample workflows through the client, against the running server."""

from __future__ import annotations

import os
import tempfile
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import click

from pilothouse import clock, home
from pilothouse.commands import demo_jobs
from pilothouse.commands.application import make_app
from pilothouse.errors import PilothouseError
from pilothouse_client import Client

FLUSH_S = 30.0


@click.command()
@click.option("--url", envvar="PILOTHOUSE_URL", help="The server. Default: the one of this data folder.")
@click.option("--token", envvar="PILOTHOUSE_TOKEN", help="A token with scope ingest. Default: one made for an hour.")
def demo(url: str | None, token: str | None) -> None:
    """Run real sample workflows through the client: small computations on published measurements.

    Some of them really fail, because of what is in the data. Nothing is made up, and nothing else is sent.
    """
    url = url or home.environment(os.environ).get("PILOTHOUSE_BASE_URL") or "http://127.0.0.1:8080"
    _check_serves(url)
    token = token or _make_token()
    # A spool of its own: signals that a wrong token keeps from being sent must not turn up later.
    with tempfile.TemporaryDirectory() as spool, Client(url, token, environment="demo", spool=spool) as client:
        done, failed = _run_all(client)
        if not client.flush(FLUSH_S):
            raise PilothouseError(f"{url} did not take the signals: is the token right, and has it the scope ingest?")
    click.echo(f"{done + failed} executions, {failed} of them failed. See {url}")


def _run_all(client: Client) -> tuple[int, int]:
    done, failed = 0, 0
    for job in demo_jobs.jobs(client):
        try:
            job()
        except (ZeroDivisionError, ValueError, FileNotFoundError) as fault:  # what the data lead to; the client told it
            failed += 1
            click.echo(f"failed: {type(fault).__name__}: {fault}")
        else:
            done += 1
    return done, failed


def _check_serves(url: str) -> None:
    opener = build_opener(ProxyHandler({}))
    try:
        opener.open(f"{url}/healthz", timeout=5).close()
    except (URLError, OSError, ValueError) as fault:
        raise PilothouseError(f"no server answers at {url}; start `pilothouse up`, or name one with --url") from fault


def _make_token() -> str:
    from pilothouse.db import unit_of_work
    from pilothouse.identity.access_tokens import create_token

    with make_app().app_context(), unit_of_work():
        return create_token("demo", ["ingest"], expires_at=clock.now() + clock.HOUR)[1]
