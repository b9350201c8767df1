"""Request bodies: bounded, decompressed, whatever the framing.

Limits count the bytes after decompression and hold for chunked bodies, which have no Content-Length. A bomb costs at
most the limit and 8 MiB of memory, since decompression stops there. A body that was cut short is refused.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import IO

import brotli
import zstandard
from flask import request

from pilothouse.errors import Malformed, TooLarge, UnsupportedMedia

BLOCK = 64 * 1024
ZSTD_SLICE = 256  # bytes at a time: four can stand for a block of 128 KiB, so a slice makes 8 MiB at most
KEPT = "pilothouse.body"  # where a body that was read stays, in the WSGI environment
API_LIMIT = 1024 * 1024  # bodies of everything but ingest: forms and JSON of people


def read_body(limit: int = API_LIMIT) -> bytes:
    """Return the request's body, decompressed; a second call gets the same bytes.

    Raises TooLarge beyond `limit` bytes, Malformed for a broken compression, UnsupportedMedia for an unknown one.
    """
    if KEPT not in request.environ:
        request.environ[KEPT] = _read(limit)
    return bytes(request.environ[KEPT])


def _read(limit: int) -> bytes:
    if (request.content_length or 0) > limit and not request.headers.get("Content-Encoding"):
        raise TooLarge(f"The body has {request.content_length} bytes; this route takes {limit}.")
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in _DECODERS:
        raise UnsupportedMedia(f"Content-Encoding {encoding[:40]!r} is not known; send gzip, deflate, br, zstd or none.")
    parts: list[bytes] = []
    size = 0
    try:
        for part in _DECODERS[encoding](request.stream, limit):
            size += len(part)
            if size > limit:
                raise TooLarge(f"The body has more than {limit} bytes after decompression.")
            parts.append(part)
    except (zlib.error, brotli.error, zstandard.ZstdError, EOFError) as fault:
        raise Malformed(f"The body is not valid {encoding}: {fault}") from fault
    return b"".join(parts)


def _plain(stream: IO[bytes], _limit: int) -> Iterator[bytes]:
    while block := stream.read(BLOCK):
        yield block


def _zlib(window: int) -> Callable[[IO[bytes], int], Iterator[bytes]]:
    def decode(stream: IO[bytes], _limit: int) -> Iterator[bytes]:
        decoder = zlib.decompressobj(window)
        for block in _plain(stream, 0):
            pending = block
            while pending:
                if decoder.eof:  # gzip may have several members (RFC 1952, section 2.2)
                    decoder = zlib.decompressobj(window)
                yield decoder.decompress(pending, BLOCK)
                pending = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
        yield decoder.flush()
        if not decoder.eof:
            raise EOFError("it ends early")

    return decode


def _deflate(stream: IO[bytes], limit: int) -> Iterator[bytes]:
    """HTTP's deflate is zlib (RFC 9110), but some clients send it raw: zlib's header tells (RFC 1950, section 2.2)."""
    first = stream.read(BLOCK)
    raw = len(first) < 2 or first[0] & 0x0F != zlib.DEFLATED or int.from_bytes(first[:2]) % 31  # noqa: PLR2004 - see the RFC
    yield from _zlib(-zlib.MAX_WBITS if raw else zlib.MAX_WBITS)(_Rejoined(first, stream), limit)  # type: ignore[arg-type]  # `read` is all that is asked


class _Rejoined:
    """A stream whose first block was looked at already."""

    def __init__(self, first: bytes, rest: IO[bytes]) -> None:
        self._first, self._rest = first, rest

    def read(self, size: int) -> bytes:
        if self._first:
            block, self._first = self._first, b""
            return block
        return self._rest.read(size)


def _brotli(stream: IO[bytes], _limit: int) -> Iterator[bytes]:
    decoder = brotli.Decompressor()
    for block in _plain(stream, 0):
        part = decoder.process(block, output_buffer_limit=BLOCK)
        while part or not decoder.can_accept_more_data():  # it may have taken all of the block and still hold back output
            yield part
            part = b"" if decoder.is_finished() else decoder.process(b"", output_buffer_limit=BLOCK)
    if not decoder.is_finished():
        raise EOFError("it ends early")


def _zstd(stream: IO[bytes], _limit: int) -> Iterator[bytes]:
    # 8 MiB is the largest window that RFC 8878 asks every decoder for; a larger one is a way to eat memory
    context = zstandard.ZstdDecompressor(max_window_size=8 * 1024 * 1024)
    decoder = context.decompressobj()
    for block in _plain(stream, 0):
        for start in range(0, len(block), ZSTD_SLICE):
            pending = block[start : start + ZSTD_SLICE]
            while pending:
                if decoder.eof:  # a stream may have several frames (RFC 8878, section 3)
                    decoder = context.decompressobj()
                yield decoder.decompress(pending)
                pending = decoder.unused_data if decoder.eof else b""
    if not decoder.eof:
        raise EOFError("it ends early")


_DECODERS: dict[str, Callable[[IO[bytes], int], Iterator[bytes]]] = {
    "": _plain,
    "identity": _plain,
    "gzip": _zlib(zlib.MAX_WBITS | 16),
    "x-gzip": _zlib(zlib.MAX_WBITS | 16),
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
