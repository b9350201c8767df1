"""Log lines: JSON or readable, one a request, and no token in any of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from flask import Flask

from pilothouse import logs
from pilothouse.web.request_log import init_request_log


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave logging as it was."""
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_is_json_and_names_its_process(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("worker", readable=False)
    logs.get("work").info("task", task="core.purge_jobs")
    (line,) = lines(capsys)
    assert (line["process"], line["part"], line["event"], line["level"]) == ("worker", "work", "task", "info")


def test_on_a_terminal_a_line_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("up", readable=True)
    logs.get("up").warning("restarted", service="web")
    told = capsys.readouterr().err
    assert "restarted" in told
    assert not told.startswith("{")


def test_the_libraries_warnings_leave_as_the_same_lines(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("web", readable=False)
    logging.getLogger("waitress").warning("queue depth %d", 3)
    logging.getLogger("waitress").info("not shown")
    (line,) = lines(capsys)
    assert (line["event"], line["logger"]) == ("queue depth 3", "waitress")


def test_silence_drops_all_but_the_critical(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("cli", silent=True)
    logs.get("cli").error("not shown")
    logging.getLogger("celery").error("not shown either")
    assert capsys.readouterr().err == ""


def test_a_request_is_logged_by_its_route_and_never_by_its_path(
    app: Flask, capsys: pytest.CaptureFixture[str]
) -> None:
    init_request_log(app)
    logs.configure("web", readable=False)
    app.test_client().get("/login/ph_login_a-secret-token")
    app.test_client().get("/healthz")
    told = [line for line in lines(capsys) if line["event"] == "request"]
    assert [line["route"] for line in told] == ["/login/<token>"]
    assert told[0]["duration_ms"] is not None
    assert "a-secret-token" not in json.dumps(told)
