"""A bad plugin is a bad page, not a dead console: whatever a plugin brings may fail, and the rest goes on."""

import itertools
import types

import pytest
from flask import Blueprint, Flask

from pilothouse.contract.answers import Command
from pilothouse.contract.hookspecs import hookimpl
from pilothouse.contract.manifest import Manifest
from pilothouse.contract.pages import AdminView, LoginMethod, NavItem, PaletteSource, Panel
from pilothouse.errors import NotFound
from pilothouse.plugins.discovery import Candidate
from pilothouse.web.api import ApiBlueprint
from pilothouse.web.console import ConsoleView, expose


class HomePage(ConsoleView):
    title = "Probe"
    path = "/probe"

    @expose("/")
    def index(self):
        return "a page"


def plugin(name="probe", **hooks):
    """Make a plugin out of what its hooks return."""
    module = types.ModuleType(f"plugin_{name}")
    for hook, answer in {"manifest": Manifest(name, name.title(), "Fails on purpose."), **hooks}.items():
        function = _constant(answer)
        function.__name__ = f"pilothouse_{hook}"
        setattr(module, function.__name__, hookimpl(function))
    return Candidate(name, module, "probe-dist", "1")


def _constant(answer):
    def function():
        return answer

    return function


def fails(*_anything):
    raise RuntimeError("on purpose")


def page_of(view):
    return [AdminView("probe", view, "core.console.view")]


@pytest.mark.parametrize("factory", [fails, object, lambda: Flask("x")])
def test_a_page_that_cannot_be_made_takes_out_its_plugin_alone(app_with, sign_in, factory):
    with app_with(plugin(admin_views=page_of(factory))) as app:
        owner = sign_in(app, "owner")
        assert owner.get("/probe/").status_code == 404
        assert "its page probe cannot be made" in owner.get("/settings/plugins").text


@pytest.mark.parametrize("path", ["/welcome", "/login", "/settings/plugins"])
def test_a_page_in_the_place_of_another_takes_its_plugin_out(app_with, sign_in, path):
    class Usurper(ConsoleView):
        title = "Probe"

        @expose("/")
        def index(self):
            return "taken over"

    Usurper.path = path
    with app_with(plugin(admin_views=page_of(lambda: Usurper("probe")))) as app:
        owner = sign_in(app, "owner")
        assert "taken over" not in owner.get(f"{path}/", follow_redirects=True).text
        assert f"its routes cannot be mounted: GET {path}/ is taken by" in owner.get("/settings/plugins").text


HOOKS = ["before_app_request", "after_app_request", "teardown_app_request", "app_context_processor", "app_url_value_preprocessor",
         "app_url_defaults"]  # fmt: skip


@pytest.mark.parametrize("reach", [*(getattr(Blueprint, name) for name in HOOKS), lambda bp, f: bp.app_errorhandler(404)(f)])
def test_a_blueprint_that_hooks_into_the_requests_of_others_takes_its_plugin_out(app_with, sign_in, reach):
    blueprint = ApiBlueprint("probe")
    reach(blueprint, fails)
    with app_with(plugin(api_blueprints=[blueprint])) as app:
        owner = sign_in(app, "owner")
        assert "hooks into the requests of others" in owner.get("/settings/plugins").text
        assert owner.get("/nothing-here").status_code == 404


def test_the_entry_of_a_page_that_is_not_there_is_absent(app_with, sign_in):
    item = NavItem("Ghost", "probe.nowhere", "core.console.view")
    with app_with(plugin(navigation=[item])) as app:
        assert "Ghost" not in sign_in(app, "owner").get("/welcome/").text


def test_an_icon_that_there_is_not_takes_its_plugin_out_alone(app_with, sign_in):
    item = NavItem("Probe", "probe.index", "core.console.view", icon="sunshine")
    with app_with(plugin(admin_views=page_of(HomePage), navigation=[item])) as app:
        owner = sign_in(app, "owner")
        assert 'data-nav="Probe"' not in owner.get("/welcome/").text
        assert "there is no icon &#39;sunshine&#39;; there are activity, " in owner.get("/settings/plugins").text


def test_a_badge_that_fails_is_no_badge(app_with, sign_in):
    item = NavItem("Probe", "probe.index", "core.console.view", badge=fails)
    with app_with(plugin(admin_views=page_of(HomePage), navigation=[item])) as app:
        page = sign_in(app, "owner").get("/welcome/").text
    assert 'data-nav="Probe"' in page
    assert "data-badge" not in page


@pytest.mark.parametrize("count", ["many", 1.5, [1]])
def test_a_badge_that_is_no_count_is_no_badge(app_with, sign_in, count):
    item = NavItem("Probe", "probe.index", "core.console.view", badge=lambda: count)
    with app_with(plugin(admin_views=page_of(HomePage), navigation=[item])) as app:
        assert "data-badge" not in sign_in(app, "owner").get("/welcome/").text
        assert "badge Probe" in app.extensions["pilothouse"].registry.guard.of("probe")


@pytest.mark.parametrize("hits", [["hit"], 7, [{"title": "hit"}]])
def test_hits_that_cannot_be_shown_are_passed_over(app_with, sign_in, hits):
    with app_with(plugin(palette=[PaletteSource("probe", "Probe", "core.console.view", lambda _: hits)])) as app:
        assert sign_in(app, "owner").get("/-/palette?q=hit").json == []


def test_the_palette_shows_the_first_hits_of_a_source_alone(app_with, sign_in):
    endless = ({"title": str(number), "detail": "", "url": "/"} for number in itertools.count())
    with app_with(plugin(palette=[PaletteSource("probe", "Probe", "core.console.view", lambda _: endless)])) as app:
        (group,) = sign_in(app, "owner").get("/-/palette?q=hit").json
    assert [hit["title"] for hit in group["hits"]] == [str(number) for number in range(8)]


def test_a_way_to_sign_in_that_fails_is_not_offered_and_closes_no_door(app_with):
    methods = [LoginMethod("probe", "By probe", "signin.login", fails), LoginMethod("other", "By other", "signin.login")]
    with app_with(plugin(login_methods=methods)) as app:
        page = app.test_client().get("/login")
    assert page.status_code == 200
    assert "By other" in page.text
    assert "By probe" not in page.text


@pytest.mark.parametrize("answer", ["cancel", 7, [("run-1", "cancel")], [Command("run-1", "stop")]])
def test_a_runtime_hook_that_answers_nonsense_is_passed_over(app_with, answer):
    with app_with(plugin(commands=answer)) as app:
        registry = app.extensions["pilothouse"].registry
        assert registry.first("commands", token_id="t") is None
        assert "commands" in registry.guard.of("probe")


def test_a_source_of_the_palette_that_fails_is_passed_over(app_with, sign_in):
    sources = [PaletteSource("probe.bad", "Bad", "core.console.view", fails),
               PaletteSource("probe.good", "Good", "core.console.view", lambda _: [{"title": "hit", "detail": "", "url": "/"}])]
    with app_with(plugin(palette=sources)) as app:
        groups = sign_in(app, "owner").get("/-/palette?q=hit").json
    assert [group["title"] for group in groups] == ["Good"]


def test_a_source_is_not_asked_for_those_who_may_not_see_it(app_with, sign_in):
    source = PaletteSource("probe.secret", "Secret", "core.plugins.view", fails)
    with app_with(plugin(palette=[source])) as app:
        assert sign_in(app, "viewer").get("/-/palette?q=hit").json == []
        assert app.extensions["pilothouse"].registry.guard.failures == {}


def test_panels_make_the_home_page(app_with, sign_in):
    panels = [Panel("probe.second", "home", "core.console.view", lambda _: "second card", order=2),
              Panel("probe.first", "home", "core.console.view", lambda _: "first card", order=1),
              Panel("probe.silent", "home", "core.console.view", lambda _: None),
              Panel("probe.hidden", "home", "core.plugins.view", lambda _: "not for viewers")]
    with app_with(plugin(panels=panels)) as app:
        page = sign_in(app, "viewer").get("/").text
    assert page.index("first card") < page.index("second card")
    assert "not for viewers" not in page


def test_a_panel_that_keeps_failing_rests_and_costs_nothing(app_with, sign_in):
    calls = []

    def counted(_subject):
        calls.append(1)
        fails()

    with app_with(plugin(panels=[Panel("probe.card", "home", "core.console.view", counted)])) as app:
        owner = sign_in(app, "owner")
        pages = [owner.get("/").text for _ in range(8)]
    assert len(calls) == 5
    assert all("Could not load card." in page for page in pages)


def test_without_plugins_the_console_still_stands(app_with, sign_in):
    with app_with() as app:
        owner = sign_in(app, "owner")
        home = owner.get("/").headers["Location"]
        assert owner.get(home).status_code == 200


def test_a_plugins_templates_and_static_files_come_along(app_with, tmp_path):
    made = plugin(admin_views=page_of(HomePage))
    made.module.__file__ = str(tmp_path / "plugin.py")
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "probe.css").write_text("a{}")
    (tmp_path / "templates" / "probe").mkdir(parents=True)
    (tmp_path / "templates" / "probe" / "page.html").write_text("{{ ui.count(1200) }}")
    with app_with(made) as app, app.test_request_context():
        assert app.jinja_env.get_template("probe/page.html").render() == "1,200"
        assert app.jinja_env.globals["static_url"]("probe.css", "probe").startswith("/-/static/probe/")
        with pytest.raises(NotFound):
            app.jinja_env.globals["static_url"]("nothing.css", "probe")


def test_a_plugin_cannot_replace_a_template_of_the_console(app_with, sign_in, tmp_path):
    made = plugin(admin_views=page_of(HomePage))
    made.module.__file__ = str(tmp_path / "plugin.py")
    (tmp_path / "templates" / "ph").mkdir(parents=True)
    (tmp_path / "templates" / "ph" / "welcome.html").write_text("taken over")
    with app_with(made) as app:
        assert "taken over" not in sign_in(app, "owner").get("/welcome/").text


def test_the_contribution_says_who_may_open_a_page_that_says_nothing_itself(app_with, sign_in):
    class Open(ConsoleView):
        title, path = "Open", "/open"

        @expose("/")
        def index(self):
            return "open to all"

    with app_with(plugin(admin_views=[AdminView("probe", Open, "core.plugins.view")])) as app:
        assert sign_in(app, "viewer").get("/open/").status_code == 403
        assert Open.permission == ""
