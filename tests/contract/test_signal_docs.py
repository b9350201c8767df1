"""docs/signals.md: its table has every field of every signal, and its example is sent and answered as it says."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from pilothouse.signals import CORE_SIGNALS, tag_of

PAGE = (Path(__file__).parents[2] / "docs" / "signals.md").read_text(encoding="utf-8")
FILLED_IN = {"cost_reported", "price_id"}  # by whoever prices usage: what a source says there is not kept
_ROW = re.compile(r"^\| `(\w+)` \| (.+) \| (.+) \|$", re.MULTILINE)
_NAME = re.compile(r"`(\w+)`")


@pytest.mark.parametrize("kind", CORE_SIGNALS, ids=tag_of)
def test_each_field_of_a_signal_is_in_the_table(kind):
    rows = {tag: (_NAME.findall(needed), _NAME.findall(more)) for tag, needed, more in _ROW.findall(PAGE)}
    fields = [field for field in msgspec.structs.fields(kind) if field.name not in {"id", *FILLED_IN}]
    needed, more = rows[tag_of(kind)]
    assert set(needed) == {field.name for field in fields if field.required}
    assert sorted(more) == sorted(field.name for field in fields if not field.required)


def test_the_example_is_taken(api):
    body = PAGE.partition("--data-binary '")[2].partition("'\n```")[0]
    answer = api.post("/api/ingest", data=body.encode(), content_type="application/x-ndjson").json
    assert answer == {"accepted": 5, "duplicates": 0, "rejected": []}


def test_the_answer_of_the_example_is_what_a_missing_message_gets(api):
    body = PAGE.partition("--data-binary '")[2].partition("'\n```")[0].replace('"message": "orders came 12 s late", ', "")
    answer = api.post("/api/ingest", data=body.encode(), content_type="application/x-ndjson").json
    assert answer == msgspec.json.decode(PAGE.partition("```json\n")[2].partition("\n```")[0])
