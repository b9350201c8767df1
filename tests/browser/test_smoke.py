"""Every page opens in a real browser, light and dark, wide and narrow, without a complaint and without moving sideways."""

import pytest

PAGES = (
    "/runs/",
    "/runs/charts",
    "/prices/",
    "/prices/new/",
    "/settings/plugins",
    "/settings/system",
    "/api/docs",
    "/welcome/",
    "/login",
)
WIDTHS = (320, 390, 760, 1100, 1440)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_opens_without_a_complaint_and_fits_any_width(open_page, path):
    page = open_page(path, None if path == "/login" else "owner")
    assert page.locator("h1").count() == 1
    assert page.title().endswith("Pilothouse")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("role", ["owner", "viewer"])
def test_every_entry_of_the_sidebar_opens(open_page, role):
    page = open_page("/welcome/", role)
    links = page.locator("[data-nav]").evaluate_all("links => links.map(link => link.href)")
    assert [page.goto(link, wait_until="commit").status for link in links] == [200] * len(links)
    page.wait_for_load_state()  # a context that is closed while its page is on the way has hung


def test_a_detail_page_keeps_long_names_inside(open_page, site):
    run = site.add_run(name="x" * 200, status="failed", started_at=1)
    page = open_page(f"/runs/{run}", width=390, height=844)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_name_without_end_takes_no_column_from_the_others(open_page):
    page = open_page("/runs/?status=failed")
    page.get_by_role("link", name="x" * 200).first.wait_for()
    assert page.locator(".scroll").evaluate("box => box.scrollWidth <= box.clientWidth")


@pytest.mark.parametrize(("theme", "colour"), [("light", "rgb(246, 247, 249)"), ("dark", "rgb(11, 13, 17)")])
def test_the_chosen_theme_is_there_at_the_first_paint(open_page, theme, colour):
    page = open_page("/welcome/", color_scheme="dark" if theme == "light" else "light")
    page.get_by_label("Display").click()
    page.get_by_role("button", name=theme.title()).click()
    page.reload()
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == colour


def test_times_are_those_of_the_browser_s_zone(open_page):
    page = open_page("/runs/", timezone_id="America/Argentina/Ushuaia")
    page.reload()  # the first page tells the zone
    page.get_by_text("Times in America/Argentina/Ushuaia").wait_for(state="attached")


def test_the_drawer_opens_on_phones_and_gives_focus_back(open_page):
    page = open_page("/welcome/", width=390, height=844)
    page.get_by_label("Open the menu").click()
    page.locator("#side a").first.wait_for(state="visible")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.matches('[data-drawer]')")


def test_menus_stay_on_the_screen_of_a_phone(open_page):
    page = open_page("/runs/", width=390, height=844)
    menus = page.locator("main details.menu:visible")
    shifted = []
    for place in range(menus.count()):
        page.keyboard.press("Escape")
        menus.nth(place).locator("> summary").click()
        box = menus.nth(place).locator(".pop")
        page.wait_for_function("box => box.style.translate", arg=box.element_handle())
        left = box.bounding_box()["x"]
        assert 0 <= left <= 390 - box.bounding_box()["width"]
        shifted.append(box.evaluate("box => box.style.translate"))
    assert set(shifted) - {"0px"}, shifted


def test_a_row_is_a_card_on_phones(open_page):
    page = open_page("/runs/?status=failed", width=390, height=844)
    assert page.locator("tbody tr").first.bounding_box()["height"] > 60
    assert page.locator("tbody td.box").first.is_hidden()
