"""What both encodings are read into: ids, times, enums and values, whatever their spelling."""

from __future__ import annotations

import base64
import json

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from pilothouse.errors import Malformed
from pilothouse_otel import reading, reading_json, reading_protobuf
from pilothouse_otel.spans import Refused
from pilothouse_otel.values import amount, bounded, cut, moment, number, octets, whole

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def read(**fields):
    told = {"traceId": TRACE, "spanId": SPAN, "name": "x", **fields}
    refused = Refused()
    spans = reading_json.read_spans(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [told]}]}]}).encode(), refused)
    return spans[0] if spans else refused


@pytest.mark.parametrize("trace", [TRACE, TRACE.upper(), base64.b64encode(bytes.fromhex(TRACE)).decode()])
def test_ids_are_hex_in_any_case_or_base64(trace):
    assert read(traceId=trace).trace_id == TRACE


@pytest.mark.parametrize("trace", ["", None, "0" * 32, TRACE[:-1], TRACE + "00", "z" * 32, "====", "AAAA"])
def test_other_ids_are_refused_with_the_reason(trace):
    refused = read(traceId=trace)
    assert refused.count == 1
    assert "traceId must be 32 hexadecimal digits" in refused.reason


@pytest.mark.parametrize(("parent", "expected"), [("", None), ("0" * 16, None), (SPAN, SPAN), ("bad", None)])
def test_a_root_has_no_parent_however_it_says_so(parent, expected):
    assert read(parentSpanId=parent).parent_id == expected


@pytest.mark.parametrize("nanos", [1795427176623000000, "1795427176623000000", 1.795427176623e18])
def test_times_are_numbers_or_text(nanos):
    assert read(startTimeUnixNano=nanos).start == 1795427176623


@pytest.mark.parametrize("nanos", [0, "0", None, "soon", -5, "", 1e400])
def test_what_is_no_time_is_none(nanos):
    assert read(startTimeUnixNano=nanos).start is None


@pytest.mark.parametrize(("kind", "expected"), [(2, 2), ("2", 2), ("SPAN_KIND_SERVER", 2), ("server", 2), ("WHAT", 0), (None, 0)])
def test_enums_are_numbers_or_names(kind, expected):
    assert read(kind=kind).kind == expected


VALUES = [
    ({"stringValue": "x"}, "x"), ({"boolValue": False}, False), ({"intValue": "9223372036854775807"}, 2**63 - 1),
    ({"intValue": 7}, 7), ({"intValue": "-9223372036854775808"}, -(2**63)), ({"intValue": "1" * 30}, "1" * 30),
    ({"intValue": "x"}, "x"), ({"doubleValue": 0.5}, 0.5), ({"doubleValue": "NaN"}, "NaN"), ({"doubleValue": "-Infinity"}, "-Infinity"),
    ({"doubleValue": "1.5"}, 1.5), ({"doubleValue": "x"}, "x"), ({"bytesValue": "AP8Q"}, "AP8Q"), ({"arrayValue": {}}, []),
    ({"arrayValue": {"values": [{"intValue": 1}, {}]}}, [1, None]), ({"kvlistValue": {}}, {}),
    ({"kvlistValue": {"values": [{"key": "a", "value": {"boolValue": True}}]}}, {"a": True}), ({}, None), (None, None),
    ({"unknownValue": 3}, None),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), VALUES)
def test_values_are_plain(value, expected):
    assert read(attributes=[{"key": "k", "value": value}]).attributes == {"k": expected}


def test_unknown_and_null_fields_are_passed_over():
    found = read(links=None, droppedEventsCount=72, events=None, status=None, attributes=None, whatever={"a": 1})
    assert (found.events, found.status, found.attributes) == ([], 0, {})


def test_bare_nan_and_lone_surrogates_are_read():
    body = b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"%s","spanId":"%s","name":"a\\ud83d",' % (TRACE.encode(), SPAN.encode())
    body += b'"attributes":[{"key":"n","value":{"doubleValue":NaN}}]}]}]}]}'
    [found] = reading_json.read_spans(body, Refused())
    assert (found.name, found.attributes) == ("a?", {"n": "NaN"})


def proto(**values):
    request = ExportTraceServiceRequest()
    made = request.resource_spans.add().scope_spans.add().spans.add()
    made.trace_id, made.span_id = bytes.fromhex(TRACE), bytes.fromhex(SPAN)
    for key, value in values.items():
        pair = made.attributes.add(key=key)
        for kind, plain in value.items():
            setattr(pair.value, kind, plain)
    return request, made


def test_protobuf_values_are_plain():
    request, made = proto(
        s={"string_value": "x"}, e={"string_value": ""}, i={"int_value": -(2**63)}, z={"int_value": 0}, d={"double_value": float("inf")},
        n={"double_value": float("nan")}, b={"bool_value": False}, y={"bytes_value": b"\x00\xff\x10"}, none={},
    )  # fmt: skip
    made.attributes.add(key="a").value.array_value.values.add().int_value = 1
    made.attributes.add(key="m").value.kvlist_value.values.add(key="k").value.string_value = "v"
    [found] = reading_protobuf.read_spans(request.SerializeToString(), Refused())
    assert found.attributes == {
        "s": "x", "e": "", "i": -(2**63), "z": 0, "d": "Infinity", "n": "NaN", "b": False, "y": "AP8Q", "none": None, "a": [1],
        "m": {"k": "v"},
    }  # fmt: skip


def test_protobuf_beyond_the_limits_is_cut():
    request, made = proto(**{"k" * 300: {"string_value": "x" * 300_000}}, **{f"a{n}": {"int_value": n} for n in range(300)})
    deep = made.attributes[1].value
    for _ in range(30):
        deep = deep.array_value.values.add()
    [found] = reading_protobuf.read_spans(request.SerializeToString(), Refused())
    assert len(found.attributes) == 256
    assert (len(next(iter(found.attributes))), len(next(iter(found.attributes.values())))) == (255, 262_144)
    assert "[nested too deep]" in str(found.attributes["a0"])


def test_protobuf_that_is_nested_beyond_its_own_limit_is_malformed():
    request, made = proto(a={})
    deep = made.attributes[0].value
    for _ in range(200):
        deep = deep.array_value.values.add()
    with pytest.raises(Malformed):
        reading_protobuf.read_spans(request.SerializeToString(), Refused())


def test_metrics_are_counted_in_protobuf():
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    metrics.add().sum.data_points.add()
    metrics.add().histogram.data_points.add()
    metrics.add(name="empty")
    assert len(reading.read_points(request.SerializeToString(), "protobuf", Refused())) == 2


@pytest.mark.parametrize(("value", "expected"), [
    (5, 5), ("5", 5), (5.0, 5), (2**53 - 1, 2**53 - 1), (2**53, None), (-1, None), ("-1", None), (True, None), ("٣", None), (None, None),
    (float("nan"), None), ("1" * 17, None), ([5], None),
])  # fmt: skip
def test_counts_are_whole_and_not_negative(value, expected):
    assert whole(value) == expected


@pytest.mark.parametrize(("value", "expected"), [
    (0.5, 0.5), ("0.5", 0.5), (0, 0.0), (-1, None), ("x", None), (None, None), (True, None), (float("inf"), None), ([1], None),
])  # fmt: skip
def test_amounts_are_not_negative(value, expected):
    assert amount(value) == expected


@pytest.mark.parametrize(("value", "expected"), [
    ("1970-01-01T00:00:01Z", 1000), ("1970-01-01T01:00:01+01:00", 1000), ("1970-01-01T00:00:01.5", 1500), ("1969-12-31T00:00:00Z", None),
    ("soon", None), (7, None), (None, None), ("9999-12-31T23:59:59.999999+00:00", 253402300799999),
])  # fmt: skip
def test_moments_are_rfc_3339(value, expected):
    assert moment(value) == expected


def test_texts_are_cut_with_a_mark():
    assert (cut("abc", 3), cut("abcd", 3)) == ("abc", "ab…")
    assert octets(b"\x00") == "AA=="


def test_numbers_that_json_cannot_hold_become_text():
    assert (number(1.5), number(float("nan")), number(float("-inf"))) == (1.5, "NaN", "-Infinity")


def test_decoded_json_is_bounded():
    deep = current = []
    for _ in range(50):
        current.append([])
        current = current[0]
    found = bounded({"big": 2**80, "list": list(range(3_000)), "deep": deep, "nan": float("nan"), 7: object})
    assert (found["big"], len(found["list"]), found["nan"]) == (str(2**80), 1_000, "NaN")
    assert "[nested too deep]" in str(found["deep"])


@pytest.mark.parametrize(("content_type", "body", "expected"), [
    ("application/json", b"\x0a", "json"), ("application/x-protobuf", b"{", "protobuf"), ("", b" {", "json"), ("", b"\x0a\x00", "protobuf"),
    ("text/html", b"", "protobuf"),
])  # fmt: skip
def test_the_encoding_is_told_by_the_type_then_by_the_first_byte(content_type, body, expected):
    assert reading.encoding_of(content_type, body) == expected
