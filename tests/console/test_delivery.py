"""Files and pages leave small: hashed names for a year, compressed, no file of Flask-Admin's."""

import gzip
from pathlib import Path

import pytest
import zstandard
from flask import Response

from pilothouse.errors import NotFound
from pilothouse.web.static_files import StaticFiles

BUDGETS = {"console.css": 12_000, "console.js": 10_240, "charts.js": 2_560}


def address(app, name):
    with app.test_request_context():
        return app.jinja_env.globals["static_url"](name)


@pytest.mark.parametrize(("name", "budget"), BUDGETS.items())
def test_static_files_stay_within_their_budget(app, client, name, budget):
    answer = client.get(address(app, name), headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(answer.data) <= budget


@pytest.fixture
def client(app):
    return app.test_client()


def test_a_static_file_is_cached_for_a_year_under_its_hash(app, client):
    answer = client.get(address(app, "console.css"))
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.mimetype == "text/css"


def test_another_hash_is_no_version_of_the_file(client):
    assert client.get("/-/static/core/000000000000/console.css").status_code == 404


def test_a_known_version_costs_no_body(app, client):
    first = client.get(address(app, "console.js"))
    again = client.get(address(app, "console.js"), headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize("name", ["../console.py", "/etc/passwd", "nothing.css", ""])
def test_no_name_leaves_the_static_folder(app, name):
    with pytest.raises(NotFound):
        app.extensions["admin"][0].files.get("core", name)


def test_an_edited_file_gets_a_new_hash_where_files_are_read_again(tmp_path):
    files = StaticFiles(reread=True)
    files.add("mine", tmp_path)
    (tmp_path / "a.css").write_text("a{}")
    before = files.get("mine", "a.css").digest
    (tmp_path / "a.css").write_text("b{}")
    assert files.get("mine", "a.css").digest != before


def test_the_favicon_has_the_address_that_browsers_ask_for(client):
    assert client.get("/favicon.ico").mimetype == "image/svg+xml"


def test_no_static_rule_of_flask_admin_is_in_the_url_map(app):
    rules = [rule.rule for rule in app.url_map.iter_rules() if "filename" in rule.arguments]
    assert rules == []


def test_no_bundled_template_is_within_reach(app):
    loader = app.jinja_env.loader
    bundled = Path(__import__("flask_admin").__file__).parent / "templates"
    names = {name for name in loader.list_templates() if name.startswith("admin/")}
    assert names
    assert all(not str(loader.get_source(app.jinja_env, name)[1]).startswith(str(bundled)) for name in names)


@pytest.mark.parametrize(
    ("accepted", "encoding", "unpack"),
    [
        ("gzip", "gzip", gzip.decompress),
        ("gzip, deflate, br, zstd", "zstd", zstandard.decompress),
        ("zstd;q=0, gzip", "gzip", gzip.decompress),
    ],
)
def test_pages_leave_compressed_as_the_browser_reads_them(owner, accepted, encoding, unpack):
    packed = owner.get("/runs/", headers={"Accept-Encoding": accepted})
    assert packed.headers["Content-Encoding"] == encoding
    assert unpack(packed.data).startswith(b"<!doctype html>")
    assert "Content-Encoding" not in owner.get("/runs/").headers


def test_a_page_stays_within_its_budget_of_html(owner, make_runs):
    make_runs(120)
    assert len(owner.get("/runs/", headers={"Accept-Encoding": "gzip"}).data) <= 16_384


def test_streams_and_small_answers_are_left_alone(app):
    from pilothouse.web.compression import compress

    with app.test_request_context(headers={"Accept-Encoding": "gzip"}):
        stream = compress(Response((part for part in [b"x" * 2000]), mimetype="text/html"))
        small = compress(Response("short", mimetype="text/html"))
        image = compress(Response(b"x" * 2000, mimetype="image/png"))
    assert [answer.headers.get("Content-Encoding") for answer in (stream, small, image)] == [None] * 3


def test_a_compressed_answer_has_a_weak_etag(app):
    from pilothouse.web.compression import compress

    response = Response("x" * 2000, mimetype="text/html")
    response.set_etag("one")
    with app.test_request_context(headers={"Accept-Encoding": "gzip"}):
        assert compress(response).headers["ETag"] == 'W/"one"'
