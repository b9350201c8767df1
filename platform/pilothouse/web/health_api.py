"""Whether the process lives, whether it is ready, and its figures for Prometheus."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import msgspec
from flask import Response, request
from sqlalchemy import func, select

from pilothouse import clock
from pilothouse.db import db
from pilothouse.health import Finding, run_checks
from pilothouse.measure_models import MeasureDelta
from pilothouse.runtime import application, runtime
from pilothouse.web.api import ApiBlueprint
from pilothouse.work import dead_letters

COUNTERS = "pilothouse_requests"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
RETRY_S = 5


class Liveness(msgspec.Struct, frozen=True):
    """The process answers."""

    status: str


class Readiness(msgspec.Struct, frozen=True):
    """`status` is ready, degraded (all that is critical works) or away; the checks' names tell what."""

    status: str
    checks: dict[str, str]
    away: list[str]
    degraded: list[str]


@dataclass(slots=True)
class RequestCounts:
    """Requests of this process since it started, by method and status class."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    lock: Lock = field(default_factory=Lock)

    def count(self, method: str, status: int) -> None:
        """Count one answered request."""
        with self.lock:
            self.counts[method, f"{status // 100}xx"] += 1


def blueprint() -> ApiBlueprint:
    """Make the blueprint: /healthz, /readyz and /metrics, outside of /api."""
    bp = ApiBlueprint("health", prefix="")
    bp.get("/healthz", permission="public")(healthz)
    bp.get("/readyz", permission="public")(readyz)
    bp.get("/metrics", permission="core.system.view")(metrics)
    bp.after_app_request(_count)
    return bp


def healthz() -> Liveness:
    """Say that the process answers; looks at nothing else."""
    return Liveness("ok")


def readyz() -> Response:
    """Check what Pilothouse needs.

    Answers 503 with the names of the critical checks that fail (database, broker, migrations, and critical ones of
    plugins). A plugin that failed is named under `degraded` with 200: the rest of the console works without it.
    """
    findings = run_checks(critical_only=True)
    plugins = [f"plugin {plugin.name}" for plugin in runtime().registry.plugins if plugin.state == "failed"]
    away = [finding.name for finding in findings if not finding.ok]
    status = "away" if away else "degraded" if plugins else "ready"
    body = Readiness(status, _states(findings, plugins), away, plugins)
    response = Response(msgspec.json.encode(body), 503 if away else 200, content_type="application/json")
    if away:
        response.headers["Retry-After"] = str(RETRY_S)
    return response


def metrics() -> Response:
    """Figures in the text format of Prometheus (version 0.0.4): requests of this process, jobs, lag of measures."""
    return Response("\n".join(_lines()) + "\n", content_type=PROMETHEUS)


def _states(findings: list[Finding], plugins: list[str]) -> dict[str, str]:
    states = {finding.name: "ok" if finding.ok else "away" for finding in findings}
    return states | {"plugins": "degraded" if plugins else "ok"}


def _counts() -> RequestCounts:
    found: RequestCounts = application().extensions.setdefault(COUNTERS, RequestCounts())
    return found


def _count(response: Response) -> Response:
    _counts().count(request.method, response.status_code)
    return response


def _lines() -> Iterator[str]:
    yield from _family("pilothouse_up", "gauge", "The process answers.", {"": 1})
    yield from _family("pilothouse_http_requests_total", "counter", "Requests that this process answered.", _requests())
    states = {f'{{state="{state}"}}': count for state, count in dead_letters.counts().items()}
    yield from _family("pilothouse_jobs", "gauge", "Jobs by state; dead ones gave up.", states)
    deltas = db.session.execute(select(func.count()).select_from(MeasureDelta)).scalar_one()
    oldest = db.session.execute(select(func.min(MeasureDelta.at))).scalar()
    lag = 0.0 if oldest is None else max(0.0, (clock.now() - oldest) / clock.SECOND)
    yield from _family("pilothouse_measure_deltas", "gauge", "Deltas not yet in the roll-ups.", {"": deltas})
    yield from _family("pilothouse_measure_lag_seconds", "gauge", "Age of the oldest of them.", {"": lag})
    failed = sum(plugin.state == "failed" for plugin in runtime().registry.plugins)
    yield from _family("pilothouse_plugins_failed", "gauge", "Plugins that were taken out.", {"": failed})


def _requests() -> dict[str, int]:
    found = _counts()
    with found.lock:
        counts = dict(found.counts)
    pid = os.getpid()
    return {f'{{method="{method}",status="{status}",pid="{pid}"}}': n for (method, status), n in counts.items()}


def _family(name: str, kind: str, words: str, samples: Mapping[str, Any]) -> Iterator[str]:
    yield f"# HELP {name} {words}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples.items():
        yield f"{name}{labels} {value}"
