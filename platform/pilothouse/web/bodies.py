"""Request bodies: bounded, decompressed, whatever the framing.

Limits count the bytes after decompression and hold for chunked bodies, which have no Content-Length. A bomb costs at
most the limit and one block of memory, since decompression stops there.
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
                yield decoder.decompress(pending, BLOCK)
                pending = decoder.unconsumed_tail
            if decoder.unused_data:
                raise EOFError("data follows its end")
        yield decoder.flush()
        if not decoder.eof:
            raise EOFError("it ends early")

    return decode


def _deflate(stream: IO[bytes], limit: int) -> Iterator[bytes]:
    """HTTP's deflate is zlib (RFC 9110), but some clients send it raw: the first byte tells."""
    first = stream.read(BLOCK)
    raw = not first or first[0] & 0x0F != zlib.DEFLATED
    yield from _zlib(-zlib.MAX_WBITS if raw else zlib.MAX_WBITS)(_Rejoined(first, stream), limit)  # type: ignore[arg-type]


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
        yield decoder.process(block, output_buffer_limit=BLOCK)
        while not decoder.can_accept_more_data():
            yield decoder.process(b"", output_buffer_limit=BLOCK)
    if not decoder.is_finished():
        raise EOFError("it ends early")


def _zstd(stream: IO[bytes], _limit: int) -> Iterator[bytes]:
    # 8 MiB is the largest window that RFC 8878 asks every decoder for; a larger one is a way to eat memory
    with zstandard.ZstdDecompressor(max_window_size=8 * 1024 * 1024).stream_reader(stream) as reader:
        while block := reader.read(BLOCK):
            yield block


_DECODERS: dict[str, Callable[[IO[bytes], int], Iterator[bytes]]] = {
    "": _plain,
    "identity": _plain,
    "gzip": _zlib(zlib.MAX_WBITS | 16),
    "x-gzip": _zlib(zlib.MAX_WBITS | 16),
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
