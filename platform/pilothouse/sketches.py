"""Sketches that merge: percentiles by logarithmic buckets, distinct things by exact sets that grow into HyperLogLog.

`Histogram` counts observations in buckets that are 2 % wide, so a percentile is within 1 % of the true value, and two
histograms merge by addition (the idea of DDSketch: Masson, Rim, Lee, PVLDB 12, 2019). The counts of many buckets are one
big integer, 64 bits a bucket: two merge by one addition instead of a loop.

`Distinct` keeps 64-bit hashes up to `EXACT` of them and is exact so far. Beyond, it is a HyperLogLog (Flajolet, Fusy,
Gandouet, Meunier, AofA 2007) of 65,536 registers: standard error 1.04 / sqrt(65,536) = 0.41 %, so 2 % is five of them.
Registers are written in unary (bit `r` of register `i` says "at least r + 1"): the maximum of two is a bitwise OR of two big
integers. The estimate is Ertl's improved one (arXiv:1702.01284, algorithm 6), without bias at any size.
"""

from __future__ import annotations

import math
import struct
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate, pairwise

import msgspec

from pilothouse.errors import Malformed

GAMMA = 1.02  # a bucket is 2 % wide: its middle is within 1 % of every value in it
LOG_GAMMA = math.log(GAMMA)
ZERO = -1  # the bucket of zero; whole values from 1 up have buckets from 0 up
FEW = 32  # buckets up to which pairs merge faster than one big integer
LAST = 4_000  # the bucket of everything beyond 10**34: bounds a histogram's size

EXACT = 4_096  # hashes kept one by one: 32 KB, as much as a HyperLogLog takes when it is compressed
INDEX_BITS = 16
REGISTERS = 1 << INDEX_BITS
RANK_BITS = 64 - INDEX_BITS
HIGHEST = RANK_BITS + 1  # the rank of a hash whose remaining bits are all zero

_HALF = 1 << 63  # a lane from here on is a negative count
_PAIRS, _PLANES, _HASHES, _REGISTERS = b"c", b"p", b"h", b"r"  # first byte of a written sketch
_HEAD = struct.Struct("<HHB")  # first lane, number of lanes, number of planes


def bucket_of(value: int) -> int:
    """Return the bucket of a value; all values of a bucket lie within 2 %."""
    return ZERO if value <= 0 else min(math.ceil(math.log(value) / LOG_GAMMA), LAST)


def middle_of(bucket: int) -> float:
    """Return the value that stands for a bucket: at most 1 % from every value in it."""
    return 0.0 if bucket == ZERO else 2 * math.exp(bucket * LOG_GAMMA) / (GAMMA + 1)


class Histogram:
    """Counts of observations by bucket: a dict of few and one big integer of many, whose sum they are.

    A count may be negative while what it takes back is elsewhere.
    """

    __slots__ = ("_few", "_many")

    def __init__(self, counts: Mapping[int, int] | None = None, lanes: int = 0) -> None:
        """Take counts by bucket, and more of them as one number: its lane `bucket + 1` holds the count of a bucket."""
        self._few: dict[int, int] = dict(counts or {})
        self._many = lanes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and self.counts() == other.counts()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __bool__(self) -> bool:
        return bool(self.counts())

    def add(self, value: int, count: int) -> None:
        """Count observations of a value; a negative count takes them back."""
        bucket = bucket_of(value)
        self._few[bucket] = self._few.get(bucket, 0) + count

    def merge(self, other: Histogram) -> None:
        """Add the counts of another one."""
        self._many += other._many
        few = self._few
        for bucket, count in other._few.items():
            few[bucket] = few.get(bucket, 0) + count

    def __neg__(self) -> Histogram:
        """Return what takes the counts back."""
        return Histogram({bucket: -count for bucket, count in self._few.items()}, -self._many)

    def counts(self) -> dict[int, int]:
        """Return the counts by bucket, the lowest first, without empty ones."""
        if not self._many:
            return {bucket: count for bucket, count in sorted(self._few.items()) if count}
        return {place + ZERO: count for place, count in enumerate(self._by_place()) if count}

    def percentiles(self, *fractions: float) -> list[float | None]:
        """Return the values below which each fraction (0 to 1) of the observations lies; None where there are none.

        Between two observations the value is interpolated, as most tools do by default (type 7 of Hyndman and Fan, 1996).
        """
        reached = list(accumulate(self._by_place()))
        size = reached[-1] if reached else 0
        if size <= 0:
            return [None] * len(fractions)

        def value(rank: int) -> float:
            return middle_of(bisect_right(reached, rank) + ZERO)

        found: list[float | None] = []
        for fraction in fractions:
            lower, part = divmod(fraction * (size - 1), 1)
            low = value(int(lower))
            found.append(low + part * (value(int(lower) + 1) - low) if part else low)
        return found

    def write(self) -> bytes:
        """Write the counts: pairs where few buckets have any, else byte planes over the range of buckets."""
        counts = self.counts()
        if not counts:
            return b""
        first, last = next(iter(counts)), next(reversed(counts))
        size, planes = last - first + 1, (max(counts.values()).bit_length() + 7) // 8
        if len(counts) <= FEW or min(counts.values()) < 0 or len(counts) * 4 < size * planes:
            return _PAIRS + msgspec.msgpack.encode(counts)
        lanes = array("Q", bytes(size * 8))
        for bucket, count in counts.items():
            lanes[bucket - first] = count
        body = lanes.tobytes()
        return _PLANES + _HEAD.pack(first - ZERO, size, planes) + b"".join(body[plane::8] for plane in range(planes))

    @classmethod
    def read(cls, body: bytes) -> Histogram:
        """Read what `write` wrote. Raises Malformed."""
        if body[:1] == _PAIRS:
            return cls(msgspec.msgpack.decode(body[1:], type=dict[int, int]))
        if body[:1] != _PLANES:
            raise Malformed("This is no histogram.")
        first, size, planes = _HEAD.unpack_from(body, 1)
        lanes = bytearray((first + size) * 8)
        start = 1 + _HEAD.size
        for plane in range(planes):
            lanes[first * 8 + plane :: 8] = body[start + plane * size : start + (plane + 1) * size]
        return cls(lanes=int.from_bytes(lanes, "little"))

    def _by_place(self) -> Sequence[int]:
        """Return the count of each bucket from `ZERO` up."""
        lanes: Sequence[int] = _lanes_of(self._many)
        if not self._few:
            return lanes
        counts = [*lanes, *[0] * (max(self._few) - ZERO + 1 - len(lanes))]
        for bucket, count in self._few.items():
            counts[bucket - ZERO] += count
        return counts


def _lanes_of(number: int) -> Sequence[int]:
    """Cut a number into its lanes, the lowest first; a negative lane has borrowed from the next one."""
    size = number.bit_length() // 64 + 1
    if number >= 0:
        lanes = array("Q", number.to_bytes(size * 8, "little"))
        if max(lanes) < _HALF:
            return lanes
    lifted = number + sum(_HALF << (64 * place) for place in range(size))
    return [lane - _HALF for lane in array("Q", lifted.to_bytes(size * 8 + 8, "little"))[:size]]


def hash_of(thing: str) -> int:
    """Return the 64-bit hash by which a thing is told from others: the same everywhere and for ever."""
    return int.from_bytes(blake2b(thing.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


class Distinct:
    """How many different things there are: exact up to `EXACT`, within 2 % beyond. Things cannot be taken back."""

    __slots__ = ("_hashes", "_unary")

    def __init__(self, hashes: Iterable[int] = ()) -> None:
        """Take hashes of things (see `hash_of`)."""
        self._hashes: set[int] | None = set(hashes)
        self._unary = 0
        self._grow()

    def __bool__(self) -> bool:
        return bool(self._hashes) or self._hashes is None

    def add(self, hashed: int) -> None:
        """Add the hash of one thing."""
        if self._hashes is None:
            self.merge(Distinct((hashed,)))
        else:
            self._hashes.add(hashed)
            self._grow()

    def merge(self, other: Distinct) -> None:
        """Unite with another one."""
        if self._hashes is not None and other._hashes is not None:
            self._hashes |= other._hashes
            self._grow()
            return
        self._unary = self._as_unary() | other._as_unary()
        self._hashes = None

    def count(self) -> int:
        """Return the number of different things."""
        return round(_estimate(self._unary)) if self._hashes is None else len(self._hashes)

    def write(self) -> bytes:
        """Write the hashes, or the registers compressed."""
        if self._hashes is not None:
            return _HASHES + array("Q", sorted(self._hashes)).tobytes() if self._hashes else b""
        size = (self._unary.bit_length() + 7) // 8
        return _REGISTERS + zlib.compress(self._unary.to_bytes(size, "little"), 6)

    @staticmethod
    def wrote(body: bytes) -> bool:
        """Say whether a written sketch is a count of distinct things."""
        return body[:1] in {_HASHES, _REGISTERS}

    @classmethod
    def read(cls, body: bytes) -> Distinct:
        """Read what `write` wrote. Raises Malformed."""
        found = cls()
        if body[:1] == _HASHES:
            found._hashes = set(array("Q", body[1:]))
        elif body[:1] == _REGISTERS:
            found._hashes, found._unary = None, int.from_bytes(zlib.decompress(body[1:]), "little")
        else:
            raise Malformed("This is no count of distinct things.")
        return found

    def _grow(self) -> None:
        if self._hashes is not None and len(self._hashes) > EXACT:
            self._unary, self._hashes = self._as_unary(), None

    def _as_unary(self) -> int:
        """Return the registers in unary: all of rank 1 and more, then all of rank 2 and more, and so on."""
        if self._hashes is None:
            return self._unary
        levels = bytearray(REGISTERS // 8 * HIGHEST)
        for value in self._hashes:
            index = value & (REGISTERS - 1)
            rank = HIGHEST - (value >> INDEX_BITS).bit_length()
            for level in range(rank):
                levels[(level * REGISTERS + index) >> 3] |= 1 << (index & 7)
        return int.from_bytes(levels, "little")


def _estimate(unary: int) -> float:
    """Return Ertl's improved raw estimate from registers in unary."""
    mask = (1 << REGISTERS) - 1
    reached = [REGISTERS, *(((unary >> (level * REGISTERS)) & mask).bit_count() for level in range(HIGHEST)), 0]
    having = [more - less for more, less in pairwise(reached)]
    z = REGISTERS * _tau(1 - having[HIGHEST] / REGISTERS)
    for rank in range(RANK_BITS, 0, -1):
        z = 0.5 * (z + having[rank])
    z += REGISTERS * _sigma(having[0] / REGISTERS)
    return REGISTERS * REGISTERS / (2 * math.log(2) * z)


def _sigma(x: float) -> float:
    if x == 1:
        return math.inf
    y, z, before = 1.0, x, -1.0
    while z != before:
        x *= x
        before = z
        z += x * y
        y += y
    return z


def _tau(x: float) -> float:
    if x in {0, 1}:
        return 0.0
    y, z, before = 1.0, 1 - x, -1.0
    while z != before:
        x = math.sqrt(x)
        before = z
        y *= 0.5
        z -= (1 - x) ** 2 * y
    return z / 3
