"""Conditional answers: an ETag for each question and caller, exact where there is a broker, by content where there is none."""

from __future__ import annotations

import pytest

from pilothouse import clock
from pilothouse.db import unit_of_work
from pilothouse.runtime import runtime
from pilothouse.testing import Api
from pilothouse.web.conditional import etag_of

PATH = "/api/executions"


@pytest.fixture
def warm(broker_api, time_of_day):
    """Return a program whose token was used before, so that a request notes nothing; no minute ends between two requests."""
    broker_api.get(PATH)
    return broker_api


def etag(api, path=PATH):
    return api.get(path).headers["ETag"]


def test_an_etag_is_weak_and_the_answer_private(warm):
    response = warm.get(PATH)
    assert response.headers["ETag"].startswith('W/"')
    assert {"Cookie", "Authorization"} <= set(response.vary)


@pytest.mark.parametrize("form", ["{}", '{}, "other"', '"other", {}', "*"])
def test_whoever_has_this_version_gets_304(warm, form):
    response = warm.get(PATH, headers={"If-None-Match": form.format(etag(warm))})
    assert (response.status_code, response.data) == (304, b"")
    assert response.headers["ETag"] == etag(warm)


@pytest.mark.parametrize("given", ['"other"', "nonsense", "", 'W/"x', "\xff"])
def test_whoever_has_another_gets_the_answer(warm, given):
    assert warm.get(PATH, headers={"If-None-Match": given}).status_code == 200


def test_another_caller_has_another_version(broker_app, warm):
    from pilothouse.identity.access_tokens import create_token

    with unit_of_work():
        other = Api(broker_app.test_client(), create_token("other", ["read"])[1])
    assert etag(other) != etag(warm)


def test_whoever_may_not_gets_no_304(broker_app, warm):
    version = etag(warm)
    nobody = broker_app.test_client().get(PATH, headers={"If-None-Match": version})
    assert nobody.status_code == 401


def test_what_a_process_forgot_to_say_shows_within_a_minute(warm, time_of_day):
    before = etag(warm)
    time_of_day.pass_by(clock.MINUTE)
    assert etag(warm) != before


def test_a_change_that_was_said_shows_at_once(warm):
    before = etag(warm)
    runtime().changes.bump("executions")
    assert etag(warm) != before


def test_without_a_broker_nobody_can_say(app):
    with app.test_request_context(PATH):
        assert etag_of(("executions",)) is None


def test_without_a_broker_the_answer_s_own_bytes_count(app, api):
    first = etag(api)
    assert api.get(PATH, headers={"If-None-Match": first}).status_code == 304
    api.send({"type": "execution", "id": "a", "workflow": "w", "status": "running"})
    assert etag(api) != first


def test_a_refusal_has_no_etag(warm):
    assert "ETag" not in warm.get(f"{PATH}?limit=0").headers
