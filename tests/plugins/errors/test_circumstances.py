"""What sources tell beside an error is sorted for showing, whatever its shape."""

from __future__ import annotations

import pytest

from pilothouse_errors.circumstances import read

AT = 1_764_000_000_000


def chain(*links):
    return [{"type": name, "message": f"{name} happened", **more} for name, more in links]


def test_a_chain_runs_from_the_outermost_exception_to_its_causes():
    around = read({"exceptions": chain(("ValueError", {}), ("KeyError", {"module": "shop"}), ("OrderFailed", {}))}, AT)
    assert [(cause.error_type, cause.depth) for cause in around.causes] == [("OrderFailed", 0), ("KeyError", 1), ("ValueError", 2)]
    assert around.causes[1].module == "shop"


def test_each_exception_of_a_chain_has_its_frames():
    frames = [{"file": "shop.py", "function": "price", "line": 7, "vars": {"n": 1}}, "odd", {"line": "x"}, {"file": 5}]
    around = read({"exceptions": chain(("KeyError", {"frames": frames}), ("Odd", {"frames": {"a": 1}}), ("OrderFailed", {}))}, AT)
    assert [[frame.function for frame in cause.frames] for cause in around.causes] == [[], [], ["price"]]


def test_the_page_shows_the_frames_of_the_innermost_exception_open(api, as_role):
    def frame(name):
        return {"file": "shop.py", "function": name, "line": 7, "context_line": f"return {name}(<sku>)", "in_app": True}

    links = [("KeyError", {"frames": [frame("price")]}), ("ValueError", {"frames": [frame("parse")] * 2}), ("OrderFailed", {})]
    api.send({"type": "error", "id": "e1", "error_type": "OrderFailed", "message": "m", "frames": [frame("order")],
              "attributes": {"exceptions": chain(*links)}})  # fmt: skip
    page = as_role("viewer").get(f"/errors/{api.get('/api/errors/e1').json['group_id']}").text
    for name in ("order", "parse", "price"):
        assert f"return {name}(&lt;sku&gt;)" in page
    causes = page[page.index('class="plain causes"'):]
    assert causes.index('<details class="snip"><summary') < causes.index("2 frames") < causes.index('<details class="snip" open>')
    assert causes.index('<details class="snip" open>') < causes.index("1 frame,")


def test_a_group_is_a_tree():
    def place(key, parent=None):
        return {"mechanism": {"exception_id": key, **({} if parent is None else {"parent_id": parent})}}

    sent = chain(("Inner", place(3, 2)), ("Second", place(2, 0)), ("First", place(1, 0)), ("Group", place(0)))
    assert [(cause.error_type, cause.depth) for cause in read({"exceptions": sent}, AT).causes] == [
        ("Group", 0), ("First", 1), ("Second", 1), ("Inner", 2),
    ]  # fmt: skip


def test_one_exception_alone_is_the_error_itself():
    assert read({"exceptions": chain(("ValueError", {}))}, AT).causes == []


@pytest.mark.parametrize(
    ("timestamp", "before"),
    [
        ("2025-11-24T15:59:58Z", "−2.0 s"), ("2025-11-24T15:59:58", "−2.0 s"), (AT / 1_000 - 2, "−2.0 s"), (AT - 2_000, "−2.0 s"),
        (AT + 5, "0 ms"), (None, ""), (True, ""), ("soon", ""), ([], ""), (1e300, ""), (float("nan"), ""),
    ],
)  # fmt: skip
def test_breadcrumbs_tell_how_long_before_the_error(timestamp, before):
    crumb = {"category": "query", "message": "SELECT 1", "timestamp": timestamp, "level": "warning", "data": {"rows": 3}}
    [line] = read({"breadcrumbs": [crumb, "odd"]}, AT).breadcrumbs
    assert (line["at"], line["level"], line["text"]) == (before.replace(" ", "\N{NO-BREAK SPACE}"), "warning", "query  SELECT 1  rows=3")


def test_a_request_has_its_line_and_its_body_as_json():
    request = {"method": "POST", "url": "https://shop/orders", "query": {"page": "2"}, "body": '{"sku": 1}', "headers": {"host": "shop"}}
    found = read({"request": request}, AT).request
    assert (found.line, found.query, found.headers, found.body) == (
        "POST https://shop/orders", [("page", "2")], [("host", "shop")], {"sku": 1},
    )  # fmt: skip


def test_what_has_not_the_shape_of_its_name_is_shown_with_the_rest():
    odd = {"tags": ["a"], "user": "ada", "breadcrumbs": {"values": 1}, "request": 7, "exceptions": "x", "contexts": 1, "mine": {}}
    around = read(odd, AT)
    assert around.rest == odd
    assert (around.tags, around.user, around.breadcrumbs, around.request) == ([], [], [], None)


@pytest.mark.parametrize("odd", [None, 7, [], "text", {"exceptions": [None, 3]}, {"contexts": {"a": None, "b": [1]}}])
def test_any_attributes_can_be_read(odd):
    around = read(odd, AT)
    assert (around.tags, around.user, around.breadcrumbs, around.request) == ([], [], [], None)


def test_long_lists_and_texts_are_cut():
    around = read({"breadcrumbs": [{"message": "m"}] * 500, "tags": {str(n): "x" * 9_000 for n in range(500)}}, AT)
    assert (len(around.breadcrumbs), len(around.tags), len(around.tags[0][1])) == (100, 200, 2_001)


def test_the_page_shows_them_as_text(api, as_role):
    attributes = {
        "exceptions": chain(("ValueError", {}), ("<b>Order</b>", {})), "step_id": "s/1", "step": "charge",
        "breadcrumbs": [{"category": "http", "message": "<script>", "timestamp": AT / 1000}], "tags": {"shop": "berlin"},
        "user": {"email": "ada@example.com"}, "request": {"method": "GET", "url": "http://shop/?a=<i>"}, "logger": "shop.billing",
        "contexts": {"runtime": {"name": "CPython"}}, "extra": {"invoice": "INV-77"}, "own": {"deep": [1]},
    }  # fmt: skip
    frames = [{"file": "shop.py", "function": "price", "line": 7, "context_line": "return a / b", "vars": {"secret_free": "<u>"}}]
    api.send(
        {"type": "execution", "id": "run-1", "workflow": "w", "status": "running"},
        {"type": "error", "id": "e1", "error_type": "Order", "message": "m", "execution_id": "run-1", "frames": frames,
         "attributes": attributes},
    )  # fmt: skip
    group = api.get("/api/errors/e1").json["group_id"]
    page = as_role("viewer").get(f"/errors/{group}").text
    for told in ("&lt;b&gt;Order&lt;/b&gt;", "&lt;script&gt;", "berlin", "ada@example.com", "a=&lt;i&gt;", "shop.billing", "CPython",
                 "INV-77", "deep", "&lt;u&gt;", "secret_free"):  # fmt: skip
        assert told in page, told
    assert "/executions/run-1?step=s%2F1#step-s%2F1" in page.replace("s/1", "s%2F1")
    assert "Open the step charge" in page
