"""All without a mouse, and all without a script."""

import re

import pytest


@pytest.fixture
def runs(open_page):
    return open_page("/runs/")


def current(page):
    return page.locator("tr.cur").get_attribute("data-k")


def test_rows_are_walked_and_opened(runs):
    runs.keyboard.press("j")
    runs.keyboard.press("j")
    key = current(runs)
    runs.keyboard.press("Enter")
    runs.wait_for_url(f"**/runs/{key}")


def test_a_peek_opens_moves_along_and_gives_focus_back(runs):
    runs.keyboard.press("j")
    runs.keyboard.press("p")
    runs.locator(".peek h1").wait_for()
    first = current(runs)
    assert f"peek={first}" in runs.url
    runs.keyboard.press("j")
    runs.wait_for_function("was => !location.search.includes(was)", arg=first)
    runs.keyboard.press("Escape")
    assert runs.locator(".peek").count() == 0
    assert runs.evaluate("document.activeElement.closest('tr').classList.contains('cur')")


def test_a_copied_address_opens_the_same_peek(open_page, runs):
    runs.keyboard.press("j")
    runs.keyboard.press("p")
    runs.locator(".peek h1").wait_for()
    again = open_page(re.sub(r"^https?://[^/]+", "", runs.url))
    again.locator(".peek h1").wait_for()


@pytest.mark.parametrize(("keys", "path"), [("ga", "/runs/charts"), ("gs", "/settings/system"), ("ge", "/runs/")])
def test_g_and_a_letter_go_to_a_page(open_page, keys, path):
    page = open_page("/welcome/")
    page.keyboard.type(keys)
    page.wait_for_url(f"**{path}")


def test_the_palette_finds_and_opens(runs):
    runs.keyboard.press("Control+k")
    runs.keyboard.type("syst")
    runs.locator("[role=option][aria-selected=true]", has_text="System").wait_for()
    runs.keyboard.press("Enter")
    runs.wait_for_url("**/settings/system")


def test_the_palette_asks_plugins_and_says_when_there_is_nothing(runs):
    runs.keyboard.press("Control+k")
    runs.keyboard.type("extract inv")
    runs.locator("[role=option]", has_text="Extract invoices").first.wait_for()
    runs.keyboard.type("qqqqq")
    runs.get_by_text("Nothing found for").wait_for()


def test_the_slash_goes_to_the_search_and_keys_are_letters_there(runs):
    runs.keyboard.press("/")
    runs.keyboard.type("jxp")
    assert runs.locator("[data-search]").input_value() == "jxp"
    assert runs.locator(".peek, .bulk:visible").count() == 0


def test_single_keys_can_be_switched_off(runs):
    runs.keyboard.press("?")
    runs.get_by_label("Single-key shortcuts").uncheck()
    runs.keyboard.press("Escape")
    runs.keyboard.press("j")
    assert runs.locator("tr.cur").count() == 0
    runs.reload()
    runs.keyboard.press("j")
    assert runs.locator("tr.cur").count() == 0


def test_a_range_of_rows_is_selected_with_shift(runs):
    boxes = runs.locator("[data-sel]")
    boxes.nth(1).click()
    boxes.nth(4).click(modifiers=["Shift"])
    assert runs.locator("[data-sel]:checked").count() == 4
    runs.keyboard.press("Escape")
    assert runs.locator("[data-sel]:checked").count() == 0


def test_dragging_over_a_chart_zooms(open_page):
    page = open_page("/runs/charts")
    box = page.locator("[data-plot]").first.bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 250, box["y"] + 50, steps=4)
    page.mouse.up()
    page.wait_for_url("**/runs/charts?since=*&until=*")


def test_empty_fields_are_left_out_of_the_address(runs):
    runs.keyboard.press("/")
    runs.keyboard.press("Enter")
    runs.wait_for_load_state()
    assert runs.url.endswith("/runs/")


def test_unsaved_changes_are_asked_about(open_page):
    page = open_page("/prices/new/")
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.get_by_label("Provider").press_sequentially("x")
    page.get_by_role("link", name="Cancel").click()
    page.wait_for_url("**/prices/")
    assert asked == ["beforeunload"]


def test_copying_says_what_was_copied(open_page, site):
    run = site.add_run(started_at=1)
    page = open_page(f"/runs/{run}", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_label("Copy the id").click()
    page.get_by_text("Copied the id").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == run


@pytest.fixture
def plain(open_page):
    return lambda path: open_page(path, java_script_enabled=False)


def test_lists_filter_and_page_without_a_script(plain):
    page = plain("/runs/")
    page.get_by_role("link", name=re.compile("^Failed")).click()
    assert page.url.endswith("?status=failed")
    page.goto(page.url.partition("?")[0])
    page.get_by_role("link", name="Older").click()
    assert "cursor=" in page.url


def test_a_deletion_asks_without_a_script(plain):
    page = plain("/prices/")
    rows = page.locator("tbody tr").count()
    page.locator("tbody tr").first.get_by_label("Delete").click()
    page.get_by_role("button", name="Delete").wait_for()
    page.get_by_role("link", name="Keep it").click()
    assert page.locator("tbody tr").count() == rows


def test_numbers_of_a_chart_are_there_without_a_script(plain):
    page = plain("/runs/charts")
    assert page.locator(".plot path.line").count() > 0
    assert page.locator("figure table tbody tr").count() == 28 * 4


def test_what_needs_a_script_is_not_shown_without_one(plain):
    page = plain("/runs/")
    assert page.locator(".jsonly:visible").count() == 0
    assert page.locator(".side [data-nav]").first.is_visible()
