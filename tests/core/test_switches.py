"""Switching plugins off and on, and mounting what they bring: nothing opens by accident, nothing falls by another's fault."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import text

from pilothouse import clock
from pilothouse.access import Permission, roles_from
from pilothouse.db import db, unit_of_work
from pilothouse.errors import Conflict, NotFound, PluginError
from pilothouse.plugins.switches import is_enabled, switch, switched_off
from pilothouse.runtime import runtime
from pilothouse.testing import Api, count_queries
from pilothouse.web.api import ApiBlueprint
from pilothouse.web.mounting import permission_of

VIEW = Permission("trial.things.view", "See things", roles_from("viewer"))


def turn(name, *, enabled):
    with unit_of_work():
        switch(name, enabled=enabled, by="me")


def blueprint(name="trial", path="/trial", permission=VIEW.name):
    bp = ApiBlueprint(name)

    def things() -> dict[str, int]:
        """Show things."""
        return {"n": 1}

    bp.get(path, permission=permission)(things)
    return bp


@pytest.fixture
def trial(make_plugin, build_app):
    """Return what builds an application with plugins that bring these blueprints."""

    def build(*blueprints, **more):
        plugins = [make_plugin("trial", permissions=[VIEW], api_blueprints=list(blueprints), **more)]
        return build_app(plugins=plugins)

    return build


def get(app, path):
    with app.app_context():
        from pilothouse.identity.access_tokens import create_token

        with unit_of_work():
            api = Api(app.test_client(), create_token("t", ["read", "admin"])[1])
        return api.get(path)


# --- switches ---


def test_all_plugins_are_on_at_first(app):
    assert switched_off() == frozenset()
    assert is_enabled("core")
    assert is_enabled("tokens")
    assert not is_enabled("nobody")


def test_a_switch_holds_at_once_and_for_other_applications_soon(build_app, app, tmp_path, time_of_day):
    other = build_app(PILOTHOUSE_DATABASE_URL=f"sqlite:///{tmp_path}/pilothouse.db")
    with other.app_context():
        assert is_enabled("tokens")
    turn("tokens", enabled=False)
    assert not is_enabled("tokens")
    with other.app_context():
        assert is_enabled("tokens")
        time_of_day.pass_by(2 * clock.SECOND)
        assert not is_enabled("tokens")


def test_a_switch_that_is_rolled_back_did_not_happen(app):
    with pytest.raises(KeyError), unit_of_work():
        switch("tokens", enabled=False, by="me")
        raise KeyError
    assert is_enabled("tokens")


def test_switching_twice_is_no_fault(app):
    for enabled in (False, False, True, True):
        turn("tokens", enabled=enabled)
    assert is_enabled("tokens")


def test_what_cannot_be_switched_says_why(app):
    for name, enabled, words in (("nobody", False, "no plugin named nobody"), ("core", False, "core cannot be switched off"),
                                 ("executions", False, "executions is required by")):  # fmt: skip
        with pytest.raises((NotFound, Conflict), match=words):
            turn(name, enabled=enabled)


def test_what_needs_another_cannot_be_on_without_it(build_app, make_plugin):
    plugins = [make_plugin("a"), make_plugin("b", requires=("a",)), make_plugin("c", requires=("gone",))]
    with build_app(plugins=plugins).app_context():
        turn("b", enabled=False)
        turn("a", enabled=False)
        with pytest.raises(Conflict, match="b requires a; switch those on first"):
            turn("b", enabled=True)
        with pytest.raises(Conflict, match="c failed: requires gone"):
            turn("c", enabled=True)


def test_within_two_seconds_nobody_is_asked(app, time_of_day):
    is_enabled("tokens")
    with count_queries() as statements:
        for _ in range(5):
            is_enabled("tokens")
        time_of_day.pass_by(2 * clock.SECOND)
        is_enabled("tokens")
    assert len(statements) == 1


def test_with_a_broker_the_database_is_asked_after_a_change_only(broker_app, time_of_day):
    is_enabled("tokens")
    time_of_day.pass_by(2 * clock.SECOND)
    with count_queries() as statements:
        is_enabled("tokens")
    assert statements == []
    turn("tokens", enabled=False)
    assert not is_enabled("tokens")


def test_while_the_database_is_away_things_stay_as_they_were(app, tmp_path, time_of_day):
    turn("tokens", enabled=False)
    assert not is_enabled("tokens")
    db.session.remove()
    db.engine.dispose()
    (tmp_path / "pilothouse.db").rename(tmp_path / "away.db")
    (tmp_path / "pilothouse.db").mkdir()  # a folder cannot be opened as a database
    time_of_day.pass_by(2 * clock.SECOND)
    assert not is_enabled("tokens")
    assert is_enabled("errors")
    runtime().switches.known = False
    time_of_day.pass_by(2 * clock.SECOND)
    with pytest.raises(Exception, match="unable to open"):
        is_enabled("errors")


def test_the_core_is_on_whatever_the_database_does(app, client, tmp_path):
    db.session.remove()
    db.engine.dispose()
    (tmp_path / "pilothouse.db").rename(tmp_path / "away.db")
    (tmp_path / "pilothouse.db").mkdir()
    assert is_enabled("core")
    assert client.get("/healthz").status_code == 200


def test_a_process_that_is_behind_catches_up_under_many_threads(app):
    found = []

    def ask():
        with app.app_context():
            found.append(is_enabled("tokens"))

    turn("tokens", enabled=False)
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [False] * 8


# --- over HTTP ---


def test_plugins_are_listed_with_their_state(app, api):
    found = {one["name"]: one for one in api.get("/api/plugins").json["data"]}
    assert (found["executions"]["state"], found["executions"]["distribution"]) == ("enabled", "pilothouse")
    assert found["tokens"]["requires"] == ["executions"]
    assert found["executions"]["adds"]["recorders"] >= 4


def test_a_plugin_is_switched_and_the_act_is_audited(app, api):
    off = api.patch("/api/plugins/tokens", json={"enabled": False})
    again = api.patch("/api/plugins/tokens", json={"enabled": False})
    assert (off.json["state"], again.json["state"]) == ("disabled", "disabled")
    assert api.get("/api/tokens/usage").status_code == 404
    assert api.patch("/api/plugins/tokens", json={"enabled": True}).json["enabled"]
    actions = [row[0] for row in db.session.execute(text("SELECT action FROM audit_log WHERE target = 'plugin:tokens' ORDER BY id"))]
    assert actions == ["plugin.disabled", "plugin.enabled"]


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [("nobody", {"enabled": False}, 404), ("core", {"enabled": False}, 409), ("executions", {"enabled": False}, 409),
     ("tokens", {}, 422), ("tokens", {"enabled": 1}, 422), ("tokens", {"enabled": True, "x": 1}, 422), ("tokens", [], 422)],
)  # fmt: skip
def test_what_cannot_be_switched_is_refused(app, api, name, body, status):
    assert api.patch(f"/api/plugins/{name}", json=body).status_code == status


def test_only_admins_see_and_switch(app, as_role):
    for role, status in (("owner", 200), ("admin", 200), ("member", 403), ("viewer", 403)):
        browser = as_role(role)
        assert browser.get("/api/plugins").status_code == status
        assert browser.patch("/api/plugins/tokens", json={"enabled": True}).status_code == status


def test_a_plugin_that_failed_is_listed_with_the_reason(build_app, make_plugin):
    app = build_app(plugins=[make_plugin("trial", tasks=[5])])
    found = next(one for one in get(app, "/api/plugins").json["data"] if one["name"] == "trial")
    assert (found["state"], found["enabled"]) == ("failed", False)
    assert found["reason"] == "pilothouse_tasks: 5 is no Task"


# --- mounting ---


def test_a_blueprint_is_mounted_and_falls_silent_with_its_plugin(trial):
    app = trial(blueprint())
    assert get(app, "/api/trial").json == {"n": 1}
    with app.app_context():
        assert permission_of(app, "trial_api.things") == VIEW.name
        turn("trial", enabled=False)
    assert get(app, "/api/trial").status_code == 404


def test_a_route_without_a_known_permission_stops_the_start(trial):
    with pytest.raises(PluginError, match=r"nobody declares the permission trial\.other"):
        trial(blueprint(permission="trial.other"))


def test_a_route_that_states_none_stops_the_start(trial):
    bp = blueprint()
    bp.add_url_rule("/open", "open", lambda: "open to all")
    with pytest.raises(PluginError, match=r"the route /api/open \(trial_api\.open\) states no permission"):
        trial(bp)


@pytest.mark.parametrize("path", ["/executions", "/executions/<name>"])
def test_nobody_s_route_takes_the_place_of_another_s(make_plugin, build_app, path):
    from pilothouse.plugins.discovery import discover

    app = build_app(plugins=[*discover(), make_plugin("zebra", api_blueprints=[blueprint("zebra", path, "core.console.view")])])
    with app.app_context():
        state = runtime().registry.get("zebra")
        assert state.state == "failed"
        assert "is taken by executions_api." in state.reason
        assert runtime().registry.get("executions").state == "loaded"
    assert get(app, "/api/executions").json["data"] == []


def test_two_blueprints_of_one_name_take_their_plugin_out(trial):
    app = trial(blueprint(), blueprint(path="/more"))
    assert app.extensions["pilothouse"].registry.get("trial").state == "failed"
    assert get(app, "/api/trial").status_code == 404


def test_a_blueprint_whose_set_up_breaks_is_contained(trial):
    bp = blueprint()
    bp.record(lambda _state: 1 / 0)
    app = trial(bp)
    assert app.extensions["pilothouse"].registry.get("trial").reason == "its routes cannot be mounted: division by zero"
    assert get(app, "/api/trial").status_code == 404
    assert get(app, "/api/plugins").status_code == 200


@pytest.mark.postgres
def test_two_people_may_switch_one_plugin_off_at_once(beside):
    with unit_of_work() as session:
        switch("sources", enabled=False, by="ada")
        session.flush()
        second = beside(lambda: switch("sources", enabled=False, by="bob"))
    second.end()
    assert not is_enabled("sources")
