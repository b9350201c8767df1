"""Cutting periods into spans that roll-ups have: whole weeks, days and hours, and at the ends quarters and minutes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from pilothouse import clock
from pilothouse.measure_sums import COARSEST_FIRST, SIZES, Resolution, start_of

Part = Literal["coarse", "over", "fine"]  # from an hour up; that, taken back; what is kept for all dimensions together only
Span = tuple[Part, Resolution, int, int]  # with start and end (ms)


def pieces_of(bounds: Sequence[int]) -> list[Span]:
    """Cut the buckets between bounds into whole weeks, days, hours, quarters and minutes; neighbours are joined."""
    pieces: list[Span] = []
    for start, end in pairwise(bounds):
        for piece in _cut(start, end):
            if pieces and pieces[-1][:2] == piece[:2] and pieces[-1][3] == piece[2]:
                pieces[-1] = (*piece[:2], pieces[-1][2], piece[3])
            else:
                pieces.append(piece)
    return pieces


def pieces_about(start: int, end: int, now: int) -> list[Span]:
    """Cut one bucket into fewer pieces, some of them too much and some to take back: six days are a week without a day.

    What lies ahead of `now` costs nothing to take back, since there are no rows: a bucket that ends now has all of today.
    """
    first, last = start_of(start + clock.HOUR - 1, "hour"), start_of(end, "hour")
    if first >= last:
        return _cut(start, end)
    return [*_cut(start, first), *_hours_about(first, last, "coarse", now), *_cut(last, end)]


def _cut(start: int, end: int, level: int = 0) -> list[Span]:
    """Cut a span into pieces of the sizes from a level of `COARSEST_FIRST` on."""
    for place in range(level, len(COARSEST_FIRST)):
        resolution = COARSEST_FIRST[place]
        size = SIZES[resolution]
        if size <= end - start:
            first, last = start_of(start + size - 1, resolution), start_of(end, resolution)
            if first < last:
                part: Part = "coarse" if size >= clock.HOUR else "fine"
                return [*_cut(start, first, place + 1), (part, resolution, first, last), *_cut(last, end, place + 1)]
    return []


def _hours_about(start: int, end: int, part: Part, now: int, level: int = 0) -> list[Span]:
    """Cut whole hours, each end by the shorter way to where a week, then a day, ends."""
    if start >= end:
        return []
    back: Part = "over" if part == "coarse" else "coarse"
    for place, resolution in enumerate(COARSEST_FIRST[level : COARSEST_FIRST.index("hour")], level + 1):
        size = SIZES[resolution]
        first, last = (start_of(at + (size - 1 if at > now - clock.HOUR else size // 2), resolution) for at in (start, end))
        if first < last:
            head = _hours_about(start, first, part, now, place) or _hours_about(first, start, back, now, place)
            tail = _hours_about(last, end, part, now, place) or _hours_about(end, last, back, now, place)
            return [*head, (part, resolution, first, last), *tail]
    return [(part, "hour", start, end)]
