"""What was said in a call, read out of every form in which it is kept."""

from __future__ import annotations

import pytest

from pilothouse_gateway import turns

CHAT = {"model": "m", "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Where?"}]}
PICTURE = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "data:x"}}]
TOOL = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "find", "arguments": '{"n":1}'}}]}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (CHAT, [("system", "Be short."), ("user", "Where?")]),
        ({"messages": [{"role": "user", "content": PICTURE}]}, [("user", "What is it?\n[image_url]")]),
        ({"messages": [TOOL, {"role": "tool", "content": "7"}]}, [("assistant", 'find({"n":1})'), ("tool", "7")]),
        ({"instructions": "Be short.", "input": "Where?"}, [("system", "Be short."), ("user", "Where?")]),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": "Where?"}]}]}, [("user", "Where?")]),
        ({"system": [{"type": "text", "text": "S"}], "messages": [{"role": "user", "content": "U"}]}, [("system", "S"), ("user", "U")]),
        ({"cut_off": "the start"}, []), (None, []), ([], []), ("x", []), ({"messages": 5}, []), ({"messages": [None, 5]}, []),
    ],
)  # fmt: skip
def test_a_request_is_read(body, said):
    assert turns.sent(body) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([{"index": 0, "message": {"role": "assistant", "content": "Here."}}], ["Here."]),
        ([{"index": 0, "message": TOOL}], ['find({"n":1})']),
        ({"0": {"content": "Here."}, "1": {"content": "There."}}, ["Here.", "There."]),
        ({"0": {"tool_calls": {"0": {"name": "find", "arguments": "{}"}}}}, ["find({})"]),
        ([{"type": "text", "text": "Here."}, {"type": "tool_use", "name": "find", "input": {"n": 1}}], ["Here.", "find({'n': 1})"]),
        ({"0": {"thinking": "Hm."}, "1": {"name": "find", "partial_json": "{}"}}, ["Hm.", "find({})"]),
        ([{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Here."}]}], ["Here."]),
        ([{"type": "function_call", "name": "find", "arguments": "{}"}], ["find({})"]),
        (None, []), ("x", []), (5, []), ([None, 5, []], []), ([{"message": None}], []), ({"0": {"tool_calls": {"0": None}}}, []),
    ],
)  # fmt: skip
def test_an_answer_is_read(value, said):
    assert turns.answered(value) == [("assistant", text) for text in said]


def test_parts_inside_of_parts_come_to_an_end():
    deep = "end"
    for _ in range(900):
        deep = {"content": [deep]}
    assert turns.sent({"messages": [{"role": "user", "content": deep}]}) == []
