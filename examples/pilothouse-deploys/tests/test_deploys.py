"""The plugin on the whole application; the fixtures come with Pilothouse."""

from __future__ import annotations

from pilothouse.conformance import faults

DEPLOY = {"type": "deploy", "id": "d1", "service": "checkout", "version": "2026.11.3"}


def test_the_plugin_keeps_the_rules_of_the_house(app):  # noqa: ARG001 - they are looked at in a running application
    assert faults("deploys") == []


def test_a_deployment_is_recorded_once_and_listed(api):
    assert api.send(DEPLOY, DEPLOY)["duplicates"] == 1
    assert [row["version"] for row in api.get("/api/deploys").json["data"]] == ["2026.11.3"]


def test_a_bad_deployment_names_its_fields(api):
    rejected = api.send({"type": "deploy", "id": "d2"})["rejected"]
    assert {error["path"] for error in rejected[0]["errors"]} == {"signals[0].service", "signals[0].version"}


def test_everybody_sees_the_page_and_the_card(api, as_role):
    api.send(DEPLOY, {"type": "execution", "id": "e1", "workflow": "w", "status": "succeeded"})
    viewer = as_role("viewer")
    assert "2026.11.3" in viewer.get("/deploys/").text
    assert "Newest deployments" in viewer.get("/executions/e1").text
