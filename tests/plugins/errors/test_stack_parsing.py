"""Stack traces that come as text, in the forms in which Python, JavaScript and Java print them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse_errors.stack_parsing import LONGEST_TEXT, MOST_FRAMES, parse

PYTHON = """Traceback (most recent call last):
  File "/srv/shop/desk.py", line 4, in <module>
    main()
    ~~~~^^
  File "/srv/shop/orders.py", line 12, in load
    return rows[key]
KeyError: 'Z-9'
"""
CHAINED = PYTHON + """
The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/srv/shop/desk.py", line 90, in run
    raise RuntimeError("stopped") from fault
RuntimeError: stopped
"""
GROUP = """  + Exception Group Traceback (most recent call last):
  |   File "/srv/shop/desk.py", line 7, in gather
  |     raise ExceptionGroup("two", faults)
  | ExceptionGroup: two (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/srv/shop/orders.py", line 2, in load
    |     1/0
    | ZeroDivisionError: division by zero
"""
NODE = """StockError: not enough stock for DESK-2
    at reserve (/srv/shop/node.mjs:20:11)
    at new Desk (file:///srv/shop/desk.mjs:3:1)
    at Array.map (<anonymous>)
    at async /srv/shop/node.mjs:150:3
    at process.processTicksAndRejections (node:internal/process/task_queues:95:5) {
  [cause]: Error: hidden
      at inner (/srv/shop/inner.mjs:1:1)
}
"""
FIREFOX = "reserve@https://shop.example/app.js:20:11\n@https://shop.example/app.js:1:1\n"
JAVA = """java.lang.IllegalStateException: boom
\tat com.acme.Desk.run(Desk.java:12)
\tat com.acme.Desk$$Lambda$14/0x0800c03000.apply(Unknown Source)
\tat java.base/java.lang.Thread.run(Thread.java:833)
\tat java.base/jdk.internal.Native.call(Native Method)
Caused by: java.io.IOException: closed
\tat com.acme.In.read(In.java:1)
\t... 2 more
"""


def places(text: str) -> list[tuple[str, str, int | None]]:
    return [(frame.file or frame.module, frame.function, frame.line) for frame in parse(text)]


def test_python_frames_run_from_the_outermost_to_the_innermost():
    assert places(PYTHON) == [("/srv/shop/desk.py", "<module>", 4), ("/srv/shop/orders.py", "load", 12)]


def test_python_source_lines_become_context():
    assert [frame.context_line for frame in parse(PYTHON)] == ["main()", "return rows[key]"]


def test_a_frame_without_source_has_no_context():
    bare = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\n  File "b.py", line 2, in g\nE: x\n'
    assert [frame.context_line for frame in parse(bare)] == [None, None]


def test_of_a_python_chain_the_last_exception_counts():
    assert places(CHAINED) == [("/srv/shop/desk.py", "run", 90)]


def test_of_a_python_group_its_own_trace_counts():
    assert places(GROUP) == [("/srv/shop/desk.py", "gather", 7)]


def test_a_trace_without_its_first_line_is_read_too():
    assert places('  File "a.py", line 1, in f\n    g()\n') == [("a.py", "f", 1)]


def test_a_syntax_error_names_no_function():
    assert places('  File "a.py", line 1\n    x = \nSyntaxError: invalid syntax\n') == [("a.py", "", 1)]


def test_node_frames_are_turned_around_and_the_cause_is_left_out():
    assert places(NODE) == [
        ("node:internal/process/task_queues", "process.processTicksAndRejections", 95),
        ("/srv/shop/node.mjs", "", 150),
        ("<anonymous>", "Array.map", None),
        ("/srv/shop/desk.mjs", "new Desk", 3),
        ("/srv/shop/node.mjs", "reserve", 20),
    ]


def test_firefox_and_safari_frames():
    assert places(FIREFOX) == [("https://shop.example/app.js", "", 1), ("https://shop.example/app.js", "reserve", 20)]


def test_java_frames_name_their_class_as_module():
    frames = parse(JAVA)
    assert [(frame.module, frame.function) for frame in frames] == [
        ("jdk.internal.Native", "call"),
        ("java.lang.Thread", "run"),
        ("com.acme.Desk$$Lambda$14", "apply"),
        ("com.acme.Desk", "run"),
    ]
    assert frames[-1].line == 12
    assert frames[0].line is None


@pytest.mark.parametrize("text", ["", "just words", "at", "  at \n", 'File "', "x@y", "at f(", "\0\n\0"])
def test_what_is_no_trace_gives_no_frames(text):
    assert parse(text) == []


def test_a_huge_trace_is_cut_not_refused():
    text = "Traceback (most recent call last):\n" + '  File "a.py", line 1, in f\n' * 20_000
    assert len(parse(text)) == MOST_FRAMES
    assert parse("at " + "x" * LONGEST_TEXT) == []


@given(st.text(alphabet='at File"(),:<>@./\\0123456789\n |+-', max_size=400))
def test_no_text_makes_it_fail(text):
    assert all(frame.line is None or frame.line >= 0 for frame in parse(text))
