"""Health: what is alive, what is ready, and the figures."""

from __future__ import annotations

import threading
import time

import pytest
from flask import Flask

from pilothouse import clock, health
from pilothouse.contract.work import HealthCheck
from pilothouse.db import db
from pilothouse.work import jobs


def test_the_process_is_alive_for_everybody(client) -> None:
    response = client.get("/healthz")
    assert (response.status_code, response.json) == (200, {"status": "ok"})


def test_what_is_away_is_named_and_answers_503(client) -> None:
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json["away"] == ["broker"]
    assert response.json["checks"]["database"] == "ok"
    assert response.headers["Retry-After"] == "5"


def test_readiness_tells_no_detail(client) -> None:
    assert set(client.get("/readyz").json["checks"].values()) <= {"ok", "away", "degraded"}


def test_metrics_need_the_scope_read(client, api) -> None:
    assert client.get("/metrics").status_code == 401
    text = api.get("/metrics").text
    assert 'pilothouse_http_requests_total{method="GET",status="4xx"' in text
    assert 'pilothouse_jobs{state="dead"} 0' in text
    assert "pilothouse_measure_lag_seconds 0" in text


def test_a_check_that_hangs_counts_as_failed_and_is_not_started_again(app: Flask) -> None:
    release, starts = threading.Event(), []

    def hang() -> None:
        starts.append(1)
        release.wait(30)

    check = HealthCheck("hang", hang, "Wait.", critical=True)
    run = health._Run(app, check)
    app.extensions["pilothouse_health"] = {"database": run}
    begun = time.monotonic()
    findings = health.run_checks(critical_only=True)
    assert time.monotonic() - begun < 15  # the check itself takes 30 s
    assert findings[0].fault == "No answer within 2 s."
    release.set()
    assert len(starts) == 1


def test_a_check_that_raises_is_a_finding(app: Flask) -> None:
    def burst() -> None:
        raise RuntimeError("a secret")

    finding = health._Run(app, HealthCheck("burst", burst, "Mend it.")).result(2)
    assert finding.fault == "RuntimeError while checking."


def test_late_jobs_are_told(app: Flask) -> None:
    assert health.check_backlog() is None
    jobs.enqueue("core.purge_jobs", {}, due_at=clock.now() - 2 * clock.MINUTE)
    assert health.check_backlog() == "1 tasks have waited for longer than a minute."


def test_a_database_behind_the_code_is_told(app: Flask) -> None:
    from pilothouse import migrate

    assert health.check_migrations() is None
    migrate.downgrade("executions@base")
    assert "executions" in (health.check_migrations() or "")


def test_a_full_disk_is_told(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    assert health.check_disk() is None
    monkeypatch.setattr(health, "LEAST_FREE_BYTES", 1 << 62)
    assert "MB are free" in (health.check_disk() or "")


def test_a_database_that_is_away_is_told(app: Flask) -> None:
    db.session.remove()
    db.engine.dispose()
    data = app.extensions["pilothouse"].settings.data_dir
    (data / "pilothouse.db").rename(data / "elsewhere.db")
    (data / "pilothouse.db").mkdir()
    assert "OperationalError" in (health.check_database() or "")
