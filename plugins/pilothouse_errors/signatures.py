"""Signatures: which blocks of errors may hold a text, so that a search reads those and no others.

An inverted index of every three letters of every message would be a third of the table; numbers and ids, which people look
for most, make it so. Instead 32 errors form a block and 64 blocks a slab, and each slab keeps, for every one of 12,288
hashes, 64 bits: which of its blocks hold a piece of text with that hash (a bit-sliced signature file: Faloutsos and
Christodoulakis, ACM TOIS 1984). The blocks that have the bits of all pieces of a searched text are read and compared, so
the answer is exact and the signature only spares reading. It costs 48 bytes an error.

Pieces are three bytes of UTF-8, hashed, and pairs of bytes by their classes, which serve texts too short for the others:
parts of the bytes match exactly where letters do. Texts are compared without regard to case, by Python's rule on
every database. Errors are numbered as they arrive and never change their words, so a slab is made once, when it is full.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from zlib import crc32

BLOCK = 32  # errors; about an eighth of the bits are set then, so that four pieces tell one block in 4,000
BLOCKS = 64  # of a slab: one bit each in a 64-bit number
SLAB = BLOCK * BLOCKS  # errors, 2,048; what is newer than the last full slab a search reads as it is
ALL = (1 << BLOCKS) - 1
CLASSES = 64  # of bytes: each letter and digit by itself, the others by chance
PAIRS = CLASSES * CLASSES
TRIPLES = 8_192  # hashes of three bytes
HASHES = PAIRS + TRIPLES
WIDTH = BLOCKS // 8  # bytes that a slab keeps of one hash
PART = 32  # hashes that lie together in one row: of its 256 bytes 15 fit into a page
PARTS = HASHES // PART
MOST_PIECES = 12  # of a searched text; more would tell little more
FEW_TRIPLES = 4  # below that pairs help to tell
END = b"\n"  # closes each text, so that its last byte is half of a pair too

Piece = tuple[int, ...]


def fold(text: str) -> str:
    """Return the text as it is compared: without regard to case, letter by letter."""
    return text.casefold()


def searchable(error_type: str, message: str) -> str:
    """Return what a search looks into. A line break keeps the two apart."""
    return fold(f"{error_type}\n{message}")


def slab_of(seq: int) -> int:
    """Return the slab in which an error lies, by its number of arrival (from 1)."""
    return (seq - 1) // SLAB


def first_of(slab: int) -> int:
    """Return the number of a slab's first error."""
    return slab * SLAB + 1


def hashes_of(text: str) -> list[range]:
    """Return what a searched text must have: of each range at least one hash."""
    data = fold(text).encode("utf-8", "replace")
    if len(data) == 1:  # any pair that begins with it
        start = _class_of(data[0]) * CLASSES
        return [range(start, start + CLASSES)]
    found = _spread(dict.fromkeys(_pieces(data, 3)), MOST_PIECES)
    if len(found) < FEW_TRIPLES:
        found += dict.fromkeys(_pieces(data, 2))
    return [range(number, number + 1) for number in map(_hash, found)]


def make_slab(texts: Iterable[tuple[int, str]]) -> Iterator[tuple[int, bytes]]:
    """Make the rows of a slab, part by part, of its errors' numbers and folded texts."""
    blocks: dict[int, set[Piece]] = {}
    for seq, text in texts:
        data = text.encode("utf-8", "replace") + END
        block = blocks.setdefault((seq - 1) % SLAB // BLOCK, set())
        block.update(_pieces(data, 2), _pieces(data, 3))
    bits = _by_hash(blocks)
    for part in range(PARTS):
        numbers = range(part * PART, (part + 1) * PART)
        yield part, b"".join(bits.get(number, 0).to_bytes(WIDTH, "big") for number in numbers)


def read_bits(row: bytes, start: int, numbers: range) -> int:
    """Return the blocks that hold any of the hashes; `start` is the first hash of the row."""
    bits = 0
    for number in numbers:
        at = (number - start) * WIDTH
        bits |= int.from_bytes(row[at : at + WIDTH], "big")
    return bits


def blocks_in(slab: int, bits: int) -> Iterator[range]:
    """Yield the numbers of the errors in each block that has its bit."""
    for block in range(BLOCKS):
        if bits >> block & 1:
            start = first_of(slab) + block * BLOCK
            yield range(start, start + BLOCK)


def _pieces(data: bytes, size: int) -> Iterator[Piece]:
    return zip(*(data[at:] for at in range(size)), strict=False)


def _spread(found: Iterable[Piece], most: int) -> list[Piece]:
    """Return at most so many pieces from all over the text."""
    pieces = list(found)
    return pieces[:: max(1, -(-len(pieces) // most))]


def _by_hash(blocks: Mapping[int, set[Piece]]) -> dict[int, int]:
    hashes: dict[Piece, int] = {}
    bits: dict[int, int] = {}
    for block, pieces in blocks.items():
        for piece in pieces:
            number = hashes.get(piece)
            if number is None:
                number = hashes[piece] = _hash(piece)
            bits[number] = bits.get(number, 0) | 1 << block
    return bits


def _hash(piece: Piece) -> int:
    if len(piece) == 2:  # noqa: PLR2004 - a pair
        return _class_of(piece[0]) * CLASSES + _class_of(piece[1])
    return PAIRS + crc32(bytes(piece)) % TRIPLES


def _class_of(byte: int) -> int:
    """Return the class of a byte: letters 0 to 25, digits 26 to 35, all others 36 to 63."""
    if ord("a") <= byte <= ord("z"):
        return byte - ord("a")
    if ord("0") <= byte <= ord("9"):
        return 26 + byte - ord("0")
    return 36 + byte % 28
