"""Reading typed input: JSON, forms and query strings, with every wrong field named at once."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.errors import Invalid, Malformed
from pilothouse.signals import Millis
from pilothouse.web.parsing import convert, decode_json, find_errors, hints_of, located, read_query


class Inner(msgspec.Struct):
    """Something inside."""

    name: str
    size: Annotated[int, msgspec.Meta(ge=1, le=9)] = 1


class Form(msgspec.Struct, forbid_unknown_fields=False):
    """What a request may carry."""

    title: Annotated[str, msgspec.Meta(max_length=5)]
    kind: Literal["a", "b"] = "a"
    at: Millis | None = None
    tags: list[str] = []
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50
    flag: bool = False
    inner: Inner | None = None
    any_json: msgspec.Raw = msgspec.Raw()
    renamed: int = msgspec.field(default=0, name="other")


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    """Nothing else may come."""

    enabled: bool


def wrong(value, kind=Form):
    with pytest.raises(Invalid) as caught:
        convert(value, kind)
    return {error.path: error.message for error in caught.value.errors}


def asked(**arguments):
    return read_query({name: value if isinstance(value, list) else [value] for name, value in arguments.items()}, Form)


def refused(**arguments):
    with pytest.raises(Invalid) as caught:
        asked(**arguments)
    return [error.path for error in caught.value.errors]


# --- JSON ---


@pytest.mark.parametrize(("body", "value"), [(b'{"a":[1,null]}', {"a": [1, None]}), (b' "x" ', "x"), (b"1e3", 1000.0),
(b"null", None)])
def test_json_is_decoded(body, value):
    assert decode_json(body) == value


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"{'a':1}", b"NaN", b"Infinity", b"\xff", b"\xef\xbb\xbf{}", b'"\\ud800"', b"[" * 100_000, b"01", b"1e999",
     b"9" * 5_000,
     "{}".encode("utf-16"), b"{}{}", b'{"a":1,}'],
)  # fmt: skip
def test_what_is_no_json_is_malformed(body):
    with pytest.raises(Malformed, match="The body is"):
        decode_json(body)


def test_nul_which_no_text_may_hold_is_left_out():
    assert decode_json(b'{"a\\u0000":["\\u0000b",1,{"c":"\\u0000"}],"d":"\\\\u0000"}') == {"a": ["b", 1, {"c": ""}],
    "d": "\\u0000"}


@given(st.binary(max_size=100))
def test_any_bytes_are_json_or_refused(body):
    try:
        msgspec.json.encode(decode_json(body))
    except Malformed as fault:
        assert fault.status == 400  # noqa: PT017 - both ways are right


# --- Structs ---


def test_a_whole_form_is_converted():
    value = {"title": "t", "kind": "b", "at": "1970-01-01T00:00:01Z", "tags": ["x"], "inner": {"name": "n"}, "other": 3,
    "unknown": 1}
    form = convert(value, Form)
    assert (form.at, form.tags, form.inner, form.renamed) == (1_000, ["x"], Inner("n"), 3)


def test_every_wrong_field_is_named():
    found = wrong({"title": "too long", "kind": "c", "at": "soon", "tags": "x", "limit": 0, "flag": 1, "inner": {"size": 10},
    "other": "3"})
    assert list(found) == ["title", "kind", "at", "tags", "limit", "flag", "inner.name", "inner.size", "other"]
    assert found["at"].startswith("must be RFC 3339")


@pytest.mark.parametrize(
    ("value", "path"),
    [({}, "title"), ({"title": "t", "inner": {"name": 5}}, "inner.name"), ({"title": "t", "tags": ["a", 5]}, "tags[1]"),
     ({"title": "t", "inner": {"name": "n", "size": 2**70}}, "inner.size"), ([], "body"), ("x", "body"), (None, "body"), (5,
     "body")],
)  # fmt: skip
def test_the_place_of_a_fault_is_exact(value, path):
    assert list(wrong(value)) == [path]


@pytest.mark.parametrize("number", [2**63, -(2**63), 2**70])
def test_whole_numbers_have_64_bits(number):
    class Sized(msgspec.Struct):
        size: int
        more: list[int] = []
        free: dict[str, int] = {}

    assert list(wrong({"size": number, "more": [1, number]}, Sized)) == ["size", "more[1]"]
    assert convert({"size": 2**63 - 1, "free": {"a": number}}, Sized).free == {"a": number}


def test_unknown_fields_are_refused_where_that_is_wanted():
    assert list(wrong({"enabled": True, "name": "x"}, Strict)) == ["body"]
    assert list(wrong({"name": "x"}, Strict)) == ["enabled"]


def test_plain_types_are_converted_too():
    assert convert({"a": 1}, dict[str, int]) == {"a": 1}
    assert list(wrong({"a": "x"}, dict[str, int])) == ["[...]"]


def test_the_summary_names_the_first_few_only():
    many = msgspec.defstruct("Many", [(f"f{n}", int) for n in range(20)])
    with pytest.raises(Invalid) as caught:
        convert({}, many)
    assert len(caught.value.errors) == 20
    assert caught.value.detail.count(";") == 4


def test_paths_may_stand_below_another():
    assert [error.path for error in find_errors({"title": 5}, Form, "items[3]")] == ["items[3].title"]
    assert find_errors(5, Form, "items[3]")[0].path == "items[3]"
    assert find_errors({}, int, "") == []


@pytest.mark.parametrize(
    ("message", "path", "where"),
    [("wrong - at `$.a`", "", "a"), ("wrong - at `$.a[0].b`", "x", "x.a[0].b"), ("wrong - at `$[0]`", "x", "x[0]"),
     ("wrong - at `$`", "x", "x"),
     ("wrong", "x", "x"), ("wrong", "", "body"), ("wrong - at `$`", "", "body")],
)  # fmt: skip
def test_messages_of_the_decoder_are_split(message, path, where):
    assert (located(message, path).path, located(message, path).message) == (where, "wrong")


def test_a_long_message_is_cut():
    assert len(located("x" * 9_000, "a").message) == len(located(f"{'x' * 9_000} - at `$.b`", "a").message) == 300


def test_annotations_are_resolved_once():
    assert hints_of(Form) is hints_of(Form)


# --- query strings ---


def test_a_question_is_read_from_text():
    form = asked(title="t", tags=["a", "b"], limit="7", flag="true", at="1000", other="3", kind="b")
    assert (form.tags, form.limit, form.flag, form.at, form.renamed) == (["a", "b"], 7, True, 1_000, 3)


def test_empty_values_are_left_out_and_the_last_of_many_counts():
    form = asked(title=["x", "t", ""], tags=["", "a"], limit="", kind="")
    assert (form.title, form.tags, form.limit, form.kind) == ("t", ["a"], 50, "a")


def test_moments_may_be_text_of_both_kinds():
    assert asked(title="t", at="1970-01-01T00:00:01Z").at == 1_000
    assert asked(title="t", at="20231116T000000Z").at == 1_700_092_800_000
    for bad in ("20231116", "99999999999999999999", "9" * 5_000, "-5", "1.5", "soon"):
        assert refused(title="t", at=bad) == ["at"]


@pytest.mark.parametrize(("name", "value"), [("limit", "x"), ("limit", "501"), ("limit", "1.5"), ("limit", "9" * 5_000),
("flag", "perhaps"), ("kind", "c")])
def test_a_wrong_answer_names_its_field(name, value):
    assert refused(title="t", **{name: value}) == [name]


def test_nul_can_be_asked_for_nowhere():
    assert refused(title="a\0") == ["title"]
    assert refused(title="t", tags=["a", "\0"]) == ["tags"]
