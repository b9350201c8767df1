"""`pilothouse up` and the processes that it is made of: `web`, `worker` and `scheduler`."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import click
from flask import Flask

from pilothouse import embedded, home, logs
from pilothouse.commands.application import settings as read
from pilothouse.errors import SettingsError
from pilothouse.settings import Settings, read_settings
from pilothouse.work import forking
from pilothouse.work.supervisor import Service, Supervisor

HOST = "127.0.0.1"
PORT = 8080
CONCURRENCY = 2  # processes of a worker: one hung task leaves room for the others
OWNER = "owner@localhost"  # who gets the first sign-in link where PILOTHOUSE_OWNER_EMAIL names nobody
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}  # noqa: S104 - what people type, and what a link needs

host_option = click.option("--host", default=HOST, show_default=True, help="The address to listen on.")
port_option = click.option("--port", default=PORT, show_default=True, type=click.IntRange(1, 65535), help="The port.")


@click.command()
@host_option
@port_option
def up(host: str, port: int) -> None:
    """Make what is missing (data folder, secrets, database, embedded Valkey) and run web, worker and scheduler.

    On the first run it prints the owner's one-time sign-in link and a token for sending signals. The owner's address is
    PILOTHOUSE_OWNER_EMAIL, or owner@localhost. Ctrl-C or SIGTERM stops everything.
    """
    logs.configure("up")
    settings = read(os.environ, require_secrets=False)
    home.make(settings)
    with home.lock(settings.data_dir):
        _check_port(host, port)
        environ = _environment(settings, host, port)
        preparation = _Preparation(environ)
        Supervisor(
            [*_broker(settings), *_services(host, port, preparation, lambda: _welcome(environ, preparation.result))],
            environ,
            app=lambda: preparation.app,
        ).run()


@click.command()
@host_option
@port_option
@click.pass_obj
def web(app: Flask | None, host: str, port: int) -> None:
    """Run one web server (waitress: one process, 16 threads) until SIGTERM."""
    from pilothouse.commands.application import make_app
    from pilothouse.runtime import runtime
    from pilothouse.web.request_log import init_request_log
    from pilothouse.web.server import make_server, serve

    logs.configure("web")
    app = app or make_app(quiet=False)
    init_request_log(app)
    with app.app_context():
        settings = runtime().settings
    most, proxies = settings["PILOTHOUSE_LONG_REQUESTS"], settings["PILOTHOUSE_PROXIES"]
    base_url = os.environ.get("PILOTHOUSE_BASE_URL", "")
    serve(make_server(app, host, port, base_url=base_url, long_requests=most, proxies=proxies))


@click.command()
@click.option("--concurrency", default=CONCURRENCY, show_default=True, type=click.IntRange(1, 64), help="Processes.")
@click.pass_obj
def worker(app: Flask | None, concurrency: int) -> None:
    """Run one Celery worker until SIGTERM; tasks under way may end first."""
    from pilothouse.commands.application import make_app
    from pilothouse.work.worker import run

    logs.configure("worker")
    # Only JSON is accepted, so being root is no way in by a message; in a container it is the rule.
    warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")
    sys.exit(run((app or make_app(quiet=False)).extensions["celery"], concurrency))


@click.command()
@click.pass_obj
def scheduler(app: Flask | None) -> None:
    """Run the scheduler until SIGTERM. A second one elsewhere does no harm: each tick happens once."""
    from pilothouse.commands.application import make_app
    from pilothouse.work.scheduler import run

    logs.configure("scheduler")
    run((app or make_app(quiet=False)).extensions["celery"])


@click.command(hidden=True)
def prepare() -> None:
    """Upgrade the database, make the first owner and token, and print both as JSON: what `up` does before it serves."""
    from pilothouse import clock, migrate, self_report
    from pilothouse.commands.application import make_app
    from pilothouse.db import unit_of_work
    from pilothouse.identity.access_tokens import create_token
    from pilothouse.identity.owner import make_owner
    from pilothouse.identity.users import any_user
    from pilothouse.runtime import runtime

    with make_app().app_context():
        run, begun = clock.new_id(), clock.now()
        moved = migrate.upgrade()
        steps = [self_report.step(run, f"upgrade the database: {', '.join(moved) or 'nothing to do'}", begun)]
        made = {}
        if not any_user():
            at = clock.now()
            with unit_of_work():
                made["link"] = make_owner(os.environ.get("PILOTHOUSE_OWNER_EMAIL") or OWNER)
                made["token"] = create_token("first ingest token", ["ingest"])[1]
            steps.append(self_report.step(run, "make the owner and the first token", at))
        # a new console shows at once what it did itself
        runtime().reporter.flush(self_report.run("pilothouse start", "succeeded", begun, id=run, trigger="command"), *steps)
        click.echo(json.dumps(made))


class _Preparation:
    """`pilothouse prepare` in a process of its own: the supervisor never opens a connection."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.result: dict[str, str] = {}
        self.app: Flask | None = None

    def run(self) -> None:
        """Run it to its end, and make the application that the others share meanwhile, which reads nothing of the database.

        Where the preparation fails it has said why, and this process ends.
        """
        forking.preload()
        reading, writing = os.pipe()
        pid = forking.start(["prepare"], self._environ, orphaned=signal.SIGKILL, stdout=writing)
        os.close(writing)
        try:
            self.app = self._make_app() if forking.can_fork() else None
        finally:
            with os.fdopen(reading, encoding="utf-8") as printed:
                words = printed.read()
            _, status = os.waitpid(pid, 0)
            if status != 0:
                sys.exit(1)
        self.result = json.loads(words)
        forking.share()

    def _make_app(self) -> Flask:
        from sqlalchemy.orm import configure_mappers

        from pilothouse.app import create_app

        app = create_app(read_settings(home.environment(self._environ)))
        configure_mappers()  # else the first query of each process would: 6 MB each
        return app


def _environment(settings: Settings, host: str, port: int) -> dict[str, str]:
    """Return the variables of the child processes. Secrets are not among them: they read the files themselves."""
    environ = dict(os.environ)
    environ["PILOTHOUSE_DATA_DIR"] = str(settings.data_dir)
    if settings.redis_url is None:
        environ["PILOTHOUSE_REDIS_URL"] = embedded.url(settings.data_dir)
    if not environ.get("PILOTHOUSE_BASE_URL"):
        environ["PILOTHOUSE_BASE_URL"] = f"http://{_reachable(host)}:{port}"
    home.remember_address(settings.data_dir, environ["PILOTHOUSE_BASE_URL"])
    return environ


def _reachable(host: str) -> str:
    host = ANYWHERE.get(host, host)
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _broker(settings: Settings) -> list[Service]:
    if settings.redis_url is not None:
        return []
    embedded.stop_stale(settings.data_dir)
    address = embedded.url(settings.data_dir)
    return [Service("valkey", embedded.command(settings.data_dir), ready=lambda: embedded.answers(address), last=True)]


def _services(host: str, port: int, preparation: _Preparation, welcome: Callable[[], None]) -> list[Service]:
    place = ("--host", host, "--port", str(port))
    serves = partial(_serves, host, port)
    return [
        # who waits until it answers finds the link and the token printed
        Service("web", ours=("web", *place), before=preparation.run, ready=serves, when_ready=welcome),
        # A worker whose supervisor is gone ends at once, and its pool with it; the next one's sweep takes back what it did.
        # Celery puts every other signal off until it has a broker, and that one is gone, too.
        Service("worker", ours=("worker",), orphaned=signal.SIGKILL),
        Service("scheduler", ours=("scheduler",)),
    ]


def _serves(host: str, port: int) -> bool:
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(f"http://{_reachable(host)}:{port}/healthz", timeout=0.5) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004 - OK
    except (URLError, OSError):
        return False


def _check_port(host: str, port: int) -> None:
    """Find out now, in one line, what the web server would find out later. Raises SettingsError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except OSError as fault:
            reason = (fault.strerror or str(fault)).lower()
            raise SettingsError(f"cannot listen on {host}:{port}: {reason} (choose another with --port)") from fault


def _welcome(environ: Mapping[str, str], first: Mapping[str, str]) -> None:
    address = environ["PILOTHOUSE_BASE_URL"]
    lines = [f"Pilothouse runs at {address}  (data in {Path(environ['PILOTHOUSE_DATA_DIR'])}; Ctrl-C stops it)"]
    if first:
        lines += [
            "", "Send signals with this token; it is not shown again:", f"  {first['token']}",
            "", "Sign in as owner, once, within 10 minutes:", f"  {first['link']}",
            "", "Try it:", _snippet(address, first["token"]),
        ]  # fmt: skip
    else:
        lines += ["A fresh sign-in link: pilothouse owner EMAIL"]
    click.echo("\n".join(["", *lines, ""]))


def _snippet(address: str, token: str) -> str:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    signal_ = {"type": "execution", "id": "first", "workflow": "hello", "status": "running", "started_at": now}
    body = json.dumps({"signals": [signal_]})
    return (
        f"  curl -X POST {address}/api/ingest -H 'Authorization: Bearer {token}' \\\n"
        f"    -H 'Content-Type: application/json' -d '{body}'"
    )
