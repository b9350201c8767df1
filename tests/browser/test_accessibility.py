"""WCAG 2.2 AA by axe, on every page and with every layer open. The policy itself is tested elsewhere; axe needs it off."""

import pytest
from axe_playwright_python.sync_playwright import Axe

FEW = "/runs/?status=failed"  # a short list: axe takes long over many equal rows
PAGES = (FEW, "/runs/charts", "/prices/?search=model-1", "/settings/plugins", "/settings/system", "/api/docs", "/welcome/")
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
EVERY_RULE = {"type": "tag", "values": TAGS}
RULES_OF_COLOUR = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}


def violations(page, rules=EVERY_RULE):
    # without `resultTypes` axe describes every node that passes too, which takes four times as long
    options = {"runOnly": rules, "resultTypes": ["violations"]}
    found = Axe().run(page, options=options).response["violations"]
    return [(one["id"], node["html"][:160], node.get("failureSummary", "")[:200]) for one in found for node in one["nodes"]]


def violations_in_both_schemes(page):
    """Look at a page that was opened light; the dark one is the same but for its colours."""
    found = violations(page)
    page.emulate_media(color_scheme="dark")
    return found + violations(page, RULES_OF_COLOUR)


@pytest.fixture
def look(open_page):
    return lambda path, role="owner", **options: open_page(path, role, bypass_csp=True, **options)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_no_violation_in_light_and_dark(look, path):
    page = look(path, color_scheme="light", reduced_motion="reduce")
    page.evaluate("document.querySelectorAll('main details:not(.menu)').forEach(one => one.open = true)")
    assert violations_in_both_schemes(page) == []


@pytest.mark.parametrize("path", [FEW, "/settings/system"])
def test_a_page_has_no_violation_on_phones(look, path):
    assert violations(look(path, width=390, height=844, reduced_motion="reduce")) == []


def test_the_sign_in_page_has_no_violation(look):
    assert violations(look("/login", None)) == []


def test_a_detail_page_has_no_violation(look, site):
    page = look(f"/runs/{site.add_run(started_at=1)}", reduced_motion="reduce")
    page.evaluate("document.querySelectorAll('main details').forEach(one => one.open = true)")
    assert violations(page) == []


def open_palette(page):
    page.keyboard.press("Control+k")
    page.keyboard.type("invo")
    page.locator("[role=option]").first.wait_for()


def open_peek(page):
    page.keyboard.press("j")
    page.keyboard.press("p")
    page.locator(".peek h1").wait_for()


def open_bulk(page):
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.locator(".bulk").wait_for(state="visible")


def open_help(page):
    page.keyboard.press("?")
    page.locator("#keyhelp").wait_for(state="visible")


def open_confirm(page):
    open_bulk(page)
    page.locator(".bulk").get_by_text("Cancel").click()
    page.locator("#confirm").wait_for(state="visible")


@pytest.mark.parametrize("layer", [open_palette, open_peek, open_bulk, open_help, open_confirm])
def test_an_open_layer_has_no_violation(look, layer):
    page = look(FEW, reduced_motion="reduce")
    layer(page)
    assert violations(page) == []


def test_forms_with_faults_have_no_violation(look):
    page = look("/prices/new/")
    page.get_by_role("button", name="Save", exact=True).click()
    page.locator("[data-focus]").wait_for()
    assert violations(page) == []
    assert page.evaluate("document.activeElement.matches('[data-focus]')")


def test_charts_are_read_by_arrow_keys(look):
    page = look("/runs/charts")
    page.locator("[data-plot]").first.focus()
    page.keyboard.press("End")
    page.wait_for_function("document.querySelector('#say').textContent.includes('Executions 1,650')")
    assert page.locator(".tip:visible").count() > 1


def test_selection_is_visible_in_forced_colours(look):
    page = look("/runs/", forced_colors="active")
    assert page.locator(".nav a[aria-current]").evaluate("link => getComputedStyle(link).borderTopWidth") == "2px"


def test_a_ticked_box_and_its_row_are_seen_in_forced_colours(look):
    page = look(FEW, forced_colors="active")
    open_bulk(page)
    assert page.locator("[data-sel]:checked").evaluate("box => getComputedStyle(box).appearance") == "auto"
    assert page.locator("tr.sel").evaluate("row => getComputedStyle(row).outlineStyle") == "solid"


def test_print_has_the_title_and_neither_boxes_nor_buttons(look):
    page = look(FEW)
    page.emulate_media(media="print")
    assert page.get_by_role("heading", level=1).is_visible()
    assert page.locator("[data-sel]:visible, button:visible, .side:visible").count() == 0


def test_what_was_done_is_said_by_the_page_that_comes_next(look):
    page = look("/prices/new/")
    for name in ("Provider", "Model"):
        page.get_by_label(name).fill("said")
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_function("document.querySelector('#say').textContent.includes('success')")
