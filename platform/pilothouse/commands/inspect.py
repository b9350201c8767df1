"""`pilothouse routes`, `openapi` and `doctor`: looking, changing nothing."""

from __future__ import annotations

import json
from typing import Any

import click
from flask import Flask

from pilothouse.commands.application import in_application, make_app
from pilothouse.errors import SettingsError


@click.command("routes")
@click.option("--json", "as_json", is_flag=True, help="As a JSON list of {path, methods, permission}.")
def _routes(*, as_json: bool) -> None:
    """List all routes with their methods and permissions; open ones say `public`."""
    from pilothouse.runtime import application

    found = list_routes(application())
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for route in found:
        click.echo(f"{route['permission']:32} {','.join(route['methods']):16} {route['path']}")


routes: click.Command = in_application(_routes)


@click.command("openapi")
def _openapi() -> None:
    """Print the OpenAPI document of this installation, its plugins included."""
    from pilothouse.web.system_api import current_document

    click.echo(json.dumps(current_document(), indent=2, ensure_ascii=False))


openapi: click.Command = in_application(_openapi)


@click.command()
def doctor() -> None:
    """Check everything, and say for each fault what to do. Fails where a critical check does."""
    from pilothouse.health import run_checks

    try:
        app = make_app()
    except SettingsError as fault:
        for line in fault.detail.split("; "):
            click.echo(f"FAIL  settings: {line}")
        raise click.ClickException("The settings are wrong.") from fault
    click.echo("ok    settings")
    with app.app_context():
        findings = run_checks()
    for finding in findings:
        if finding.ok:
            click.echo(f"ok    {finding.name} ({finding.took_ms} ms)")
        else:
            click.echo(f"{'FAIL' if finding.critical else 'warn'}  {finding.name}: {finding.fault}")
            click.echo(f"      -> {finding.remedy}")
    failed = [finding.name for finding in findings if finding.critical and not finding.ok]
    if failed:
        raise click.ClickException(f"Not well: {', '.join(failed)}.")


def list_routes(app: Flask) -> list[dict[str, Any]]:
    """Return path, methods (without HEAD and OPTIONS) and permission of each route, in the order of paths."""
    from pilothouse.web.mounting import permission_of

    return [
        {
            "path": rule.rule,
            "methods": sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}),
            "permission": permission_of(app, rule.endpoint),
        }
        for rule in sorted(app.url_map.iter_rules(), key=lambda rule: (rule.rule, sorted(rule.methods or ())))
    ]
