"""Signatures: which blocks of errors may hold a text, so that a search reads those and no others.

An inverted index of every three letters of every message would be a third of the table; numbers and ids, which people look
for most, make it so. Instead 32 errors form a block and 64 blocks a slab, and each slab keeps, for every one of 8,192
hashes, 64 bits: which of its blocks hold a piece of text with that hash (a bit-sliced signature file: Faloutsos and
Christodoulakis, ACM TOIS 1984). The blocks that have the bits of all pieces of a searched text are read and compared, so
the answer is exact and the signature only spares reading. It costs 32 bytes an error.

Errors are numbered as they arrive and never change their words, so a slab is made once, when it is full. Texts are compared
without regard to case, by Python's rule on every database; pieces are bytes of UTF-8, whose parts match exactly where
letters do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from zlib import crc32

BLOCK = 32  # errors; about a tenth of the bits are set then, so that four pieces tell one block in 10,000
BLOCKS = 64  # of a slab: one bit each in a 64-bit number
SLAB = BLOCK * BLOCKS  # errors, 2,048; what is newer than the last full slab a search reads as it is
ALL = (1 << BLOCKS) - 1
HASHES = 8_192
WIDTH = BLOCKS // 8  # bytes that a slab keeps of one hash
PART = 32  # hashes that lie together in one row: with their 256 bytes it fits 15 times into a page
PARTS = HASHES // PART
LONGEST_PIECE = 3  # bytes
MOST_PIECES = 8  # of a searched text; more would tell no more


def fold(text: str) -> str:
    """Return the text as it is compared: without regard to case, letter by letter."""
    return text.casefold()


def searchable(error_type: str, message: str) -> str:
    """Return what a search looks into. A line break keeps the two apart: no text that is looked for spans both."""
    return fold(f"{error_type}\n{message}")


def slab_of(seq: int) -> int:
    """Return the slab in which an error lies, by its number of arrival (from 1)."""
    return (seq - 1) // SLAB


def first_of(slab: int) -> int:
    """Return the number of a slab's first error."""
    return slab * SLAB + 1


def pieces(text: str) -> list[bytes]:
    """Return the pieces by which a searched text is known, at most 8, spread over all of it."""
    data = fold(text).encode("utf-8", "replace")
    size = min(LONGEST_PIECE, len(data))
    found = list(dict.fromkeys(data[at : at + size] for at in range(len(data) - size + 1)))
    step = max(1, -(-len(found) // MOST_PIECES))
    return found[::step]


def place_of(piece: bytes) -> tuple[int, int]:
    """Return where the bits of a piece lie: the part, and the first byte in it."""
    number = crc32(piece) % HASHES
    return number // PART, number % PART * WIDTH


def make_slab(texts: Iterable[tuple[int, str]]) -> Iterator[tuple[int, bytes]]:
    """Make the rows of a slab, part by part, of its errors' numbers and folded texts."""
    blocks: dict[int, set[bytes]] = {}
    for seq, text in texts:
        blocks.setdefault((seq - 1) % SLAB // BLOCK, set()).update(_all_pieces(text.encode("utf-8", "replace")))
    bits = [0] * HASHES
    for number, places in _by_hash(blocks).items():
        bits[number] = places
    for part in range(PARTS):
        yield part, b"".join(places.to_bytes(WIDTH, "big") for places in bits[part * PART : (part + 1) * PART])


def blocks_in(slab: int, bits: int) -> Iterator[range]:
    """Yield the numbers of the errors in each block that has its bit."""
    for block in range(BLOCKS):
        if bits >> block & 1:
            start = first_of(slab) + block * BLOCK
            yield range(start, start + BLOCK)


def _by_hash(blocks: Mapping[int, set[bytes]]) -> dict[int, int]:
    hashes: dict[bytes, int] = {}
    bits: dict[int, int] = {}
    for block, found in blocks.items():
        for piece in found:
            number = hashes.get(piece)
            if number is None:
                number = hashes[piece] = crc32(piece) % HASHES
            bits[number] = bits.get(number, 0) | 1 << block
    return bits


def _all_pieces(data: bytes) -> set[bytes]:
    return {data[at : at + size] for size in range(1, LONGEST_PIECE + 1) for at in range(len(data) - size + 1)}
