"""Searching errors by a part of type or message: exact, newest first, without reading all of them.

Most searches find enough among the newest errors, so some of those are read first, along the index of the filters. What is
rarer is looked up by signatures (see `signatures`); errors that no signature covers yet are read as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import Any

from sqlalchemy import Select, func, select

from pilothouse.sdk import db
from pilothouse_errors import signatures
from pilothouse_errors.models import ErrorRecord, ErrorSignature, ErrorSlab
from pilothouse_errors.selection import Filters, Place, conditions, newest_first, workflow_id

LOOKS = (250, 750)  # errors that are read at first: enough where one in 20 matches
LONG_LOOK = 4_000  # errors that a step reads where signatures are of no use
MANY_BLOCKS = 2_000  # candidates beyond which the index of a filter is the shorter way
FEW_SLABS = 4  # candidates that are few enough
READ_AT_ONCE = 512  # errors that one statement fetches by their numbers

_COLUMNS = (
    ErrorRecord.seq, ErrorRecord.created_at, ErrorRecord.error_type, ErrorRecord.message, ErrorRecord.severity,
    ErrorRecord.resolved, ErrorRecord.workflow_id, ErrorRecord.group_id,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Slab:
    """A slab that may hold the text: the bits of its blocks that may, and its newest moment (ms)."""

    slab: int
    bits: int
    newest_at: int


def search(filters: Filters, text: str, wanted: int, after: Place | None) -> list[int]:
    """Return the `seq` of up to `wanted` errors whose type or message holds the text, newest first, after the cursor."""
    needle = signatures.fold(text)
    found: list[int] = []
    for size in LOOKS:
        rows = _look(filters, after, size)
        found += [row.seq for row in rows if _holds(row, needle)]
        if len(found) >= wanted or len(rows) < size:
            return found[:wanted]
        after = (rows[-1].created_at, rows[-1].seq)
    missing = wanted - len(found)
    last = _last_slab()
    slabs = _candidates(filters, text, after, last)
    if _is_narrow(filters) and sum(slab.bits.bit_count() for slab in slabs) > MANY_BLOCKS:
        return [*found, *_read_on(filters, needle, missing, after)]
    return [*found, *_read_blocks(slabs, _unsigned(last), _test(filters, needle, after), missing)]


def _look(filters: Filters, after: Place | None, size: int) -> Sequence[Any]:
    statement = newest_first(select(*_COLUMNS).where(*conditions(filters)), after)
    return _rows(statement.limit(size))


def _read_on(filters: Filters, needle: str, wanted: int, after: Place | None) -> list[int]:
    """Read along the index of the filters until there are enough."""
    found: list[int] = []
    while True:
        rows = _look(filters, after, LONG_LOOK)
        found += [row.seq for row in rows if _holds(row, needle)]
        if len(found) >= wanted or len(rows) < LONG_LOOK:
            return found[:wanted]
        after = (rows[-1].created_at, rows[-1].seq)


def _last_slab() -> int:
    """Return the newest slab that has signatures, -1 where there is none: asked once, for one may be made meanwhile."""
    last = db.session().scalar(select(func.max(ErrorSlab.slab)))
    return -1 if last is None else last


def _candidates(filters: Filters, text: str, after: Place | None, last: int) -> list[_Slab]:
    """Return the slabs up to the last one that may hold the text, the newest first."""
    statement = select(ErrorSlab.slab, ErrorSlab.newest_at).where(ErrorSlab.slab <= last)
    if after is not None:
        statement = statement.where(ErrorSlab.oldest_at <= after[0])
    if filters.since is not None:
        statement = statement.where(ErrorSlab.newest_at >= filters.since)
    if filters.until is not None:
        statement = statement.where(ErrorSlab.oldest_at < filters.until)
    newest: dict[int, int] = {row[0]: row[1] for row in _rows(statement)}
    bits = dict.fromkeys(newest, signatures.ALL)
    for numbers in signatures.hashes_of(text):
        kept = _bits_of(numbers)
        bits = {slab: both for slab, before in bits.items() if (both := before & kept.get(slab, 0))}
        if len(bits) <= FEW_SLABS:
            break  # to read their blocks is quicker than to ask for another piece
    slabs = [_Slab(slab, found, newest[slab]) for slab, found in bits.items()]
    return sorted(slabs, key=lambda slab: slab.newest_at, reverse=True)


def _bits_of(numbers: range) -> dict[int, int]:
    """Return for each slab its blocks that hold any of the hashes, which follow each other in one part or several."""
    found: dict[int, int] = {}
    for part in range(numbers.start // signatures.PART, (numbers.stop - 1) // signatures.PART + 1):
        start = part * signatures.PART
        here = range(max(numbers.start, start), min(numbers.stop, start + signatures.PART))
        for slab, row in _rows(select(ErrorSignature.slab, ErrorSignature.bits).where(ErrorSignature.part == part)):
            found[slab] = found.get(slab, 0) | signatures.read_bits(row, start, here)
    return found


def _read_blocks(slabs: list[_Slab], unsigned: Iterable[Any], matches: Callable[[Any], bool], wanted: int) -> list[int]:
    """Return the newest errors that match, among those without a signature and the candidates."""
    found = [(row.created_at, row.seq) for row in unsigned if matches(row)]
    for slab in slabs:
        found = nlargest(wanted, found)
        if len(found) == wanted and found[-1][0] > slab.newest_at:
            break  # all that is left is older
        numbers = (seq for block in signatures.blocks_in(slab.slab, slab.bits) for seq in block)
        found += [(row.created_at, row.seq) for row in _fetch(numbers) if matches(row)]
    return [seq for _, seq in nlargest(wanted, found)]


def _unsigned(last: int) -> Sequence[Any]:
    """Return the errors that came after the last slab."""
    return _rows(select(*_COLUMNS).where(ErrorRecord.seq >= signatures.first_of(last + 1)))


def _fetch(numbers: Iterable[int]) -> Iterator[Any]:
    waiting = list(numbers)
    for start in range(0, len(waiting), READ_AT_ONCE):
        chunk = waiting[start : start + READ_AT_ONCE]
        yield from _rows(select(*_COLUMNS).where(ErrorRecord.seq.in_(chunk)))


def _rows(statement: Select[*tuple[Any, ...]]) -> Sequence[Any]:
    """Run a statement without the ORM, which costs more than the reading where rows are many."""
    return db.session().connection().execute(statement).all()


def _holds(row: Any, needle: str) -> bool:
    return needle in signatures.fold(row.error_type) or needle in signatures.fold(row.message)


def _is_narrow(filters: Filters) -> bool:
    return bool(filters.severity or filters.resolved is not None or filters.workflow or filters.group)


def _test(filters: Filters, needle: str, after: Place | None) -> Callable[[Any], bool]:
    """Return the filters as a test of one row: by number of arrival the database could not use their indexes."""
    workflow = workflow_id(filters.workflow) if filters.workflow is not None else None

    def matches(row: Any) -> bool:
        return (
            _holds(row, needle)
            and (after is None or (row.created_at, row.seq) < after)
            and (not filters.severity or row.severity in filters.severity)
            and (filters.resolved is None or row.resolved == filters.resolved)
            and (filters.workflow is None or (workflow is not None and row.workflow_id == workflow))
            and (filters.group is None or row.group_id == filters.group)
            and (filters.since is None or row.created_at >= filters.since)
            and (filters.until is None or row.created_at < filters.until)
        )

    return matches
