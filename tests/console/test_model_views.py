"""Tables as pages: closed by default, scoped everywhere, paged by key, without SQL in errors or formulas in exports."""

import csv
import io
import re

import pytest
from flask_admin.contrib.sqla.filters import FilterEqual

from pilothouse.db import db
from pilothouse.errors import PluginError
from pilothouse.web.console import ConsoleModelView

FORM = {"provider": "Maker", "model": "new-one", "usd": "1.5", "active": "y"}


def rows_of(page):
    return re.findall(r'<tr data-k="(\d+)">', page.text)


def stored(trial, model):
    db.session.expire_all()
    return db.session.query(trial.PriceRow).filter_by(model=model).one_or_none()


def test_the_list_shows_listed_columns_only(owner, make_price):
    make_price("gpt-5", secret="hidden-secret", note="a note that is not listed")
    page = owner.get("/prices/").text
    assert "gpt-5" in page
    assert "hidden-secret" not in page
    assert "a note that is not listed" not in page


def test_hidden_columns_cannot_be_found_through_search(owner, make_price):
    make_price("gpt-5", secret="needle")
    assert "No record matches" in owner.get("/prices/?search=needle").text
    assert "gpt-5" in owner.get("/prices/?search=gpt").text


@pytest.mark.parametrize("path", ["/prices/edit/?id={}", "/prices/details/?id={}"])
def test_a_record_outside_of_the_scope_does_not_exist(owner, make_price, path):
    foreign = make_price("theirs", owner="theirs")
    assert owner.get(path.format(foreign)).status_code == 404
    assert "theirs" not in owner.get("/prices/").text


def test_a_record_outside_of_the_scope_is_not_deleted(owner, make_price, trial):
    foreign = make_price("theirs", owner="theirs")
    assert owner.submit("/prices/delete/", id=foreign, confirmed="1").status_code == 404
    owner.submit("/prices/action/", action="delete", rowid=[foreign], confirmed="1")
    assert stored(trial, "theirs") is not None


@pytest.mark.parametrize("page", ["99999999999999999999", "-1", "x", "3"])
def test_no_page_number_is_an_error(owner, make_price, page):
    make_price("gpt-5")
    assert rows_of(owner.get(f"/prices/?page={page}")) != []


@pytest.mark.parametrize("cursor", [
    "x", "W10", "WyJhIiwxLDJd", "WyJhIiwieCJd", "!!!", "WyJhIiwxMDAwMDAwMDAwMDAwMDAwMDAwMDAwXQ",
])
def test_a_malformed_cursor_is_422(owner, cursor):
    assert owner.get(f"/prices/?cursor={cursor}").status_code == 422


@pytest.mark.parametrize("query", ["", "?sort=model", "?sort=model&desc=1", "?sort=usd", "?sort=usd&desc=1", "?search=m"])
def test_every_record_is_on_one_page_and_no_more(owner, make_price, query):
    for number in range(120):
        make_price(f"m{number:03}", usd=None if number % 7 == 0 else number % 5)
    seen, path = [], f"/prices/{query}"
    while path:
        page = owner.get(path)
        seen += rows_of(page)
        older = re.search(r'rel="next" href="([^"]+)"', page.text)
        path = older and older[1].replace("&amp;", "&")
    assert len(seen) == 120
    assert len(set(seen)) == 120


@pytest.mark.parametrize("query", ["", "?sort=usd", "?sort=usd&desc=1"])
def test_the_newer_page_is_the_one_that_was_left(owner, make_price, query):
    for number in range(60):
        make_price(f"m{number:03}", usd=None if number % 3 == 0 else number % 5)
    first = owner.get(f"/prices/{query}")
    older = owner.get(re.search(r'rel="next" href="([^"]+)"', first.text)[1].replace("&amp;", "&"))
    newer = owner.get(re.search(r'rel="prev" href="([^"]+)"', older.text)[1].replace("&amp;", "&"))
    assert rows_of(newer) == rows_of(first)


def test_rows_that_come_in_meanwhile_are_not_shown_twice(owner, make_price):
    for number in range(60):
        make_price(f"m{number:03}")
    first = owner.get("/prices/")
    for number in range(10):
        make_price(f"late{number}")
    older = owner.get(re.search(r'rel="next" href="([^"]+)"', first.text)[1])
    assert not set(rows_of(first)) & set(rows_of(older))


def test_a_list_costs_one_statement_and_never_a_count(app, owner, make_price, count_queries):
    make_price("gpt-5")
    owner.get("/prices/")
    with count_queries(app) as statements:
        owner.get("/prices/")
    prices = [one for one in statements if "trial_prices" in one]
    assert len(prices) == 1
    assert "count(" not in prices[0].lower()


def test_sorting_is_by_name_and_keeps_filters(owner, make_price):
    make_price("gpt-5")
    page = owner.get("/prices/?flt0_active_equals=1&search=gpt").text
    assert "sort=model" in page
    assert re.search(r'href="[^"]*sort=model[^"]*search=gpt[^"]*flt0_active_equals=1', page)


def test_a_sort_by_a_column_that_is_not_listed_is_ignored(owner, make_price):
    make_price("gpt-5")
    assert owner.get("/prices/?sort=secret").status_code == 200


def test_the_filter_form_works_without_a_script(owner, make_price):
    make_price("gpt-5")
    make_price("old", active=False)
    answer = owner.get("/prices/?f=active_equals&v=0")
    assert answer.headers["Location"] == "/prices/?flt0_active_equals=0"
    page = owner.get(answer.headers["Location"])
    assert "old" in page.text
    assert "Active equals" in page.text


@pytest.mark.parametrize("query", ["f=nothing&v=1", "f=active_equals", "f=provider_contains&v="])
def test_a_filter_that_is_none_changes_nothing(owner, query):
    assert owner.get(f"/prices/?{query}").headers["Location"] == "/prices/"


def test_a_record_is_created_with_every_kind_of_column(owner, trial):
    key = "01890a5d-ac96-774b-bcce-b302099a8057"
    answer = owner.submit("/prices/new/", **FORM, exact="0.25", key=key, every="1d 2h 30m", note="long\ntext")
    assert answer.status_code == 302
    row = stored(trial, "new-one")
    assert (row.usd, row.exact, str(row.key), row.every.total_seconds()) == (1.5, 0.25, key, 95_400)


def test_a_wrong_form_keeps_what_was_typed_and_says_why(owner, trial):
    page = owner.submit("/prices/new/", provider="", model="x", key="no-uuid", every="soon").text
    assert "3 fields need another look" in page
    assert 'value="no-uuid"' in page
    assert "Failed to create" not in page
    assert stored(trial, "x") is None


def test_a_record_is_changed_and_the_audit_log_says_who(owner, make_price, trial):
    number = make_price("gpt-5")
    owner.submit(f"/prices/edit/?id={number}", **{**FORM, "model": "gpt-5.1"})
    entry = db.session.execute(db.text("SELECT actor_name, action, target FROM audit_log ORDER BY seq DESC LIMIT 1")).one()
    assert stored(trial, "gpt-5.1").usd == 1.5
    assert entry == ("owner@example.com", "trial_prices.changed", f"trial_prices:{number}")


def test_a_conflict_is_told_without_sql(app, owner, make_price, trial):
    make_price("gpt-5")
    number = make_price("gpt-6", provider="Maker")
    with app.app_context():
        db.session.execute(db.text("CREATE UNIQUE INDEX one_provider ON trial_prices (provider, note)"))
        db.session.commit()
    make_price("gpt-7", note="same")
    page = owner.submit(f"/prices/edit/?id={number}", **{**FORM, "note": "same"}).text
    assert "conflicts with another record" in page
    assert "UNIQUE" not in page
    assert "trial_prices." not in page


def test_without_a_script_deleting_asks_on_a_page_of_its_own(owner, make_price, trial):
    number = make_price("gpt-5")
    page = owner.submit("/prices/delete/", id=number)
    assert "Delete model prices gpt-5?" in page.text
    assert stored(trial, "gpt-5") is not None


def test_a_confirmed_deletion_deletes(owner, make_price, trial):
    number = make_price("gpt-5")
    assert owner.submit("/prices/delete/", id=number, confirmed="1").status_code == 302
    assert stored(trial, "gpt-5") is None


def test_an_action_over_a_selection_asks_first(owner, make_price, trial):
    numbers = [make_price("one"), make_price("two")]
    assert "2 selected." in owner.submit("/prices/action/", action="delete", rowid=numbers).text
    owner.submit("/prices/action/", action="delete", rowid=numbers, confirmed="1")
    assert stored(trial, "one") is None
    assert stored(trial, "two") is None


def test_an_unknown_action_is_404(owner):
    assert owner.submit("/prices/action/", action="explode", rowid=["1"]).status_code == 404


@pytest.mark.parametrize("path", ["/prices/new/", "/prices/edit/?id=1", "/prices/delete/", "/prices/action/"])
def test_a_post_without_the_csrf_token_is_403(owner, path):
    answer = owner.post(path, data=FORM)
    assert answer.status_code == 403
    assert "Nothing was changed" in answer.text


@pytest.mark.parametrize("role", ["member", "viewer"])
@pytest.mark.parametrize("path", ["/prices/new/", "/prices/edit/?id=1", "/prices/delete/", "/prices/action/"])
def test_writing_needs_the_write_permission(as_role, role, path):
    assert as_role(role).submit(path, **FORM).status_code == 403


def test_a_reader_sees_no_button_that_would_be_refused(as_role, make_price):
    make_price("gpt-5")
    page = as_role("viewer").get("/prices/").text
    assert "/prices/new/" not in page
    assert "/prices/delete/" not in page
    assert 'id="bulk"' not in page


def test_the_return_address_never_leaves_the_host(owner):
    answer = owner.submit("/prices/new/?url=https://evil.example/", **FORM)
    assert answer.headers["Location"].startswith("/prices/")


def test_an_export_streams_what_is_filtered_and_defuses_formulas(owner, make_price):
    make_price("=HYPERLINK(1)")
    make_price("gpt-5", active=False)
    answer = owner.get("/prices/export/csv/?flt0_active_equals=1")
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows == [["Provider", "Model", "Usd", "Active"], ["Maker", "'=HYPERLINK(1)", "", "True"]]


def test_an_export_reads_in_chunks_and_is_noted(app, owner, make_price, count_queries, trial):
    with count_queries(app):
        db.session.add_all([trial.PriceRow(provider="Maker", model=f"m{n}") for n in range(2_500)])
        db.session.commit()
    with count_queries(app) as statements:
        rows = owner.get("/prices/export/csv/").text.splitlines()
    assert len(rows) == 2_501
    assert len([one for one in statements if "FROM trial_prices" in one]) == 3
    assert db.session.scalar(db.text("SELECT action FROM audit_log ORDER BY seq DESC LIMIT 1")) == "trial_prices.exported"


@pytest.mark.parametrize("path", ["/prices/export/xlsx/", "/prices/ajax/lookup/?name=x", "/prices/ajax/update/"])
def test_what_is_not_offered_is_closed(owner, path):
    assert owner.get(path).status_code in {403, 404, 405}


def test_a_view_that_states_nothing_is_closed(trial):
    class Bare(ConsoleModelView):
        model = trial.PriceRow
        column_list = ("model",)

    assert not any((Bare.can_create, Bare.can_edit, Bare.can_delete, Bare.can_export, Bare.can_view_details))
    assert Bare.permission == ""


@pytest.mark.parametrize(("wrong", "reason"), [
    ({"column_list": None}, "no column_list"),
    ({"column_searchable_list": ("secret",)}, "searches columns that it does not show"),
    ({"can_edit": True, "form_columns": ("model",)}, "without a write_permission"),
    ({"can_create": True, "write_permission": "x"}, "no form_columns"),
    ({"column_editable_list": ("model",)}, "Flask-Admin's scripts"),
])
def test_a_view_with_a_hole_is_refused_when_it_is_made(app, trial, wrong, reason):
    stated = {"model": trial.PriceRow, "title": "Holed", "path": "/holed", "column_list": ("model",), **wrong}
    view = type("Holed", (ConsoleModelView,), stated)
    with pytest.raises(PluginError, match=reason):
        view()


def test_filters_of_a_plugins_own_work(app, trial):
    class Filtered(ConsoleModelView):
        model = trial.PriceRow
        title, path = "Filtered", "/filtered"
        column_list = ("model",)
        column_filters = (FilterEqual(trial.PriceRow.provider, "Provider"),)

    assert [group for group, _ in Filtered()._get_filter_groups().items()] == ["Provider"]
