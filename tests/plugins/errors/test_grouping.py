"""Which errors are one fault: the fingerprint rule, on plain cases and on recorded ones."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.sdk import Error, Frame
from pilothouse.signals import decode_hook
from pilothouse_errors.frame_names import frame_name, is_in_app
from pilothouse_errors.grouping import group
from pilothouse_errors.message_patterns import normalise
from pilothouse_errors.tallying import title_of

RECORDED = json.loads((Path(__file__).parent / "recorded" / "sentry.json").read_text())


def error(**fields: Any) -> Error:
    report = {"type": "error", "id": "e", "error_type": "ValueError", "message": "bad", **fields}
    return msgspec.convert(report, Error, dec_hook=decode_hook)


def frame(name: str, *, module: str = "shop.orders", **fields: Any) -> dict[str, Any]:
    return {"module": module, "function": name, "file": "shop/orders.py", "line": 7, **fields}


def recorded(case: str) -> list[str]:
    return [group(error(**signal)).fingerprint for signal in RECORDED[case]]


def test_the_same_fault_with_other_numbers_in_its_message_is_one_group():
    assert len(set(recorded("same_error_many"))) == 1


def test_the_reason_names_the_rule_and_the_innermost_frame():
    reason = group(error(**RECORDED["same_error_many"][0])).reason
    assert reason == "by type and 2 frames of your own code; the innermost is sentry_python:reserve"


def test_recorded_faults_of_a_web_application_form_one_group_each():
    zero, missing, again = recorded("flask_errors")
    assert zero == again
    assert zero != missing


def test_logged_sentences_are_told_apart_although_they_come_from_one_place():
    levels = recorded("node_messages")
    assert len(set(levels[:5])) == 5


def test_line_numbers_do_not_count():
    early = error(frames=[frame("load", line=3), frame("parse", line=9)])
    late = error(frames=[frame("load", line=30), frame("parse", line=90)])
    assert group(early) == group(late)


def test_library_frames_do_not_count_beside_own_ones():
    own = [frame("load")]
    library = frame("loads", module="json.decoder", file="/usr/lib/python3.11/json/decoder.py")
    assert group(error(frames=[*own, library])) == group(error(frames=own))


def test_without_own_frames_the_library_frames_count():
    first = frame("loads", module="json", file="/usr/lib/python3.11/json/__init__.py")
    other = frame("connect", module="socket", file="/usr/lib/python3.11/socket.py")
    assert group(error(frames=[first])).fingerprint != group(error(frames=[other])).fingerprint
    assert "none of them in your own code" in group(error(frames=[first])).reason


def test_the_depth_of_a_recursion_does_not_matter():
    shallow = [frame("main"), *[frame("walk"), frame("visit")] * 2]
    deep = [frame("main"), *[frame("walk"), frame("visit")] * 400, frame("walk")]
    assert group(error(frames=shallow)).fingerprint == group(error(frames=deep)).fingerprint


def test_another_type_or_another_function_is_another_fault():
    first = group(error(frames=[frame("load")])).fingerprint
    assert group(error(error_type="KeyError", frames=[frame("load")])).fingerprint != first
    assert group(error(frames=[frame("store")])).fingerprint != first


def test_a_sent_fingerprint_wins():
    one = error(fingerprint="billing", frames=[frame("load")])
    other = error(fingerprint=["billing"], error_type="KeyError", message="quite different")
    assert group(one) == group(other)
    assert group(one).reason == "by the fingerprint that was sent: billing"


@pytest.mark.parametrize("sent", [None, [], [""], "  ", ["{{ default }}"], ["{{default}}"]])
def test_an_empty_or_default_fingerprint_leaves_it_to_the_rules(sent):
    assert group(error(fingerprint=sent)) == group(error())


def test_default_inside_a_fingerprint_stands_for_the_rules():
    split = group(error(fingerprint=["{{ default }}", "tenant-1"]))
    assert split.fingerprint != group(error(fingerprint=["{{ default }}", "tenant-2"])).fingerprint
    assert split.fingerprint != group(error(fingerprint=["{{ default }}", "tenant-1"], message="worse")).fingerprint
    assert split.reason.startswith("by the fingerprint that was sent (tenant-1) and type and message")


def test_text_and_frames_of_one_python_trace_give_one_group():
    trace = 'Traceback (most recent call last):\n  File "/srv/shop/orders.py", line 3, in load\n    parse(x)\nValueError: bad\n'
    frames = [{"file": "/srv/shop/orders.py", "function": "load", "line": 5}]
    assert group(error(stack_trace=trace)) == group(error(frames=frames))


@pytest.mark.parametrize(
    ("message", "normal"),
    [
        ("not enough stock for SKU-0004: wanted 8, have 3", "not enough stock for <id>: wanted <n>, have <n>"),
        ("order 4711 not found", "order <n> not found"),
        ("took 3.5s of 1,234.5", "took <n>s of <n>"),
        ("user 'bob' can't open /var/lib/x.txt", "user <text> can't open <path>"),
        ("Connection to db.example.com:5432 failed", "Connection to <address> failed"),
        ("no route to 10.0.0.7:80 or fe80::1%eth0", "no route to <address> or <address>"),
        ("object at 0x7f00ab12cd is gone", "object at <hex> is gone"),
        ("mail to ada@example.com bounced", "mail to <email> bounced"),
        ("GET https://api.example.com/v1/x?id=7 gave 404", "GET <url> gave <n>"),
        ("run 0198b1de-7a5c-7c3e-8f00-1b2c3d4e5f60 died", "run <id> died"),
        ("since 2026-11-26T10:00:00.123Z and 2026-11-26 10:00:00", "since <time> and <time>"),
        ("C:\\Users\\ada\\x.py is damaged", "<path> is damaged"),
        ("a/b and N/A stay, so does std::vector", "a/b and N/A stay, so does std::vector"),
        ('field "name" \u201cx\u201d `y`', "field <text> <text> <text>"),
        ("  spaces\n and\tlines ", "spaces and lines"),
        ("", ""),
    ],
)
def test_what_varies_in_a_message_is_replaced(message, normal):
    assert normalise(message) == normal


def test_an_empty_message_without_frames_still_has_a_reason():
    assert group(error(message="")).reason.endswith("(empty)")


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_text_can_be_grouped_and_always_alike(message, trace):
    one = error(message=message, stack_trace=trace)
    assert group(one) == group(error(message=message, stack_trace=trace))
    assert len(group(one).reason) <= 400


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_no_number_tells_two_messages_apart(one, other):
    assert normalise(f"row {one} of {one}") == normalise(f"row {other} of {other}")


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"module": "shop.orders", "function": "load"}, "shop.orders:load"),
        ({"file": "/srv/app-1.2.3/orders.py", "function": "load"}, "app-#/orders:load"),
        ({"file": "C:\\shop\\orders.py", "function": "load"}, "shop/orders:load"),
        ({"file": "https://x.example/static/main.4f3a2b1c9d.js?v=3", "function": "Object.run"}, "static/main.#:run"),
        ({"file": "orders.py", "module": "__main__", "function": ""}, "orders:?"),
        ({"module": "com.acme.Desk$$Lambda$14", "function": "lambda$main$0"}, "com.acme.Desk$$Lambda#:lambda$main#"),
        ({"file": "/srv/shop/x.mjs", "function": "async reserve [as run]"}, "shop/x:reserve"),
        ({"file": "/srv/shop/x.mjs", "function": "Object.<anonymous>"}, "shop/x:?"),
    ],
)
def test_a_frame_is_named_without_what_changes_from_build_to_build(fields, name):
    assert frame_name(Frame(**fields)) == name


@pytest.mark.parametrize("field", ["function", "module", "file"])
def test_a_long_name_of_a_frame_costs_no_square_of_its_length(field):
    begun = time.perf_counter()
    assert "a" * 65_000 in frame_name(Frame(**{field: "a" * 65_000}))
    assert time.perf_counter() - begun < 5  # the square of it took a minute


@pytest.mark.parametrize(
    ("fields", "own"),
    [
        ({"file": "/srv/shop/orders.py"}, True),
        ({"file": "/srv/.venv/lib/python3.11/site-packages/flask/app.py"}, False),
        ({"file": "C:\\Python311\\Lib\\json\\decoder.py"}, False),
        ({"file": "/usr/lib/python3.11/json/decoder.py"}, False),
        ({"file": "<frozen importlib._bootstrap>"}, False),
        ({"file": "/srv/shop/node_modules/express/lib/router.js"}, False),
        ({"file": "node:internal/process/task_queues"}, False),
        ({"module": "java.lang.Thread"}, False),
        ({"module": "com.acme.Desk", "file": "Desk.java"}, True),
        ({"module": "json.decoder"}, False),
        ({"module": "queue", "file": "shop/queue.py"}, True),
        ({"module": "__main__"}, True),
        ({"file": "/usr/lib/python3.11/x.py", "in_app": True}, True),
        ({"file": "/srv/shop/orders.py", "in_app": False}, False),
    ],
)
def test_whose_code_a_frame_is(fields, own):
    assert is_in_app(Frame(**fields)) is own


def test_a_title_is_the_type_and_the_first_line():
    assert title_of("ValueError", "\n  bad value \nmore") == "ValueError: bad value"
    assert title_of("ValueError", " ") == "ValueError"
    assert len(title_of("E" * 200, "m" * 300)) == 255
