"""Searching by a part of type or message: exact whatever the signatures say, and cheap."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from pilothouse.clock import DAY, now
from pilothouse.db import db, unit_of_work
from pilothouse_errors import search_queries, service, tasks
from pilothouse_errors.models import ErrorRecord, ErrorSignature, ErrorSlab
from pilothouse_errors.selection import Filters
from pilothouse_errors.signatures import (
    BLOCK,
    PART,
    PARTS,
    SLAB,
    blocks_in,
    first_of,
    fold,
    hashes_of,
    make_slab,
    read_bits,
    searchable,
    slab_of,
)

WORDS = ("stock", "order", "timeout", "refused", "Größe", "100%", "upstream", "_")


def found_in(slab: dict[int, bytes], text: str) -> set[int]:
    """Return the errors of slab 0 that the signature lets through."""
    bits = -1
    for numbers in hashes_of(text):
        kept = 0
        for number in numbers:
            part = number // PART
            kept |= read_bits(slab[part], part * PART, range(number, number + 1))
        bits &= kept
    return {seq for block in blocks_in(0, bits) for seq in block}


@given(st.lists(st.text(max_size=40), min_size=1, max_size=70), st.data())
def test_a_signature_never_hides_what_is_there(messages, data):
    texts = [(seq, searchable("Type", message)) for seq, message in enumerate(messages, 1)]
    slab = dict(make_slab(texts))
    seq, text = data.draw(st.sampled_from(texts))
    start = data.draw(st.integers(0, len(text) - 1))
    needle = text[start : data.draw(st.integers(start + 1, len(text)))]
    assert seq in found_in(slab, needle)


def test_a_signature_hides_most_of_what_is_not_there():
    chance = random.Random(5)
    texts = [(seq, searchable("ValueError", f"bad {chance.getrandbits(48):012x}")) for seq in range(1, SLAB + 1)]
    slab = dict(make_slab(texts))
    assert len(slab) == PARTS
    assert found_in(slab, "zq") == set()
    assert len(found_in(slab, texts[700][1].split()[-1])) <= 2 * BLOCK


def test_every_error_lies_in_one_slab():
    assert [slab_of(seq) for seq in (1, SLAB, SLAB + 1)] == [0, 0, 1]
    assert first_of(1) == SLAB + 1


def error(number: int, **fields: Any) -> dict[str, Any]:
    return {"type": "error", "id": f"e{number}", "error_type": "ValueError", "message": f"bad {number}", **fields}


def everything() -> list[Any]:
    """Return all rows with their texts as they are compared."""
    columns = (ErrorRecord.seq, ErrorRecord.created_at, ErrorRecord.error_type, ErrorRecord.message, ErrorRecord.severity)
    rows = db.session.execute(select(*columns)).all()
    return [(row, fold(row.error_type), fold(row.message)) for row in rows]


def expected(rows: list[Any], filters: Filters, wanted: int, after: tuple[int, int] | None) -> list[int]:
    needle = fold(filters.q or "")
    places = [
        (row.created_at, row.seq)
        for row, kind, message in rows
        if (needle in kind or needle in message)
        and (after is None or (row.created_at, row.seq) < after)
        and (not filters.severity or row.severity in filters.severity)
        and (filters.since is None or row.created_at >= filters.since)
        and (filters.until is None or row.created_at < filters.until)
    ]
    return [seq for _, seq in sorted(places, reverse=True)[:wanted]]


@pytest.fixture
def many(either_api):
    """Report errors of two and a half slabs, one in ten much later than it happened, and sign them."""
    chance = random.Random(3)
    start = now() - 10 * DAY
    count = 2 * SLAB + SLAB // 2
    signals = []
    for number in range(count):
        at = start + number * 60_000 - (chance.randrange(5 * DAY) if chance.random() < 0.1 else 0)
        words = " ".join(chance.choices(WORDS, k=3))
        fields = {"severity": chance.choice(["low", "high"]), "workflow": chance.choice(["a", "b"])}
        signals.append(error(number, at=at, message=f"{words} {number:05d}", **fields))
    for place in range(0, count, 4_000):
        either_api.send(*signals[place : place + 4_000])
    tasks.sign({})
    return start


def test_search_equals_a_look_at_every_row(either_api, many):
    chance = random.Random(9)
    middle = (many + 3 * DAY, 2_000)
    day, number = many + DAY, f"{chance.randrange(5_000):05d}"
    queries = [
        Filters(q="order 00123"), Filters(q="00007"), Filters(q="größe"), Filters(q="STOCK STOCK STOCK"),
        Filters(q="zzz"), Filters(q="5"), Filters(q="q"), Filters(q="_ _"), Filters(q="valueerror\n"),
        Filters(q="12", severity=("low",)), Filters(q="0% or", since=day, until=day + DAY),
        Filters(q=number, severity=("high", "low")), Filters(q="out ref", severity=("low",)),
    ]  # fmt: skip
    rows = everything()
    for filters in queries:
        for wanted, after in ((1, None), (51, None), (51, middle)):
            seqs = search_queries.search(filters, filters.q or "", wanted, after)
            assert seqs == expected(rows, filters, wanted, after), (filters, after, wanted)


def test_what_nothing_holds_is_known_without_reading_it(either_api, many):
    from pilothouse.testing import count_queries

    with count_queries() as statements:
        assert search_queries.search(Filters(q="zq"), "zq", 51, None) == []
    assert len(statements) <= 8


def test_a_narrow_filter_is_followed_where_the_text_is_everywhere(either_api, many):
    assert search_queries.search(Filters(q="e", workflow="none"), "e", 51, None) == []
    filters = Filters(q="zzz", severity=("low",))
    assert search_queries._read_on(filters, "zzz", 51, None) == []
    low = Filters(q="e", severity=("low",))
    assert search_queries._read_on(low, "e", 3, None) == expected(everything(), low, 3, None)


def test_a_slab_is_signed_once_when_it_is_full(api):
    api.send(*(error(number) for number in range(SLAB - 1)))
    assert service.sign() is False
    api.send(error(SLAB))
    assert service.sign() is True
    assert service.sign() is False
    assert db.session.scalar(select(func.count()).select_from(ErrorSignature)) == PARTS


def test_numbers_go_on_where_retention_took_the_newest(api):
    api.send(*(error(number, at=now() - 91 * DAY) for number in range(SLAB)))
    tasks.sign({})
    tasks.purge({})
    api.send(error(1))
    assert list(db.session.scalars(select(ErrorRecord.seq))) == [SLAB + 1]
    assert api.get("/api/errors?q=bad 1").json["data"][0]["id"] == "e1"


def test_signatures_go_with_their_last_error(api):
    api.send(*(error(number, at=now() - 91 * DAY) for number in range(SLAB)))
    api.send(*(error(number) for number in range(SLAB, 2 * SLAB)))
    tasks.sign({})
    tasks.purge({})
    db.session.rollback()
    assert list(db.session.scalars(select(ErrorSlab.slab))) == [1]
    assert set(db.session.scalars(select(ErrorSignature.slab))) == {1}
    with unit_of_work():
        service.purge_signatures()
    assert list(db.session.scalars(select(ErrorSlab.slab))) == [1]
