"""How Sentry's SDKs are pointed at this server: with a DSN whose key is an access token."""

from __future__ import annotations

from urllib.parse import urlsplit

from pilothouse.sdk import Snippet

PROJECT = 1  # any number: there is one project here


def dsn_of(address: str, token: str) -> str:
    """Return the DSN for a server's address and an access token."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{token}@{parts.netloc}{parts.path.rstrip('/')}/{PROJECT}"


def _python(address: str, token: str) -> str:
    return f'import sentry_sdk\n\nsentry_sdk.init("{dsn_of(address, token)}", traces_sample_rate=1.0)'


def _node(address: str, token: str) -> str:
    return (
        'import * as Sentry from "@sentry/node";\n\n'
        f'Sentry.init({{ dsn: "{dsn_of(address, token)}", tracesSampleRate: 1.0 }});'
    )


def _browser(address: str, token: str) -> str:
    return (
        "// the token is readable in the page: make one with the scope ingest only\n"
        'import * as Sentry from "@sentry/browser";\n\n'
        f'Sentry.init({{ dsn: "{dsn_of(address, token)}" }});'
    )


def _monitor(address: str, token: str) -> str:
    return (
        "import sentry_sdk\nfrom sentry_sdk.crons import monitor\n\n"
        f'sentry_sdk.init("{dsn_of(address, token)}")\n\n'
        'EVERY_NIGHT = {"schedule": {"type": "crontab", "value": "0 3 * * *"}, "timezone": "Europe/Berlin",\n'
        '               "checkin_margin": 5, "max_runtime": 30}\n\n'
        '@monitor("nightly-report", monitor_config=EVERY_NIGHT)\n'
        "def nightly_report():\n    ..."
    )


SNIPPETS = (
    Snippet("sentry.python", "Sentry, Python", _python, "python", "pip install sentry-sdk", 70),
    Snippet("sentry.node", "Sentry, Node", _node, "javascript", "npm install @sentry/node", 71),
    Snippet("sentry.browser", "Sentry, browser", _browser, "javascript", "npm install @sentry/browser", 72),
    Snippet("sentry.monitor", "Sentry, scheduled jobs", _monitor, "python", "pip install sentry-sdk", 73),
)
