"""What was typed is not lost: not by an ended session, not by a page that is older than the sign-in, not by going back."""

import pytest
from sqlalchemy import select

from pilothouse.db import unit_of_work
from pilothouse.identity.models import User
from pilothouse.identity.sessions import open_session


@pytest.fixture
def form(open_page):
    page = open_page("/prices/new/")
    with page.expect_response("**/typed.js"):
        page.get_by_label("Provider").fill("Maker of models")
    return page


def enter(page, site, token):
    page.context.add_cookies([{"name": "pilothouse_session", "value": token, "url": site.url}])


def another_session(site, role="owner"):
    with site.app.app_context(), unit_of_work() as session:
        user = session.scalars(select(User).where(User.email == f"{role}@example.com")).one()
        return open_session(user, device="test", address="127.0.0.1")


def test_it_comes_back_after_signing_in_again(form, site, complaints):
    form.context.clear_cookies()
    form.get_by_role("button", name="Save", exact=True).click()
    form.get_by_role("link", name="Sign in").wait_for()
    enter(form, site, site.tokens["owner"])
    form.get_by_role("link", name="Sign in").click()
    form.get_by_text("What you typed is here again").wait_for()
    assert form.get_by_label("Provider").input_value() == "Maker of models"
    complaints.allow("401")


def test_it_comes_back_where_the_page_was_older_than_the_sign_in(form, site, complaints):
    enter(form, site, another_session(site))
    form.get_by_role("button", name="Save", exact=True).click()
    form.get_by_role("link", name="Back to the page").click()
    form.get_by_text("What you typed is here again").wait_for()
    assert form.get_by_label("Provider").input_value() == "Maker of models"
    complaints.allow("403")


def test_it_is_not_shown_to_somebody_else(form, site, complaints):
    enter(form, site, site.tokens["admin"])
    form.get_by_role("button", name="Save", exact=True).click()
    form.get_by_role("link", name="Back to the page").click()
    form.wait_for_function("() => !sessionStorage.phTyped")
    assert form.get_by_label("Provider").input_value() == ""
    complaints.allow("403")


def test_what_was_sent_is_not_kept(form, site):
    form.get_by_label("Model").fill("kept-nowhere")
    form.get_by_role("button", name="Save", exact=True).click()
    form.wait_for_url("**/prices/")
    form.wait_for_function("() => !sessionStorage.phTyped")
    form.goto(f"{site.url}/prices/new/")
    assert form.get_by_label("Provider").input_value() == ""
