"""Request bodies: every coding, exact limits, bombs that cost little, and nothing cut short that passes for whole."""

from __future__ import annotations

import gzip
import io
import os
import tracemalloc
import zlib
from functools import partial

import brotli
import pytest
import zstandard
from flask import Flask, request
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.errors import Malformed, TooLarge, UnsupportedMedia
from pilothouse.web.bodies import BLOCK, read_body

LIMIT = 100_000
PLAIN = Flask(__name__)


def raw_deflate(body):
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


PACKERS = {
    "gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "br": partial(brotli.compress, quality=5),
    "zstd": zstandard.ZstdCompressor().compress,
}  # fmt: skip
BOMBS = {**PACKERS, "raw": raw_deflate}


def read(body, encoding=None, *, limit=LIMIT, chunked=False, **headers):
    """Read a body as a route would; a chunked one has no length."""
    if encoding is not None:
        headers["Content-Encoding"] = encoding
    environ = {"wsgi.input_terminated": True} if chunked else {}
    if not chunked:
        headers["Content-Length"] = str(len(body))
    options = {"method": "POST", "input_stream": io.BytesIO(body), "headers": headers, "environ_overrides": environ}
    with PLAIN.test_request_context("/", **options):
        return read_body(limit)


@pytest.mark.parametrize("encoding", [None, "", "identity", "IDENTITY"])
def test_a_plain_body_is_read_as_it_is(encoding):
    assert read(b"abc", encoding) == b"abc"
    assert read(b"", encoding) == b""


@pytest.mark.parametrize("encoding", PACKERS)
@pytest.mark.parametrize("chunked", [False, True])
def test_each_coding_is_read_with_and_without_a_length(encoding, chunked):
    body = os.urandom(LIMIT // 2) + b"\0" * (LIMIT // 2)
    assert read(PACKERS[encoding](body), encoding, chunked=chunked) == body


def test_deflate_may_come_without_its_header():
    assert read(raw_deflate(b"abc" * 1_000), "deflate") == b"abc" * 1_000


@given(st.binary(max_size=300), st.sampled_from(sorted(PACKERS)))
def test_whatever_was_packed_is_unpacked(body, encoding):
    assert read(PACKERS[encoding](body), encoding) == body


@pytest.mark.parametrize("chunked", [False, True])
def test_the_limit_is_exact(chunked):
    assert len(read(b"x" * LIMIT, chunked=chunked)) == LIMIT
    with pytest.raises(TooLarge):
        read(b"x" * (LIMIT + 1), chunked=chunked)


@pytest.mark.parametrize("encoding", PACKERS)
def test_the_limit_counts_what_was_unpacked(encoding):
    body = os.urandom(LIMIT + 1)
    assert read(PACKERS[encoding](body[:LIMIT]), encoding) == body[:LIMIT]
    with pytest.raises(TooLarge, match="after decompression"):
        read(PACKERS[encoding](body), encoding)


def test_the_limit_is_told_before_anything_is_read():
    stream = io.BytesIO(b"x" * (LIMIT + 1))
    options = {"method": "POST", "input_stream": stream, "headers": {"Content-Length": str(LIMIT + 1)}}
    with PLAIN.test_request_context("/", **options), pytest.raises(TooLarge, match="has 100001 bytes; this route takes 100000"):
        read_body(LIMIT)
    assert stream.tell() == 0


@pytest.mark.parametrize("encoding", BOMBS)
def test_a_bomb_costs_little_memory(encoding):
    bomb = BOMBS[encoding](b"\0" * 60_000_000)
    tracemalloc.start()
    with pytest.raises(TooLarge):
        read(bomb, "deflate" if encoding == "raw" else encoding, limit=10 * 1024 * 1024)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000_000


@pytest.mark.parametrize("encoding", PACKERS)
@pytest.mark.parametrize("cut", [1, 4, 9])
def test_a_body_that_was_cut_is_refused(encoding, cut):
    packed = PACKERS[encoding](os.urandom(1_000))
    with pytest.raises(Malformed, match=f"not valid {encoding}"):
        read(packed[:-cut], encoding)


@pytest.mark.parametrize("encoding", PACKERS)
def test_no_body_at_all_is_not_a_compressed_one(encoding):
    with pytest.raises(Malformed):
        read(b"", encoding)


@pytest.mark.parametrize("encoding", PACKERS)
def test_what_follows_the_end_is_refused(encoding):
    with pytest.raises(Malformed):
        read(PACKERS[encoding](b"abc") + b"more of it", encoding)


@pytest.mark.parametrize("encoding", PACKERS)
def test_what_is_not_packed_is_refused(encoding):
    with pytest.raises(Malformed):
        read(b'{"signals": []}' * 100, encoding)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("size", [10, BLOCK])
def test_several_members_are_one_body(encoding, size):
    parts = [os.urandom(size // 2) for _ in range(3)]
    assert read(b"".join(PACKERS[encoding](part) for part in parts), encoding, limit=10 * BLOCK) == b"".join(parts)


@pytest.mark.parametrize("encoding", ["compress", "gzip, br", "gzip;q=1", "x" * 5_000])
def test_an_unknown_coding_is_refused_by_its_name(encoding):
    with pytest.raises(UnsupportedMedia) as caught:
        read(b"abc", encoding)
    assert len(caught.value.detail) < 150


def test_a_window_larger_than_the_standard_s_is_refused():
    wide = zstandard.ZstdCompressionParameters.from_level(3, window_log=25)
    packer = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    with pytest.raises(Malformed, match="zstd"):
        read(packer.compress(b"abc") + packer.flush(), "zstd")


def test_a_body_is_read_once_and_kept():
    with PLAIN.test_request_context("/", method="POST", data=b"abc"):
        assert read_body() == b"abc"
        assert request.stream.read() == b""
        assert read_body() == b"abc"


@given(st.binary(max_size=200), st.sampled_from(sorted(PACKERS)))
def test_any_bytes_are_read_or_refused(body, encoding):
    try:
        read(body, encoding)
    except (Malformed, TooLarge) as fault:
        assert fault.status in {400, 413}  # noqa: PT017 - both ways are right
