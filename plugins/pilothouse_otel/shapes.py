"""What the names of a span's attributes tell: its dialect, and where its content and usage stand.

Spans of one instrumentation have the same names, so what is to be looked for is worked out once a set of names and kept.
Names are data: they are looked up in tables, never run, and what is kept of them is bounded.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

import msgspec

from pilothouse_otel.content import INPUTS, NUMBERED_INPUT, NUMBERED_OUTPUT, OUTPUTS, TAKEN, TAKEN_PREFIXES
from pilothouse_otel.context import USER
from pilothouse_otel.kinds import FAMILIES
from pilothouse_otel.spans import Span
from pilothouse_otel.usage import Fields, fields_of

KEPT = 1_024  # sets of names; a program has some dozen


class Shape(msgspec.Struct, frozen=True, gc=False):
    """What one set of attribute names holds.

    `plain` spans are of no AI dialect. `inputs` and `outputs` are the names of content that are there, the best first;
    `rest` are those that are kept as attributes. `user` and `usage` are those that tell of these.
    """

    plain: bool
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    numbered_input: bool = False
    numbered_output: bool = False
    rest: tuple[str, ...] = ()
    user: tuple[str, ...] = ()
    usage: Fields | None = None


@functools.lru_cache(maxsize=KEPT)
def shape_of(names: tuple[str, ...]) -> Shape:
    """Work out what a set of names holds."""
    if not any(name.startswith(FAMILIES) for name in names):
        return Shape(plain=True, rest=names)
    there = frozenset(names)
    return Shape(
        plain=False,
        inputs=tuple(name for name in INPUTS if name in there),
        outputs=tuple(name for name in OUTPUTS if name in there),
        numbered_input=any(name.startswith(NUMBERED_INPUT) for name in names),
        numbered_output=any(name.startswith(NUMBERED_OUTPUT) for name in names),
        rest=tuple(name for name in names if name not in TAKEN and not name.startswith(TAKEN_PREFIXES)),
        user=tuple(name for name in USER if name in there),
        usage=fields_of(names),
    )


def note_shapes(spans: Iterable[Span]) -> None:
    """Work out the shape of each span."""
    for span in spans:
        span.shape = shape_of(tuple(span.attributes))
