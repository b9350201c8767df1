"""`create_app`: the only module that knows all the others; one fixed order."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from pilothouse import core, db
from pilothouse.broker import connect
from pilothouse.changes import Changes
from pilothouse.containment import init_containment
from pilothouse.crypto import Keyring
from pilothouse.decoding import SignalReader
from pilothouse.identity.extension import init_identity
from pilothouse.ingest import Ingest
from pilothouse.plugins.all_settings import read_every_setting
from pilothouse.plugins.discovery import Candidate, discover
from pilothouse.plugins.registry import Registry, build_registry
from pilothouse.plugins.switches import Switches
from pilothouse.runtime import EXTENSION, Runtime
from pilothouse.self_report import Reporter
from pilothouse.settings import Settings
from pilothouse.web.console import init_console
from pilothouse.web.limits import Limiter
from pilothouse.web.mounting import mount
from pilothouse.web.problems import init_problems
from pilothouse.web.self_report import init_self_report
from pilothouse.work.celery_app import make_celery
from pilothouse.work.dispatcher import Dispatcher
from pilothouse.work.mail import Mailer


def create_app(settings: Settings | None = None, plugins: Sequence[Candidate] | None = None) -> Flask:
    """Build the application: the installed plugins, or just the given ones, on the settings of the environment.

    Raises SettingsError with every wrong setting. A plugin's fault never keeps the application from starting.
    """
    settings = settings or read_every_setting()
    app = Flask("pilothouse.web", static_folder=None)
    registry = load_plugins(settings, plugins)
    settings = settings.extended([setting for _, setting in registry.all("settings")])
    app.secret_key = settings.secret_key
    if proxies := settings["PILOTHOUSE_PROXIES"]:  # the address of who asks; scheme and host are the base URL's
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=0, x_host=0)  # type: ignore[method-assign]
    db.init_db(app, settings.database_url)
    broker = connect(settings.redis_url) if settings.redis_url else None
    celery = make_celery(app, settings, registry)
    app.extensions["celery"] = celery
    app.extensions[EXTENSION] = Runtime(
        settings=settings,
        registry=registry,
        keyring=Keyring.from_settings(settings),
        redis=broker,
        changes=Changes(broker),
        celery=celery,
        dispatcher=Dispatcher(celery if broker is not None else None),
        ingest=(ingest := Ingest(registry)),
        limiter=Limiter(settings.redis_url),
        switches=Switches(),
        reader=SignalReader(ingest.types),
        reporter=Reporter(app),
        mailer=Mailer(settings),
    )
    with app.app_context():
        init_problems(app)
        init_containment(app)
        init_identity(app)
        init_console(app)
        mount(app, registry)
        init_self_report(app)
    return app


def load_plugins(settings: Settings, plugins: Sequence[Candidate] | None) -> Registry:
    """Build the registry of the core and the installed (or the given) plugins."""
    found = discover(settings["PILOTHOUSE_PLUGINS_DISABLED"]) if plugins is None else plugins
    return build_registry([Candidate("core", core, "pilothouse"), *found])
