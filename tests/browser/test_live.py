"""Live lists in a real browser: what moves, what stays, and what happens when the server goes away."""

import pytest

from pilothouse import clock
from pilothouse.work.models import Job


@pytest.fixture
def runs(open_page):
    return open_page("/runs/")


def row(page, run_id):
    return page.locator(f'tr[data-k="{run_id}"]')


def test_a_new_run_comes_in_at_the_top(runs, site):
    run_id = site.add_run()
    row(runs, run_id).wait_for()
    assert runs.locator("tbody tr").first.get_attribute("data-k") == run_id


def test_counts_follow(runs, site):
    before = int(runs.locator('[data-count="all"]').inner_text().replace(",", ""))
    site.add_run()
    runs.wait_for_function("n => document.querySelector('[data-count=all]').textContent.replace(',', '') == n", arg=before + 1)


def test_the_counts_of_the_sidebar_follow_up_and_down(runs, site):
    shown = runs.locator(".side [data-badge]")
    before = int(shown.inner_text().replace(",", ""))
    run_id = site.add_run()
    runs.wait_for_function("n => document.querySelector('[data-badge]').textContent.replace(',', '') == n", arg=before + 1)
    site.change(lambda session: session.delete(session.get(site.trial.Run, run_id)))
    runs.wait_for_function("n => document.querySelector('[data-badge]').textContent.replace(',', '') == n", arg=before)
    assert shown.is_visible()


def test_a_changed_run_is_changed_in_place_and_keeps_focus(open_page, site):
    run_id = site.add_run()
    page = open_page("/runs/")
    row(page, run_id).locator("a.main").focus()
    site.set_run(run_id, status="failed", duration_ms=5)
    row(page, run_id).get_by_text("Failed").wait_for()
    assert page.evaluate("document.activeElement.closest('tr')?.dataset.k") == run_id


def test_a_running_time_ticks(open_page, site):
    run_id = site.add_run()
    page = open_page("/runs/")
    shown = row(page, run_id).locator("[data-run]")
    before = shown.inner_text()
    changed = "([k, was]) => document.querySelector(`tr[data-k='${k}'] [data-run]`).textContent != was"
    page.wait_for_function(changed, arg=[run_id, before])


def test_a_selection_holds_what_comes_in(runs, site):
    runs.keyboard.press("j")
    runs.keyboard.press("x")
    run_id = site.add_run()
    runs.locator(".held").wait_for()
    assert row(runs, run_id).count() == 0
    assert runs.locator("[data-sel]:checked").count() == 1


def test_a_row_under_the_reader_does_not_move(runs, site):
    runs.evaluate("scrollTo(0, 400)")
    watched = runs.locator("tbody tr").nth(14)
    key, before = watched.get_attribute("data-k"), watched.bounding_box()["y"]
    site.add_run()
    runs.locator(".held").wait_for()
    assert row(runs, key).bounding_box()["y"] == before


def test_the_pill_lets_in_what_was_held(runs, site):
    runs.evaluate("scrollTo(0, 400)")
    run_id = site.add_run()
    runs.locator(".held").click()
    row(runs, run_id).wait_for()
    assert runs.locator(".held").count() == 0


def test_live_is_paused_and_goes_on(runs, site):
    runs.keyboard.press("l")
    assert runs.locator("[data-live-word]").inner_text() == "Paused"
    run_id = site.add_run()
    runs.wait_for_timeout(1_800)
    assert row(runs, run_id).count() == 0
    runs.keyboard.press("l")
    row(runs, run_id).wait_for()


def test_an_unchanged_list_is_asked_for_conditionally(runs):
    with runs.expect_response(lambda answer: answer.status == 304):
        pass


def test_a_server_that_is_away_is_told_and_found_again(runs, site, complaints):
    runs.route("**/runs/", lambda route: route.abort())
    runs.get_by_text("Reconnecting\u2026").wait_for()
    runs.locator(".lost").get_by_text("What you see is from").wait_for()
    runs.unroute("**/runs/")
    runs.locator(".lost").get_by_role("button", name="Try now").click()
    runs.locator(".lost").wait_for(state="detached")
    runs.locator('[data-live-toggle][data-state="live"]').wait_for()
    complaints.allow("ERR_FAILED")


def test_on_phones_the_word_that_the_server_is_away_covers_nothing(open_page, complaints):
    page = open_page("/runs/", width=390, height=844)
    page.route("**/runs/", lambda route: route.abort())
    page.locator(".lost").wait_for()
    word, search = page.locator(".lost").bounding_box(), page.locator("[data-search]").bounding_box()
    assert word["y"] + word["height"] <= search["y"]
    complaints.allow("ERR_FAILED")


def test_a_list_that_its_reader_may_not_see_any_more_says_so(runs, complaints):
    def refuse(route):
        rows = route.request.headers.get("x-ph-fragment") == "rows"
        route.fulfill(status=403, body="no") if rows else route.fulfill(status=403, body="<h1>Not allowed</h1>", content_type="text/html")

    runs.route("**/runs/", refuse)
    runs.get_by_role("heading", name="Not allowed").wait_for()
    complaints.allow("403")


def test_an_ended_session_leads_to_sign_in(runs, complaints):
    runs.context.clear_cookies(name="pilothouse_session")
    runs.wait_for_url("**/login?next=**")
    assert "next=%2Fruns%2F" in runs.url
    complaints.allow("401")


def test_acting_on_a_selection_asks_and_says_so(open_page, site):
    run_id = site.add_run()
    page = open_page("/runs/")
    row(page, run_id).locator("[data-sel]").click()
    page.locator(".bulk").get_by_text("Cancel").click()
    page.locator("#confirm").get_by_text("Cancel them").click()
    page.locator(".toast").get_by_text("Cancelled 1 runs").wait_for()
    row(page, run_id).get_by_text("Cancelled").wait_for()


def test_what_was_done_is_told_by_the_page_that_comes_next(open_page, site):
    dead = {"id": clock.new_id(), "task": "trial.gone", "payload": "{}", "state": "dead", "created_at": 1, "due_at": 1}
    site.change(lambda session: session.add(Job(**dead, finished_at=clock.now(), error="It failed.")))
    page = open_page("/settings/system")
    page.locator("[data-sel]").first.click()
    with page.expect_navigation():
        page.locator(".bulk").get_by_text("Run again").click()
    page.locator(".toast").get_by_text("1 task runs again").wait_for()


def test_a_question_answered_with_no_changes_nothing(open_page, site):
    run_id = site.add_run()
    page = open_page("/runs/")
    row(page, run_id).locator("[data-sel]").click()
    page.locator(".bulk").get_by_text("Cancel").click()
    page.locator("#confirm").get_by_text("Keep it").click()
    page.wait_for_timeout(300)
    assert row(page, run_id).get_by_text("Running").is_visible()
